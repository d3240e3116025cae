/**
 * The forecasting engine: many streams, one network, one batched run for all due streams. Pure: the caller passes in
 * samples and time. Backtest and daemon run this same code.
 */
import { errorText, GatecastError } from '../errors.ts';
import type { StepAnswer } from '../model/stepper.ts';
import { Q } from '../quantiles.ts';
import type { ClosedBucket } from '../series/buckets.ts';
import type { TablePoint } from '../series/covariate-sources.ts';
import { FEATURE_FORMAT } from '../series/features.ts';
import type { Sample } from '../series/sample.ts';
import type { CovariateName, StreamSpec } from '../series/spec.ts';
import { StateReader, StateWriter } from '../series/state-io.ts';
import type { CovariateBook } from './covariate-book.ts';
import { CovariateSearch } from './covariate-search.ts';
import { type Due, type DueGroup, earliest, groupsOf } from './due.ts';
import type {
  ForecastEngine,
  MarkedBucket,
  PushOutcome,
  StreamSnapshot,
  StreamView,
  TickPace,
} from './engine-contract.ts';
import type { ForecastExplanation } from './explanation.ts';
import { type Forecast, withAnomalies } from './forecast.ts';
import type { Model } from './model.ts';
import type { PartsPools } from './parts-pool.ts';
import type { Told } from './relatives.ts';
import { MAX_BATCH, type StepBatch, StepBatches } from './step-batches.ts';
import { Stream, StreamShares } from './stream.ts';
import type { StreamStep } from './stream-step.ts';
import type { LeadScore, NetworkScore } from './track.ts';
import { warmUp } from './warm-up.ts';

/** Version of everything `Stream.persist` writes; part of the hash that guards a snapshot. */
const STATE_FORMAT = 25;

interface StreamLists {
  /** By horizon. */
  readonly alone: readonly Stream[];
  /** Streams of which one names the other as a covariate. */
  readonly linked: readonly Stream[];
}

function listsOf(streams: readonly Stream[], covariates: CovariateBook): StreamLists {
  const isLinked = ({ spec }: Stream): boolean => covariates.joins(spec);
  const alone = streams.filter((stream) => !isLinked(stream)).sort((a, b) => a.leads - b.leads);
  for (const [place, stream] of alone.entries()) stream.place = place;
  return { alone, linked: streams.filter(isLinked) };
}

interface EngineOptions {
  /** Past inputs kept for each stream, so that another model can be warmed up on them; 0: models are not changed. */
  readonly warmUpSteps?: number;
  /** With more streams than this, those that wait for their next bucket are packed (`parts-pool.ts`); default: never. */
  readonly packAbove?: number;
  /** Shared with engines that step before or after this one, never meanwhile; default: of its own. */
  readonly pools?: PartsPools;
  readonly watch?: EngineWatch;
}

/** Observes every step, for training and for the gate; called while the scratch buffers still belong to this step. */
export interface EngineWatch {
  /** A bucket has been processed. @param x [inputs] from `offset`, the network's inputs; null if it is not run */
  stepped?(stream: string, step: StreamStep, startMs: number, x: Float32Array | null, offset: number): void;
  /** @param diverged the network's output was unusable, so the other forecasters were used */
  forecast?(forecast: Forecast, diverged: boolean): void;
}

export class Engine implements ForecastEngine {
  private readonly warmUpSteps: number;
  private readonly watch: EngineWatch;
  /** Number of failed runs of the network, and the last cause; the naive forecasters were used instead. */
  failures = 0;
  lastFailure: string | null = null;
  private readonly byName = new Map<string, Stream>();
  /** The streams as lists, which every round reads twice; null after a change. */
  private lists: StreamLists | null = null;
  /** Position in these lists where the last tick ended early, and the next one begins. */
  private cursor = 0;
  /** Streams with readings since the last tick. */
  private news: Stream[] = [];
  /** The other streams that stand alone close no bucket before this, ms; -Infinity: unknown. */
  private quietUntilMs = Number.NEGATIVE_INFINITY;
  /** Streams with closed buckets that were not stepped because the agent is stopping; null: it is not. */
  private left: ReadonlySet<Stream> | null = null;
  /** Buffer of the last snapshot, for the next one. */
  private written: Uint8Array<ArrayBuffer> | undefined;
  private found: MarkedBucket[] = [];
  /** Newest forecasts of the streams that did not catch up in the last tick: not published, but their anomalies are passed on. */
  private readonly held = new Map<string, Forecast>();
  /** See `ForecastEngine`. */
  behind = false;
  /** Wall clock of the last tick, ms. */
  private tickedMs: number | null = null;
  private readonly shares: StreamShares;
  private readonly packAbove: number;
  private readonly search: CovariateSearch;
  private batches: StepBatches;

  /** @param model null: only the naive forecasters are used */
  constructor(
    private model: Model | null,
    { warmUpSteps = 0, packAbove = Infinity, pools, watch = {} }: EngineOptions = {},
  ) {
    this.shares = new StreamShares(pools);
    this.search = new CovariateSearch(this.byName, this.shares.covariates);
    this.packAbove = packAbove;
    this.watch = watch;
    this.batches = new StepBatches(model, this.shares.pools.arrays);
    this.warmUpSteps = warmUpSteps;
  }

  get modelHash(): string {
    return `${this.model?.hash ?? 'none'}/${FEATURE_FORMAT}.${STATE_FORMAT}`;
  }

  add(spec: StreamSpec, snapshot?: StreamSnapshot): void {
    this.shares.relatives.forget(spec.name);
    const stream = this.make(spec);
    if (snapshot !== undefined) {
      if (snapshot.modelHash !== this.modelHash) {
        throw new GatecastError('STATE_MISMATCH', `The state of ${spec.name} was made by another model.`, {
          hint: 'It is rebuilt from stored samples.',
        });
      }
      const reader = new StateReader(snapshot.bytes);
      stream.persist(reader);
      reader.finish();
      stream.step?.blend?.tell();
      if (snapshot.inputs !== undefined) stream.recent.restore(snapshot.inputs);
    }
    this.put(spec.name, stream);
  }

  private put(name: string, stream: Stream): void {
    const before = this.byName.get(name);
    this.byName.set(name, stream);
    this.covariates.use(stream.spec.covariates);
    this.covariates.leave(before?.spec.covariates);
    this.lists = null;
    this.pack(stream);
  }

  private pack(stream: Stream): void {
    if (this.byName.size > this.packAbove || this.shares.pools.isCrowded) stream.pack();
  }

  /** Reads or changes a stream outside of its step. */
  private with<T>(stream: Stream, use: (stream: Stream) => T): T {
    const { isPacked } = stream;
    const result = use(stream);
    if (isPacked) stream.pack();
    return result;
  }

  private get covariates(): CovariateBook {
    return this.shares.covariates;
  }

  private get all(): StreamLists {
    if (this.lists === null) {
      this.lists = listsOf([...this.byName.values()], this.covariates);
      this.quietUntilMs = Number.NEGATIVE_INFINITY;
    }
    return this.lists;
  }

  private make(spec: StreamSpec): Stream {
    return new Stream(
      spec,
      this.model === null ? 0 : this.model.stateRows * this.model.hidden,
      this.warmUpSteps,
      this.shares,
    );
  }

  remove(stream: string): void {
    this.held.delete(stream);
    this.covariates.forget(stream);
    this.shares.relatives.forget(stream);
    this.covariates.leave(this.byName.get(stream)?.spec.covariates);
    this.byName.delete(stream);
    this.search.lose(stream);
    this.lists = null;
  }

  reset(stream: string): void {
    this.held.delete(stream);
    this.shares.relatives.forget(stream);
    const known = this.byName.get(stream);
    if (known !== undefined) this.put(stream, this.make(known.configured));
  }

  streams(): readonly StreamView[] {
    return [...this.byName.values()].map((stream) => ({
      spec: stream.configured,
      intervalMs: stream.buckets.intervalMs,
      horizonSteps: stream.leads > 0 ? stream.leads : null,
      bucketsSeen: stream.bucketsSeen,
      lastObservedMs: stream.lastObservedMs,
    }));
  }

  /** The streams with the covariates that they use now, so that another engine can play them without choosing again. */
  streamsInUse(): readonly StreamView[] {
    return this.streams().map((view) => {
      const { spec } = view;
      if (spec.findsCovariates !== true) return view;
      return { ...view, spec: { ...spec, findsCovariates: false, covariates: this.covariatesOf(spec.name) } };
    });
  }

  /** Drops chosen covariates that the engine does not have. Call when all streams of an earlier run are restored. */
  dropMissingCovariates(): void {
    if (this.search.dropMissing()) this.lists = null;
  }

  /**
   * What streams of one kind have learnt for new streams of this kind, whose first forecasts depend on it. It is in no snapshot of a
   * stream: a restored stream adds what it knows now.
   */
  get told(): readonly Told[] {
    return this.shares.relatives.told();
  }

  /** Call when all streams are restored. */
  set told(told: readonly Told[]) {
    this.shares.relatives.restore(told);
  }

  /** Whether forecasts carry their provenance from now on. */
  showProvenance(on: boolean): void {
    this.shares.showProvenance = on;
  }

  /** Wall-clock time at which the next bucket of a stream closes by the clock, ms; null: none does. */
  dueMs(stream: string): number | null {
    return this.byName.get(stream)?.dueMs ?? null;
  }

  /** Explains the newest forecast of a stream. Call it in `EngineWatch.forecast`, before another forecast is made. */
  explain(stream: string): ForecastExplanation | null {
    return this.byName.get(stream)?.step?.explain() ?? null;
  }

  /** Sets a covariate to this value from a time on, for all streams that use it, instead of its known values. NaN: unknown. */
  suppose(covariate: string, value: number, fromMs: number): void {
    this.covariates.suppose(covariate, value, fromMs);
  }

  /** Accuracy of the published forecasts of a stream, by lead; empty before the first scored forecast. */
  scores(stream: string): LeadScore[] {
    const known = this.byName.get(stream);
    return known === undefined ? [] : this.with(known, ({ scores }) => [...scores]);
  }

  /** Accuracy of the network alone for a stream since the last `adopt`, or since the start; by lead. */
  networkScores(stream: string): NetworkScore[] {
    const known = this.byName.get(stream);
    return known === undefined ? [] : this.with(known, ({ networkScores }) => [...networkScores]);
  }

  /** Replaces all points of a table that streams use as a covariate. */
  know(table: string, points: readonly TablePoint[]): void {
    this.covariates.know(table, points);
  }

  /** The covariates that a stream uses now, chosen or configured. */
  covariatesOf(stream: string): readonly CovariateName[] {
    return this.byName.get(stream)?.spec.covariates ?? [];
  }

  tables(): { readonly name: string; readonly points: readonly TablePoint[] }[] {
    return this.covariates.known();
  }

  /** Whether a stream names other streams as covariates, or others name it. */
  joined(stream: string): boolean {
    return this.covariates.joins(this.byName.get(stream)?.spec);
  }

  /** Same as `joined`, and also true if the stream names a table. */
  linked(stream: string): boolean {
    return this.covariates.links(this.byName.get(stream)?.spec);
  }

  push(sample: Sample): PushOutcome {
    const stream = this.byName.get(sample.stream);
    if (stream === undefined) return 'unknown-stream';
    if (!stream.isNews) this.news.push(stream);
    stream.isNews = true;
    return stream.buckets.push(sample);
  }

  async tick(nowMs: number | null, emitEvery = false, pace: TickPace = {}): Promise<Forecast[]> {
    this.found = [];
    if (this.left !== null) return [];
    this.tickedMs = nowMs;
    const forecasts = await this.advance(this.closing(nowMs, pace), emitEvery, pace);
    if (this.left === null && this.search.work()) this.lists = null;
    return forecasts;
  }

  /**
   * Closes due buckets, one group of streams at a time, after the previous group has been stepped: so a tick that ends early
   * leaves no closed bucket without a step. The streams of a group have the same horizon if there are enough of them.
   */
  private *closing(nowMs: number | null, { most, only }: TickPace): Generator<DueGroup> {
    const { alone, linked } = this.all;
    const ofAll = only === undefined;
    const isDue = (stream: Stream): boolean =>
      stream.mayClose(nowMs) && only?.has(stream.spec.name) !== false;
    let behind = false;
    const order = ofAll ? this.visited(nowMs) : null;
    if (ofAll) this.behind = true;
    const places = (order ?? alone).length + 1;
    const first = ofAll ? this.cursor % places : 0;
    const stepped = (place: number): void => {
      if (ofAll) this.cursor = place;
    };
    let due: Due[] = [];
    for (let i = 0; i < places; i++) {
      const at = order === null ? (first + i) % places : (order[i] ?? alone.length);
      const stream = alone[at];
      if (stream !== undefined && isDue(stream)) {
        const closed = this.close(stream, nowMs, most);
        if (closed !== null) due.push(closed);
        behind ||= stream.buckets.behind;
      }
      if (stream !== undefined) this.expect(stream);
      if (due.length === MAX_BATCH || (due.length > 0 && stream === undefined)) {
        stepped(stream === undefined ? at : at + 1);
        yield { due, inTime: false };
        due = [];
      }
      if (stream !== undefined) continue;
      // Streams linked by covariates advance together in order of time: none may stop while another runs ahead.
      const closed = linked.filter(isDue).flatMap((one) => this.close(one, nowMs) ?? []);
      stepped(0);
      if (closed.length > 0) yield { due: closed, inTime: true };
    }
    stepped(0);
    if (due.length > 0) yield { due, inTime: false };
    if (ofAll) this.behind = behind;
    else this.behind ||= behind;
  }

  /** Places of the streams that a tick may find due: only those with news, if no other one is due yet; null: all. */
  private visited(nowMs: number | null): readonly number[] | null {
    const { alone } = this.all;
    const { news, quietUntilMs } = this;
    this.news = [];
    // One millisecond of tolerance, as in `Stream.mayClose`.
    const isQuiet = quietUntilMs > (nowMs ?? Number.NEGATIVE_INFINITY) + 1;
    if (isQuiet && !this.behind)
      return news
        .filter((stream) => alone[stream.place] === stream)
        .map(({ place }) => place)
        .sort((a, b) => a - b);
    this.quietUntilMs = Number.POSITIVE_INFINITY;
    return null;
  }

  /** Notes when the clock closes the next bucket of a stream. */
  private expect({ buckets, dueMs }: Stream): void {
    const quietUntilMs =
      buckets.behind || buckets.intervalMs === null ? Number.NEGATIVE_INFINITY : (dueMs ?? Infinity);
    if (quietUntilMs < this.quietUntilMs) this.quietUntilMs = quietUntilMs;
  }

  /** Null if there is nothing to step. */
  private close(stream: Stream, nowMs: number | null, most?: number): Due | null {
    const { leads } = stream;
    const closed = stream.close(nowMs, most);
    const due = closed.length > 0 && stream.settle() ? { stream, closed, at: 0 } : null;
    if (stream.leads !== leads) this.lists = null;
    return due;
  }

  /** Steps buckets that the caller has already closed (history on its grid). Oldest first for each stream. */
  async replay(closed: ReadonlyMap<string, readonly ClosedBucket[]>, pace: TickPace = {}): Promise<void> {
    this.found = [];
    const due: Due[] = [];
    for (const [name, buckets] of closed) {
      const stream = this.byName.get(name);
      if (stream?.settle() && buckets.length > 0) due.push({ stream, closed: buckets, at: 0 });
    }
    await this.advance(groupsOf(due, this.covariates), false, pace);
  }

  private async advance(groups: Iterable<DueGroup>, emitEvery: boolean, pace: TickPace): Promise<Forecast[]> {
    const all: Forecast[] = [];
    for (const group of groups) {
      const forecasts = await this.catchUp(group, emitEvery, pace);
      if (pace.handOut === undefined) all.push(...forecasts);
      else if (forecasts.length > 0) pace.handOut(forecasts);
      if (this.left !== null || pace.enough?.() === true) break;
    }
    return all;
  }

  /** Steps all closed buckets of a group of streams. If the agent stops, `left` holds the unfinished streams. */
  private async catchUp({ due, inTime }: DueGroup, emitEvery: boolean, pace: TickPace): Promise<Forecast[]> {
    const newest = new Map<string, Forecast>();
    const all: Forecast[] = [];
    let round = due;
    while (round.length > 0) {
      const made = inTime ? await this.stepLinked(earliest(round), pace) : await this.step(round, pace);
      for (const forecast of made) {
        const { stream } = forecast;
        if (emitEvery) all.push(forecast);
        else newest.set(stream, withAnomalies(newest.get(stream) ?? this.held.get(stream), forecast));
      }
      round = round.filter((one) => one.at < one.closed.length);
      if (round.length > 0 && pace.stopped?.() === true) {
        // Linked streams are saved in the state of one moment, or not at all.
        this.left = new Set(inTime ? this.all.linked : round.map(({ stream }) => stream));
        break;
      }
    }
    for (const { stream, closed, at } of due) {
      const { name } = stream.spec;
      const forecast = newest.get(name);
      if (forecast === undefined) continue;
      if (stream.buckets.behind || at < closed.length) this.held.set(name, forecast);
      else {
        this.held.delete(name);
        all.push(forecast);
      }
    }
    for (const { stream } of due) this.pack(stream);
    return all;
  }

  /** Steps one bucket of each linked stream; all of them end at the same time. */
  private async stepLinked(round: Due[], pace: TickPace): Promise<Forecast[]> {
    const { covariates } = this;
    for (const { stream, closed, at } of round) covariates.closed(stream.spec.name, closed[at]);
    const made = await this.step(round, pace);
    // After the whole round, so that the result does not depend on the order of streams.
    covariates.forecasts(made);
    return made;
  }

  /** Steps one bucket of every stream in `round`, or of some of them if the agent stops. */
  private async step(round: Due[], { breathe, stopped }: TickPace): Promise<Forecast[]> {
    const forecasts: Forecast[] = [];
    const byLeads = new Map<number, Due[]>();
    for (const one of round) {
      one.stream.align(one.closed[one.at]);
      const group = byLeads.get(one.stream.leads);
      if (group === undefined) byLeads.set(one.stream.leads, [one]);
      else group.push(one);
    }
    for (const [leads, group] of byLeads) {
      for (let from = 0; from < group.length; from += MAX_BATCH) {
        await this.run(leads, group.slice(from, from + MAX_BATCH), forecasts);
        if (stopped?.() === true) return forecasts;
        await breathe?.();
      }
    }
    return forecasts;
  }

  /** Steps one bucket of at most MAX_BATCH streams with the same horizon. */
  private async run(leads: number, due: Due[], forecasts: Forecast[]): Promise<void> {
    const batch = await this.batchOrNull(leads, due.length);
    const asked: Stream[] = [];
    for (const one of due) {
      const { stream } = one;
      const bucket = one.closed[one.at++];
      const stepped = stream.advance(bucket);
      if (stream.choice !== null) this.search.stepped(stream);
      if (stream.marked !== null) this.found.push(stream.marked);
      if (!stepped) continue;
      // Written now, because the next stream uses the same scratch buffers.
      const at = asked.length * (batch?.stepper.inputs ?? 0);
      const x = batch !== null && stream.warm ? batch.x : null;
      if (x !== null) stream.writeInputs(x, at);
      if (stream.step !== null) this.watch.stepped?.(stream.spec.name, stream.step, bucket.startMs, x, at);
      if (x === null) forecasts.push(this.finish(stream, null, null, 0));
      else asked.push(stream);
    }
    if (batch === null || asked.length === 0) return;
    const { stepper, x, h } = batch;
    const { layers, hidden, inputs } = stepper;
    const n = asked.length;
    for (let i = 0; i < n; i++) {
      const state = asked[i].h;
      // Plain loops: `set` and `subarray` allocate an object for each row.
      for (let layer = 0; layer < layers; layer++)
        for (let from = layer * hidden, to = (layer * n + i) * hidden, at = 0; at < hidden; at++)
          h[to + at] = state[from + at];
    }
    let result: StepAnswer;
    try {
      result = await stepper.run(n, x.subarray(0, n * inputs), h.subarray(0, layers * n * hidden));
    } catch (error) {
      // The buckets are already closed, so the naive forecasters must replace the failed run.
      this.failed(error);
      for (const stream of asked) forecasts.push(this.finish(stream, null, null, 0));
      return;
    }
    this.takeStates(asked, result.h, layers, hidden);
    const { quantiles, own = null } = result;
    for (let i = 0; i < n; i++) forecasts.push(this.finish(asked[i], quantiles, own, i * leads * Q));
  }

  private finish(
    stream: Stream,
    raw: Float32Array | null,
    rawOwn: Float32Array | null,
    offset: number,
  ): Forecast {
    const forecast = stream.finish(raw, rawOwn, offset);
    this.watch.forecast?.(forecast, stream.diverged);
    return forecast;
  }

  /** Null without a model, or if the model has fewer leads: the naive forecasters are then used. */
  private async batchOrNull(leads: number, n: number): Promise<StepBatch | null> {
    if (this.model === null) return null;
    try {
      return await this.batches.of(leads, n);
    } catch (error) {
      this.failed(error);
      return null;
    }
  }

  private failed(error: unknown): void {
    this.failures++;
    this.lastFailure = errorText(error);
  }

  /** @param h [layers, streams, hidden] */
  private takeStates(streams: readonly Stream[], h: Float32Array, layers: number, hidden: number): void {
    for (let i = 0; i < streams.length; i++) {
      const state = streams[i].h;
      for (let layer = 0; layer < layers; layer++)
        for (let from = (layer * streams.length + i) * hidden, to = layer * hidden, at = 0; at < hidden; at++)
          state[to + at] = h[from + at];
    }
  }

  /**
   * Switches to another model. Every stream's state is computed again from its last inputs before this returns, so that the
   * first forecast of the new model does not start from an empty state. Must not be called during a tick.
   * Throws MODEL_INVALID if the model does not fit; the old one then stays in use.
   */
  async adopt(model: Model): Promise<void> {
    const before = { model: this.model, batches: this.batches };
    this.model = model;
    this.batches = new StepBatches(model, this.shares.pools.arrays);
    const fresh = new Map<Stream, Float32Array>();
    try {
      const byLeads = new Map<number, Stream[]>();
      for (const stream of this.byName.values()) {
        if (stream.leads > 0) byLeads.set(stream.leads, [...(byLeads.get(stream.leads) ?? []), stream]);
      }
      for (const streams of byLeads.values()) {
        for (let from = 0; from < streams.length; from += MAX_BATCH) {
          const group = streams.slice(from, from + MAX_BATCH);
          const packed = group.filter(({ isPacked }) => isPacked);
          await warmUp(group, await this.batches.of(group[0].leads, group.length), fresh);
          for (const stream of packed) stream.pack();
        }
      }
    } catch (error) {
      await this.release();
      this.model = before.model;
      this.batches = before.batches;
      throw error;
    }
    const former = before.model?.base;
    const sameBase = former !== undefined && former.hash === model.base?.hash;
    const sameRows = before.model?.stateRows === model.stateRows;
    const kept = sameBase && sameRows ? { rows: model.stateRows, numbers: former.hidden } : undefined;
    for (const stream of this.byName.values()) {
      this.with(stream, () => {
        stream.takeState(fresh.get(stream) ?? new Float32Array(model.stateRows * model.hidden), kept);
        stream.beginTrial(sameBase);
      });
    }
    await before.batches.release();
  }

  /** Loads the step graphs that the streams will need, so that the first forecast does not wait for them. */
  async prepare(): Promise<void> {
    const leads = new Set([...this.byName.values()].map((stream) => stream.leads).filter((n) => n > 0));
    for (const one of leads) await this.batchOrNull(one, 1);
  }

  marked(): readonly MarkedBucket[] {
    return this.found;
  }

  nextDueMs(nowMs: number): number | null {
    if (this.behind) return Math.min(nowMs, this.tickedMs ?? nowMs);
    let earliest: number | null = null;
    const { alone, linked } = this.all;
    for (const list of [alone, linked])
      for (const stream of list) {
        const due = stream.dueMs;
        if (due !== null && (earliest === null || due < earliest)) earliest = due;
      }
    return earliest;
  }

  snapshot(stream: string): StreamSnapshot | null {
    const known = this.byName.get(stream);
    if (known === undefined || known.buckets.intervalMs === null || this.left?.has(known)) return null;
    return this.with(known, () => {
      const writer = new StateWriter(this.written);
      known.persist(writer);
      this.written = writer.buffer;
      return {
        stream,
        modelHash: this.modelHash,
        replayFromMs: known.buckets.replayFromMs(),
        bytes: writer.finish(),
        about: known.about,
      };
    });
  }

  /** The last inputs of a stream, which `adopt` needs and a snapshot does not have. */
  inputs(stream: string): Uint8Array {
    const known = this.byName.get(stream);
    return known === undefined ? new Uint8Array() : this.with(known, ({ recent }) => recent.save());
  }

  /** Frees the sessions. */
  release(): Promise<void> {
    return this.batches.release();
  }
}
