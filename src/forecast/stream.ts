/**
 * One stream from sample to forecast: its buckets, its step (`stream-step.ts`), its recurrent state, and the parts
 * of a forecast other than its quantiles: marks, anomalies, crossings, scores. Holds everything the stream has learnt;
 * the engine only batches.
 */
import { GatecastError } from '../errors.ts';
import { MEDIAN, Q } from '../quantiles.ts';
import { Buckets, type ClosedBucket } from '../series/buckets.ts';
import type { Features } from '../series/features.ts';
import { FLAT_LINE, markNames, REFUSED, STUCK } from '../series/quality.ts';
import { type Past, regridded } from '../series/regrid.ts';
import { longestGapMs, MAX_LEADS, type StreamSpec, stateSettings } from '../series/spec.ts';
import { type StateIo, StateReader, StateWriter } from '../series/state-io.ts';
import { type Anomaly, LEAST_SCORE, MOST_SCORE } from './anomalies.ts';
import { kindOf } from './candidates.ts';
import { CovariateBook } from './covariate-book.ts';
import { CovariateChoice } from './covariate-choice.ts';
import { crossings } from './crossings.ts';
import type { MarkedBucket, StreamAbout } from './engine-contract.ts';
import type { Forecast, InputQuality } from './forecast.ts';
import { LOW, type Neighbours, OBSERVED, START, type StreamParts, VALUE } from './parts.ts';
import { isPackable, type PartsPool, PartsPools } from './parts-pool.ts';
import { RecentInputs } from './recent-inputs.ts';
import { Relatives } from './relatives.ts';
import type { StreamStep } from './stream-step.ts';
import type { Track } from './track.ts';

const QUIET = STUCK | FLAT_LINE;

const NO_STATE = Float32Array.of();
const NO_INPUTS = new RecentInputs(0);

/** What the streams of an engine share. */
export class StreamShares implements Neighbours {
  /** Whether forecasts carry their provenance. */
  showProvenance = false;
  readonly covariates = new CovariateBook();
  readonly relatives = new Relatives();

  /** @param pools also of other engines */
  constructor(readonly pools = new PartsPools()) {}
}

export class Stream {
  /** The settings that the stream was made with. */
  readonly configured: StreamSpec;
  /** Chooses covariates; null unless the settings ask for it. */
  readonly choice: CovariateChoice | null;
  private readonly shares: StreamShares;
  readonly buckets: Buckets;
  /** Whether a reading has arrived since buckets were last closed. */
  isNews = true;
  /** Place among the streams of the engine that stand alone. */
  place = -1;
  /** `buckets.dueMs` at that time. */
  private knownDueMs: number | null = null;
  /** Number of leads; 0 until the interval is known. */
  leads = 0;
  /** What steps the stream, once the interval is known; null also while the stream is packed. */
  private parts: StreamParts | null = null;
  private packed: Int32Array | null = null;
  private pool: PartsPool | null = null;
  /** Closed buckets so far, of a packed stream. */
  private packedBuckets = 0;
  /** Interval of the parts, ms. */
  private gridMs = 0;
  private seq = 0;
  /** Whether the network's last output was unusable. */
  diverged = false;
  /** The newest bucket if it has quality marks. */
  private found: MarkedBucket | null = null;
  /** Improbable buckets since the last forecast: a dropped bucket has no forecast of its own. */
  private anomalies: readonly Anomaly[] | null = null;
  private readonly warmUpSteps: number;

  /**
   * @param stateSize rows x hidden of the model
   * @param warmUpSteps past inputs to keep for another model
   * @param shares of all streams of an engine
   */
  constructor(
    /** The settings, with the covariates that are in use now. */
    public spec: StreamSpec,
    private stateSize: number,
    warmUpSteps: number,
    shares: StreamShares,
  ) {
    this.warmUpSteps = warmUpSteps;
    this.configured = spec;
    this.choice = spec.findsCovariates === true ? new CovariateChoice() : null;
    this.shares = shares;
    this.buckets = new Buckets(spec);
    this.settle();
  }

  /** The parts, unpacked; null until the interval is known. */
  private get own(): StreamParts | null {
    if (this.parts === null && this.packed !== null && this.pool !== null)
      this.parts = this.pool.unpack(this.spec, this.packed, this.shares);
    return this.parts;
  }

  /** Null until the interval is known. */
  get step(): StreamStep | null {
    return this.own?.step ?? null;
  }

  /** [rows, hidden] recurrent state. */
  get h(): Float32Array {
    return this.own?.h ?? NO_STATE;
  }

  get recent(): RecentInputs {
    return this.own?.recent ?? NO_INPUTS;
  }

  /** Whether only the numbers are kept now. */
  get isPacked(): boolean {
    return this.packed !== null && this.parts === null;
  }

  /** Keeps only the numbers until the next step, so that other streams can use the parts. */
  pack(): void {
    const { parts, pool } = this;
    if (parts === null || pool === null || !isPackable(this.spec)) return;
    this.packed = pool.pack(parts, this.packed);
    if (this.packed === null) return;
    this.packedBuckets = parts.step.features.steps;
    this.parts = null;
    pool.giveBack(parts);
  }

  /** Whether `close` can close a bucket: after a new reading, or by the clock. */
  mayClose(nowMs: number | null): boolean {
    const { buckets, knownDueMs } = this;
    if (this.isNews || buckets.behind || buckets.intervalMs === null) return true;
    // One millisecond of tolerance, because the sum may be rounded.
    return nowMs !== null && knownDueMs !== null && nowMs >= knownDueMs - 1;
  }

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
    if (this.pool !== null || intervalMs === null) return this.pool !== null;
    this.build(intervalMs);
    return true;
  }

  /** Uses other streams as covariates from the next step on. Everything else that the stream has learnt stays. */
  useCovariates(names: readonly string[]): void {
    const { own, gridMs, leads } = this;
    this.spec = { ...this.configured, covariates: names.map((name) => ({ kind: 'stream', name })) };
    own?.step.blend?.useCovariates(this.shares.covariates.of(this.spec, gridMs, leads));
  }

  private build(intervalMs: number): StreamParts {
    const { spec, stateSize, warmUpSteps } = this;
    this.gridMs = intervalMs;
    this.leads = Math.max(1, Math.min(MAX_LEADS, Math.ceil(spec.horizonMs / intervalMs)));
    const layout = { intervalMs, leads: this.leads, stateSize, warmUpSteps };
    this.pool = this.shares.pools.of(spec, layout);
    this.packed = null;
    this.parts = this.pool.take(spec, this.shares);
    return this.parts;
  }

  /** Changes the bucket length: rebuilds the features from the history and resets the network's state. */
  private regrid({ startMs, intervalMs, value }: ClosedBucket): void {
    const before = this.own;
    const oldMs = this.gridMs;
    const { step, last } = this.build(intervalMs);
    if (before === null) return;
    for (const at of [START, VALUE, OBSERVED]) last[at] = before.last[at];
    const { features } = before.step;
    if (features.steps === 0) return;
    const old = { intervalMs: oldMs, newestMs: last[START] };
    const { history } = features.experts;
    const past: Past = { reach: history.reach, at: (lag) => before.step.toUnit(history.at(lag)) };
    const grid = { intervalMs, newestMs: startMs - intervalMs };
    const again = regridded(past, this.spec.aggregate, old, grid);
    if (features.line.outgrown(value)) step.features.line.fit(value);
    for (const [i, one] of again.values.entries()) step.seed(again.startMs + i * intervalMs, one);
  }

  get features(): Features | null {
    return this.step?.features ?? null;
  }

  /** Start of the newest bucket, ms; 0 before the first. */
  get newestMs(): number {
    return this.own?.last[START] ?? 0;
  }

  /** Closed buckets so far, including filled ones. */
  get bucketsSeen(): number {
    return this.isPacked ? this.packedBuckets : (this.features?.steps ?? 0);
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
    this.found = null;
    const parts = this.own;
    if (parts === null) return false;
    const { step, last } = parts;
    const before = step.marks;
    const age = step.features.gapAge;
    last[START] = bucket.startMs;
    last[VALUE] = bucket.value;
    const stepped = step.take(bucket);
    if (step.marks !== 0) this.found = this.markedBucket(bucket, step.marks);
    const anomaly = this.assess(bucket, parts, age, before);
    if (anomaly !== null) this.anomalies = [...(this.anomalies ?? []), anomaly];
    if (step.observed) last[OBSERVED] = bucket.observedMs;
    return stepped;
  }

  /** Scores the bucket under the published forecast; a stuck sensor is reported once, when it is detected. */
  private assess(
    { startMs, value: bucketValue }: ClosedBucket,
    parts: StreamParts,
    age: number,
    marksBefore: number,
  ): Anomaly | null {
    const { marks, quality, features } = parts.step;
    const expected = expectation(parts);
    if (Number.isNaN(bucketValue) || expected === null) return null;
    const value = features.line.near(bucketValue, expected.p50);
    const quiet = (marks & QUIET) !== 0;
    if (quiet && (marksBefore & QUIET) !== 0) return null;
    const score = quiet
      ? Math.min(MOST_SCORE, quality.quietScore)
      : parts.anomalies.score(value, expected, age);
    if (!quiet && age === 0) parts.anomalies.learn(value, expected);
    return score < LEAST_SCORE ? null : { timeMs: startMs, observed: value, ...expected, score };
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
    const parts = this.own;
    if (parts === null) return;
    parts.step.writeInputs(x, offset);
    parts.recent.add(x, offset);
  }

  /**
   * @param raw the network's output [leads, 9] from `offset`; null if it was not run
   * @param rawOwn the own network's output; null if there is none
   */
  finish(raw: Float32Array | null, rawOwn: Float32Array | null, offset: number): Forecast {
    const parts = this.own;
    const { gridMs: stepMs } = this;
    if (parts === null || parts.step.blend === null)
      throw new Error('a forecast before the interval is known');
    const { step, last } = parts;
    const { track } = parts.step.blend;
    const out = new Float64Array(this.leads * Q);
    const network = step.forecast(raw, rawOwn, offset, out);
    this.diverged = raw !== null && !network;
    if (this.diverged) parts.h.fill(0);
    const expected = expectation(parts);
    last[LOW] = out[0];
    last[LOW + 1] = out[MEDIAN];
    last[LOW + 2] = out[Q - 1];
    const originMs = last[START];
    const value = last[VALUE];
    const observedMs = last[OBSERVED];
    const endMs = originMs + stepMs;
    const { anomalies } = this;
    this.anomalies = null;
    const coverage = track.coverage();
    const provenance = this.shares.showProvenance ? step.provenance() : null;
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
        quality: this.inputQuality(step.observed, endMs - observedMs),
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
      ...(anomalies === null ? {} : { anomalies }),
      ...(provenance === null ? {} : { provenance }),
    };
  }

  /** @param ageMs time since the newest reading, ms; NaN: there is none */
  private inputQuality(observed: boolean, ageMs: number): InputQuality {
    if (observed) return 'good';
    return ageMs > longestGapMs(this.spec, this.gridMs) ? 'stale' : 'filled';
  }

  get scores(): ReturnType<Track['scores']> {
    const { step } = this;
    return step?.blend?.track.scores(step.features.line.sizeInUnit(1)) ?? [];
  }

  get about(): StreamAbout {
    const observedMs = this.own?.last[OBSERVED] ?? Number.NaN;
    return {
      intervalMs: this.gridMs,
      horizonSteps: this.leads,
      buckets: this.bucketsSeen,
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
    this.stateSize = h.length;
    const before = this.own;
    if (before === null) return;
    const { rows, numbers } = kept ?? { rows: 1, numbers: 0 };
    const [former, wanted] = [before.h.length / rows, h.length / rows];
    for (let row = 0; row < rows; row++)
      h.set(before.h.subarray(row * former, row * former + numbers), row * wanted);
    // A stream without a network has no correction that could be copied: it keeps its parts, and is not packed.
    if (before.h.length === 0) before.h = h;
    else this.partsFor(h.length, before).h.set(h);
  }

  /** Parts for another size of the recurrent state, with everything else that `before` has learnt. */
  private partsFor(stateSize: number, before: StreamParts): StreamParts {
    if (stateSize === before.h.length) return before;
    const writer = new StateWriter();
    before.persist(writer);
    const parts = this.build(this.gridMs);
    parts.persist(new StateReader(writer.finish()));
    parts.last.set(before.last);
    parts.recent.copy(before.recent);
    return parts;
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
    if (this.choice !== null) {
      this.choice.persist(io);
      if (io.reading) this.useCovariates(this.choice.names);
    }
    const parts = this.own;
    if (parts === null) return;
    parts.persist(io);
    io.array(parts.h);
    io.array(parts.last);
    this.seq = io.number(this.seq);
    this.shares.covariates.persist(this.spec.name, io);
  }
}

/** The previous forecast for the newest bucket. */
function expectation({ last }: StreamParts): NonNullable<Forecast['expected']> | null {
  const p50 = last[LOW + 1];
  return Number.isNaN(p50) ? null : { low: last[LOW], p50, high: last[LOW + 2] };
}
