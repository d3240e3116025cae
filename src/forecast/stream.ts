/**
 * One stream from closed bucket to forecast: fills the gap, makes the features, takes in the network's answer, blends,
 * calibrates, clamps. Holds everything the stream has learnt; the engine only batches.
 */
import { GatecastError } from '../errors.ts';
import { Buckets, type ClosedBucket } from '../series/buckets.ts';
import { zoneOffset } from '../series/calendar.ts';
import { AHEAD, Features, I } from '../series/features.ts';
import { fillValue } from '../series/fill.ts';
import { Memory } from '../series/memory.ts';
import {
  FLAT_LINE,
  MASKED,
  markNames,
  OUT_OF_RANGE,
  Quality,
  REFUSED,
  STUCK,
  TOO_FAST,
} from '../series/quality.ts';
import { type Past, regridded } from '../series/regrid.ts';
import { longestGapMs, MAX_LEADS, type StreamSpec, stateSettings } from '../series/spec.ts';
import type { StateIo } from '../series/state-io.ts';
import { Anomalies, LEAST_SCORE, MOST_SCORE, type Surprise } from './anomalies.ts';
import { Blend } from './blend.ts';
import { kindOf } from './candidates.ts';
import { crossings } from './crossings.ts';
import { LARGE } from './digits.ts';
import type { MarkedBucket, StreamAbout } from './engine-contract.ts';
import { type Forecast, type InputQuality, MEDIAN, Q } from './forecast.ts';
import { limited } from './limits.ts';
import { RecentInputs } from './recent-inputs.ts';
import { Scratches } from './scratch.ts';
import type { Track } from './track.ts';

const QUIET = STUCK | FLAT_LINE;

/** Readings before the network is asked; until then the naive serves. */
const WARM_UP = 4;

/** Places in what a stream keeps of the last bucket. */
const [START, VALUE, OBSERVED, LOW] = [0, 1, 2, 3] as const;
const PATH = LOW + 3;

const NONE = new RecentInputs(0);

export class Stream {
  readonly spec: StreamSpec;
  private readonly scratches: Scratches;
  readonly buckets: Buckets;
  /** Known once the interval is. */
  leads = 0;
  features: Features | null = null;
  /** Interval that the features are made for, ms. */
  private gridMs = 0;
  private blend: Blend | null = null;
  /** [rows, hidden] recurrent state. */
  h: Float32Array;
  private seq = 0;
  /** Whether the bucket had a value that may be learnt from. */
  private observed = false;
  private quality = new Quality();
  private marks = 0;
  /** The newest bucket, where something was found wrong with it. */
  private found: MarkedBucket | null = null;
  private anomalies = new Anomalies();
  /** Improbable buckets since the last forecast: a dropped one has no forecast of its own. */
  private surprises: readonly Surprise[] | null = null;
  /**
   * Start and value of the newest bucket, and the time of the newest reading that counts, ms. What the newest forecast says of
   * the next bucket: p10, p50, p90; NaN before there is one. From PATH on the medians, relative to the origin, of the forecast
   * made at the last observed bucket, for the `model` fill.
   */
  private last: Float64Array = new Float64Array([0, Number.NaN, Number.NaN]);
  private readonly warmUpSteps: number;
  /** Not part of the state: it fills again. */
  recent = NONE;

  /**
   * @param stateSize rows x hidden of the model
   * @param warmUpSteps past inputs to keep for another model
   * @param scratches shared by the streams of an engine
   */
  constructor(spec: StreamSpec, stateSize: number, warmUpSteps = 0, scratches = new Scratches()) {
    this.warmUpSteps = warmUpSteps;
    this.spec = spec;
    this.scratches = scratches;
    this.buckets = new Buckets(spec);
    this.h = new Float32Array(stateSize);
    this.settle();
  }

  /** Builds what depends on the interval as soon as that is known. */
  settle(): boolean {
    const { intervalMs } = this.buckets;
    if (this.features !== null || intervalMs === null) return this.features !== null;
    this.build(intervalMs);
    return true;
  }

  private build(intervalMs: number): void {
    this.gridMs = intervalMs;
    this.leads = Math.max(1, Math.min(MAX_LEADS, Math.ceil(this.spec.horizonMs / intervalMs)));
    const scratch = this.scratches.of(this.leads);
    const memory = new Memory(this.scratches.blockBytes(intervalMs, this.leads));
    this.quality = new Quality(memory);
    this.anomalies = new Anomalies(memory);
    const zone = zoneOffset(this.spec.timeZone);
    this.features = new Features(intervalMs, this.leads, zone, { scratch: scratch.features, memory });
    const { leads, spec } = this;
    this.blend = new Blend(this.features, {
      scratch,
      memory,
      network: this.h.length > 0,
      coverage: spec.coverageTarget,
      covariates: () => this.scratches.covariates.of(spec, intervalMs, leads),
    });
    const last = memory.float64(PATH + leads).fill(Number.NaN);
    for (const at of [START, VALUE, OBSERVED]) last[at] = this.last[at];
    this.last = last;
    this.h = memory.float32(this.h.length);
    this.recent = new RecentInputs(this.warmUpSteps, memory);
    this.scratches.noteBlock(intervalMs, this.leads, memory.used);
  }

  /** Goes on with buckets of another length: the features are made anew from the history, the network starts afresh. */
  private regrid({ startMs, intervalMs }: ClosedBucket): void {
    const old = { features: this.features, intervalMs: this.gridMs, newestMs: this.last[START] };
    this.build(intervalMs);
    if (this.features === null || old.features === null || old.features.steps === 0) return;
    const { origin, experts } = old.features;
    const { history } = experts;
    const before: Past = { reach: history.reach, at: (lag) => history.at(lag) + origin };
    const grid = { intervalMs, newestMs: startMs - intervalMs };
    const past = regridded(before, this.spec.aggregate, old, grid);
    for (const [i, value] of past.values.entries()) {
      this.features.update(past.startMs + i * intervalMs, this.relative(value, this.features), true);
    }
  }

  /** Inputs of the step graph: the past, then every lead. */
  get inputs(): number {
    return I + this.leads * AHEAD;
  }

  /** Goes over to the grid of the bucket that comes next; to be called before it is taken in. */
  align(bucket: ClosedBucket): void {
    if (bucket.intervalMs !== this.gridMs) this.regrid(bucket);
  }

  /**
   * Takes in a closed bucket.
   * @returns false when nothing is to be stepped (a dropped gap, or empty buckets before the first reading)
   */
  advance(bucket: ClosedBucket): boolean {
    const { features } = this;
    const before = this.marks;
    this.marks = 0;
    this.found = null;
    if (features === null) return false;
    this.last[START] = bucket.startMs;
    this.last[VALUE] = bucket.value;
    this.marks = this.judge(bucket, features);
    if (this.marks !== 0) this.found = this.markedBucket(bucket);
    const surprise = this.assess(bucket, features.gapAge, before);
    if (surprise !== null) this.surprises = [...(this.surprises ?? []), surprise];
    this.observed = !Number.isNaN(bucket.value) && (this.marks & MASKED) === 0;
    if (this.observed) this.last[OBSERVED] = bucket.observedMs;
    const age = features.gapAge;
    const value = this.observed
      ? this.relative(bucket.value, features)
      : fillValue(this.spec.fill, features, age < this.leads ? this.last[PATH + age] : Number.NaN);
    if (Number.isNaN(value)) return false;
    this.blend?.observe(value, this.observed);
    features.update(bucket.startMs, value, this.observed);
    this.blend?.look(bucket.startMs);
    return true;
  }

  /**
   * Relative to a whole number near the first reading where that is large: features and track keep values in single
   * precision, which would lose small changes on a large offset.
   */
  private relative(value: number, features: Features): number {
    if (features.steps === 0) features.origin = Math.abs(value) < LARGE ? 0 : Math.round(value);
    return value - features.origin;
  }

  /** What is wrong with a bucket's value, measured against what the experts expected of it. */
  private judge({ value, tooFast, outOfRange }: ClosedBucket, features: Features): number {
    const marks = (tooFast.length > 0 ? TOO_FAST : 0) | (outOfRange > 0 ? OUT_OF_RANGE : 0);
    if (Number.isNaN(value) || this.spec.quality === false) return marks;
    const expected = { point: features.anchor[0] + features.origin, error: features.scale[0] };
    return marks | this.quality.judge(value, expected, features.gapAge);
  }

  /** The published forecast's own view of the bucket; a sensor that is stuck is told of when it is found out, once. */
  private assess({ startMs, value }: ClosedBucket, age: number, marksBefore: number): Surprise | null {
    const expected = this.outlooked;
    if (Number.isNaN(value) || expected === null) return null;
    const quiet = (this.marks & QUIET) !== 0;
    if (quiet && (marksBefore & QUIET) !== 0) return null;
    const score = quiet
      ? Math.min(MOST_SCORE, this.quality.quietScore)
      : this.anomalies.score(value, expected, age);
    if (!quiet && age === 0) this.anomalies.learn(value, expected);
    return score < LEAST_SCORE ? null : { timeMs: startMs, observed: value, ...expected, score };
  }

  /** What the forecast before this bucket said of it. */
  private get outlooked(): NonNullable<Forecast['expected']> | null {
    const [low, p50, high] = this.last.subarray(LOW, PATH);
    return Number.isNaN(p50) ? null : { low, p50, high };
  }

  /** What was found wrong with the last bucket; null for a good one. */
  get marked(): MarkedBucket | null {
    return this.found;
  }

  private markedBucket({ startMs, intervalMs, timesMs, tooFast }: ClosedBucket): MarkedBucket {
    const marks = this.marks & ~REFUSED;
    return { stream: this.spec.name, startMs, intervalMs, timesMs, marks, tooFastMs: tooFast };
  }

  /** Whether the network is to be asked in this step. */
  get warm(): boolean {
    return this.features !== null && this.features.observations >= WARM_UP;
  }

  /** Writes the network's inputs, [inputs], from `offset`. */
  writeInputs(x: Float32Array, offset: number): void {
    const features = this.features;
    if (features === null) return;
    features.past(x, offset);
    this.recent.add(x, offset);
    for (let k = 0; k < this.leads; k++) features.ahead(k, x, offset + I + k * AHEAD);
  }

  /**
   * @param raw the network's answer [leads, 9] from `offset`; null when it was not asked
   */
  finish(raw: Float32Array | null, offset: number): Forecast {
    const { features, blend, last, gridMs: stepMs } = this;
    if (features === null || blend === null) throw new Error('a forecast before the interval is known');
    const { origin } = features;
    const out = new Float64Array(this.leads * Q);
    const allowed = (value: number): number => limited(value + origin, this.spec, features) - origin;
    const network = blend.forecast(raw, offset, this.observed, allowed, out);
    if (raw !== null && !network) this.h.fill(0);
    if (this.observed || Number.isNaN(last[PATH])) {
      for (let k = 0; k < this.leads; k++) last[PATH + k] = out[k * Q + MEDIAN];
    }
    // Again: taking the origin away and adding it may have rounded a value over its limit.
    for (let i = 0; i < out.length; i++) out[i] = limited(out[i] + origin, this.spec, features);
    const expected = this.outlooked;
    last[LOW] = out[0];
    last[LOW + 1] = out[MEDIAN];
    last[LOW + 2] = out[Q - 1];
    const [originMs, value, observedMs] = [last[START], last[VALUE], last[OBSERVED]];
    const endMs = originMs + stepMs;
    const { surprises } = this;
    this.surprises = null;
    const coverage = blend.track.coverage();
    return {
      stream: this.spec.name,
      unit: this.spec.unit,
      originMs,
      stepMs,
      seq: this.seq++,
      leads: this.leads,
      quantiles: out,
      kind: kindOf(blend.track.meanWeights(), network, this.warm),
      input: {
        quality: this.inputQuality(endMs),
        ...(this.marks === 0 ? {} : { marks: markNames(this.marks) }),
        observedMs: Number.isNaN(observedMs) ? null : observedMs,
        ageMs: Number.isNaN(observedMs) ? null : Math.max(0, endMs - observedMs),
      },
      coverage: { target: this.spec.coverageTarget, observed: coverage.observed, n: coverage.n },
      crossings: crossings(this.spec.thresholds, out, this.leads, originMs, stepMs, this.spec.coverageTarget),
      observed: Number.isNaN(value) ? null : value,
      expected,
      ...(surprises === null ? {} : { surprises }),
    };
  }

  private inputQuality(endMs: number): InputQuality {
    if (this.observed) return 'good';
    return endMs - this.last[OBSERVED] > longestGapMs(this.spec, this.gridMs) ? 'stale' : 'filled';
  }

  get scores(): ReturnType<Track['scores']> {
    return this.blend?.track.scores() ?? [];
  }

  get about(): StreamAbout {
    const observedMs = this.last[OBSERVED];
    return {
      intervalMs: this.gridMs,
      horizonSteps: this.leads,
      buckets: this.features?.steps ?? 0,
      observedMs: Number.isNaN(observedMs) ? null : observedMs,
      unit: this.spec.unit,
      scores: this.scores,
    };
  }

  get networkScores(): ReturnType<Track['networkScores']> {
    return this.blend?.track.networkScores() ?? [];
  }

  /** Goes on from a state of another network. @param h [rows, hidden] */
  takeState(h: Float32Array): void {
    if (h.length === this.h.length) this.h.set(h);
    else this.h = h;
  }

  /** From here on another network answers. */
  beginTrial(): void {
    this.blend?.switchNetwork();
  }

  get lastObservedMs(): number | null {
    return Number.isNaN(this.buckets.lastObservedMs) ? null : this.buckets.lastObservedMs;
  }

  /** @throws GatecastError STATE_MISMATCH when the state was made with other settings, or is damaged */
  persist(io: StateIo): void {
    const settings = stateSettings(this.spec);
    if (io.number(settings) !== settings) {
      throw new GatecastError(
        'STATE_MISMATCH',
        `The state of ${this.spec.name} was made with other settings.`,
        { hint: 'It is rebuilt from stored samples.' },
      );
    }
    this.buckets.persist(io);
    if (!this.settle()) return;
    this.features?.persist(io);
    this.quality.persist(io);
    this.marks = io.number(this.marks);
    this.anomalies.persist(io);
    this.blend?.persist(io);
    io.array(this.h);
    io.array(this.last);
    this.seq = io.number(this.seq);
    this.scratches.covariates.persist(this.spec.name, io);
  }
}
