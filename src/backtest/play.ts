/**
 * Plays a file through the live engine on the file's clock: before bucket i + 1 begins, all readings up to bucket i have
 * been pushed and their buckets closed, and no later reading has.
 */
import type { ForecastEngine } from '../forecast/engine-contract.ts';
import type { Forecast } from '../forecast/forecast.ts';
import { Q } from '../quantiles.ts';
import { aggregate } from '../series/aggregate.ts';
import { Counter } from '../series/counter.ts';
import { RateLimit } from '../series/rate-limit.ts';
import { isCounter, type StreamSpec } from '../series/spec.ts';
import type { Table } from '../table/table.ts';
import type { CovariateInputs } from './covariate-columns.ts';

export interface PlayOptions
  extends Pick<StreamSpec, 'fill' | 'aggregate' | 'maxGapMs' | 'timeZone' | 'min' | 'max'> {
  readonly intervalMs: number;
  /** Leads of every forecast. */
  readonly horizon: number;
  /** Fraction of the buckets before the first evaluated one. */
  readonly start: number;
  /** Buckets from one origin to the next. */
  readonly stride: number;
  /** Of the values; null or omitted: unknown. */
  readonly unit?: string | null;
  /** Largest plausible change per ms; null or omitted: no limit. */
  readonly maxRatePerMs?: number | null;
}

/** One series of the file on its grid. */
export interface Grid {
  readonly name: string;
  readonly startMs: number;
  readonly intervalMs: number;
  /** [buckets] each bucket's value, aggregated as live, NaN without readings. Forecasts are scored against it. */
  readonly actual: Float64Array;
  /** Whether the values are directions, in degrees. */
  readonly circular?: boolean;
}

/** A forecast to score, made at bucket `origin` of series `series`. */
export interface Played {
  readonly series: number;
  readonly origin: number;
  /** [horizon, 9] */
  readonly quantiles: Float64Array;
  readonly kind: Forecast['kind'];
}

export interface Reading {
  readonly series: number;
  readonly timeMs: number;
  readonly value: number;
}

export interface PlayHooks {
  /** Called after each bucket of the file has closed, with the file's time; fine-tuning runs here. */
  bucket?(index: number, endMs: number): Promise<void> | void;
  /** Called for each refused reading with the outcome; for a reading that changed too fast, when its bucket closes. */
  refused?(outcome: string): void;
  /** Quality marks (`series/quality.ts`) of bucket `index` of a series or helper; called before `bucket`. */
  marked?(series: number, index: number, marks: number): void;
  progress?(done: number, total: number): void;
}

const NO_COVARIATES: CovariateInputs = { helpers: [], covariates: [], tables: [] };

/** All readings of a table in the file's order, and the names of its series (`<id>/<column>` in long files). */
export function rowReadings(table: Table): { names: string[]; readings: Reading[] } {
  const ids = table.ids.length > 0 ? table.ids : [null];
  const names = ids.flatMap((id) =>
    table.columns.map((column) => (id === null ? column : `${id}/${column}`)),
  );
  const at = new Map(ids.map((id, i) => [id, i * table.columns.length]));
  const all: Reading[] = [];
  for (const row of table.rows()) {
    const base = at.get(row.id) ?? 0;
    for (let c = 0; c < row.values.length; c++) {
      const value = row.values[c];
      if (Number.isFinite(value)) all.push({ series: base + c, timeMs: row.timeMs, value });
    }
  }
  return { names, readings: all };
}

/** As `rowReadings`, sorted by time. */
export function readings(table: Table): { names: string[]; readings: Reading[] } {
  const all = rowReadings(table);
  all.readings.sort((a, b) => a.timeMs - b.timeMs);
  return all;
}

/** @param all in order of time; of several with the same series and time, the first counts */
export function grids(
  names: readonly string[],
  all: readonly Reading[],
  intervalMs: number,
  {
    aggregate: kind = 'mean',
    maxRatePerMs = null,
  }: Partial<Pick<PlayOptions, 'aggregate' | 'maxRatePerMs'>> = {},
): Grid[] {
  if (all.length === 0) return [];
  const first = Math.floor(all[0].timeMs / intervalMs);
  const n = Math.floor(all[all.length - 1].timeMs / intervalMs) - first + 1;
  const open = names.map(() => ({
    actual: new Float64Array(n).fill(Number.NaN),
    at: -1,
    bucket: { times: [] as number[], values: [] as number[] },
    counter: isCounter(kind) ? new Counter(kind) : null,
    lastMs: Number.NaN,
    limit: new RateLimit(maxRatePerMs),
  }));
  const close = ({ actual, at, bucket, counter }: (typeof open)[number]): void => {
    const span = { startMs: (first + at) * intervalMs, intervalMs };
    if (at >= 0) actual[at] = aggregate(kind, bucket, counter, span).value;
  };
  for (const { series, timeMs, value } of all) {
    const own = open[series];
    const at = Math.floor(timeMs / intervalMs) - first;
    if (at !== own.at) {
      close(own);
      own.at = at;
      own.bucket = { times: [], values: [] };
    }
    if (own.lastMs === timeMs) continue;
    own.lastMs = timeMs;
    if (!own.limit.accepts(timeMs, value)) continue;
    own.bucket.times.push(timeMs);
    own.bucket.values.push(value);
  }
  open.forEach(close);
  const circular = kind === 'circular-mean' ? { circular: true } : {};
  return names.map((name, s) => ({
    name,
    startMs: first * intervalMs,
    intervalMs,
    actual: open[s].actual,
    ...circular,
  }));
}

/** Scored origins, as bucket numbers: the bucket before the first evaluated one, then every `stride` buckets. */
export function origins(
  buckets: number,
  options: Pick<PlayOptions, 'start' | 'stride' | 'horizon'>,
): number[] {
  const first = Math.max(0, Math.floor(options.start * buckets + 1e-9) - 1);
  const list: number[] = [];
  for (let origin = first; origin + options.horizon < buckets; origin += options.stride) list.push(origin);
  return list;
}

export function specOf(name: string, options: PlayOptions): StreamSpec {
  return {
    name,
    unit: options.unit ?? null,
    intervalMs: options.intervalMs,
    aggregate: options.aggregate,
    fill: options.fill,
    maxGapMs: options.maxGapMs,
    latenessMs: 0,
    min: options.min,
    max: options.max,
    maxRatePerMs: options.maxRatePerMs ?? null,
    horizonMs: options.horizon * options.intervalMs,
    thresholds: [],
    timeZone: options.timeZone,
    coverageTarget: 0.8,
  };
}

/**
 * Plays readings (in time order) and returns the forecast of every series at every origin.
 * @param engine a new one; the series, then the helpers, are added to it as streams `s0`, `s1`, ...
 * @param all readings of the series and of the helpers
 */
export async function play(
  engine: ForecastEngine,
  series: readonly Grid[],
  all: readonly Reading[],
  options: PlayOptions,
  hooks: PlayHooks = {},
  { helpers, covariates, tables }: CovariateInputs = NO_COVARIATES,
): Promise<Played[]> {
  if (series.length === 0) return [];
  const { intervalMs, horizon } = options;
  const { startMs, actual } = series[0];
  const buckets = actual.length;
  const wanted = new Set(origins(buckets, options));
  for (let s = 0; s < series.length + helpers.length; s++)
    engine.add({ ...specOf(`s${s}`, options), covariates: covariates[s] ?? [] });
  for (const { name, points } of tables) engine.know(name, points);
  const latest = new Array<Forecast | null>(series.length).fill(null);
  const played: Played[] = [];
  let next = 0;
  for (let i = 0; i < buckets; i++) {
    const endMs = startMs + (i + 1) * intervalMs;
    for (; next < all.length && all[next].timeMs < endMs; next++) {
      const { series: s, timeMs, value } = all[next];
      const outcome = engine.push({ stream: `s${s}`, timeMs, value, arrivalMs: timeMs });
      if (outcome !== 'accepted') hooks.refused?.(outcome);
    }
    for (const forecast of await engine.tick(endMs)) latest[Number(forecast.stream.slice(1))] = forecast;
    for (const { stream, startMs: labelMs, marks, tooFastMs } of engine.marked()) {
      const s = Number(stream.slice(1));
      hooks.marked?.(s, Math.round((labelMs - startMs) / intervalMs), marks);
      if (s < series.length) for (const _ of tooFastMs) hooks.refused?.('too-fast');
    }
    if (wanted.has(i)) {
      for (let s = 0; s < series.length; s++) {
        const forecast = latest[s];
        if (forecast === null) continue;
        const behind = Math.round((endMs - intervalMs - forecast.originMs) / intervalMs);
        played.push({
          series: s,
          origin: i,
          quantiles: shifted(forecast, behind, horizon),
          kind: forecast.kind,
        });
      }
    }
    if (hooks.bucket !== undefined) await hooks.bucket(i, endMs);
    if (hooks.progress !== undefined && i % 256 === 0) hooks.progress(i, buckets);
  }
  hooks.progress?.(buckets, buckets);
  return played;
}

/** Forecast of a stream that has not stepped for `behind` buckets (a gap): the later leads of its last forecast. */
function shifted(forecast: Forecast, behind: number, horizon: number): Float64Array {
  if (behind <= 0) return forecast.quantiles;
  const out = new Float64Array(horizon * Q);
  for (let k = 0; k < horizon; k++) {
    const from = Math.min(forecast.leads - 1, k + behind) * Q;
    out.set(forecast.quantiles.subarray(from, from + Q), k * Q);
  }
  return out;
}
