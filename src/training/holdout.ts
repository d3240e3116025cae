/**
 * Compares champion and candidate on the holdout of every stream: plays two live engines (`replay.ts`) over one history,
 * each with its int8 step graph, and scores the forecasts that each would have published: corrected, blended, calibrated
 * and clamped as live. So a gain that the stream's own correction achieves anyway does not count. Own networks take part from the
 * start of the holdout on, as after a switch: on earlier buckets, which the candidate's was trained on, its scores would be too
 * good, and the champion's would have learnt its share when the candidate's begins. The naive forecasts come from the champion's
 * engine.
 */
import { errorText, GatecastError } from '../errors.ts';
import type { Model } from '../forecast/model.ts';
import type { StreamStep } from '../forecast/stream-step.ts';
import { MEDIAN, Q, quantileLoss } from '../quantiles.ts';
import { angleDifference } from '../series/circle.ts';
import { EXPERTS } from '../series/experts.ts';
import type { StreamLosses } from './gate.ts';
import type { JobSeries } from './job.ts';
import { ALONE, bucketAt, replay, type Surroundings } from './replay.ts';

export interface HoldoutSeries extends JobSeries {
  /** First bucket that training did not use, neither as input nor as target. */
  readonly holdoutFrom: number;
}

export interface HoldoutOptions {
  /** Buckets before the holdout that warm up features and states. */
  readonly warmUp: number;
  /** Origins per horizon: one every `leads / originsPerHorizon` buckets. */
  readonly originsPerHorizon: number;
  /** Awaited between steps: delays the work under load, heat or a pause. */
  readonly brake?: () => Promise<void>;
}

export const HOLDOUT_DEFAULTS: HoldoutOptions = { warmUp: 1500, originsPerHorizon: 6 };

const METHODS = ['candidate', 'champion', 'naive', 'seasonal'] as const;
type Network = 'champion' | 'candidate';

/** A stream under evaluation. */
interface Lane {
  readonly series: HoldoutSeries;
  readonly stride: number;
  /** [origins] */
  readonly losses: Record<(typeof METHODS)[number], Float64Array>;
}

/** Steps from one origin to the next. */
export function originStride(leads: number, originsPerHorizon: number): number {
  return Math.max(1, Math.round(leads / originsPerHorizon));
}

/**
 * Losses by origin, in units of each stream's mean naive loss. Infinite where a network diverges.
 * @throws GatecastError MODEL_INVALID if a network fails to run
 */
export async function holdoutLosses(
  series: readonly HoldoutSeries[],
  champion: Model,
  candidate: Model,
  options: HoldoutOptions = HOLDOUT_DEFAULTS,
  around: Surroundings = ALONE,
): Promise<StreamLosses[]> {
  const lanes = new Map(series.map((one) => [one.name, lane(one, options)]));
  if (lanes.size > 0) {
    await play(lanes, 'champion', champion, options, around);
    await play(lanes, 'candidate', candidate, options, around);
  }
  return [...lanes.values()].map(scaled);
}

function lane(series: HoldoutSeries, options: HoldoutOptions): Lane {
  const stride = originStride(series.leads, options.originsPerHorizon);
  const origins = Math.max(0, Math.floor((series.values.length - series.holdoutFrom) / stride));
  const empty = () => new Float64Array(origins).fill(Number.NaN);
  return {
    series,
    stride,
    losses: { candidate: empty(), champion: empty(), naive: empty(), seasonal: empty() },
  };
}

async function play(
  lanes: ReadonlyMap<string, Lane>,
  network: Network,
  model: Model,
  { warmUp, brake }: HoldoutOptions,
  around: Surroundings,
): Promise<void> {
  const all = [...lanes.values()].map(({ series }) => ({
    ...series,
    from: Math.max(0, series.holdoutFrom - warmUp),
  }));
  const watch = {
    stepped: (name: string, step: StreamStep, startMs: number): void => {
      const one = lanes.get(name);
      if (one === undefined) return;
      const bucket = bucketAt(one.series, startMs);
      if (network === 'champion') scoreNaives(one, step, bucket);
      if (step.blend !== null) step.blend.muted = bucket < one.series.holdoutFrom - 1;
    },
    forecast: (
      { stream, originMs, quantiles }: { stream: string; originMs: number; quantiles: Float64Array },
      diverged: boolean,
    ): void => {
      const one = lanes.get(stream);
      if (one === undefined) return;
      const bucket = bucketAt(one.series, originMs);
      const at = originOf(one, bucket);
      if (at < 0) return;
      one.losses[network][at] = diverged ? Number.POSITIVE_INFINITY : loss(one, bucket, quantiles);
    },
  };
  try {
    await replay(all, around, model, watch, brake);
  } catch (cause) {
    throw new GatecastError('MODEL_INVALID', `The ${network} cannot be run: ${errorText(cause)}`, { cause });
  }
}

/** Index of the origin at a bucket; -1 if there is none. */
function originOf({ series, stride, losses }: Lane, bucket: number): number {
  const since = bucket - (series.holdoutFrom - 1);
  const at = Math.floor(since / stride);
  return since >= 0 && since % stride === 0 && at < losses.naive.length ? at : -1;
}

function scoreNaives(one: Lane, step: StreamStep, bucket: number): void {
  const at = originOf(one, bucket);
  if (at < 0) return;
  const quantiles = new Float64Array(step.leads * Q);
  step.naive(EXPERTS.last, quantiles);
  one.losses.naive[at] = loss(one, bucket, quantiles);
  step.naive(EXPERTS.seasonalNaive, quantiles);
  one.losses.seasonal[at] = loss(one, bucket, quantiles);
}

/** Mean quantile loss over the observed leads; NaN without any. @param quantiles [leads, 9] */
function loss({ series }: Lane, bucket: number, quantiles: Float64Array): number {
  const actuals = series.targets ?? series.values;
  const circular = series.settings.aggregate === 'circular-mean';
  let sum = 0;
  let n = 0;
  for (let k = 0; k < series.leads; k++) {
    const actual = actuals[bucket + 1 + k];
    if (actual === undefined || !Number.isFinite(actual)) continue;
    // a direction is shifted by full turns to be nearest to the median
    const median = quantiles[k * Q + MEDIAN];
    sum += quantileLoss(circular ? median + angleDifference(median, actual) : actual, quantiles, k * Q);
    n++;
  }
  return n > 0 ? sum / n : Number.NaN;
}

function scaled({ series, losses }: Lane): StreamLosses {
  const known = losses.naive.filter(Number.isFinite);
  const unit = known.reduce((sum, one) => sum + one, 0) / known.length;
  const scale = unit > 0 ? 1 / unit : 0;
  const result = { stream: series.name, ...losses };
  for (const method of METHODS)
    result[method] = losses[method].map((one) => (scale > 0 ? one * scale : Number.NaN));
  return result;
}
