/**
 * The network's inputs for one stream. After each bucket: `past`, [I] numbers about the stream so far, and `ahead`,
 * [leads, AHEAD] numbers about each lead, the first E being the experts' forecasts as offsets from the anchor in
 * units of the lead's scale. A network output q at lead k means anchor[k] + scale[k] * q in the stream's unit. All
 * inputs are relative to the stream's own level and errors, so that one network serves all kinds of sensors.
 */

import { ArrayBlock } from './array-block.ts';
import type { ZoneOffset } from './calendar.ts';
import { E, EXPERTS, Experts } from './experts.ts';
import { FeatureScratch } from './feature-scratch.ts';
import { LeadErrors } from './lead-errors.ts';
import { Line } from './line.ts';
import { RobustScale, RunningMean } from './running.ts';
import type { StateIo } from './state-io.ts';

/** Increased when the meaning or order of a feature changes; part of the model's hash. */
export const FEATURE_FORMAT = 2;

const INNOVATION_LEADS = [1, 3, 6, 12, 24, 48];
/** Knots, as fractions of the horizon in log space, whose relative expert errors are inputs. */
const ERROR_POINTS = [0, 0.5, 1];
const PAST_FIXED = 30;
/** Number of inputs per step about the past. */
export const I = PAST_FIXED + INNOVATION_LEADS.length + ERROR_POINTS.length * E;
/** Number of inputs per lead in addition to the experts' offsets: log weights [E], then compressed offsets [E], then the rest. */
const CLIMATE_SHOWN = [0, 2, 4, 6, 8];
const AHEAD_FIXED = 8 + CLIMATE_SHOWN.length;
const F = 2 * E + AHEAD_FIXED;
export const AHEAD = E + F;
/** Properties that a model must match. */
export const FEATURES = { format: FEATURE_FORMAT, inputs: I, leadWidth: AHEAD } as const;

/** Compresses a number to +-4; small numbers are almost unchanged. */
export function squash(x: number): number {
  return x / (1 + 0.25 * (x < 0 ? -x : x));
}

/** The inverse of `squash`. */
export function unsquash(y: number): number {
  return y / (1 - 0.25 * (y < 0 ? -y : y));
}

const TURN = 1024;
const SINE = Float32Array.from({ length: TURN }, (_, i) => Math.sin((2 * Math.PI * i) / TURN));
/** Sine and cosine of a phase in [0, 1), from a table. */
const sine = (phase: number): number => SINE[Math.round(phase * TURN) % TURN];
const cosine = (phase: number): number => SINE[(Math.round(phase * TURN) + TURN / 4) % TURN];

/** Clips logarithms of ratios to +-6. */
function bounded(x: number): number {
  return x < -6 ? -6 : Math.min(x, 6);
}

function logRatio(a: number, b: number): number {
  return bounded(Math.log((a + 1e-30) / (b + 1e-30)));
}

interface FeaturePlaces {
  readonly scratch?: FeatureScratch;
  readonly memory?: ArrayBlock;
  /** Whether the values are directions, in degrees. */
  readonly circular?: boolean;
}

/** Experts that are also published on their own: their forecasts are stored until the next bucket. */
const KEPT = [EXPERTS.last, EXPERTS.seasonalNaive] as const;
export type KeptExpert = (typeof KEPT)[number];

export class Features {
  readonly experts: Experts;
  private readonly leadErrors: LeadErrors;
  private readonly step = new RobustScale(384);
  private readonly bias1 = new RunningMean(8);
  private readonly bias2 = new RunningMean(24);
  private readonly volatility = new RunningMean(8);
  private readonly stillness = new RunningMean(256);
  private readonly atFloor = new RunningMean(512);
  private previous = 0;
  private beforePrevious = 0;
  private age = 0;
  private observedCount = 0;
  private minimum = Infinity;
  private maximum = -Infinity;
  private readonly scratch: FeatureScratch;
  /** [KEPT, 2, leads]: points, then their mean absolute errors. */
  readonly kept: Float32Array;
  /** The transform between the stream's unit and the features' unit. */
  readonly line: Line;
  /** [leads] */
  readonly anchor: Float32Array;
  /** [leads], > 0 */
  readonly scale: Float32Array;

  constructor(
    private readonly intervalMs: number,
    readonly leads: number,
    public zone: ZoneOffset,
    places: FeaturePlaces = {},
  ) {
    const { scratch = new FeatureScratch(leads), memory = new ArrayBlock(), circular } = places;
    this.line = new Line(circular);
    this.scratch = scratch;
    this.experts = new Experts(intervalMs, leads, memory);
    this.leadErrors = new LeadErrors(scratch.knots, E, memory, scratch.leadErrors);
    this.kept = memory.float32(KEPT.length * 2 * leads);
    this.anchor = memory.float32(leads);
    this.scale = memory.float32(leads).fill(1);
  }

  /** Buckets since the last observed one; 0 when the newest was observed. */
  get gapAge(): number {
    return this.age;
  }
  get observations(): number {
    return this.observedCount;
  }
  get observedRange(): { min: number; max: number } {
    return { min: this.minimum, max: this.maximum };
  }
  /** Share of readings at the smallest value so far. */
  get floorShare(): number {
    return this.atFloor.value;
  }
  get steps(): number {
    return this.experts.history.steps;
  }

  /**
   * Processes the bucket that starts at `timeMs` and computes all experts' forecasts.
   * @param value observed or filled
   */
  update(timeMs: number, value: number, observed: boolean): void {
    const first = this.experts.history.steps === 0;
    const { leads } = this;
    const { present, coming, forecasts } = this.scratch;
    this.leadErrors.observe(value, observed);
    present.fill(timeMs, this.intervalMs, this.zone);
    if (observed) {
      const inAGap = this.age > 0;
      this.age = 0;
      this.observedCount++;
      if (!first) {
        if (!inAGap) this.step.add(value - this.previous);
        this.stillness.add(value === this.previous ? 1 : 0);
      }
      if (value < this.minimum) this.minimum = value;
      if (value > this.maximum) this.maximum = value;
      this.atFloor.add(value === this.minimum ? 1 : 0);
      const { leadErrors } = this;
      if (!first) {
        const clipped = Math.max(-6, Math.min(6, leadErrors.innovation(0)));
        this.bias1.add(clipped);
        this.volatility.add(Math.abs(clipped));
        const later = leadErrors.innovation(Math.min(4, leadErrors.knots.length - 1));
        this.bias2.add(Math.max(-6, Math.min(6, later)));
      }
    } else {
      this.age++;
    }
    this.experts.update(value, observed, present.day[0], present.week[0]);
    this.beforePrevious = first ? value : this.previous;
    this.previous = value;

    coming.fill(timeMs + this.intervalMs, this.intervalMs, this.zone);
    this.experts.forecast(leads, coming, forecasts);
    this.combine(value);
    this.leadErrors.keep(leads, forecasts, this.anchor, this.scale);
    this.keep();
  }

  /** Anchor and scale of every lead: the experts' mean and mean error, weighted by 1 / error^4. */
  private combine(value: number): void {
    const { leads, anchor, scale } = this;
    const { forecasts, errors, logErrors, logScale } = this.scratch;
    const tiny =
      1e-6 * Math.max(Math.abs(value), this.maximum > this.minimum ? this.maximum - this.minimum : 0, 1e-6);
    this.leadErrors.errors(leads, Math.max(this.step.value, tiny), errors, logErrors);
    for (let k = 0; k < leads; k++) {
      let weights = 0;
      let mean = 0;
      let error = 0;
      for (let e = 0; e < E; e++) {
        const miss = errors[e * leads + k];
        const square = 1 / (miss * miss);
        const w = square * square;
        weights += w;
        mean += w * forecasts[e * leads + k];
        error += w * miss;
      }
      anchor[k] = mean / weights;
      scale[k] = Math.max(error / weights, tiny);
      logScale[k] = Math.log(scale[k]);
    }
  }

  private keep(): void {
    const { leads, kept } = this;
    const { forecasts, errors } = this.scratch;
    for (let i = 0; i < KEPT.length; i++) {
      const from = KEPT[i] * leads;
      for (let k = 0; k < leads; k++) {
        kept[2 * i * leads + k] = forecasts[from + k];
        kept[(2 * i + 1) * leads + k] = errors[from + k];
      }
    }
  }

  /** Index in `kept` of an expert's forecasts, [leads]; their running mean absolute errors follow, [leads]. */
  keptFrom(expert: KeptExpert): number {
    return 2 * KEPT.indexOf(expert) * this.leads;
  }

  /** Steps of the seasonal naive's season; 0 if there is none. */
  get season(): number {
    return this.experts.dayLag;
  }

  /** All experts' forecasts, [E, leads], until another stream that shares the scratch is updated. */
  get forecasts(): Float32Array {
    return this.scratch.forecasts;
  }

  /** Call right after `update`. @param out [I] is written from `offset` */
  past(out: Float32Array, offset: number): void {
    const { leads, scale, experts, leadErrors } = this;
    const { present, forecasts, logErrors, logScale } = this.scratch;
    const stepsPerDay = 86_400_000 / this.intervalMs;
    const s1 = scale[0];
    const middle = Math.min(leads - 1, Math.round(Math.sqrt(leads)) - 1);
    const sMiddle = scale[middle];
    const sLast = scale[leads - 1];
    const y = this.previous;
    const d = Math.max(this.step.value, 1e-3 * s1);
    const spread = Math.max(this.experts.longSpread, s1);
    let at = offset;
    out[at++] = squash((y - experts.fastMean) / s1);
    out[at++] = squash((y - experts.slowMean) / sMiddle);
    out[at++] = squash((y - experts.longMean) / spread);
    out[at++] = squash((y - this.beforePrevious) / d);
    out[at++] = squash(experts.residualLevel / sMiddle);
    out[at++] = squash((forecasts[EXPERTS.seasonalNaive * leads] - y) / s1);
    out[at++] = squash((experts.slowMean - experts.longMean) / spread);
    out[at++] = this.bias1.value;
    out[at++] = this.bias2.value;
    out[at++] = logRatio(this.volatility.value + 0.05, 1);
    out[at++] = logRatio(s1, d) / 2;
    out[at++] = logRatio(sMiddle, s1) / 2;
    out[at++] = logRatio(sLast, s1) / 2;
    out[at++] = logRatio(spread, sLast) / 2;
    out[at++] = this.age > 0 ? 1 : 0;
    out[at++] = Math.log1p(this.age) / 3;
    out[at++] = Math.log10(this.intervalMs / 60_000) / 2;
    out[at++] = Math.log1p(this.steps) / 5 - 1;
    out[at++] = Math.min(1, this.steps / stepsPerDay / 10);
    out[at++] = Math.log10(leads) - 1.5;
    const seasons = experts.seasons;
    out[at++] = seasons.day ? 1 : 0;
    out[at++] = seasons.week ? 1 : 0;
    out[at++] = seasons.cycle > 0 ? Math.log(seasons.cycle / leads) / 2 : 0;
    out[at++] = sine(present.day[0]);
    out[at++] = cosine(present.day[0]);
    out[at++] = sine(present.week[0]);
    out[at++] = cosine(present.week[0]);
    out[at++] = this.stillness.value;
    out[at++] = this.atFloor.value;
    const range = this.maximum - this.minimum;
    out[at++] = range > 0 ? (2 * (y - this.minimum)) / range - 1 : 0;
    for (const lead of INNOVATION_LEADS) {
      const j = leadErrors.knots.indexOf(lead);
      out[at++] = j < 0 ? 0 : squash(leadErrors.innovation(j));
    }
    for (const point of ERROR_POINTS) {
      const k = Math.round(leads ** point) - 1;
      for (let e = 0; e < E; e++) out[at++] = bounded(logErrors[e * leads + k] - logScale[k]);
    }
  }

  /**
   * Call right after `update`.
   * @param k lead - 1
   * @param out [AHEAD] is written from `offset`
   */
  ahead(k: number, out: Float32Array, offset: number): void {
    const { leads, anchor, scale } = this;
    const { coming, forecasts, logErrors, logScale } = this.scratch;
    const s = scale[k];
    const logS = logScale[k];
    const a = anchor[k];
    const perScale = 1 / s;
    for (let e = 0; e < E; e++) {
      const offsetInScales = (forecasts[e * leads + k] - a) * perScale;
      const distance = offsetInScales < -1000 ? -1000 : Math.min(offsetInScales, 1000);
      out[offset + e] = distance;
      // The prior of the mixture: log(1 / error^4), relative to the scale.
      out[offset + E + e] = -4 * bounded(logErrors[e * leads + k] - logS);
      out[offset + 2 * E + e] = squash(distance);
    }
    let at = offset + 3 * E;
    const day = coming.day[k];
    const spread = this.experts.phaseSpread(day);
    out[at++] = Number.isNaN(spread) ? 0 : bounded(Math.log(spread + 1e-30) - logS);
    out[at++] = Math.log(k + 1) / 3;
    out[at++] = this.experts.dayLag > 0 ? Math.min(2, (k + 1) / this.experts.dayLag) : 0;
    out[at++] = sine(day);
    out[at++] = cosine(day);
    out[at++] = bounded(logS - logScale[0]) / 2;
    out[at++] = bounded(Math.log(Math.max(this.experts.longSpread, 1e-9)) - logS) / 2;
    out[at++] =
      squash((forecasts[EXPERTS.last * leads + k] - forecasts[EXPERTS.longMean * leads + k]) * perScale) / 3;
    const climate = this.experts.climate.quantiles;
    for (const i of CLIMATE_SHOWN) out[at++] = squash((climate[i] - a) * perScale);
  }

  persist(io: StateIo): void {
    this.experts.persist(io);
    this.leadErrors.persist(io);
    for (const running of [this.step, this.bias1, this.bias2, this.volatility, this.stillness, this.atFloor])
      running.persist(io);
    this.line.persist(io);
    this.previous = io.number(this.previous);
    this.beforePrevious = io.number(this.beforePrevious);
    this.age = io.number(this.age);
    this.observedCount = io.number(this.observedCount);
    this.minimum = io.number(this.minimum);
    this.maximum = io.number(this.maximum);
    io.array(this.kept);
    io.array(this.anchor);
    io.array(this.scale);
  }
}
