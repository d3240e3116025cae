/**
 * Covariates: other series that help to forecast a stream, given as a few bounded numbers per bucket of that stream,
 * with the knowledge at the end of the bucket. A series known only up to the present (another stream) contributes
 * its last values and its own forecast; a series known ahead (a tariff, a weather forecast) contributes its values
 * at future leads. Of a series that is not known ahead, nothing later than the bucket's end is ever read.
 */
import { RobustScale, RunningMean } from './running.ts';
import type { StateIo } from './state-io.ts';

export interface CovariateSource {
  readonly name: string;
  /** Whether future values are known facts, not forecasts by the source. */
  readonly known: boolean;
  /**
   * Value over [startMs, endMs), from data available by endMs; if the span is empty, the last value from at most `holdMs` before;
   * NaN if there is none.
   */
  past(startMs: number, endMs: number, holdMs: number): number;
  /** Value over a future span, as expected at `nowMs`; NaN if unknown. */
  ahead(startMs: number, endMs: number, nowMs: number): number;
}

/** One input: the value `lag` buckets ago, or `lead` buckets ahead. */
type Shown = { readonly lag: number } | { readonly lead: number };

const PAST: readonly Shown[] = [0, 1, 2, 3, 4, 5, 6, 8, 12].map((lag) => ({ lag }));
const PAST_LEADS = [2, 8];
/** Leads used as inputs. They are dense at the start, because a series with jumps can differ between neighbouring leads. */
export const COVARIATE_LEADS = [
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256,
];
const MAX_INPUTS = 33;
const LONGEST_LAG = 12;
/** Steps over which level and spread of a covariate are averaged. */
const SPAN = 1000;
const MOST = 4;

function shown(source: CovariateSource, leads: number, most: number): Shown[] {
  const to = (list: readonly number[]): Shown[] =>
    [...list.filter((lead) => lead < leads), leads].map((lead) => ({ lead }));
  const all = source.known ? [{ lag: 1 }, { lag: 0 }, ...to(COVARIATE_LEADS)] : [...PAST, ...to(PAST_LEADS)];
  if (all.length <= most) return all;
  // With many covariates each has fewer inputs, spread from its first to its last.
  return Array.from(
    { length: most },
    (_, i) => all[Math.round((i * (all.length - 1)) / (most - 1))] as Shown,
  );
}

/** One covariate on the stream's grid. */
class Aligned {
  private readonly shown: readonly Shown[];
  /** [leads] scaled future values; empty for a series without them. */
  private readonly course: Float32Array;
  private readonly mean = new RunningMean(SPAN);
  private readonly spread = new RobustScale(SPAN);
  /** [LONGEST_LAG + 1] newest first; NaN where unknown. */
  private readonly values = new Float64Array(LONGEST_LAG + 1).fill(Number.NaN);

  constructor(
    private readonly source: CovariateSource,
    list: readonly Shown[],
    leads: number,
  ) {
    this.shown = list;
    this.course = new Float32Array(source.known ? leads : 0);
  }

  look(startMs: number, stepMs: number, holdMs: number, out: Float32Array, offset: number): void {
    const { source, values } = this;
    const nowMs = startMs + stepMs;
    const value = source.past(startMs, nowMs, holdMs);
    values.copyWithin(1, 0);
    values[0] = value;
    if (!Number.isNaN(value)) {
      this.mean.add(value);
      this.spread.add(value - this.mean.value);
    }
    for (const [i, one] of this.shown.entries()) {
      out[offset + i] = this.size(
        'lag' in one ? values[one.lag] : this.ahead(startMs + one.lead * stepMs, stepMs, nowMs),
      );
    }
    for (let k = 0; k < this.course.length; k++)
      this.course[k] = this.size(this.ahead(startMs + (k + 1) * stepMs, stepMs, nowMs));
  }

  private ahead(fromMs: number, stepMs: number, nowMs: number): number {
    const value = this.source.ahead(fromMs, fromMs + stepMs, nowMs);
    // Without an expectation, assume no change.
    return Number.isNaN(value) ? this.values[0] : value;
  }

  private size(value: number): number {
    const z = (value - this.mean.value) / this.spread.value;
    return Number.isNaN(z) ? 0 : Math.max(-MOST, Math.min(MOST, z));
  }

  /** Index of the input for a lead; -1 if there is none, or if its values are forecasts. */
  placeOf(lead: number): number {
    return this.course.length === 0 ? -1 : this.shown.findIndex((one) => 'lead' in one && one.lead === lead);
  }

  /** Scaled difference between the known values at `lead` and `from`. */
  rise(from: number, lead: number): number {
    return this.course[lead - 1] - this.course[from - 1];
  }

  get name(): string {
    return this.source.name;
  }

  /** Whether its current value or a future one is known. */
  get isKnown(): boolean {
    return !Number.isNaN(this.values[0]) || this.course.some((value) => value !== 0);
  }

  persist(io: StateIo): void {
    this.mean.persist(io);
    this.spread.persist(io);
    io.array(this.values);
  }
}

export class Covariates {
  /** Number of inputs per step. */
  readonly inputs: number;
  private readonly aligned: readonly { readonly one: Aligned; readonly offset: number }[];

  /**
   * @param stepMs of the stream's grid
   * @param leads of the stream's forecasts
   * @param holdMs how long a value replaces missing ones after it
   */
  constructor(
    sources: readonly CovariateSource[],
    private readonly stepMs: number,
    leads: number,
    private readonly holdMs: number,
  ) {
    const most = Math.max(2, Math.floor(MAX_INPUTS / Math.max(1, sources.length)));
    let offset = 0;
    this.aligned = sources.map((source) => {
      const list = shown(source, leads, most);
      const one = { one: new Aligned(source, list, leads), offset };
      offset += list.length;
      return one;
    });
    this.inputs = offset;
  }

  /**
   * Computes the inputs known at the end of the bucket that starts at `startMs`. Call once per bucket.
   * @param out [inputs] is written from `from`, all within +-4; 0 if unknown
   */
  look(startMs: number, out: Float32Array, from: number): void {
    for (const { one, offset } of this.aligned)
      one.look(startMs, this.stepMs, this.holdMs, out, from + offset);
  }

  /**
   * Change of a value between lead `from`, where it was learnt, and another lead, due to known future values: a tariff
   * that changes between two knots cannot be interpolated.
   * @param weight of an input, in the value at lead `from`
   */
  rise(from: number, lead: number, weight: (input: number) => number): number {
    let sum = 0;
    for (const { one, offset } of this.aligned) {
      const place = from === lead ? -1 : one.placeOf(from);
      if (place >= 0) sum += weight(offset + place) * one.rise(from, lead);
    }
    return sum;
  }

  /** Names of the covariates that have a value. */
  known(): string[] {
    return this.aligned.filter(({ one }) => one.isKnown).map(({ one }) => one.name);
  }

  persist(io: StateIo): void {
    for (const { one } of this.aligned) one.persist(io);
  }
}
