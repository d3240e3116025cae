/**
 * Champion and candidate on the newest stretch of every stream: two live engines (`replay.ts`) played over one history, each
 * with the step graph that would be loaded (int8), and what each would have published: corrected, blended, calibrated and
 * clamped by what the stream would have learnt until then. A gain that the stream's own correction makes anyway is none.
 * The naive forecasts come from the champion's engine.
 */
import { GatecastError } from '../errors.ts';
import type { Model } from '../forecast/model.ts';
import type { StreamStep } from '../forecast/stream-step.ts';
import { MEDIAN, Q, quantileLoss } from '../quantiles.ts';
import { turnTo } from '../series/circle.ts';
import { EXPERTS } from '../series/experts.ts';
import type { StreamLosses } from './gate.ts';
import type { JobSeries } from './job.ts';
import { ALONE, bucketAt, replay, type Surroundings } from './replay.ts';

export interface HoldoutSeries extends JobSeries {
  /** First bucket that training never saw, neither as input nor as target. */
  readonly holdoutFrom: number;
}

export interface HoldoutOptions {
  /** Buckets before the holdout over which features and states settle. */
  readonly warmUp: number;
  /** Origins of one horizon: an origin every leads / this. */
  readonly originsPerHorizon: number;
  /** Awaited between steps: where load, heat and a pause hold the work back. */
  readonly brake?: () => Promise<void>;
}

export const HOLDOUT_DEFAULTS: HoldoutOptions = { warmUp: 1500, originsPerHorizon: 6 };

const METHODS = ['candidate', 'champion', 'naive', 'seasonal'] as const;
type Network = 'champion' | 'candidate';

/** One stream while it is evaluated. */
interface Lane {
  readonly series: HoldoutSeries;
  readonly stride: number;
  /** [origins] */
  readonly losses: Record<(typeof METHODS)[number], Float64Array>;
}

/** Steps from one origin to the next of a series with so many leads. */
export function originStride(leads: number, originsPerHorizon: number): number {
  return Math.max(1, Math.round(leads / originsPerHorizon));
}

/**
 * Losses by origin, in units of each stream's mean naive loss. A network that diverges has infinite loss there.
 * @throws GatecastError MODEL_INVALID when a network cannot be run
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
      if (one !== undefined && network === 'champion') scoreNaives(one, step, bucketAt(one.series, startMs));
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
    throw new GatecastError('MODEL_INVALID', `The ${network} cannot be run: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** Number of the origin that a bucket is, -1 when it is none. */
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

/** Mean quantile loss over the leads that were observed; NaN when none was. @param quantiles [leads, 9] */
function loss({ series }: Lane, bucket: number, quantiles: Float64Array): number {
  const actuals = series.targets ?? series.values;
  const circular = series.settings.aggregate === 'circular-mean';
  let sum = 0;
  let n = 0;
  for (let k = 0; k < series.leads; k++) {
    const actual = actuals[bucket + 1 + k];
    if (actual === undefined || !Number.isFinite(actual)) continue;
    // A direction as it is nearest to the median.
    const median = quantiles[k * Q + MEDIAN];
    sum += quantileLoss(circular ? median + turnTo(median, actual) : actual, quantiles, k * Q);
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
