/**
 * One step of one stream: a closed bucket in, the network's inputs out, and the network's output converted back to
 * the stream's unit. The live engine, the backtest, the training data, the gate and the public protocols all step
 * through this class, so that a network is trained and evaluated on exactly its live inputs. This class owns
 * everything that determines those inputs: origin, fill, quality, scaler, limits, covariates and coverage target.
 * Pure.
 */
import { MEDIAN, Q } from '../quantiles.ts';
import type { ArrayBlock } from '../series/array-block.ts';
import type { ClosedBucket } from '../series/buckets.ts';
import { zoneOffset } from '../series/calendar.ts';
import type { Covariates } from '../series/covariates.ts';
import { AHEAD, Features, I, type KeptExpert } from '../series/features.ts';
import { fillValue } from '../series/fill.ts';
import { JUMP, MASKED, OUT_OF_RANGE, Quality, SPIKE, STEP, TOO_FAST } from '../series/quality.ts';
import { ScaleChange } from '../series/scale-change.ts';
import type { StreamSpec } from '../series/spec.ts';
import type { StateIo } from '../series/state-io.ts';
import { Blend } from './blend.ts';
import { naiveQuantiles } from './candidates.ts';
import type { ForecastExplanation, IntervalView, Provenance } from './explanation.ts';
import { findExtremes, isWithinLimits, limited } from './limits.ts';
import type { Relatives } from './relatives.ts';
import type { Scratch } from './scratch.ts';

/** Observed buckets before the network is used; until then the naive forecasts are published. */
const WARM_UP = 4;

/** The settings of a stream that determine the network's inputs and the published forecast. */
export type StepSettings = Pick<
  StreamSpec,
  'fill' | 'min' | 'max' | 'quality' | 'timeZone' | 'coverageTarget'
> &
  Partial<Pick<StreamSpec, 'aggregate' | 'unit' | 'name'>>;

type StepBucket = Pick<ClosedBucket, 'startMs' | 'value'> &
  Partial<Pick<ClosedBucket, 'tooFast' | 'outOfRange' | 'jump' | 'marks'>>;

interface StepGrid {
  readonly intervalMs: number;
  readonly leads: number;
}

interface StepParts {
  /** Shared by the streams of one horizon: the inputs of a step must be read before another stream steps. */
  readonly scratch: Scratch;
  /** Block for the stream's arrays. */
  readonly memory?: ArrayBlock;
  /** [leads] medians of the forecast from the last observed bucket, relative to the origin: the `model` fill. */
  readonly path?: Float64Array;
  /** How forecasts are made; omitted if only inputs are needed. */
  readonly forecasts?: {
    /** Whether there is a network. */
    readonly network: boolean;
    readonly covariates: () => Covariates | null;
    /** What streams of one kind tell each other; omitted: nothing. */
    readonly relatives?: Relatives;
  };
}

export class StreamStep {
  readonly leads: number;
  readonly features: Features;
  readonly blend: Blend | null;
  readonly quality: Quality;
  private readonly scaleChange: ScaleChange;
  /** Whether the newest bucket had a value that is used for learning. */
  observed = false;
  /** Quality marks of the newest bucket. */
  marks = 0;
  private readonly path: Float64Array;
  /** The forecast for the newest bucket, in the stream's unit. */
  private readonly expected = { point: 0, error: 0, low: 0, high: 0 };

  constructor(
    private settings: StepSettings,
    { intervalMs, leads }: StepGrid,
    parts: StepParts,
  ) {
    const { scratch, memory, forecasts } = parts;
    this.leads = leads;
    this.quality = new Quality(memory);
    this.scaleChange = new ScaleChange(memory);
    const zone = zoneOffset(settings.timeZone);
    this.features = new Features(intervalMs, leads, zone, {
      scratch: scratch.features,
      memory,
      circular: settings.aggregate === 'circular-mean',
    });
    this.path = parts.path ?? new Float64Array(leads).fill(Number.NaN);
    this.blend = forecasts
      ? new Blend(this.features, {
          ...forecasts,
          scratch,
          memory,
          intervalMs,
          unit: settings.unit ?? null,
          name: settings.name,
          coverage: settings.coverageTarget,
        })
      : null;
  }

  /** Other settings, of a stream with the same aggregate and coverage target, and without covariates. */
  serve(settings: StepSettings, relatives: Relatives): void {
    this.settings = settings;
    this.features.zone = zoneOffset(settings.timeZone);
    this.blend?.serve(settings, relatives);
  }

  /** Whether the network runs in this step. */
  get warm(): boolean {
    return this.features.observations >= WARM_UP;
  }

  /**
   * Processes a closed bucket.
   * @returns false if there is no step: a dropped gap, or empty buckets before the first reading
   */
  take(bucket: StepBucket): boolean {
    const { features, blend } = this;
    const { startMs, value } = bucket;
    this.marks = this.judge(bucket);
    this.observed = !Number.isNaN(value) && (this.marks & MASKED) === 0;
    const entered = this.observed ? features.line.enter(value) : this.filled();
    if (Number.isNaN(entered)) return false;
    blend?.observe(entered, this.observed);
    features.update(startMs, entered, this.observed);
    blend?.look(startMs);
    return true;
  }

  /** Processes a past value after a change of the grid: it updates only level, seasons and errors. */
  seed(startMs: number, value: number): void {
    this.features.update(startMs, this.features.line.enter(value), true);
  }

  private filled(): number {
    const { features, path } = this;
    const age = features.gapAge;
    return fillValue(this.settings.fill, features, age < path.length ? path[age] : Number.NaN);
  }

  /** From the stream's unit to the unit of `features`. */
  toStep(value: number): number {
    return this.features.line.toLine(value);
  }

  /** From the unit of `features` to the stream's. */
  toUnit(value: number): number {
    return this.features.line.toUnit(value);
  }

  /** Distance of a value in the stream's unit from the anchor of lead k + 1, in the unit of `features`. */
  missAt(k: number, actual: number): number {
    const anchor = this.features.anchor[k];
    return this.toStep(this.features.line.near(actual, this.toUnit(anchor))) - anchor;
  }

  /** Quality marks of a bucket's value, compared with the experts' forecast for it. */
  private judge({ value, tooFast, outOfRange = 0, jump = false, marks: known }: StepBucket): number {
    if (known !== undefined) return known;
    const { features, settings } = this;
    const marks =
      ((tooFast?.length ?? 0) > 0 ? TOO_FAST : 0) | (outOfRange > 0 ? OUT_OF_RANGE : 0) | (jump ? JUMP : 0);
    if (Number.isNaN(value) || settings.quality === false) return marks;
    const { expected } = this;
    features.experts.phaseRange(expected);
    expected.low = this.toUnit(expected.low);
    expected.high = this.toUnit(expected.high);
    expected.point = this.toUnit(features.anchor[0]);
    expected.error = features.line.sizeInUnit(features.scale[0]);
    const factor = features.line.isCircle ? 1 : this.scaleChange.observe(value, expected);
    if (factor !== 1) {
      this.rescale(factor);
      return marks | STEP;
    }
    if (this.scaleChange.isWaiting) return marks | SPIKE;
    return marks | this.quality.judge(features.line.near(value, expected.point), expected, features.gapAge);
  }

  /** The stream has changed its unit. The learnt state is kept: only the transform to the unit of `features` changes. */
  private rescale(factor: number): void {
    this.features.line.rescale(factor);
    this.quality.rescale(factor);
    this.blend?.rescale(factor);
  }

  /** Saves and restores what judges the readings. */
  persistQuality(io: StateIo): void {
    this.quality.persist(io);
    this.scaleChange.persist(io);
  }

  /** Writes the network's inputs, [inputs], from `offset`. Call right after `take`. */
  writeInputs(x: Float32Array, offset: number): void {
    const { features, leads } = this;
    features.past(x, offset);
    for (let k = 0; k < leads; k++) features.ahead(k, x, offset + I + k * AHEAD);
  }

  /**
   * Computes the published forecast. Call once per bucket, after `take`.
   * @param raw the network's output [leads, 9] from `offset`; null if it was not run
   * @param rawOwn the own network's output; null if there is none
   * @param out [leads, 9] in the stream's unit, within its limits
   * @returns whether the network's output was usable
   */
  forecast(
    raw: Float32Array | null,
    rawOwn: Float32Array | null,
    offset: number,
    out: Float64Array,
  ): boolean {
    const { blend, path, observed } = this;
    if (blend === null) throw new Error('forecast() called on a step without forecasts');
    const network = blend.forecast(raw, rawOwn, offset, observed, (all) => this.limitAll(all), out);
    if (observed || Number.isNaN(path[0])) {
      for (let k = 0; k < path.length; k++) path[k] = out[k * Q + MEDIAN];
    }
    // Limited again: subtracting and adding the origin can round a value beyond its limit.
    for (let i = 0; i < out.length; i++) out[i] = this.toUnit(out[i]);
    const { low, high, isNumber } = findExtremes(out);
    if (!isNumber || !isWithinLimits(low, high, this.settings, this.features))
      for (let i = 0; i < out.length; i++) out[i] = limited(out[i], this.settings, this.features);
    this.features.line.settle(out, Q, MEDIAN);
    return network;
  }

  /** Limits values relative to the origin. Most forecasts are within all limits: then only their rounding changes. */
  private limitAll(out: Float64Array): void {
    const { features, settings } = this;
    const { bounds } = features.experts;
    const { low, high, isNumber } = findExtremes(out);
    const isFree =
      isNumber &&
      bounds.holds(low, high) &&
      isWithinLimits(this.toUnit(low), this.toUnit(high), settings, features);
    for (let i = 0; i < out.length; i++) {
      const value = this.toUnit(isFree ? out[i] : bounds.limit(out[i]));
      out[i] = this.toStep(isFree ? value : limited(value, settings, features));
    }
  }

  /** Origin of the newest forecast, in the stream's unit. Call it before another stream of the engine makes a forecast. */
  provenance(): Provenance | null {
    if (this.blend === null) return null;
    const { raw, corrected, own, inputsUsed } = this.blend.provenance();
    const unit = (list: Float64Array | null) => list?.map((value) => this.toUnit(value)) ?? null;
    return { raw: unit(raw), corrected: unit(corrected), own: unit(own), inputsUsed };
  }

  /** What the newest forecast is made of, in the stream's unit; before another stream of the engine makes one. */
  explain(): ForecastExplanation {
    const { features } = this;
    const unit = <T extends IntervalView>(one: T): T => ({
      ...one,
      p10: this.toUnit(one.p10),
      p50: this.toUnit(one.p50),
      p90: this.toUnit(one.p90),
    });
    const { range } = features.experts.bounds;
    return {
      leads: (this.blend?.explain() ?? []).map((view) => ({
        ...view,
        published: unit(view.published),
        parts: view.parts.map(unit),
        covariates: view.covariates === null ? null : features.line.sizeInUnit(1) * view.covariates,
      })),
      range: range && { low: this.toUnit(range.low), high: this.toUnit(range.high) },
      buckets: features.steps,
    };
  }

  /** Quantiles of a simple forecast from its own running error, in the stream's unit. @param out [leads, 9] */
  naive(expert: KeptExpert, out: Float64Array): void {
    naiveQuantiles(this.features, expert, out);
    for (let i = 0; i < out.length; i++) out[i] = this.toUnit(out[i]);
  }
}
