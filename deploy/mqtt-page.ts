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
    "Source: `src/mqtt/` and `src/agent/requests.ts`; the examples are made by that code. `<base>` is `gatecast` and `<node>` the name of the gateway (`edge` here), unless configured otherwise; a stream's name may have several levels. Times are ISO 8601 in UTC. Numbers have six significant digits; those of a forecast more where it lies far from zero and close together, as a meter's total does. Everything goes out at QoS 1; an empty retained message takes a retained one back.",
    overview(made),
    '## status',
    show('status'),
    'The first message of each connection, and the last will: `offline` when the agent is stopped or lost. `since` is the start of this run; `session` is another one after each start.',
    '## health',
    show('health'),
    '`degraded` says in words what does not work; each of it but a lost broker is an alert too. `written_bytes_day`: bytes written to the disk by the store in the last 24 hours. `dropped`: what was not taken or not sent, by [reason](errors.md#rejects), since the start.',
    '## forecast',
    show('forecast'),
    'One list a quantile (`publish.quantiles`), one value a step: the first is for the bucket that begins at `origin` + `step_s`. `origin` is the label (start) of the newest bucket known. `seq` counts the forecasts of a stream and survives restarts. `model.kind` says who spoke: the network (`gru`), `seasonal-naive`, `naive`, or a `blend`. `input.quality`: the newest bucket had a reading (`good`), none, or one that was kept out (`filled`), none for longer than `gaps.max` (`stale`); `input.marks`, only where something was wrong with it, a list of `spike`, `stuck`, `flat-line`, `out-of-range`, `step`, `too-fast`, `counter-jump` ([dirty-data.md](dirty-data.md)). `coverage.observed`: the share of the last outcomes that lay between p10 and p90. `crossing`, for streams with `thresholds`: when the median first crosses (`at`), else when crossing is likeliest, and the probability; `at` is null where it is negligible, and while the stream is young: `learning` then says how many forecasts of that lead have been scored, of how many (`{"scored":3,"of":16}`).',
    'For consumers without JSON, the median at each lead of `publish.at`:',
    show('at'),
    '## score',
    show('score'),
    "Of what was published, by lead `h` in steps, over the last `window` forecasts: `mae`, `bias` (forecast minus reading) and `coverage`; `mase`: the error over the seasonal naive's; the skills: 1 - loss / loss of the other, in pinball loss, so that above 0 is better than it. A lead at which no forecast has met its reading yet is left out. Said ten seconds after the start at the earliest, then in turns, within five minutes for all streams.",
    '## anomaly',
    show('anomaly'),
    "Not retained. A bucket that hardly agrees with the forecast made one step before it (`low` is p10, `high` p90). `score` is -log10 of the two-sided probability of a bucket at least as far out: 4 is once in ten thousand buckets; at most 12. The probability comes from the published interval and, beyond it, from how far beyond it this stream has been before; measured on normal, Laplace, exponential and Student's t (3 degrees) noise it holds within a factor of 3 from 10^-2 to 10^-5, mostly on the safe side. A sensor that is stuck is reported once, when that is found out. `publish.anomalies` sets from which score on a bucket is reported, as the time between two false alarms of a stream.",
    '## alert',
    show('alert'),
    `Retained for as long as its cause holds, also over a restart. The ids:\n\n| id | raised when |\n| --- | --- |\n${rows(ALERTS)}`,
    '## model',
    show('model'),
    'Which model a group of streams runs (all streams are the group `default`) and what fine-tuning did. Losses of `holdout` are in units of the naive loss. [Training](training.md) says how a model is chosen.',
    '## request and response',
    show('request'),
    `The verb is the last level of the topic. The payload is a JSON object of at most 4,096 bytes, or empty; \`transaction\` (a text of at most 128 characters, or a number) comes back with the answer.\n\n| verb | does |\n| --- | --- |\n${rows(Object.fromEntries(Object.entries(VERBS).map(([verb, { text }]) => [verb, text])))}`,
    'From a shell (`-n`: no payload):',
    '```sh\nmosquitto_pub -t gatecast/edge/request/backup -n\nmosquitto_pub -t gatecast/edge/request/forget-stream -m \'{"stream":"attic/humidity","transaction":"a-17"}\'\n```',
    show('ok'),
    show('error'),
    "`error` begins with a [code](errors.md). `SIGHUP` to the daemon is as a request `reload`. Requests are worked off one after the other; while 16 wait, further ones are refused (`BUSY`). A retained request is ignored: it would be done again at each start. Who may publish on `request/+` is up to the broker's access list. With `requests.signed: true` a request must be signed too: the payload is then a JWS of at most 8,192 bytes, which `gatecast request --sign` makes; [remote config](remote-config.md#7-signed-requests) says how.",
    backups(),
    '## config and model pushes',
    [
      '| topic | direction | payload |',
      '| --- | --- | --- |',
      '| `<base>/<node>/config/desired` | to the gateway, retained | a signed push, a JWS in compact form; empty: the remote layer is taken back |',
      '| `<base>/fleet/<group>/config/desired` | to the gateways of the group, retained | the same |',
      '| `<base>/<node>/config/reported` | from the gateway, retained | what became of the push that was handled last, and what runs: `status`, `code`, `version`, `effective_hash`, `last_good`, `errors`, `history`; `transfer` while a model is on its way |',
      '| `<base>/<node>/model/<name>/chunk/<n>` | to the gateway | chunk `n`, from 0, of the files of a model one after the other: 65,536 bytes, the last one fewer |',
      '| `<base>/<node>/model/<name>/have` | from the gateway | which chunks of a pushed model are `missing`, as ranges with both ends; sent when some came, and every 5 s; at the end `complete`, or `refused` with the `reason` |',
    ].join('\n'),
    '[Remote config](remote-config.md) says what to do with them; `gatecast config push` speaks all of them. The claims of a push are in `src/remote/contract.ts`.',
    '## Home Assistant',
    show('device'),
    'With `publish.home_assistant`: a device for each stream (entities: the next median with the forecast as attributes, a lead of `publish.at` each, a threshold each) and one for the agent (`Health`). Retained; said again when Home Assistant says `online` on `<discovery_prefix>/status` and after each reconnect; an empty message takes a device away when its stream is forgotten. The attributes stay below the 16,384 bytes that the recorder takes.',
    '## What the agent subscribes to',
    "The filters of `streams[].match` at `mqtt.qos`, `<base>/<node>/request/+`, and Home Assistant's status. Its own topics are never read as sensors. A filter that lies within another one is not asked for by itself: the broker would deliver what matches both of them twice. Where two overlap only in part (`a/+/x` and `a/b/#`), some brokers, Mosquitto among them, still do: a reading without a time stamp of its own then counts twice, which shows with `aggregate: sum`. With QoS 1 a message is acknowledged when it is safe: written to the journal in `data_dir`. While that fails (disk full, I/O error) nothing is acknowledged, and the sensors are subscribed to at QoS 0, because a broker stops sending to a subscriber that does not acknowledge; [decision 7](decisions/0007-acknowledged-is-stored.md) says what that costs.",
    'The broker keeps the session for `mqtt.session_expiry`, subscriptions included. What it holds is remembered in `data_dir`: filters that are not wanted any more are taken back at each connection until the broker has confirmed it. Where `data_dir` knows nothing of the session (it is new, or another broker or client id is configured), the session is begun anew, once; what had waited in it is lost.',
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
    ['device', '`<discovery_prefix>/device/<object_id>/config`', 'when a stream is new or changes'],
  ];
  const lines = about.map(
    ([kind, topic, when]) => `| ${topic} | ${made[kind]!.retain ? 'yes' : 'no'} | ${when} |`,
  );
  return `| topic | retained | when |\n| --- | --- | --- |\n${lines.join('\n')}`;
}

function backups(): string {
  return [
    '### Backups',
    'A backup is one SQLite file, whole or not there; the last five are kept in `<data_dir>/backups`. It is a database to go on from, and it holds the fine-tuned models and the config file in the [archive format of sqlite3](https://sqlite.org/sqlar.html). To restore, stop the agent; then, as the user that it runs as (`sudo -u gatecast sh`):',
    '```sh\ncd /var/lib/gatecast\nrm -f gatecast.db-wal gatecast.db-shm samples*.journal\ncp backups/gatecast-20250131T060502Z.db gatecast.db\nsqlite3 gatecast.db -Ax        # models/… and config/…\n```',
    'The config file is put into `config` for you to look at; the agent goes on reading the one that it is started with.',
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
