/**
 * The config schema: the only source of each key's type, default, bounds and description, and of whether a change needs a
 * restart. Types, validation, `docs/config.md` and the JSON Schema are derived from it. After parsing, durations are ms,
 * sizes are bytes, rates are units per ms, and `auto` and `off` are null if the type allows null.
 */
import { z } from 'zod';
import { QUANTILES } from '../quantiles.ts';
import {
  checkAddress,
  checkBase,
  checkCron,
  checkHeader,
  checkHostId,
  checkListen,
  checkNode,
  checkOrigin,
  checkPageUrl,
  checkPattern,
  checkPublicKey,
  checkTimeZone,
} from './checks.ts';
import { mqttSchema } from './mqtt-schema.ts';
import { siteSchema } from './site-schema.ts';
import { streamSchema } from './stream-schema.ts';
import {
  ALWAYS,
  bounded,
  duration,
  durationList,
  durationOr,
  flag,
  hot,
  restart,
  size,
  text,
} from './values.ts';

const finetune = z.strictObject({
  enabled: hot(flag().default(true), 'Fine-tune the model on the streams of this gateway.'),
  schedule: hot(
    text('a cron expression', checkCron).default('17 3 * * *'),
    'Schedule of fine-tuning: minute, hour, day of month, month, day of week, in `timezone`; `off`: no schedule.',
    '`off` or cron',
  ),
  on_drift: hot(
    flag().default(true),
    'Also fine-tune when the forecasts of a stream have become permanently worse.',
  ),
  window: hot(
    duration({ min: '1h', max: '365d' }, '28d'),
    'Span of the newest history that is used for training.',
  ),
  max_time: hot(duration({ min: '5s', max: '24h' }, '10m'), 'A run is stopped after this long.'),
  max_load: hot(
    bounded(0.05, 32, false).default(0.7),
    'A run waits while the 1-minute load of the machine, divided by its cores, is above this; the load of the run itself is not counted.',
  ),
  max_temperature: hot(
    bounded(30, 110, false).default(75),
    'A run waits while the processor temperature, in °C, is above this.',
  ),
});

const publish = z.strictObject({
  every: hot(
    durationOr('step', { min: '1s', max: '24h' }),
    'How often a stream publishes: at each of its steps (`step`), or at most once in this time.',
  ),
  quantiles: hot(
    z
      .array(z.literal(QUANTILES))
      .min(1, 'must name a quantile')
      .refine((list) => new Set(list).size === list.length, 'names a quantile twice')
      .default([0.1, 0.5, 0.9]),
    'Which of the nine quantiles the forecast message carries.',
    'list of quantiles',
  ),
  at: hot(
    durationList({ min: '1s', max: '90d' }),
    'Leads whose median is also published as a plain number, on `forecast/<stream>/at/<duration>`.',
  ),
  anomalies: hot(
    durationOr('off', { min: '1h', max: '3650d' }, '7d'),
    'Mean time between two false alarms of a stream on `<base>/<node>/anomaly/<stream>`, limited to between 100 and 100,000 buckets; `off`: anomalies are not reported.',
  ),
  provenance: hot(
    flag().default(false),
    'Forecast messages also carry the forecasts of the networks before they are blended, the hash of the model, the time range that it was fine-tuned on, and the covariates used.',
  ),
  batch_window: hot(
    duration({ min: '0ms', max: '10s' }, '20ms'),
    'Streams that become due within this time are stepped in one batch.',
  ),
  home_assistant: hot(flag().default(true), 'Announce the forecasts to Home Assistant.'),
  discovery_prefix: restart(
    text('topic levels', checkBase).default('homeassistant'),
    "Home Assistant's discovery prefix.",
  ),
});

const homeAssistant = z.strictObject({
  leads: hot(
    durationList({ min: '1s', max: '90d' }, ['1h']),
    'Leads whose median is an entity of each stream, besides the next step and the leads of `publish.at`; those outside the horizon of a stream are left out.',
  ),
  attributes: hot(
    z.enum(['none', 'slim', 'full']).default('slim'),
    'What entities carry as attributes, which the recorder stores at each step. `slim`: lowest and highest published quantile of the lead; the entity `fan`, with the whole forecast, is disabled until it is enabled in Home Assistant. `full`: `fan` is enabled. `none`: no attributes and no `fan`.',
  ),
  url: hot(
    text('a URL', checkPageUrl).optional(),
    'Address of the page, to which the devices in Home Assistant link. Default: `http.listen`, unless it is loopback.',
    'URL',
  ),
  support_url: hot(
    text('a URL', checkPageUrl).optional(),
    'Address that Home Assistant names for support; the page by default.',
    'URL',
  ),
});

const sparkplug = z.strictObject({
  enabled: restart(
    flag().default(false),
    'Publish the forecasts as a Sparkplug B edge node too, on a second connection to the broker; see docs/sparkplug.md.',
  ),
  group: restart(text('a group id', checkNode).default('gatecast'), 'Sparkplug group id.'),
  node: restart(text('a node id', checkNode).optional(), 'Sparkplug edge node id; `node` by default.'),
  primary_host: restart(
    text('a host id', checkHostId).optional(),
    'Id of the primary host application: forecasts are sent only while its STATE message says that it is online, and kept until then.',
  ),
  leads: hot(
    durationList({ min: '1s', max: '90d' }, ['1h']),
    'Leads whose quantiles are metrics, besides the next step and the leads of `publish.at`.',
  ),
});

const store = z.strictObject({
  max_size: hot(
    size({ min: '1MB', max: '1024GB' }, '256MB'),
    'Largest size of the database; the oldest samples are deleted first.',
  ),
  retention: hot(duration({ min: '1h', max: '3650d' }, '60d'), 'How long samples are kept.'),
  flush: hot(
    duration({ min: '100ms', max: '10m' }, '5s'),
    'How long samples are buffered before they are written. A longer time spares flash; with a shorter one less is lost when the process is killed.',
  ),
  durability: hot(
    z.enum(['crash', 'power']).default('crash'),
    'The failures that acknowledged messages survive. `crash`: the end of the process, however it ends; a power cut loses about the last 30 seconds. `power`: a power cut too; the disk is synced before messages are acknowledged, which wears flash.',
  ),
});

const http = z.strictObject({
  listen: restart(
    text('an address', checkListen).default('127.0.0.1:8787'),
    'Address of the page and the metrics, such as `127.0.0.1:8787`; a port alone listens on loopback, `:8787` on all addresses; `off`: no page. Without a login (`token_file`, `user_header`) everyone who can connect can read the page.',
    '`off` or address',
  ),
  token_file: restart(
    text('a file name').optional(),
    'File with the login token of the page, at least 16 characters, readable by its owner only. Actions then need a login, and so does reading from another machine.',
    'file',
  ),
  user_header: restart(
    text('a header name', checkHeader).optional(),
    'Header in which a reverse proxy names the user it has logged in, such as `X-Remote-User`; accepted from `trusted_proxies` only.',
    'header',
  ),
  trusted_proxies: restart(
    z
      .array(text('an IP address', checkAddress))
      .max(16, 'has more than 16 entries')
      .default(['127.0.0.1', '::1']),
    'Addresses of the proxies whose `user_header` and `X-Forwarded-For` are accepted. The proxy must remove this header from the requests of its clients.',
  ),
  frame_ancestors: restart(
    z.array(text('an origin', checkOrigin)).max(16, 'has more than 16 entries').default([]),
    'Origins that may show the page in a frame, such as `http://homeassistant.local:8123` for a panel; none by default.',
  ),
});

const inlineKey = z.strictObject({
  kid: restart(text('a key id', checkNode), 'Id of the key, as in the header of its signatures.'),
  key: restart(
    text('a public key', checkPublicKey),
    'The ed25519 public key: `x` of its JWK, or PEM as `openssl pkey -pubout` prints it.',
    'public key',
  ),
  roles: restart(
    z
      .array(z.enum(['config', 'model', 'request']))
      .min(1, 'must name a role')
      .optional(),
    'Kinds of messages that the key may sign; all by default.',
  ),
});

const remoteConfig = z
  .strictObject({
    enabled: restart(
      flag().default(false),
      'Accept configs from `<base>/<node>/config/desired` and, for each group, from `<base>/fleet/<group>/config/desired`; see docs/remote-config.md.',
    ),
    keys: restart(
      z
        .union([
          text('a file name'),
          z.array(inlineKey).min(1, 'must hold a key').max(16, 'has more than 16 entries'),
        ])
        .optional(),
      'Public keys that may sign configs: a JWKS file, or a list of `{ kid, key, roles }`. Several keys allow rotation. Without keys nothing is accepted.',
      'file or list of keys',
    ),
    ca: restart(
      text('a file name').optional(),
      'PEM file of the certificate authorities trusted for the https sources of models; by default the well-known ones. Read at each download.',
      'file',
    ),
    unsigned: restart(
      flag().default(false),
      'For closed test benches only: accept plain JSON without a signature. The alert `remote-config` is raised while this is on.',
    ),
    groups: restart(
      z.array(text('a group name', checkNode)).max(16, 'has more than 16 entries').default([]),
      'Fleet groups whose configs are also accepted; a later group overrides an earlier one, and the config of the node overrides all.',
    ),
  })
  .superRefine((value, context) => {
    const issue = (path: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [path], message });
    if (value?.enabled === true && value.keys === undefined && value.unsigned !== true)
      issue('keys', 'is missing; without keys no config can be verified');
    if (value?.unsigned === true && value.keys !== undefined)
      issue('unsigned', 'must be false if `keys` is set');
    const kids = Array.isArray(value?.keys) ? value.keys.map((key) => key?.kid) : [];
    if (new Set(kids).size < kids.length) issue('keys', 'names a `kid` twice');
    const groups = Array.isArray(value?.groups) ? value.groups : [];
    if (new Set(groups).size < groups.length) issue('groups', 'names a group twice');
  }, ALWAYS);

/** The verbs of `<base>/<node>/request/<verb>`. */
export const REQUEST_VERBS = [
  'finetune',
  'reset-stream',
  'rollback-model',
  'backup',
  'reload',
  'forget-stream',
] as const;

const requests = z.strictObject({
  allow: hot(
    z.array(z.enum(REQUEST_VERBS)).default([...REQUEST_VERBS]),
    'Requests over MQTT that are accepted; all by default, `[]` for none.',
  ),
  max_per_minute: hot(
    bounded(1, 6000, true).default(60),
    'Most requests accepted per minute; further ones are refused with BUSY.',
  ),
  signed: restart(
    flag().default(false),
    'Accept only requests signed by a key of `remote_config.keys` with the role `request`; see docs/remote-config.md. A signed request is always verified.',
  ),
});

const ingest = z.strictObject({
  max_payload: restart(
    size({ min: '64B', max: '16MB' }, '256KB'),
    'Larger payloads are rejected; a Sparkplug message is read in parts of this size.',
  ),
  max_depth: restart(bounded(1, 256, true).default(32), 'JSON nested deeper is rejected.'),
  max_readings: restart(
    bounded(1, 10_000, true).default(256),
    'Most readings taken from one message. A Sparkplug message with more is read in parts of this size.',
  ),
  topic_cache: restart(
    bounded(100, 1_000_000, true).default(20_000),
    'Number of topics whose rules are cached; further topics cost time, not memory.',
  ),
});

export const configSchema = z.strictObject({
  node: restart(
    text('a name', checkNode),
    'Name of this gateway, used as a level of every topic that it publishes. Must be unique at the broker.',
  ),
  base: restart(
    text('topic levels', checkBase).default('gatecast'),
    'First levels of every topic that the agent publishes.',
  ),
  mqtt: restart(mqttSchema, 'The broker that sensors and forecasts share.'),
  data_dir: restart(
    text('a folder').default('/var/lib/gatecast'),
    'Folder of the database and the models; `GATECAST_DATA_DIR` and `--data-dir` override it.',
    'folder',
  ),
  timezone: restart(
    text('a time zone', checkTimeZone).default('local'),
    'Time zone of the calendar features and of the fine-tuning schedule; `local`: the zone of the machine.',
    '`local` or IANA zone',
  ),
  lateness: hot(duration({ min: '0s', max: '1h' }, '2s'), 'How long a bucket stays open for late readings.'),
  max_streams: restart(
    bounded(1, 100_000, true).default(2000),
    'Most streams of the agent; further ones are refused and counted.',
  ),
  ignore: hot(
    z.array(text('a topic pattern', checkPattern)).max(1000, 'has more than 1000 entries').default([]),
    'Patterns of topics that no rule reads: devices that are not sensors, or that a rule would match by mistake. Their messages are not counted as rejects.',
    'list of topic patterns',
  ),
  streams: hot(
    z
      .array(streamSchema, { error: () => 'must be a list of rules, each with `match`' })
      .min(1, 'must have at least one rule')
      .max(1000, 'has more than 1000 rules'),
    'Rules for the topics to forecast.',
  ),
  model: hot(
    z
      .strictObject({
        name: hot(
          text('a model name', checkNode).default('base'),
          'Model of the registry that the agent starts with.',
        ),
      })
      .prefault({}),
    'The model.',
  ),
  finetune: hot(finetune.prefault({}), 'Training on this machine.'),
  publish: hot(publish.prefault({}), 'The published messages.'),
  home_assistant: hot(
    homeAssistant.prefault({}),
    'Entities in Home Assistant, where `publish.home_assistant` is on; see docs/home-assistant.md.',
  ),
  sparkplug: restart(sparkplug.prefault({}), 'Sparkplug B.'),
  store: hot(store.prefault({}), 'The database.'),
  http: restart(http.prefault({}), 'The page.'),
  remote_config: restart(remoteConfig.prefault({}), 'Configs received over the broker.'),
  requests: hot(requests.prefault({}), 'Requests over MQTT.'),
  ingest: restart(ingest.prefault({}), 'Limits on incoming messages.'),
  site: restart(
    siteSchema.optional(),
    'This agent as a member of a group of workers and bridges on NATS JetStream; left out: an agent of its own.',
  ),
  log: hot(
    z
      .strictObject({
        level: hot(
          z.enum(['error', 'warn', 'info', 'debug']).default('info'),
          'Lowest level that is logged.',
        ),
        format: hot(
          z.enum(['text', 'json']).default('text'),
          '`text`: `time level event key=value ...`; `json`: one object a line, for log collectors; see docs/monitoring.md.',
        ),
      })
      .prefault({}),
    'The log.',
  ),
});

/** A config as gatecast uses it, complete and checked. */
export type Config = z.output<typeof configSchema>;
