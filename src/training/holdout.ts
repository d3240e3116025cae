/**
 * Champion and candidate on the newest stretch of every stream, as they would run live: the same features, the step graph
 * that would be loaded (int8), states warmed up on what came before, and what would be published: corrected, blended and
 * calibrated by what the stream would have learnt until then with the same network. A gain that the stream's own correction
 * makes anyway is none. The naive forecasts come from the same features.
 */
import { Blend } from '../forecast/blend.ts';
import { NAIVE, naiveQuantiles, SEASONAL } from '../forecast/candidates.ts';
import { Q, QUANTILES } from '../forecast/forecast.ts';
import type { Model } from '../forecast/model.ts';
import { Scratch } from '../forecast/scratch.ts';
import type { Stepper } from '../model/stepper.ts';
import { UTC, zoneOffset } from '../series/calendar.ts';
import { LAST, SEASONAL_NAIVE } from '../series/experts.ts';
import { AHEAD, Features, I } from '../series/features.ts';
import type { StreamLosses } from './gate.ts';
import type { JobSeries } from './job.ts';

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

/** Streams stepped in one run. */
const MOST_ROWS = 64;

const METHODS = ['candidate', 'champion', 'naive', 'seasonal'] as const;
const NETWORKS = ['champion', 'candidate'] as const;
type Network = (typeof NETWORKS)[number];

/** One stream while it is evaluated. */
interface Lane {
  readonly series: HoldoutSeries;
  readonly features: Features;
  readonly blends: Record<Network, Blend>;
  /** Whether the newest bucket was. */
  observed: boolean;
  readonly from: number;
  readonly stride: number;
  readonly losses: Record<(typeof METHODS)[number], Float64Array>;
}

interface Runner {
  readonly stepper: Stepper;
  /** [layers, n, hidden] */
  readonly h: Float32Array;
}

/** Steps from one origin to the next of a series with so many leads. */
export function originStride(leads: number, originsPerHorizon: number): number {
  return Math.max(1, Math.round(leads / originsPerHorizon));
}

const unlimited = (value: number): number => value;

/** Losses by origin, in units of each stream's mean naive loss. A network that diverges has infinite loss there. */
export async function holdoutLosses(
  series: readonly HoldoutSeries[],
  champion: Model,
  candidate: Model,
  options: HoldoutOptions = HOLDOUT_DEFAULTS,
): Promise<StreamLosses[]> {
  const results: StreamLosses[] = [];
  const byLeads = new Map<number, HoldoutSeries[]>();
  for (const one of series) byLeads.set(one.leads, [...(byLeads.get(one.leads) ?? []), one]);
  for (const [leads, group] of byLeads) {
    const models = {
      candidate: await candidate.stepper(leads),
      champion: await champion.stepper(leads),
    };
    const scratch = new Scratch(leads);
    try {
      for (let first = 0; first < group.length; first += MOST_ROWS) {
        const lanes = group.slice(first, first + MOST_ROWS).map((one) => lane(one, options, scratch));
        await walk(lanes, leads, models, options);
        for (const one of lanes) results.push(scaled(one));
      }
    } finally {
      await models.candidate.release();
      await models.champion.release();
    }
  }
  return results;
}

function lane(series: HoldoutSeries, options: HoldoutOptions, scratch: Scratch): Lane {
  const zone = series.timeZone ? zoneOffset(series.timeZone) : UTC;
  const stride = originStride(series.leads, options.originsPerHorizon);
  const origins = Math.max(0, Math.floor((series.values.length - series.holdoutFrom) / stride));
  const empty = () => new Float64Array(origins).fill(Number.NaN);
  const features = new Features(series.intervalMs, series.leads, zone);
  const blend = () => new Blend(features, { scratch, network: true, covariates: () => null });
  return {
    series,
    features,
    blends: { champion: blend(), candidate: blend() },
    observed: false,
    from: Math.max(0, series.holdoutFrom - options.warmUp),
    stride,
    losses: { candidate: empty(), champion: empty(), naive: empty(), seasonal: empty() },
  };
}

/** All lanes bucket by bucket, together. */
async function walk(
  lanes: readonly Lane[],
  leads: number,
  models: Record<Network, Stepper>,
  options: HoldoutOptions,
): Promise<void> {
  const n = lanes.length;
  const inputs = I + leads * AHEAD;
  const x = new Float32Array(n * inputs);
  const runner = (stepper: Stepper): Runner => ({
    stepper,
    h: new Float32Array(stepper.layers * n * stepper.hidden),
  });
  const champion = runner(models.champion);
  const candidate = runner(models.candidate);
  const longest = Math.max(...lanes.map((one) => one.series.values.length - one.from));
  const quantiles = new Float64Array(leads * Q);
  for (let step = 0; step < longest; step++) {
    await options.brake?.();
    for (let i = 0; i < n; i++) enter(lanes[i]!, step, x, i * inputs);
    const answers = {
      champion: await advance(champion, n, x),
      candidate: await advance(candidate, n, x),
    };
    for (let i = 0; i < n; i++) answer(lanes[i]!, step, answers, i * leads * Q, quantiles);
    for (const one of lanes) scoreNaives(one, step, quantiles);
  }
}

/** What would be published of a lane with either network, each with a blend of its own from the first bucket on. */
function answer(
  one: Lane,
  step: number,
  answers: Record<Network, Float32Array>,
  offset: number,
  out: Float64Array,
): void {
  const { series, blends, losses, observed } = one;
  const t = one.from + step;
  if (t >= series.values.length) return;
  const at = originOf(one, step);
  for (const network of NETWORKS) {
    const finite = blends[network].forecast(answers[network], offset, observed, unlimited, out);
    if (at >= 0) losses[network][at] = finite ? loss(one, step, out) : Number.POSITIVE_INFINITY;
  }
}

/** Takes in the lane's next bucket and writes the network's inputs; an ended lane keeps its last. */
function enter(one: Lane, step: number, x: Float32Array, offset: number): void {
  const { series, features, blends } = one;
  const t = one.from + step;
  if (t >= series.values.length) return;
  const value = series.values[t]!;
  const observed = Number.isFinite(value);
  const entered = observed ? value : features.steps > 0 ? features.anchor[0]! : 0;
  const startMs = series.startMs + t * series.intervalMs;
  one.observed = observed;
  for (const network of NETWORKS) blends[network].observe(entered, observed);
  features.update(startMs, entered, observed);
  for (const network of NETWORKS) blends[network].look(startMs);
  features.past(x, offset);
  for (let k = 0; k < series.leads; k++) features.ahead(k, x, offset + I + k * AHEAD);
}

async function advance({ stepper, h }: Runner, n: number, x: Float32Array): Promise<Float32Array> {
  const result = await stepper.run(n, x, h);
  for (let i = 0; i < h.length; i++) h[i] = Number.isFinite(result.h[i]!) ? result.h[i]! : 0;
  return result.quantiles;
}

/** Number of the origin that this step is, -1 when it is none. */
function originOf({ series, from, stride, losses }: Lane, step: number): number {
  const since = from + step - (series.holdoutFrom - 1);
  const at = Math.floor(since / stride);
  return since >= 0 && since % stride === 0 && at < losses.naive.length ? at : -1;
}

function scoreNaives(one: Lane, step: number, quantiles: Float64Array): void {
  const at = originOf(one, step);
  if (at < 0) return;
  for (const [method, expert] of [
    [NAIVE, LAST],
    [SEASONAL, SEASONAL_NAIVE],
  ] as const) {
    naiveQuantiles(one.features, expert, quantiles);
    one.losses[method === NAIVE ? 'naive' : 'seasonal'][at] = loss(one, step, quantiles);
  }
}

/** Mean quantile loss over the leads that were observed; NaN when none was. */
function loss({ series, from }: Lane, step: number, quantiles: Float64Array): number {
  let sum = 0;
  let n = 0;
  for (let k = 0; k < series.leads; k++) {
    const actual = series.values[from + step + 1 + k];
    if (actual === undefined || !Number.isFinite(actual)) continue;
    for (let q = 0; q < Q; q++) {
      const error = actual - quantiles[k * Q + q]!;
      sum += error >= 0 ? QUANTILES[q]! * error : (QUANTILES[q]! - 1) * error;
    }
    n++;
  }
  return n > 0 ? (2 * sum) / (n * Q) : Number.NaN;
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
