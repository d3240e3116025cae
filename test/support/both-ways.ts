/**
 * One file both ways: its rows through a real Mosquitto into the built daemon (`gatecast replay`, `gatecast run`), and
 * through `gatecast backtest`. What was refused is counted by reason, and the forecasts are compared number by number.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileStem } from '../../src/cli/replay/run.ts';
import { formatDuration } from '../../src/config/units.ts';
import { safeName } from '../../src/ingest/stream-name.ts';
import { readTable, type TableOptions } from '../../src/table/table.ts';
import { type Daemon, spawnProgram, startDaemon } from './daemon.ts';
import { freePort, type Mosquitto, watch } from './mosquitto.ts';
import { recordWork, type WorkRecord } from './run-delay.ts';
import { sleep, waitFor } from './wait.ts';

/** The agent's backlog phase ends half a second after the last message of a new connection, ms. */
const AFTER_BACKLOG_MS = 2000;

/** Nothing is lost, however far the daemon lags behind the replay. */
export const PATIENT = 'allow_anonymous true\nmax_queued_messages 0';

export interface FileCase {
  readonly path: string;
  /** As both commands take them; `--columns` is all. */
  readonly time: readonly string[];
  readonly timeFormat?: string;
  readonly id?: string;
  readonly missing?: string;
  readonly intervalMs: number;
  readonly horizon: number;
  readonly min?: number;
  readonly max?: number;
  /** Such as `5/1m`. */
  readonly maxRate?: string;
}

export type Counts = Readonly<Record<string, number>>;

export interface BothWays {
  /** Cells with a number, and rows with a time, of the file. */
  readonly readings: number;
  readonly rows: number;
  /** Readings taken and left out, by reason, as each way counts them. */
  readonly live: { readonly taken: number; readonly dropped: Counts };
  readonly backtest: { readonly refused: Counts };
  /** Forecasts of the daemon, of the backtest, and of both. */
  readonly forecasts: { readonly live: number; readonly backtest: number; readonly compared: number };
  /** The longest time in which the machine held up the daemon or its broker, ms. */
  readonly pauseMs: number;
  /** Numbers that differ by more than the six digits of a message can hide; what the first of them are. */
  readonly different: readonly string[];
}

const QUANTILES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
const NAMES = QUANTILES.map((q) => `p${Math.round(100 * q)}`);
/** A message has six significant digits: half a unit of the last is 5e-6 of the smallest number that has six. */
const ROUNDING = 5.01e-6;
const PATIENCE_MS = 1_200_000;
/**
 * For every stream of a bucket, ms: while a forecast is on its way to the broker, a newer one of its stream replaces it,
 * and fewer could be compared.
 */
const PACE_MS = 4;
const LEAST_PACE_MS = 15;
/** No stream has this name. */
const LAST = 'over-and-out';

/** @param dir an empty folder of its own */
export async function bothWays(file: FileCase, broker: Mosquitto, dir: string): Promise<BothWays> {
  const table = readTable(file.path, tableOptions(file));
  let readings = 0;
  for (const { values } of table.rows()) for (const value of values) if (!Number.isNaN(value)) readings++;
  const rows = table.length + table.leftOut.rowsWithoutTime;
  const { columns, ids } = table;
  const live = await liveWay(file, { columns, ids, readings, rows }, broker, dir);
  const backtest = await backtestWay(file, columns, dir);
  const different: string[] = [];
  let compared = 0;
  for (const [key, message] of live.forecasts) {
    const other = backtest.forecasts.get(key);
    if (other === undefined) {
      // The end of the file: a backtest stops where the horizon no longer fits.
      if (message.origin <= backtest.lastOrigin) different.push(`${key}: no forecast in the backtest`);
      continue;
    }
    compared++;
    other.forEach((value, at) => {
      const said = message.numbers[at]!;
      if (!(Math.abs(said - value) <= ROUNDING * Math.max(Math.abs(value), 1e-30)))
        different.push(
          `${key} step ${1 + Math.floor(at / 9)} ${NAMES[at % 9]}: ${said} live, ${value} backtest`,
        );
    });
  }
  return {
    readings,
    rows,
    live: { taken: live.taken, dropped: live.dropped },
    backtest: { refused: backtest.refused },
    forecasts: { live: live.forecasts.size, backtest: backtest.forecasts.size, compared },
    pauseMs: live.pauseMs,
    different,
  };
}

const tableOptions = ({ time, timeFormat, id, missing }: FileCase): TableOptions => ({
  columns: 'all',
  time,
  ...(timeFormat === undefined ? {} : { timeFormat }),
  ...(id === undefined ? {} : { id: [id] }),
  ...(missing === undefined ? {} : { missing: [missing] }),
});

const flagsOf = ({ time, timeFormat, id, missing }: FileCase): string[] => [
  ...['--time', time.join(',')],
  ...(timeFormat === undefined ? [] : ['--time-format', timeFormat]),
  ...(id === undefined ? [] : ['--id', id]),
  ...(missing === undefined ? [] : ['--missing', missing]),
];

/** Streams are `c<column>`, with ids `<id>/c<column>`: names of columns may hold anything. */
const streamOf = (column: number, id: string | null): string =>
  id === null ? `c${column}` : `${safeName(id)}/c${column}`;

interface Message {
  /** ms */
  readonly origin: number;
  /** [leads, 9] */
  readonly numbers: readonly number[];
}

const ended = ({ process }: Daemon): boolean => process.exitCode !== null || process.signalCode !== null;

interface FileContents {
  readonly columns: readonly string[];
  readonly ids: readonly string[];
  /** Cells with a number, and rows with a time. */
  readonly readings: number;
  readonly rows: number;
}

async function liveWay(
  file: FileCase,
  { columns, ids, readings, rows }: FileContents,
  broker: Mosquitto,
  dir: string,
): Promise<{ taken: number; dropped: Counts; forecasts: Map<string, Message>; pauseMs: number }> {
  const node = fileStem(file.path).replace(/[^\w]/g, '_');
  const port = await freePort();
  const streams = columns.length * Math.max(1, ids.length);
  const forecasts = new Map<string, Message>();
  const eyes = await watch(broker.url, `gatecast/${node}/forecast/#`);
  let over = false;
  eyes.client.on('message', (topic, payload) => {
    eyes.seen.length = 0;
    over = topic.endsWith(LAST);
    if (over) return;
    const { origin, stream, ...message } = JSON.parse(payload.toString());
    const steps = (message.p50 as number[]).map((_, k) => NAMES.map((name) => message[name][k] as number));
    forecasts.set(`${stream} ${origin.replace('.000Z', 'Z')}`, {
      origin: Date.parse(origin),
      numbers: steps.flat(),
    });
  });
  let daemon: Daemon | null = null;
  let work: WorkRecord | null = null;
  try {
    daemon = await startDaemon(dir, liveConfig(file, columns, { node, url: broker.url, dir, port }));
    // Right after the connection the agent sorts what it takes as a backlog. The file must come in its own order.
    await sleep(AFTER_BACKLOG_MS);
    work = recordWork(daemon.process.pid, broker.pid);
    const paceMs = Math.max(LEAST_PACE_MS, PACE_MS * streams);
    const sender = spawnProgram([
      ...['replay', file.path, '--broker', broker.url, '--json', ...flagsOf(file)],
      // The pace is that of the slowest pause: rows of one bucket come as fast as they like.
      ...['--speed', String(file.intervalMs / paceMs), '--max-wait', `${paceMs}ms`],
    ]);
    await waitFor(`the replay of ${file.path}`, () => ended(sender), PATIENCE_MS + 2 * paceMs * rows);
    if (sender.process.exitCode !== 0) throw new Error(`the replay failed: ${sender.output()}`);
    const metric = async (name: RegExp): Promise<[string, number][]> => {
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      return [...text.matchAll(name)].map((found) => [found[1] ?? '', Number(found.at(-1))]);
    };
    const dropped = async (): Promise<Counts> =>
      Object.fromEntries(await metric(/^gatecast_dropped_total\{reason="([^"]+)"\} ([1-9]\d*)$/gm));
    const one = async (name: string): Promise<number> =>
      (await metric(new RegExp(`^gatecast_${name}()(?:\\{\\})? (\\d+)$`, 'gm')))[0]?.[1] ?? 0;
    await waitFor(
      `every reading of ${file.path}`,
      async () => {
        const counts = await dropped();
        const refused = AT_ARRIVAL.reduce((sum, reason) => sum + (counts[reason] ?? 0), 0);
        return (await one('samples_total')) + refused >= readings;
      },
      PATIENCE_MS,
    );
    await waitFor(`the forecasts of ${file.path}`, async () => (await one('outbox_messages')) === 0);
    // Messages to one client come in order: after this one, all are here.
    await eyes.client.publishAsync(`gatecast/${node}/forecast/${LAST}`, '', { qos: 1 });
    await waitFor(`the last forecast of ${file.path}`, () => over, PATIENCE_MS);
    const pauseMs = work.longestPauseMs();
    return { taken: await one('samples_total'), dropped: await dropped(), forecasts, pauseMs };
  } finally {
    work?.stop();
    if (daemon !== null) await daemon.end('SIGTERM');
    await eyes.close();
  }
}

/** Reasons for which single readings are refused when they come. */
const AT_ARRIVAL = ['late', 'duplicate', 'out-of-range', 'future', 'absurd-time'];

function liveConfig(
  { intervalMs, horizon, id, min, max, maxRate }: FileCase,
  columns: readonly string[],
  { node, url, dir, port }: { node: string; url: string; dir: string; port: number },
): object {
  const pointer = (column: string): string => `/${column.replaceAll('~', '~0').replaceAll('/', '~1')}`;
  return {
    node,
    mqtt: { url, qos: 1 },
    data_dir: dir,
    lateness: '0s',
    streams: [
      {
        match: id === undefined ? 'replay/+' : 'replay/+/{id}',
        payload: 'json',
        fields: columns.map((column, at) => ({ field: pointer(column), name: `c${at}` })),
        time: 'time',
        interval: formatDuration(intervalMs),
        horizon: formatDuration(horizon * intervalMs),
        name: id === undefined ? '{field}' : '{id}/{field}',
        limits: {
          ...(min !== undefined && { min }),
          ...(max !== undefined && { max }),
          ...(maxRate && { max_rate: maxRate }),
        },
      },
    ],
    finetune: { enabled: false },
    publish: { quantiles: QUANTILES, batch_window: '0ms', home_assistant: false },
    http: { listen: `127.0.0.1:${port}` },
  };
}

async function backtestWay(
  file: FileCase,
  columns: readonly string[],
  dir: string,
): Promise<{ refused: Counts; forecasts: Map<string, number[]>; lastOrigin: number }> {
  const out = join(dir, 'forecasts.csv');
  const limits = [
    ...(file.min === undefined ? [] : ['--min', String(file.min)]),
    ...(file.max === undefined ? [] : ['--max', String(file.max)]),
    ...(file.maxRate === undefined ? [] : ['--max-rate', file.maxRate]),
  ];
  const run = spawnProgram([
    ...['backtest', file.path, ...flagsOf(file), ...limits, '--order', 'file', '--json', '--out', out],
    ...['--interval', formatDuration(file.intervalMs), '--horizon', String(file.horizon)],
    ...['--start', '0', '--stride', '1'],
  ]);
  let printed = '';
  run.process.stdout?.on('data', (chunk) => {
    printed += chunk;
  });
  await waitFor(`the backtest of ${file.path}`, () => ended(run), PATIENCE_MS);
  if (run.process.exitCode !== 0) throw new Error(`the backtest failed: ${run.output()}`);
  const { refused } = JSON.parse(printed) as { refused: Counts };
  const forecasts = new Map<string, number[]>();
  let lastOrigin = Number.NEGATIVE_INFINITY;
  for (const { series, origin, numbers } of rowsOf(out)) {
    const slash = series.indexOf('/');
    const id = file.id === undefined ? null : series.slice(0, slash);
    const column = columns.indexOf(id === null ? series : series.slice(slash + 1));
    const key = `${streamOf(column, id)} ${origin}`;
    const known = forecasts.get(key);
    if (known === undefined) forecasts.set(key, numbers);
    else known.push(...numbers);
    lastOrigin = Math.max(lastOrigin, Date.parse(origin));
  }
  return { refused, forecasts, lastOrigin };
}

function* rowsOf(path: string): Generator<{ series: string; origin: string; numbers: number[] }> {
  const text = readFileSync(path, 'utf8');
  for (let from = text.indexOf('\n') + 1; from < text.length; ) {
    const end = text.indexOf('\n', from);
    const cells = text.slice(from, end).split(',');
    // A quoted name may hold commas; the columns after it do not.
    const series = cells.slice(0, -12).join(',').replace(/^"|"$/g, '').replaceAll('""', '"');
    yield { series, origin: cells.at(-12)!, numbers: cells.slice(-9).map(Number) };
    from = end + 1;
  }
}
