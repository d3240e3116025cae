/**
 * Plays recorded series through the live engine, bucket by bucket in order of time. The gate gets its forecasts this way,
 * and training gets the inputs in gaps that live fills with the model's own forecasts. Pure.
 */
import { Engine, type EngineWatch } from '../forecast/engine.ts';
import type { Model } from '../forecast/model.ts';
import type { StepSettings } from '../forecast/stream-step.ts';
import { createStepper } from '../model/sessions.ts';
import { stateSizes } from '../network/spec.ts';
import { buildStepGraph } from '../network/step-graph.ts';
import type { Network } from '../network/weights.ts';
import type { ClosedBucket } from '../series/buckets.ts';
import type { TablePoint } from '../series/covariate-sources.ts';
import { SPIKE } from '../series/quality.ts';
import type { StreamSpec } from '../series/spec.ts';

/** Settings of the recorded stream. */
export type SeriesSettings = StepSettings & Pick<StreamSpec, 'maxGapMs' | 'covariates'>;

/** One stream's buckets on their grid, as they closed live. */
export interface RecordedSeries {
  readonly name: string;
  readonly intervalMs: number;
  /** Start of the first bucket, ms. */
  readonly startMs: number;
  /** [buckets] NaN: not observed, or marked as wrong, which live treats as a gap. */
  readonly values: Float64Array;
  /** Values of the marked buckets, by index: visible to streams that use this one as a covariate. */
  readonly masked?: ReadonlyMap<number, number>;
  /**
   * Bucket `at` starts at `startMs`, because live shortens long gaps by whole weeks, days or hours. Ascending; default:
   * none.
   */
  readonly jumps?: readonly { readonly at: number; readonly startMs: number }[];
  /** K, the horizon in buckets. */
  readonly leads: number;
  /** `quality` is false if marked readings are already masked. */
  readonly settings: SeriesSettings;
}

/** Covariate sources besides the series themselves. */
export interface Surroundings {
  readonly helpers: readonly RecordedSeries[];
  readonly tables: readonly KnownTable[];
}

export interface KnownTable {
  readonly name: string;
  readonly points: readonly TablePoint[];
}

export const ALONE: Surroundings = { helpers: [], tables: [] };

/** Settings of series from files and generators: the experts fill gaps; no quality checks, no limits. */
export const FILE_SETTINGS: SeriesSettings = {
  fill: 'model',
  min: null,
  max: null,
  quality: false,
  timeZone: 'UTC',
  coverageTarget: 0.8,
  maxGapMs: Number.POSITIVE_INFINITY,
};

/** Maximum number of buckets of a series that are converted to objects at a time. */
const CHUNK = 256;

export function bucketStart({ startMs, intervalMs, jumps = [] }: RecordedSeries, bucket: number): number {
  const jump = jumps.findLast(({ at }) => at <= bucket) ?? { at: 0, startMs };
  return jump.startMs + (bucket - jump.at) * intervalMs;
}

/** Index of the bucket that starts at a time. */
export function bucketAt({ startMs, intervalMs, jumps = [] }: RecordedSeries, timeMs: number): number {
  const jump = jumps.findLast((one) => one.startMs <= timeMs) ?? { at: 0, startMs };
  return jump.at + Math.round((timeMs - jump.startMs) / intervalMs);
}

/** The series up to, but not including, bucket `end`. */
export function cutAt<T extends RecordedSeries>(series: T, end: number): T {
  const { values, jumps } = series;
  return {
    ...series,
    values: values.slice(0, end),
    ...(jumps && { jumps: jumps.filter(({ at }) => at < end) }),
  };
}

export function closedBucket(series: RecordedSeries, bucket: number): ClosedBucket {
  const { values, masked, intervalMs } = series;
  const mask = masked?.has(bucket) === true;
  const value = (mask ? masked?.get(bucket) : values[bucket]) ?? Number.NaN;
  const startMs = bucketStart(series, bucket);
  const observed = Number.isFinite(value);
  return {
    startMs,
    intervalMs,
    value: observed ? value : Number.NaN,
    observedMs: observed ? startMs : Number.NaN,
    timesMs: [],
    tooFast: [],
    outOfRange: 0,
    jump: false,
    ...(mask && { marks: SPIKE }),
  };
}

function specOf({ name, intervalMs, leads, settings }: RecordedSeries): StreamSpec {
  return {
    ...settings,
    name,
    intervalMs,
    unit: null,
    // The buckets are already aggregated; only 'circular-mean' has an effect.
    aggregate: settings.aggregate ?? 'last',
    latenessMs: 0,
    maxRatePerMs: null,
    horizonMs: leads * intervalMs,
    thresholds: [],
  };
}

/** Series used as covariates by `first`, transitively. */
function seenBy(first: readonly RecordedSeries[], others: readonly RecordedSeries[]): RecordedSeries[] {
  const byName = new Map(others.map((one) => [one.name, one]));
  for (const one of first) byName.delete(one.name);
  const found: RecordedSeries[] = [];
  const visit = ({ settings: { covariates = [] } }: RecordedSeries): void => {
    for (const { kind, name } of covariates) {
      const one = kind === 'stream' ? byName.get(name) : undefined;
      if (one === undefined) continue;
      byName.delete(name);
      found.push(one);
      visit(one);
    }
  };
  for (const one of first) visit(one);
  return found;
}

/**
 * Plays `series` through a new engine.
 * @param series `from` is the first bucket to play
 * @param brake awaited between steps
 * @throws Error if the network fails, because the fallback forecasts would not be the network's
 */
export async function replay(
  series: readonly (RecordedSeries & { readonly from?: number })[],
  { helpers, tables }: Surroundings,
  model: Model,
  watch: EngineWatch,
  brake: () => Promise<void> = async () => {},
): Promise<void> {
  const engine = new Engine(model, { watch });
  const beginMs = Math.min(...series.map((one) => bucketStart(one, one.from ?? 0)));
  const lanes = [
    ...series.map((one) => ({ series: one as RecordedSeries, at: one.from ?? 0 })),
    ...seenBy(series, helpers).map((one) => ({ series: one, at: firstFrom(one, beginMs) })),
  ];
  for (const lane of lanes) engine.add(specOf(lane.series));
  for (const { name, points } of tables) engine.know(name, points);
  try {
    for (;;) {
      const left = lanes.filter(({ series: { values }, at }) => at < values.length);
      if (left.length === 0) return;
      const untilMs = Math.min(
        ...left.map(({ series: one, at }) => bucketStart(one, at) + CHUNK * one.intervalMs),
      );
      const closed = new Map<string, ClosedBucket[]>();
      for (const lane of left) {
        const buckets: ClosedBucket[] = [];
        while (lane.at < lane.series.values.length) {
          const bucket = closedBucket(lane.series, lane.at);
          if (bucket.startMs + bucket.intervalMs > untilMs) break;
          buckets.push(bucket);
          lane.at++;
        }
        closed.set(lane.series.name, buckets);
      }
      await engine.replay(closed, { breathe: brake });
      if (engine.failures > 0) throw new Error(engine.lastFailure ?? 'the network failed');
    }
  } finally {
    await engine.release();
  }
}

function firstFrom(series: RecordedSeries, timeMs: number): number {
  return Math.max(0, Math.min(series.values.length, bucketAt(series, timeMs)));
}

/** A base network, and the own network of a gateway that may run beside it. */
export interface NetworkPair extends Network {
  readonly own?: Network | null;
}

/** As a model for the engine. */
export function networkModel({ spec, weights, own = null }: NetworkPair, quantized = true): Model {
  return {
    id: 'network',
    version: '1',
    hash: '',
    ...stateSizes(spec, own?.spec),
    stepper: (leads) => createStepper(buildStepGraph(spec, weights, { leads, quantized, own })),
  };
}
