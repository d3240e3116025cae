/** Options of a backtest, and how they apply to reading and playing a file. */
import { GatecastError } from '../errors.ts';
import type { ModelRegistry } from '../model/registry.ts';
import type { Aggregate, Fill } from '../series/spec.ts';
import { readTable, type TableFormat, type TableOptions } from '../table/table.ts';
import { admit } from './admit.ts';
import { aggregateHints } from './aggregate-hints.ts';
import { type CovariateInputs, columnsToRead, splitColumns } from './covariate-columns.ts';
import type { Period } from './periods.ts';
import { type Grid, grids, type PlayOptions, type Reading, rowReadings } from './play.ts';
import { sentinelHints } from './sentinel-hints.ts';

export interface BacktestRequest extends TableFormat {
  /** ms */
  readonly interval: number;
  readonly horizon: number;
  readonly start: number;
  readonly stride: number;
  readonly out?: string;
  /** Path of the HTML report. */
  readonly report?: string;
  /** Name in the registry, or `none`. */
  readonly model: string;
  readonly float32?: boolean;
  readonly fill: Fill;
  readonly aggregate: Aggregate;
  /** Default `time`; see `admit.ts`. */
  readonly order?: 'time' | 'file';
  /** How long a bucket waits for late rows, ms; only with order `file`. */
  readonly lateness?: number;
  /** ms */
  readonly clockStart?: number;
  /** Interval between rows without a time column, ms; omitted: one row per bucket. */
  readonly rowInterval?: number;
  readonly timezone: string;
  /** Of the values. */
  readonly unit?: string;
  readonly min?: number;
  readonly max?: number;
  /** Largest plausible change, per ms. */
  readonly maxRate?: number;
  /** Minimum time between fine-tuning runs, ms of the file's clock; null: no fine-tuning. */
  readonly finetune: number | null;
  /** Maximum age of the history that a fine-tuning run reads, ms; default: 28 days. */
  readonly finetuneWindow?: number;
  /** Covariate columns whose values are known up to the current bucket. */
  readonly covariates?: string[];
  /** Covariate columns whose future values are known. */
  readonly known?: string[];
  /** Also scores each week or month by itself. */
  readonly by?: Period;
  readonly json?: boolean;
  readonly registry: ModelRegistry;
  readonly progress?: (done: number, total: number, what: string) => void;
  readonly warn?: (text: string) => void;
}

export type TableRequest = TableFormat &
  Pick<
    BacktestRequest,
    'interval' | 'horizon' | 'clockStart' | 'rowInterval' | 'order' | 'lateness' | 'min' | 'max'
  > &
  Partial<Pick<BacktestRequest, 'aggregate' | 'maxRate' | 'covariates' | 'known'>>;
type PlayRequest = Pick<
  BacktestRequest,
  | 'interval'
  | 'horizon'
  | 'start'
  | 'stride'
  | 'fill'
  | 'aggregate'
  | 'timezone'
  | 'min'
  | 'max'
  | 'maxRate'
  | 'unit'
>;

/** The contents of a file, ready to play. */
interface ReadFile {
  /** In order of time. */
  readonly known: Reading[];
  readonly series: Grid[];
  readonly covariateInputs: CovariateInputs;
  /** Number of readings dropped before the play, by reason; `no-time` counts rows. */
  readonly refused: Readonly<Record<string, number>>;
  /** Warnings about values that look like marks of a missing value, and about an aggregate that does not fit. */
  readonly hints: readonly string[];
}

/** A grid of more than LONG_GRID buckets must have readings in more than one of MOST_EMPTY buckets. */
const LONG_GRID = 1_000_000;
const MOST_EMPTY = 100;

/** Reads a file and puts its series on their grid. Throws FILE_UNREADABLE, CSV_INVALID, NOT_ENOUGH_DATA */
export function readSeries(file: string, request: TableRequest): ReadFile {
  const table = readTable(file, tableOptions(request));
  const hints = sentinelHints(file, table);
  // The rows of long files alternate between series.
  if (request.aggregate !== undefined && (request.id ?? []).length === 0)
    hints.push(...aggregateHints(file, table, request.aggregate));
  const read = rowReadings(table);
  const split = splitColumns(read.names, read.readings, request.columns, request);
  const { names, readings: all, covariateInputs } = split;
  const refused: Record<string, number> = {};
  const { rowsWithoutTime } = table.leftOut;
  if (rowsWithoutTime > 0) refused['no-time'] = rowsWithoutTime;
  const { order = 'time', lateness: latenessMs = 0, interval: intervalMs } = request;
  const limits = { min: request.min ?? null, max: request.max ?? null };
  const known = admit(all, { order, latenessMs, intervalMs, nowMs: Date.now(), ...limits }, (reason) => {
    refused[reason] = (refused[reason] ?? 0) + 1;
  });
  const scored = known.filter(({ series }) => series < names.length);
  if (scored.length === 0) {
    const reasons = Object.entries(refused).map(([reason, n]) => `${reason} ${n}`);
    throw new GatecastError('NOT_ENOUGH_DATA', `${file} has no numbers in the columns asked for.`, {
      ...(reasons.length === 0 ? {} : { hint: `Readings were refused: ${reasons.join(', ')}.` }),
    });
  }
  refuseSparse(file, scored, scored.length / names.length, intervalMs);
  const series = grids(names, scored, intervalMs, {
    maxRatePerMs: request.maxRate ?? null,
    ...(request.aggregate === undefined ? {} : { aggregate: request.aggregate }),
  });
  const buckets = series[0].actual.length;
  if (buckets <= request.horizon + 1) {
    throw new GatecastError(
      'NOT_ENOUGH_DATA',
      `${file} has ${buckets} buckets, too few for a horizon of ${request.horizon}.`,
    );
  }
  return { known, series, covariateInputs, refused, hints };
}

/**
 * Throws CSV_INVALID if the times are so far apart that nearly every bucket would be empty.
 * @param each mean number of readings per series
 */
function refuseSparse(file: string, known: readonly Reading[], each: number, intervalMs: number): void {
  const first = known[0].timeMs;
  const last = known.at(-1)!.timeMs;
  const buckets = Math.floor((last - first) / intervalMs) + 1;
  if (buckets <= LONG_GRID || buckets <= MOST_EMPTY * each) return;
  const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
  throw new GatecastError(
    'CSV_INVALID',
    `${file}: its times run from ${day(first)} to ${day(last)}, and nearly all of the ${buckets} buckets are empty.`,
    {
      hint: 'A clock may have been wrong: use only the rows before or after its jump, or --order file, which drops rows that jump back; a longer --interval needs fewer buckets.',
    },
  );
}

export function playOptions(request: PlayRequest): PlayOptions {
  return {
    intervalMs: request.interval,
    horizon: request.horizon,
    start: request.start,
    stride: request.stride,
    fill: request.fill,
    aggregate: request.aggregate,
    maxGapMs: Math.max(20 * request.interval, 7_200_000),
    timeZone: request.timezone,
    unit: request.unit ?? null,
    min: request.min ?? null,
    max: request.max ?? null,
    maxRatePerMs: request.maxRate ?? null,
  };
}

export function tableOptions(request: TableRequest): TableOptions {
  return {
    columns: columnsToRead(request.columns, request),
    time: request.time,
    timeFormat: request.timeFormat,
    id: request.id,
    missing: request.missing,
    delimiter: request.delimiter,
    decimal: request.decimal,
    clockStartMs: request.clockStart,
    intervalMs: request.rowInterval ?? request.interval,
  };
}
