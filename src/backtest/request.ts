/** What a backtest is asked for, and what of it says how a file is read and how it is played. */
import { GatecastError } from '../errors.ts';
import type { ModelRegistry } from '../model/registry.ts';
import type { Aggregate, Fill } from '../series/spec.ts';
import { readTable, type TableOptions } from './csv.ts';
import { type Grid, grids, type PlayOptions, type Reading, readings } from './play.ts';

export interface BacktestRequest {
  readonly time?: string[];
  readonly timeFormat?: string;
  readonly columns: 'all' | string[];
  readonly id?: string[];
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
  /** ms */
  readonly clockStart?: number;
  readonly missing?: string[];
  readonly delimiter?: string;
  readonly decimal?: '.' | ',';
  readonly timezone: string;
  readonly min?: number;
  readonly max?: number;
  /** Least time between fine-tunes, ms of the file; null: none. */
  readonly finetune: number | null;
  readonly json?: boolean;
  readonly registry: ModelRegistry;
}

/** What says how a file is read, and how it is played. */
export type TableRequest = Pick<
  BacktestRequest,
  | 'time'
  | 'timeFormat'
  | 'columns'
  | 'id'
  | 'interval'
  | 'horizon'
  | 'clockStart'
  | 'missing'
  | 'delimiter'
  | 'decimal'
>;
export type PlayRequest = Pick<
  BacktestRequest,
  'interval' | 'horizon' | 'start' | 'stride' | 'fill' | 'aggregate' | 'timezone' | 'min' | 'max'
>;

/** The readings of a file and its series on their grid. Throws FILE_UNREADABLE, CSV_INVALID, NOT_ENOUGH_DATA */
export function readSeries(file: string, request: TableRequest): { known: Reading[]; series: Grid[] } {
  const { names, readings: known } = readings(readTable(file, tableOptions(request)));
  if (known.length === 0)
    throw new GatecastError('NOT_ENOUGH_DATA', `${file} has no numbers in the columns asked for.`);
  const series = grids(names, known, request.interval);
  const buckets = series[0]!.actual.length;
  if (buckets <= request.horizon + 1) {
    throw new GatecastError(
      'NOT_ENOUGH_DATA',
      `${file} has ${buckets} buckets, too few for a horizon of ${request.horizon}.`,
    );
  }
  return { known, series };
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
    min: request.min ?? null,
    max: request.max ?? null,
  };
}

function tableOptions(request: TableRequest): TableOptions {
  return {
    columns: request.columns,
    ...(request.time === undefined ? {} : { time: request.time }),
    ...(request.timeFormat === undefined ? {} : { timeFormat: request.timeFormat }),
    ...(request.id === undefined ? {} : { id: request.id }),
    ...(request.missing === undefined ? {} : { missing: request.missing }),
    ...(request.delimiter === undefined ? {} : { delimiter: request.delimiter }),
    ...(request.decimal === undefined ? {} : { decimal: request.decimal }),
    ...(request.clockStart === undefined
      ? {}
      : { clockStartMs: request.clockStart, intervalMs: request.interval }),
  };
}
