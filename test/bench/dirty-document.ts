/** `docs/dirty-data.md` as text, from what was measured and from the tables of the sources. */
import { MARK_TEXTS } from '../../src/series/quality.ts';
import type { BothWays } from '../support/both-ways.ts';
import type { GapResult } from './dirty-gaps.ts';

export interface FileResult extends BothWays {
  readonly file: string;
  /** What is wrong with it. */
  readonly faults: string;
  readonly rowsOfFile: number;
}

/** Why single readings are refused, in the order of the table. */
const REFUSALS: Readonly<Record<string, string>> = {
  late: 'its bucket had ended, by more than `lateness`',
  duplicate: 'the stream already has a reading at that time; the first one is used',
  'out-of-range': 'beyond `limits.min` or `limits.max`, or not a plausible measurement; stored with its mark',
  'too-fast':
    'further from the previous reading than `limits.max_rate` allows; three consistent readings are accepted',
  'absurd-time':
    'stamped before 2000, or from 2038 on and ahead of the clock: the clock was never set, or overflowed',
  future: 'stamped more than five minutes and an interval ahead of the clock of the gateway',
};

const table = (head: readonly string[], rows: readonly (readonly (string | number)[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

const counted = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .filter(([, n]) => n > 0)
    .map(([reason, n]) => `${reason} ${n}`)
    .join(', ') || 'none';

/** @param most rows taken of a file, Infinity for all @param horizon of the forecasts compared, buckets */
export function dirtyDocument(
  files: readonly FileResult[],
  gaps: readonly GapResult[],
  { most, horizon }: { most: number; horizon: number },
): string {
  return `<!-- Written by test/bench/dirty.ts; edit test/bench/dirty-document.ts, not this file. -->

# Dirty data

How gatecast handles wrong readings, with results on public files that contain many of them.

## What is refused

Readings are refused one by one, and counted by reason in \`dropped\` of \`<base>/<node>/health\`, in \`gatecast inspect STREAM\`
by day, and in what \`gatecast backtest\` prints. The reasons for which whole messages are refused are in
[errors.md](errors.md).

${refusalTable()}

## Payloads that are repaired or interpreted

| payload | handling |
| --- | --- |
| many devices on one topic (rtl_433, Bluetooth gateways) | \`name: "{/model}-{/id}-{/channel}/{field}"\`; a message with none of the members, or with one that is no identifier (a list, a very long text), is refused as \`no-identity\` |
| a list of readings with a time each, under a key too; pairs; columns; times as keys | each reading is used at its own time; a reading without a time is refused, the others are used. Keys that are seconds or ms since 1970 are times if they lie within a week of the arrival (serial numbers look the same). If each reading has a text that identifies its device or quantity, that text is part of the name (digits or a UUID under \`id\` are not: they may number the reading; if there is none, the number of a device such as \`sensorId\`, or else every \`type\` or \`kind\` is taken, and the \`tags\` or \`labels\` always, with their keys, or a hash if they are longer than 80 characters; states, qualities and versions are no names). Without \`fields\`, readings of one time that still share a stream, but differ in an identifier that cannot number the reading, are refused as \`no-identity\`. With \`fields\` and without such a member in \`name\`, a batch of several devices is refused as \`no-identity\`; the reject and \`check --listen\` name the setting |
| a start and an interval, or offsets to a time, beside a list (\`{"start":…,"interval":60,"values":[…]}\`) | no times: the list is read by position (\`values.0\`), because such members may as well describe something else. Let the sender write a time for each reading |
| one radio message that two receivers publish | counts twice with \`aggregate: sum\`, because two sites may send equal values at once: name one receiver in \`match\` |
| SenML, also its drafts with the records under \`e\` (LwM2M 1.0) | with \`payload: senml\`; a slash at the start of a name is left out |
| gzip, zlib, UTF-16, Base64 of JSON | decoded, to at most \`ingest.max_payload\`; MessagePack, CBOR, BSON, other compressions and images are refused as \`encoding\`, by name: let the sender use JSON |
| columns whose times are one or two levels above, below or beside them, or in a list of series | each reading is used at its own time; a list of numbers of another length is refused as \`bad-time\` |
| a list of devices | named by the member that identifies them (\`meters.A.E\`), if every element has a unique one; for an \`id\`, serial number or the like it is enough that most elements have one, and the others are refused. If only two members together are unique, such as device and channel: named by both (\`meters.A-1.E\`). Two or more elements with only one key (\`[{"kitchen":20},{"bath":10}]\`) are named by it, rows of a name, a value and perhaps a unit (\`[["temp",20,"°C"]]\`) by their name; an element alone with one key is read by index, because most such lists have no names. Otherwise by index; \`check --listen\` names such lists. A UUID or hash under \`id\` may belong to a single reading: a serial number, \`name\`, \`resourceName\` or the like is taken instead, if it is unique |
| \`nan\`, \`inf\`, single quotes, a trailing comma or NUL, comments, control characters at both ends, one broken member | the other members are read; truncated JSON is refused as a whole |
| several readings in one text: \`temp=21.5,hum=40\`, \`temp:21.5 hum:40\`, a form, one row of numbers (\`21.5;40\`), rows with a time or a header, the telegram of a meter | with \`payload: text\` or \`auto\` read like the JSON that they stand for; a row's readings are named by their position, from 0. \`1,234.5\` and \`1.234,5\` may be one number with thousands separators, and are rows only with \`payload: text\`; with \`decimal_comma\`, whole numbers between commas (\`21,5,40,2\`) are no row. Rows of several times without a time, NMEA 0183 and XML are refused, the latter two by name |
| a key that occurs twice in one object | the last value counts; looked for in the messages 1, 2, 4, 8, … of a topic and counted once as \`repeated-key\` |
| several JSON objects in one payload, one a line or without a separator | each is read like a separate message, up to the first that is broken |
| numbers in quotes | with \`numeric_strings\`, if nothing but a known unit follows, also without quotes (\`{"t":21.5 C}\`); with a unit also with thousands separators ("1,234.5 W"); \`decimal_comma\` for "21,5" |
| JSON within JSON: a payload encoded twice, or a text member at any depth that is an object, a list of objects or a number in brackets (\`"[215]"\`) | read like the rest of the payload |
| identifiers that are integers beyond 2^53 | keep all digits |
| time stamps without a zone | in the \`time_zone\` of the rule. If all readings of a stream are refused because of their time, the log, the alert \`dropped\` and \`check --listen\` report the offset of its clock and the setting to change. In the repeated hour at the end of daylight saving time, the later instant is used unless it lies more than five minutes ahead of the arrival |
| time stamps such as \`2026-11-29 01:44 UTC\`, \`Sun, 29 Nov 2026 01:44:45 +0100\` (RFC 2822, HTTP) and \`Sun Nov 29 01:44:45 2026\` (\`ctime\`) | read, also in batches, and abbreviations of zones with one meaning (CET, EST); other names are refused as \`bad-time\`. Without \`time\` in the rule the time of arrival counts; \`check --listen\` suggests \`time\`, or shows a time stamp that is not read |
| \`29.11.26 01:44\`, \`/Date(1796000000000)/\`, and times that are objects: \`{"seconds":…,"nanos":…}\`, \`{"timeInSeconds":…}\`, \`{"$date":…}\` | read |
| a date and a time of day in two members (\`"date":"29.11.2026","time":"20:11"\`) | read as one time under the key of the date |
| \`11/29/2026 1:44 PM\`, \`29-11-2026 13:44\` | read; if day and month may be swapped (\`03/04/2026\`), the date within a week of the arrival is taken, and without one the reading is refused as \`bad-time\`, with the reason |
| a retained message | creates no stream; with a time stamp it waits for the first live reading, up to a day |
| a message of another agent | recognised by its form, also as Sparkplug metrics and where Home Assistant's Statestream publishes the entities of an agent, if \`gatecast_…\` is among them; refused as \`other-agent\`, unless a rule names it |
| a costly message | decoding stops after \`ingest.max_readings\` readings or 1,024 rejects; further messages of a topic that sends more than 2 MB per second without readings are refused in that second |

## What is marked

A bucket is judged when it closes. The network treats a bucket with a spike, a stuck value or a flat line as an empty bucket, and does not
learn from it. The marks are kept with the readings in the store, and are in \`input.marks\` of the forecast that is made from the bucket. The
page crosses the bucket out and shows the reason; \`gatecast inspect\` lists it.

${markTable()}

**A wrong stretch** of readings is far from all that a stream has shown (beyond three times its range), and ends within a quarter of a day:
an unplugged probe that reads -127 for an hour. While it lasts, forecasts follow it. Once it has ended, it is replaced in the history of
later forecasts, so that it is not repeated a day later. The stored readings stay as they are. A stretch that comes again is replaced too,
unless it is regular (at the same time of day, or each time after the same time) or frequent (more than one reading in fifty; in ten,
if all readings of the stretch are the same: an error code): such stretches are events of the stream.

**A change of the unit** (W to kW, Pa to hPa) is three readings in a row that are far outside everything a stream has shown, and that equal
the expected values times a usual factor between units (10 to 1,000,000, 60, 3,600, 3.6, or their inverses). The first two are masked, the
third is marked \`step\`, and from then on everything learnt applies in the new unit. The stored readings stay as they are. If the former unit
returns, the stream has two levels, and no more such changes are detected. The same holds after three such stretches of only one or two
readings: they are events of the stream.

**Regular impulses** are not spikes: a reading similar to earlier ones at the same phase of the season (within twice the range of the last
four seasons), and the third spike in a row at equal distances. Meters that report once an hour, pumps with a timer and similar devices then
have separate forecast intervals for the impulses and for the time between.

**Events once a week** are forecast at intervals of 3 minutes to 6 hours: where the value of a week before is far outside the interval, the
forecast mixes both, by the share of such events that have come again. Shorter intervals have too many steps in a week. Events
every two weeks or once a month, events that come at another hour each week (after a change to or from daylight saving time: in the first
week), events of very different sizes, and directions are not foreseen. A gap that was filled counts as what the stream was. After a change of level
the value of a week before is not used, unless the newest reading is at least twice as near to its own value a week before as the two
levels are apart.

**A counter** (\`aggregate: delta\`, or \`change\` where it also runs backwards) that falls, or rises more than thirty times further than ever
before, has jumped. A jump is marked \`counter-jump\`; a bucket with no other readings is empty.

- If the counter returns to the previous level, the readings in between were wrong and are not counted: a total that reads 0 once, one wild
  reading, an old message from before a reset.
- If it continues from the new level, it was reset (the increase since then is counted, as far as plausible) or exchanged (nothing is
  counted).
- If an ordinary increase explains the fall by an overflow at 10^n, 2^16 or 2^32, also in tenths to thousandths, it has overflowed, and the
  increase is counted.

**Directions** (\`aggregate: circular-mean\`) are averaged and forecast on the circle: 355, 5 and 15 degrees are 5. The median is between 0
and 360; the other quantiles are within half a turn of the median, below 0 or above 360 if the interval crosses north.

## Live and backtest compared

Each file went through a real Mosquitto into the built daemon (\`gatecast replay\`, \`gatecast run\` with
\`lateness: 0s\`), and through \`gatecast backtest --order file\`: every column of numbers, ${
    Number.isFinite(most) ? `at most ${most} rows of a file` : 'every row'
  },
${horizon} buckets ahead from every bucket. Neither stopped early. "Readings" are cells with a number. "Compared" counts the
forecasts made in both runs from the same origin, nine quantiles at every step; they are equal if all of
their numbers agree to the six digits of a message. The daemon publishes fewer forecasts than it makes: of the forecasts waiting for
the broker, only the newest of each stream is sent.

${fileTable(files)}

${totals(files, horizon)}

\`npx tsx test/bench/dirty.ts --data DIR\` generates this page, and fails if a number differs.
${gaps.length === 0 ? '' : gapSection(gaps)}`;
}

const refusalTable = (): string =>
  table(
    ['reason', 'the reading'],
    Object.entries(REFUSALS).map(([name, text]) => [`\`${name}\``, text]),
  );

const markTable = (): string =>
  table(
    ['mark', 'the reading, or the bucket'],
    [...MARK_TEXTS].map(([name, text]) => [`\`${name}\``, text]),
  );

function totals(files: readonly FileResult[], horizon: number): string {
  const compared = files.reduce((sum, one) => sum + one.forecasts.compared, 0);
  const different = files.reduce((sum, one) => sum + one.different.length, 0);
  const numbers = compared * horizon * 9;
  return `In all ${compared} forecasts, ${numbers} numbers, were compared; ${different} of the numbers differ.`;
}

const fileTable = (files: readonly FileResult[]): string =>
  table(
    ['file', 'faults', 'rows', 'readings', 'refused live', 'refused in the backtest', 'compared', 'equal'],
    files.map((one) => [
      one.file,
      one.faults,
      one.rows < one.rowsOfFile ? `${one.rows} of ${one.rowsOfFile}` : one.rows,
      one.readings,
      counted(one.live.dropped),
      counted(one.backtest.refused),
      `${one.forecasts.compared} of ${one.forecasts.backtest}`,
      one.different.length === 0 ? 'all' : `${one.different.length} numbers differ`,
    ]),
  );

/** Beyond the best by no more than this, a fill is as good, as a share. */
const AS_GOOD = 0.02;

function gapSection(gaps: readonly GapResult[]): string {
  const sections = gaps.map(({ set, command, first, rows }) => {
    const shares = [...new Set(rows.map(({ injected }) => injected))];
    const fills = [...new Set(rows.map(({ fill }) => fill))];
    const of = (fill: string, share: number | null): number =>
      rows.find((row) => row.fill === fill && row.injected === share)?.all.sql ?? Number.NaN;
    const best = new Map(shares.map((share) => [share, Math.min(...fills.map((fill) => of(fill, share)))]));
    const cell = (fill: string, share: number | null): string => {
      const sql = of(fill, share);
      const text = sql.toFixed(4);
      return sql <= (best.get(share) ?? 0) * (1 + AS_GOOD) ? `**${text}**` : text;
    };
    const head = ['fill', ...shares.map((share) => `${100 * (share ?? 0)} % hidden`)];
    return `### ${set}

\`${command}\`, its first ${first} rows

${table(
  head,
  fills.map((fill) => [`\`${fill}\``, ...shares.map((share) => cell(fill, share))]),
)}
`;
  });
  return `
## Gaps

Readings of regular series were hidden from the pipeline, half of them in blocks of up to the horizon, half one by one, the
same for every fill. The figure is the SQL of all forecasts on all that was really observed, lower is better; bold is
within ${100 * AS_GOOD} % of the best of its column. \`linear\` knows nothing after the gap while it lasts, so it holds the last value.

${sections.join('\n')}
\`model\`, the default, is nowhere more than ${(100 * farthest(gaps, 'model')).toFixed(1)} % behind the best.
`;
}

/** How far a fill is behind the best of its column where it is farthest, as a share. */
function farthest(gaps: readonly GapResult[], fill: string): number {
  const behind = gaps.flatMap(({ rows }) =>
    rows
      .filter((row) => row.fill === fill)
      .map((row) => {
        const column = rows.filter(({ injected }) => injected === row.injected);
        return row.all.sql / Math.min(...column.map(({ all }) => all.sql)) - 1;
      }),
  );
  return Math.max(...behind);
}
