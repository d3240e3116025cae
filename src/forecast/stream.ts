/**
 * One stream from sample to forecast: its buckets, its step (`stream-step.ts`), its recurrent state, and the parts
 * of a forecast other than its quantiles: marks, anomalies, crossings, scores. Holds everything the stream has learnt;
 * the engine only batches.
 */
import { GatecastError } from '../errors.ts';
import { MEDIAN, Q } from '../quantiles.ts';
import { ArrayBlock } from '../series/array-block.ts';
import { Buckets, type ClosedBucket } from '../series/buckets.ts';
import type { Features } from '../series/features.ts';
import { FLAT_LINE, markNames, REFUSED, STUCK } from '../series/quality.ts';
import { type Past, regridded } from '../series/regrid.ts';
import { longestGapMs, MAX_LEADS, type StreamSpec, stateSettings } from '../series/spec.ts';
import type { StateIo } from '../series/state-io.ts';
import { Anomalies, LEAST_SCORE, MOST_SCORE, type Surprise } from './anomalies.ts';
import { kindOf } from './candidates.ts';
import { crossings } from './crossings.ts';
import type { MarkedBucket, StreamAbout } from './engine-contract.ts';
import type { Forecast, InputQuality } from './forecast.ts';
import { RecentInputs } from './recent-inputs.ts';
import { Scratches } from './scratch.ts';
import { StreamStep } from './stream-step.ts';
import type { Track } from './track.ts';

const QUIET = STUCK | FLAT_LINE;

/** Indices in `last`. */
const [START, VALUE, OBSERVED, LOW] = [0, 1, 2, 3] as const;
const PATH = LOW + 3;

const NONE = new RecentInputs(0);

export class Stream {
  readonly spec: StreamSpec;
  private readonly scratches: Scratches;
  readonly buckets: Buckets;
  /** Whether a reading has arrived since buckets were last closed. */
  isNews = true;
  /** `buckets.dueMs` at that time. */
  private knownDueMs: number | null = null;
  /** Number of leads; 0 until the interval is known. */
  leads = 0;
  step: StreamStep | null = null;
  /** Interval of `step`, ms. */
  private gridMs = 0;
  /** [rows, hidden] recurrent state. */
  h: Float32Array;
  private seq = 0;
  /** Whether the network's last output was unusable. */
  diverged = false;
  /** The newest bucket if it has quality marks. */
  private found: MarkedBucket | null = null;
  private anomalies = new Anomalies();
  /** Improbable buckets since the last forecast: a dropped bucket has no forecast of its own. */
  private surprises: readonly Surprise[] | null = null;
  /**
   * Start and value of the newest bucket, and the time of the newest accepted reading, ms. Then the newest forecast for
   * the next bucket: p10, p50, p90; NaN if there is none. From PATH on, the medians (relative to the origin) of the forecast
   * made at the last observed bucket, for the `model` fill.
   */
  private last: Float64Array = new Float64Array([0, Number.NaN, Number.NaN]);
  private readonly warmUpSteps: number;
  /** Not part of the saved state: it is refilled by new steps. */
  recent = NONE;

  /**
   * @param stateSize rows x hidden of the model
   * @param warmUpSteps past inputs to keep for another model
   * @param scratches shared by all streams of an engine
   */
  constructor(spec: StreamSpec, stateSize: number, warmUpSteps = 0, scratches = new Scratches()) {
    this.warmUpSteps = warmUpSteps;
    this.spec = spec;
    this.scratches = scratches;
    this.buckets = new Buckets(spec);
    this.h = new Float32Array(stateSize);
    this.settle();
  }

  /** Whether `close` can close a bucket: after a new reading, or by the clock. */
  mayClose(nowMs: number | null): boolean {
    const { buckets, knownDueMs } = this;
    if (this.isNews || buckets.behind || buckets.intervalMs === null) return true;
    // One millisecond of tolerance, because the sum may be rounded.
    return nowMs !== null && knownDueMs !== null && nowMs >= knownDueMs - 1;
  }

  /** See `Buckets.close`. */
  close(nowMs: number | null, most?: number): readonly ClosedBucket[] {
    const closed = this.buckets.close(nowMs, most);
    this.isNews = false;
    this.knownDueMs = this.buckets.dueMs();
    return closed;
  }

  /** Wall-clock time at which the next bucket closes by the clock, ms; null if none does. */
  get dueMs(): number | null {
    return this.isNews ? this.buckets.dueMs() : this.knownDueMs;
  }

  /** Creates everything that depends on the interval, once the interval is known. */
  settle(): boolean {
    const { intervalMs } = this.buckets;
    if (this.step !== null || intervalMs === null) return this.step !== null;
    this.build(intervalMs);
    return true;
  }

  private build(intervalMs: number): void {
    this.gridMs = intervalMs;
    this.leads = Math.max(1, Math.min(MAX_LEADS, Math.ceil(this.spec.horizonMs / intervalMs)));
    const { leads, spec } = this;
    const memory = new ArrayBlock(this.scratches.blockBytes(intervalMs, leads));
    this.anomalies = new Anomalies(memory);
    const last = memory.float64(PATH + leads).fill(Number.NaN);
    for (const at of [START, VALUE, OBSERVED]) last[at] = this.last[at];
    this.last = last;
    const grid = { intervalMs, leads };
    this.step = new StreamStep(spec, grid, {
      scratch: this.scratches.of(leads),
      memory,
      path: last.subarray(PATH),
      forecasts: {
        network: this.h.length > 0,
        covariates: () => this.scratches.covariates.of(spec, intervalMs, leads),
      },
    });
    this.h = memory.float32(this.h.length);
    this.recent = new RecentInputs(this.warmUpSteps, memory);
    this.scratches.noteBlock(intervalMs, this.leads, memory.used);
  }

  /** Changes the bucket length: rebuilds the features from the history and resets the network's state. */
  private regrid({ startMs, intervalMs, value }: ClosedBucket): void {
    const old = { intervalMs: this.gridMs, newestMs: this.last[START] };
    const before = this.step;
    this.build(intervalMs);
    if (this.step === null || before === null || before.features.steps === 0) return;
    const { history } = before.features.experts;
    const past: Past = { reach: history.reach, at: (lag) => before.toUnit(history.at(lag)) };
    const grid = { intervalMs, newestMs: startMs - intervalMs };
    const again = regridded(past, this.spec.aggregate, old, grid);
    if (before.features.line.outgrown(value)) this.step.features.line.fit(value);
    for (const [i, one] of again.values.entries()) this.step.seed(again.startMs + i * intervalMs, one);
  }

  get features(): Features | null {
    return this.step?.features ?? null;
  }

  /** Changes to the grid of the next bucket. Call before `advance`. */
  align(bucket: ClosedBucket): void {
    const outgrown = this.features?.line.outgrown(bucket.value) === true;
    if (bucket.intervalMs !== this.gridMs || outgrown) this.regrid(bucket);
  }

  /**
   * Processes a closed bucket.
   * @returns false if there is no step (a dropped gap, or empty buckets before the first reading)
   */
  advance(bucket: ClosedBucket): boolean {
    const { step, last } = this;
    this.found = null;
    if (step === null) return false;
    const before = step.marks;
    const age = step.features.gapAge;
    last[START] = bucket.startMs;
    last[VALUE] = bucket.value;
    const stepped = step.take(bucket);
    if (step.marks !== 0) this.found = this.markedBucket(bucket, step.marks);
    const surprise = this.assess(bucket, step, age, before);
    if (surprise !== null) this.surprises = [...(this.surprises ?? []), surprise];
    if (step.observed) last[OBSERVED] = bucket.observedMs;
    return stepped;
  }

  /** Scores the bucket under the published forecast; a stuck sensor is reported once, when it is detected. */
  private assess(
    { startMs, value: bucketValue }: ClosedBucket,
    { marks, quality, features }: StreamStep,
    age: number,
    marksBefore: number,
  ): Surprise | null {
    const expected = this.expectation;
    if (Number.isNaN(bucketValue) || expected === null) return null;
    const value = features.line.near(bucketValue, expected.p50);
    const quiet = (marks & QUIET) !== 0;
    if (quiet && (marksBefore & QUIET) !== 0) return null;
    const score = quiet
      ? Math.min(MOST_SCORE, quality.quietScore)
      : this.anomalies.score(value, expected, age);
    if (!quiet && age === 0) this.anomalies.learn(value, expected);
    return score < LEAST_SCORE ? null : { timeMs: startMs, observed: value, ...expected, score };
  }

  /** The previous forecast for this bucket. */
  private get expectation(): NonNullable<Forecast['expected']> | null {
    const { last } = this;
    const p50 = last[LOW + 1];
    return Number.isNaN(p50) ? null : { low: last[LOW], p50, high: last[LOW + 2] };
  }

  /** The last bucket with its marks; null if it has none. */
  get marked(): MarkedBucket | null {
    return this.found;
  }

  private markedBucket({ startMs, intervalMs, timesMs, tooFast }: ClosedBucket, marks: number): MarkedBucket {
    return {
      stream: this.spec.name,
      startMs,
      intervalMs,
      timesMs,
      marks: marks & ~REFUSED,
      tooFastMs: tooFast,
    };
  }

  /** Whether the network runs in this step. */
  get warm(): boolean {
    return this.step?.warm === true;
  }

  /** Writes the network's inputs, [inputs], from `offset`. */
  writeInputs(x: Float32Array, offset: number): void {
    if (this.step === null) return;
    this.step.writeInputs(x, offset);
    this.recent.add(x, offset);
  }

  /**
   * @param raw the network's output [leads, 9] from `offset`; null if it was not run
   * @param rawOwn the own network's output; null if there is none
   */
  finish(raw: Float32Array | null, rawOwn: Float32Array | null, offset: number): Forecast {
    const { step, last, gridMs: stepMs } = this;
    if (step === null || step.blend === null) throw new Error('a forecast before the interval is known');
    const out = new Float64Array(this.leads * Q);
    const network = step.forecast(raw, rawOwn, offset, out);
    this.diverged = raw !== null && !network;
    if (this.diverged) this.h.fill(0);
    const expected = this.expectation;
    last[LOW] = out[0];
    last[LOW + 1] = out[MEDIAN];
    last[LOW + 2] = out[Q - 1];
    const originMs = last[START];
    const value = last[VALUE];
    const observedMs = last[OBSERVED];
    const endMs = originMs + stepMs;
    const { surprises } = this;
    this.surprises = null;
    const { track } = step.blend;
    const coverage = track.coverage();
    const provenance = this.scratches.showProvenance ? step.provenance() : null;
    return {
      stream: this.spec.name,
      unit: this.spec.unit,
      originMs,
      stepMs,
      seq: this.seq++,
      leads: this.leads,
      quantiles: out,
      kind: kindOf(track.meanWeights(), network, this.warm),
      input: {
        quality: this.inputQuality(step.observed, endMs),
        ...(step.marks === 0 ? {} : { marks: markNames(step.marks) }),
        observedMs: Number.isNaN(observedMs) ? null : observedMs,
        ageMs: Number.isNaN(observedMs) ? null : Math.max(0, endMs - observedMs),
      },
      coverage: { target: this.spec.coverageTarget, observed: coverage.observed, n: coverage.n },
      crossings: crossings(
        this.spec.thresholds,
        out,
        this.leads,
        originMs,
        stepMs,
        this.spec.coverageTarget,
        (k) => track.scored(k),
      ),
      observed: Number.isNaN(value) ? null : value,
      expected,
      ...(surprises === null ? {} : { surprises }),
      ...(provenance === null ? {} : { provenance }),
    };
  }

  private inputQuality(observed: boolean, endMs: number): InputQuality {
    if (observed) return 'good';
    return endMs - this.last[OBSERVED] > longestGapMs(this.spec, this.gridMs) ? 'stale' : 'filled';
  }

  get scores(): ReturnType<Track['scores']> {
    return this.step?.blend?.track.scores() ?? [];
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
    return this.step?.blend?.track.networkScores() ?? [];
  }

  /**
   * Replaces the recurrent state with one from another model.
   * @param h [rows, hidden]
   * @param kept the part of the current state to keep: the first `numbers` of each of its `rows` rows; default: none
   */
  takeState(h: Float32Array, kept?: { readonly rows: number; readonly numbers: number }): void {
    const { rows, numbers } = kept ?? { rows: 1, numbers: 0 };
    const [before, after] = [this.h.length / rows, h.length / rows];
    for (let row = 0; row < rows; row++)
      h.set(this.h.subarray(row * before, row * before + numbers), row * after);
    if (h.length === this.h.length) this.h.set(h);
    else this.h = h;
  }

  /** Starts the scores of a new network; see `Blend.switchNetwork`. */
  beginTrial(sameBase: boolean): void {
    this.step?.blend?.switchNetwork(sameBase);
  }

  get lastObservedMs(): number | null {
    return Number.isNaN(this.buckets.lastObservedMs) ? null : this.buckets.lastObservedMs;
  }

  /** @throws GatecastError STATE_MISMATCH if the state was made with other settings or is damaged */
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
    this.settle();
    const { step } = this;
    if (step === null) return;
    step.features.persist(io);
    step.quality.persist(io);
    step.marks = io.number(step.marks);
    this.anomalies.persist(io);
    step.blend?.persist(io);
    io.array(this.h);
    io.array(this.last);
    this.seq = io.number(this.seq);
    this.scratches.covariates.persist(this.spec.name, io);
  }
}
