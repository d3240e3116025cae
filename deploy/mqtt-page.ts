/** docs/mqtt.md: every topic and message, with examples from the code itself. */
import { ALERTS } from '../src/agent/alerts.ts';
import { VERBS } from '../src/agent/verbs.ts';
import type { Outgoing } from '../src/mqtt/outbox.ts';
import { examples } from './mqtt-examples.ts';

export function mqttPage(generated: string): string {
  const made = examples();
  const show = (kind: string): string => {
    const { topic, payload } = made[kind]!;
    return `\`${topic}\`\n\n\`\`\`json\n${pretty(String(payload))}\n\`\`\``;
  };
  return `${[
    '# Topics and messages',
    generated,
    'Every topic that gatecast publishes or reads, with an example of each message. Source: `src/mqtt/` and `src/agent/requests.ts`; that code generates the examples.',
    [
      '- `<base>` is `gatecast` by default; `<node>` is the name of the gateway (`edge` here). The name of a stream may have several levels.',
      '- Times are ISO 8601 in UTC.',
      "- Numbers have six significant digits. A forecast has more where its values are large and differ little, as for a meter's total.",
      '- All messages are published at QoS 1. An empty retained message deletes a retained one.',
    ].join('\n'),
    overview(made),
    '## status',
    show('status'),
    'The first message of each connection, and the last will: `offline` when the agent is stopped or lost. `since` is the start of this run; `session` is a new id after each start.',
    '## health',
    show('health'),
    '`degraded` lists what does not work; every entry except a lost broker is also raised as an alert. `written_bytes_day`: bytes that the store wrote to the disk in the last 24 hours. `dropped`: counts of readings not used and messages not sent since the start, by [reason](errors.md#rejects).',
    '## forecast',
    show('forecast'),
    [
      'There is one list per quantile (`publish.quantiles`) with one value per step: the first value is for the bucket that begins at `origin` + `step_s`.',
      '',
      '| member | meaning |',
      '| --- | --- |',
      '| `origin` | label (start) of the newest bucket known |',
      '| `seq` | number of forecasts of the stream; survives restarts |',
      '| `model.kind` | the forecaster: the network (`gru`), `seasonal-naive`, `naive`, or a `blend` |',
      '| `input.quality` | the newest bucket has a reading (`good`), has none or only one excluded for its marks (`filled`), or the stream has had no reading for longer than `gaps.max` (`stale`) |',
      '| `input.marks` | only if the bucket has quality marks: a list of `spike`, `stuck`, `flat-line`, `out-of-range`, `step`, `too-fast`, `counter-jump` ([dirty-data.md](dirty-data.md)) |',
      '| `coverage.observed` | share of recent readings that fell between p10 and p90 |',
      '| `crossing` | for streams with `thresholds`: the probability of a crossing, and its time `at`: the first crossing of the median, else the time at which a crossing is most probable; null if the probability is negligible or the stream is young |',
      '| `crossing[].learning` | only while the stream is young: the number of scored forecasts of that lead and the number required (`{"scored":3,"of":16}`) |',
      '| `provenance` | only with `publish.provenance`; the members below |',
      '| `provenance.model_hash` | hash of the model |',
      '| `provenance.trained_on` | time range (`from`, `to`) of the readings that the model was fine-tuned on, or null |',
      '| `provenance.raw`, `corrected`, `own` | quantiles before they are blended and calibrated: of the base network, of the base network as corrected by the adapter of the stream, and of the own network; null or absent if there is none |',
      '| `provenance.inputs_used` | the covariates that count in this forecast |',
    ].join('\n'),
    'For consumers without JSON, the median at each lead of `publish.at`:',
    show('at'),
    '## score',
    show('score'),
    'The accuracy of the published forecasts by lead `h` in steps, over the last `window` forecasts. `bias` is forecast minus reading. `mase` is the error divided by that of the seasonal naive forecast. A skill is 1 - loss / loss of the naive forecast, in pinball loss: above 0 is better than that forecast; the lowest that is sent is -100. A lead without any scored forecast is left out. Scores are first published ten seconds after the start, then stream by stream, within five minutes for all streams. If the message is larger than the maximum packet size of the broker, the longest leads are left out.',
    '## anomaly',
    show('anomaly'),
    "Not retained. Reports a bucket that is improbable under the forecast made one step before it (`low` is p10, `high` p90). `score` is -log10 of the two-sided probability of a bucket at least as far out: 4 is once in ten thousand buckets; at most 12. Inside the published interval the probability comes from its quantiles; beyond, from the distances of this stream's earlier readings beyond the interval. Measured on normal, Laplace, exponential and Student's t (3 degrees) noise the probability is right within a factor of 3 from 10^-2 to 10^-5, mostly on the safe side. A stuck sensor is reported once, when it is detected. `publish.anomalies` sets the score from which buckets are reported, as the mean time between two false alarms of a stream.",
    '## alert',
    show('alert'),
    `Retained while the cause holds, also over a restart. The ids:\n\n| id | raised when |\n| --- | --- |\n${rows(ALERTS)}`,
    '## model',
    show('model'),
    'The model of a group of streams (all streams form the group `default`) and the last fine-tuning run. Losses of `holdout` are in units of the naive loss. [Training](training.md) describes how a model is chosen.',
    '## request and response',
    show('request'),
    `The verb is the last level of the topic. The payload is a JSON object of at most 4,096 bytes, or empty; \`transaction\` (a text of at most 128 characters, or a number) is returned with the answer.\n\n| verb | does |\n| --- | --- |\n${rows(Object.fromEntries(Object.entries(VERBS).map(([verb, { text }]) => [verb, text])))}`,
    'From a shell (`-n`: no payload):',
    '```sh\nmosquitto_pub -t gatecast/edge/request/backup -n\nmosquitto_pub -t gatecast/edge/request/forget-stream -m \'{"stream":"attic/humidity","transaction":"a-17"}\'\n```',
    show('ok'),
    show('error'),
    "`error` begins with a [code](errors.md). `SIGHUP` to the daemon has the same effect as the request `reload`. Requests are processed one after the other; while 16 wait, further ones are refused (`BUSY`). Retained requests are ignored, because they would be repeated at each start. A request that the broker sends again after a lost connection is refused (`BUSY`), because it may have been processed. The broker's access list decides who may publish on `request/+`. With `requests.signed: true` a request must also be signed: the payload is then a JWS of at most 8,192 bytes, made by `gatecast request --sign`; see [remote config](remote-config.md#7-signed-requests).",
    backups(),
    '## config and model pushes',
    [
      '| topic | direction | payload |',
      '| --- | --- | --- |',
      '| `<base>/<node>/config/desired` | to the gateway, retained | a signed push, a JWS in compact form; empty: withdraws the remote layer |',
      '| `<base>/fleet/<group>/config/desired` | to the gateways of the group, retained | the same |',
      '| `<base>/<node>/config/reported` | from the gateway, retained | the result of the last push, and the running config: `status`, `code`, `version`, `effective_hash`, `last_good`, `errors`, `notes` (what the probation could not check), `history`; `transfer` while a model is being transferred |',
      '| `<base>/<node>/model/<name>/chunk/<n>` | to the gateway | chunk `n`, from 0, of the concatenated files of a model: 65,536 bytes, the last chunk fewer |',
      '| `<base>/<node>/model/<name>/have` | from the gateway | the `missing` chunks of a pushed model, as inclusive ranges; sent when chunks arrived, and every 5 s; at the end `complete`, or `refused` with the `reason` |',
    ].join('\n'),
    '[Remote config](remote-config.md) describes their use; `gatecast config push` uses all of them. The claims of a push are in `src/remote/contract.ts`.',
    '## Home Assistant',
    show('device'),
    'With `publish.home_assistant`: one device for each physical device, with the entities of its streams, and one for the agent. A device with more than 24 streams has several messages. Retained; published again when Home Assistant publishes `online` on `<discovery_prefix>/status` and after each reconnect. When the last stream of a device is forgotten, an empty message removes it. [Home Assistant](home-assistant.md) describes the entities.',
    '### summary',
    show('summary'),
    'Read by the entities of a stream. `state` is `offline` while the stream is stale. `median` and `range` by lead: null and empty beyond the horizon. `crossing` by threshold; `total`, where the values are increases: the sum of the medians over the horizon. Numbers have the decimals that Home Assistant shows.',
    '### alerts',
    show('alerts'),
    'All alerts that hold, for the entity `Alerts`. If the list is larger than the maximum packet size of the broker, its entries are `id` alone, or it is empty: `count` is the number of alerts in any case.',
    '## What the agent subscribes to',
    "The filters of `streams[].match` at `mqtt.qos`, `<base>/<node>/request/+`, and Home Assistant's status. Its own topics are never read as sensors. A filter contained in another one is not subscribed to, because the broker would deliver messages that match both twice. If two filters overlap only in part (`a/+/x` and `a/b/#`), some brokers, Mosquitto among them, do deliver such messages twice: a reading without a time stamp then counts twice, which matters with `aggregate: sum`. With QoS 1 a message is acknowledged once it is written to the journal in `data_dir`. While writing fails (disk full, I/O error) nothing is acknowledged, and the agent subscribes at QoS 0, because a broker stops sending to a subscriber that does not acknowledge; for the costs see [decision 7](decisions/0007-acknowledged-is-stored.md).",
    'The broker keeps the session for `mqtt.session_expiry`, subscriptions included. `data_dir` records the filters of the session: at each connection the agent unsubscribes from filters no longer wanted, until the broker has confirmed this. If `data_dir` has no record of the session (the folder is new, or another broker or client id is configured), the agent starts a clean session once; messages waiting in the old session are lost.',
  ].join('\n\n')}\n`;
}

function overview(made: Readonly<Record<string, Outgoing>>): string {
  const about: readonly (readonly [string, string, string])[] = [
    ['status', '`<base>/<node>/status`', 'at each connect; last will'],
    ['health', '`<base>/<node>/health`', 'every minute'],
    ['forecast', '`<base>/<node>/forecast/<stream>`', 'at each step, or every `publish.every`'],
    ['at', '`<base>/<node>/forecast/<stream>/at/<duration>`', 'with each forecast, for `publish.at`'],
    ['score', '`<base>/<node>/score/<stream>`', 'every 10 s to 5 min, by the number of streams'],
    ['anomaly', '`<base>/<node>/anomaly/<stream>`', 'when it happens'],
    ['alert', '`<base>/<node>/alert/<id>`', 'when it comes and goes'],
    ['model', '`<base>/<node>/model/<group>`', 'at each change, and every 5 min'],
    ['ok', '`<base>/<node>/response/<verb>`', 'after `<base>/<node>/request/<verb>`'],
    ['summary', '`<base>/<node>/summary/<stream>`', 'with each forecast, for Home Assistant'],
    ['alerts', '`<base>/<node>/alerts`', 'when an alert comes or goes, for Home Assistant'],
    ['device', '`<discovery_prefix>/device/<object_id>/config`', 'when a device is new or changes'],
  ];
  const lines = about.map(
    ([kind, topic, when]) => `| ${topic} | ${made[kind]!.retain ? 'yes' : 'no'} | ${when} |`,
  );
  return `| topic | retained | when |\n| --- | --- | --- |\n${lines.join('\n')}`;
}

function backups(): string {
  return [
    '### Backups',
    'A backup is one SQLite file, written atomically; the last five are kept in `<data_dir>/backups`. The file is a complete gatecast database, and also contains the fine-tuned models and the config file in the [archive format of sqlite3](https://sqlite.org/sqlar.html). To restore, stop the agent; then, as the user that it runs as (`sudo -u gatecast sh`):',
    '```sh\ncd /var/lib/gatecast\nrm -f gatecast.db-wal gatecast.db-shm samples*.journal\ncp backups/gatecast-20250131T060502Z.db gatecast.db\nsqlite3 gatecast.db -Ax        # models/… and config/…\n```',
    '`sqlite3 -Ax` writes the saved config file into the folder `config`, for reference; the agent keeps reading the config file that it is started with.',
  ].join('\n\n');
}

const rows = (table: Readonly<Record<string, string>>): string =>
  Object.entries(table)
    .map(([name, text]) => `| \`${name}\` | ${text} |`)
    .join('\n');

/** A level a line, inner objects and lists on one. */
function pretty(text: string): string {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null) return text;
  const lines = Object.entries(value).map(
    ([key, inner]) => `  ${JSON.stringify(key)}: ${JSON.stringify(inner)}`,
  );
  return `{\n${lines.join(',\n')}\n}`;
}
