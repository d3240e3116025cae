/**
 * The agent's streams: restores them at the start, adds new streams, removes unwanted ones, and applies a new config
 * to them. Engine, router, store, checkpoints and page each hold data of a stream; this class keeps them consistent.
 * Call every method except `start` and `prepare` between two rounds of the pipeline.
 */

import { setImmediate } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { type Config, createRouter } from '../config/index.ts';
import { errorFields, GatecastError } from '../errors.ts';
import type { Engine } from '../forecast/engine.ts';
import type { StreamSnapshot, StreamView } from '../forecast/engine-contract.ts';
import { EXPECTED_REJECTS, excerpt, type Reject } from '../ingest/rejects.ts';
import type { Routed, Router } from '../ingest/router.ts';
import type { Logger } from '../log.ts';
import { refusal, type SampleOutcome } from '../series/admission.ts';
import type { Sample } from '../series/sample.ts';
import { type StreamSpec, stateSettings } from '../series/spec.ts';
import type { SqliteStore } from '../store/sqlite-store.ts';
import { isClockSet } from '../system/clock.ts';
import { RateLimitedLog } from '../system/rate-limited-log.ts';
import { Board, MAX_ANOMALIES } from '../web/board.ts';
import { Checkpoints } from './checkpoints.ts';
import { type Counts, sumCounts } from './drops.ts';
import { FormerStreams } from './former-readings.ts';
import { chartPast } from './history.ts';
import type { NewStream } from './inbox.ts';
import { type KnownStream, KnownStreams } from './known-streams.ts';
import { LateRestore } from './late-restore.ts';
import type { Change, ConfigureOptions, Context, Part } from './part.ts';
import { type Restorable, type RestorePace, RestoreStopped, restoreStreams, startOf } from './restore.ts';

interface AgentStreamsParts extends Pick<Context, 'config' | 'store' | 'clock' | 'log'> {
  readonly engine: Engine;
  /** Streams that the start restores before it returns; if there are more, they follow in turns. */
  readonly atOnce?: number;
  /** Removes the data of other parts about a stream that the config no longer reads. */
  readonly forget?: Context['forget'];
}

/** Buckets of history used to rebuild a stream with changed settings. */
const REBUILD_BUCKETS = 4096;
/** If a change of the config concerns more streams, they are restored in turns. */
const MOST_ONE_BY_ONE = 16;
/** States saved in one transaction. */
const SAVED_TOGETHER = 64;
const DAY_MS = 86_400_000;
const ANY_VALUE = { min: null, max: null };

export class AgentStreams implements Part {
  readonly name = 'streams';
  readonly board: Board;
  readonly checkpoints: Checkpoints;
  /** Streams of an earlier run that are not restored yet. */
  readonly late: LateRestore;
  /** Replaced by a config change: do not keep a copy. */
  router: Router;
  /** Router of the config before a push on probation; null: there is none. */
  private routerBefore: Router | null = null;
  private readFilters: readonly string[] | null = null;
  /** Data about a stream from earlier runs. */
  readonly former: FormerStreams;
  /** Drops counted by earlier routers. */
  private droppedBefore: Counts = {};
  /** Streams that began without their stored readings. */
  private unreadStreams = 0;
  /** Whether streams have waited for their restore. */
  private restoresLate = false;
  private readonly known: KnownStreams;
  private readonly engine: Engine;
  private readonly store: SqliteStore;
  private readonly log: Logger;
  private readonly warnings: RateLimitedLog;

  constructor(private readonly parts: AgentStreamsParts) {
    const { config, engine, store, log } = parts;
    this.engine = engine;
    this.store = store;
    this.log = log;
    this.warnings = new RateLimitedLog(parts.clock);
    this.router = createRouter(config());
    this.known = new KnownStreams(store);
    this.former = new FormerStreams(store);
    this.late = new LateRestore({
      atOnce: parts.atOnce,
      store,
      startOf: (stream) => startOf(stream, store.snapshotAbout(stream.spec.name), engine.modelHash),
      replayFromMs: (stream) => store.replayFromMs(stream),
    });
    this.checkpoints = new Checkpoints(engine, store, undefined, engine);
    this.board = new Board((stream, beforeMs, most) => {
      const view = engine.streams().find(({ spec }) => spec.name === stream);
      const firstMs = this.known.firstMs(stream) ?? 0;
      return view ? chartPast(store, view, beforeMs, most).filter(({ timeMs }) => timeMs >= firstMs) : [];
    });
  }

  get size(): number {
    return this.board.size;
  }

  /** Applies the rules to a message; refusals are logged, rate-limited for each reason. */
  message(...[topic, ...message]: Parameters<Router['message']>): Routed {
    const before = this.routerBefore?.message(topic, ...message) ?? null;
    // No other readings: they may be of a renamed stream, or of another than the running config finds under the name.
    const former = before?.samples.filter(({ stream }) => this.known.formerSource(stream) !== null) ?? [];
    // Not counted as read by no rule.
    if (
      before !== null &&
      this.routerBefore?.rulesOf(topic).length !== 0 &&
      this.router.rulesOf(topic).length === 0
    ) {
      this.sayRejects(topic, before.rejects);
      for (const { reason } of before.rejects)
        this.droppedBefore = sumCounts(this.droppedBefore, { [reason]: 1 });
      return { ...before, samples: former, discovered: [] };
    }
    const routed = this.router.message(topic, ...message);
    this.sayRejects(topic, routed.rejects);
    if (before === null) return routed;
    const { samples, rejects, discovered, requests, rest } = routed;
    const read = new Set(samples.map(({ stream }) => stream));
    const others = former.filter(({ stream }) => !read.has(stream));
    return {
      samples: [...samples, ...others],
      rejects,
      discovered,
      requests: requests.length > 0 ? requests : before.requests,
      rest: rest ?? before.rest,
    };
  }

  private sayRejects(topic: string, rejects: readonly Reject[]): void {
    for (const { reason, detail } of rejects)
      this.warnings.say(reason, (omitted) =>
        this.log[EXPECTED_REJECTS.has(reason) ? 'info' : 'warn']('not taken', {
          topic: excerpt(topic),
          reason,
          detail,
          omitted,
        }),
      );
  }

  /** MQTT filters of the running config, and during a probation also of the config before. */
  filters(): readonly string[] {
    this.readFilters ??=
      this.routerBefore === null
        ? this.router.filters()
        : [...this.router.filters(), ...this.routerBefore.filters()];
    return this.readFilters;
  }

  /** A pushed config is on probation: the readings of streams that only `config` reads are stored, so that a rollback misses none. */
  beginTrial(config: Config): void {
    this.readBefore(createRouter(config));
  }

  endTrial(): void {
    this.readBefore(null);
  }

  /** What becomes of a reading that only the config before a push on probation reads; null: it is of another stream. */
  outcomeBefore(sample: Sample): SampleOutcome | null {
    const source = this.known.formerSource(sample.stream);
    if (this.routerBefore === null || source === null) return null;
    return refusal(sample, this.routerBefore.specOf(source) ?? ANY_VALUE, null) ?? 'accepted';
  }

  private readBefore(router: Router | null): void {
    // A bridge sends its readings to the site, which knows only the streams of the running config.
    this.routerBefore = this.parts.config().site === undefined ? router : null;
    this.readFilters = null;
  }

  /** Messages and values refused since the start, by reason; a reload keeps the counts. */
  dropped(): Counts {
    const unread: Counts = this.unreadStreams === 0 ? {} : { 'history-unread': this.unreadStreams };
    return sumCounts(this.droppedBefore, this.router.dropped(), unread);
  }

  specs(): readonly StreamSpec[] {
    return [...this.engine.streams().map(({ spec }) => spec), ...this.late.specs()];
  }

  /** When the streams had their last readings; for streams that are not restored yet, the newest reading of the store. */
  lastReadings(): readonly Pick<StreamView, 'lastObservedMs'>[] {
    const restored = this.engine.streams();
    if (this.late.size === 0) return restored;
    const newestMs = this.store.newestMs();
    const lastObservedMs = newestMs === null ? null : Math.min(newestMs, this.parts.clock.now());
    return [...restored, { lastObservedMs }];
  }

  has(stream: string): boolean {
    return this.known.has(stream);
  }

  /** No stored sample of the stream is older, ms; null if the stream does not exist. */
  firstMs(stream: string): number | null {
    return this.known.firstMs(stream);
  }

  /** Restores the streams of earlier runs; if they are many, most are restored later, in turns. */
  async start(): Promise<void> {
    const { clock } = this.parts;
    const startedMs = clock.monotonic();
    this.engine.showProvenance(this.parts.config().publish.provenance);
    const known = this.known.restore(this.router, this.nextSampleMs());
    this.reportRenamed();
    for (const name of this.known.taken) this.store.dropSnapshots(name);
    if (this.known.isUnread)
      this.log.warn('the streams of earlier runs are unknown until the database is read');
    for (const { spec } of known) this.board.announce(spec.name, spec.unit, spec.device);
    for (const anomaly of this.store.newestAnomalies(MAX_ANOMALIES)) this.board.mark(anomaly.stream, anomaly);
    await this.restoreOrWait(this.late.defer(known));
    await this.engine.prepare();
    const waiting = this.late.size;
    this.restoresLate = waiting > 0;
    if (waiting === 0) this.engine.dropMissingCovariates();
    // A backlog may reach a stream before its turn or after it.
    this.former.start(
      this.engine.streams(),
      known.filter(({ spec }) => this.late.has(spec.name)),
    );
    const ms = Math.round(clock.monotonic() - startedMs);
    if (waiting === 0) this.log.info('streams restored', { streams: this.size, ms });
    else this.log.info('streams are restored after the start', { streams: this.size, waiting, ms });
  }

  /** On the page, with its stored anomalies. */
  private show({ name, unit, device }: StreamSpec): void {
    this.board.announce(name, unit, device);
    for (const anomaly of this.store.anomaliesOf(name, 0, Number.MAX_SAFE_INTEGER, MAX_ANOMALIES))
      this.board.mark(name, anomaly);
  }

  private reportRenamed(): void {
    const [first] = this.known.renamed;
    if (first === undefined) return;
    const { size: streams } = this.known.renamed;
    this.log.info('streams renamed with their history', { streams, first: `${first[1]} -> ${first[0]}` });
  }

  /** Whether the list of streams of earlier runs could not be read. */
  get isListUnread(): boolean {
    return this.known.isUnread;
  }

  /** If the list of streams could not be read at the start, reads it. Its streams are then restored, as after a start. */
  readMissedList(): void {
    // Opens the database again, and reads the journal, which may have the newest list.
    if (!this.known.isUnread || !this.store.settle()) return;
    const before = this.specs();
    const missed = this.known.readMissed(this.router, this.nextSampleMs());
    if (missed === null) return;
    this.reportRenamed();
    for (const name of this.known.taken) this.store.dropSnapshots(name);
    for (const { name } of before) {
      if (this.known.has(name)) this.checkpoints.add(name, 'new', 0);
      else this.leave(name);
    }
    for (const { spec } of missed) this.board.announce(spec.name, spec.unit, spec.device);
    this.waitAgain(missed);
    for (const stream of this.known.gone) this.parts.forget?.(stream);
    this.known.save();
    this.log.info('streams are restored after the start', { streams: this.size, waiting: this.late.size });
  }

  /** Restores some of the streams that wait. Call between two rounds. If `pace` ends this early, they wait again. */
  async restoreSome(pace?: RestorePace): Promise<void> {
    const { clock } = this.parts;
    // Opens a database again that could not be read.
    if (this.late.isUnread) this.store.settle();
    await this.late.turn(
      { monotonicMs: () => clock.monotonic(), breathe: () => pace?.breathe() },
      (streams, isIncomplete) => this.restoreOrStartAnew(streams, pace, isIncomplete),
    );
    this.endLateRestore();
  }

  /** Call when a stream may no longer wait for its restore, because it is restored or gone. */
  private endLateRestore(): void {
    if (!this.restoresLate || this.late.size > 0) return;
    this.restoresLate = false;
    this.engine.dropMissingCovariates();
    this.log.info('streams restored', { streams: this.size });
  }

  /** If the store cannot be read now, the streams wait, until that has lasted for too long. @param isIncomplete see `LateRestore.turn` */
  private async restoreOrWait(
    streams: readonly Restorable[],
    pace?: RestorePace,
    isIncomplete = false,
  ): Promise<void> {
    const { failedReads } = this.store;
    try {
      await this.restore(streams, pace);
    } catch (error) {
      if (!(error instanceof RestoreStopped)) throw error;
      this.waitAgain(streams);
      return;
    }
    if (isIncomplete || this.store.failedReads !== failedReads) this.notRead(streams, isIncomplete);
  }

  /** Streams were restored while the store could not be read. Those in the engine have no state. */
  private notRead(streams: readonly KnownStream[], isIncomplete = false): void {
    if (!isIncomplete && this.late.mustWait(this.parts.clock.monotonic())) {
      this.waitAgain(streams);
      return;
    }
    const { length } = streams.filter(({ spec }) => !this.late.has(spec.name));
    if (length === 0) return;
    this.unreadStreams += length;
    this.log.error('streams begin without their stored readings', { streams: length });
  }

  private waitAgain(streams: readonly KnownStream[]): void {
    for (const { spec, firstMs } of streams) {
      this.engine.remove(spec.name);
      this.checkpoints.remove(spec.name);
      this.late.put({ spec, firstMs });
      this.restoresLate = true;
    }
  }

  /** A stream whose samples cannot be read now starts without history, because the agent is already running. */
  private async restoreOrStartAnew(
    streams: readonly Restorable[],
    pace?: RestorePace,
    isIncomplete = false,
  ): Promise<void> {
    try {
      await this.restoreOrWait(streams, pace, isIncomplete);
    } catch (error) {
      const [{ spec }] = streams as readonly [Restorable];
      if (streams.length > 1) {
        for (const one of streams) await this.restoreOrStartAnew([one], pace, isIncomplete);
        return;
      }
      this.log.error('state not restored', { stream: spec.name, ...errorFields(error) });
      this.engine.add(spec);
      this.checkpoints.add(spec.name, 'new', 0);
    }
  }

  /** Streams of an earlier run that the config no longer reads. */
  get gone(): readonly string[] {
    return this.known.gone;
  }

  /** If it throws, the streams are discovered again at their next message. */
  async discovered(streams: readonly NewStream[]): Promise<void> {
    this.readMissedList();
    const found = streams.filter(({ spec }) => !this.known.has(spec.name));
    if (found.length === 0) return;
    const returned: string[] = [];
    try {
      const anew: NewStream[] = [];
      for (const stream of found) {
        const { spec } = stream;
        const hadOther = this.known.formerSource(spec.name) !== null;
        const firstMs = this.known.add(stream, stream.firstMs);
        if (firstMs === null) {
          anew.push(stream);
          if (hadOther) this.store.dropSnapshots(spec.name);
        } else {
          // The config reads it again: it is restored as after a start.
          returned.push(spec.name);
          this.returns({ spec, firstMs });
        }
      }
      await this.takeUp(anew);
    } catch (error) {
      for (const name of returned) this.known.returnLater(name);
      for (const { spec } of found) this.leave(spec.name);
      throw error;
    }
    // They may have stored states, which must not be replaced.
    if (this.known.isUnread) for (const { spec } of found) this.checkpoints.remove(spec.name);
    this.endLateRestore();
    this.known.save();
    const first = found[0]?.spec.name;
    this.log.info('streams discovered', { new: found.length, streams: this.size, first });
  }

  /**
   * Removes a stream with its samples and learnt state. If a new message arrives, the stream is discovered again.
   * @throws GatecastError STREAM_UNKNOWN, STORE_FAILED; nothing has changed then
   */
  remove(stream: string): void {
    this.mustKnow(stream);
    if (!this.store.forget(stream)) throw storeFailed();
    this.leave(stream);
    this.endLateRestore();
    this.known.save();
    this.store.flush();
    this.log.info('stream forgotten', { stream });
  }

  /**
   * Resets the learnt state of a stream; its samples stay, but a restart does not learn from them again.
   * @throws GatecastError STREAM_UNKNOWN, STORE_FAILED; nothing has changed then
   */
  reset(stream: string): void {
    this.mustKnow(stream);
    if (!this.store.dropSnapshots(stream)) throw storeFailed();
    this.engine.reset(stream);
    const nowMs = this.nextSampleMs();
    this.known.begins(stream, nowMs);
    const waiting = this.late.get(stream);
    if (waiting !== undefined) this.late.put({ ...waiting, firstMs: nowMs });
    this.checkpoints.add(stream, 'new', 0);
    this.known.save();
    this.store.flush();
    this.log.info('stream reset', { stream });
  }

  /** Streams with unchanged settings are not touched; others keep their state if it still fits. */
  prepare(next: Config, _running?: Config, { onTrial = false }: ConfigureOptions = {}): Change {
    const router = createRouter(next);
    let before: ReadonlyMap<string, StreamSpec> = new Map();
    let kept: readonly KnownStream[] = [];
    let taken: ReadonlySet<string> = new Set();
    let renamed: ReadonlyMap<string, string> = new Map();
    const waiting = new Set<string>();
    return {
      apply: () => {
        before = new Map(this.specs().map((spec) => [spec.name, spec]));
        kept = this.known.restore(router, this.nextSampleMs());
        ({ taken, renamed } = this.known);
        this.reportRenamed();
        for (const [name, formerName] of renamed) if (this.late.has(formerName)) waiting.add(name);
        this.droppedBefore = sumCounts(this.droppedBefore, this.router.dropped());
        this.readBefore(this.routerBefore ?? (onTrial ? this.router : null));
        this.router = router;
        this.engine.showProvenance(next.publish.provenance);
        const names = new Set(kept.map(({ spec }) => spec.name));
        const formerNames = new Set(renamed.values());
        for (const name of before.keys()) {
          // `settle` takes the state of a renamed stream from the engine.
          if (!names.has(name)) this.leave(name, formerNames.has(name));
          else if (taken.has(name)) this.drop(name);
        }
      },
      settle: async () => {
        const formerOf = (name: string) =>
          taken.has(name) ? undefined : before.get(renamed.get(name) ?? name);
        const changed: KnownStream[] = [];
        for (const stream of kept) {
          const { spec } = stream;
          const { name } = spec;
          if (isDeepStrictEqual(spec, formerOf(name))) continue;
          if (renamed.has(name)) this.show(spec);
          const isBack = !before.has(name) && !renamed.has(name) && !taken.has(name);
          if (this.late.has(name) || waiting.has(name)) this.late.put(stream);
          else if (isBack) this.returns(stream);
          else changed.push(stream);
        }
        const isMany = changed.length > MOST_ONE_BY_ONE;
        const left = isMany ? await this.changeInTurns(changed, formerOf) : changed;
        for (const stream of left) await this.changeOrStartAnew(stream, formerOf(stream.spec.name));
        for (const formerName of renamed.values()) this.engine.remove(formerName);
        await this.restoreOrStartAnew(this.late.takeLinked(this.specs()));
        this.endLateRestore();
        // Loads the step graphs of new horizons, so that the next forecasts do not wait for them.
        await this.engine.prepare();
        this.known.save();
        this.store.flush();
      },
    };
  }

  /** Saves the states. */
  stop(): void {
    const { clock } = this.parts;
    this.readMissedList();
    this.known.save();
    this.checkpoints.saveAll(() => clock.monotonic());
  }

  /** If the samples cannot be read now, the stream starts without history, so that a config change does not fail half way. */
  private async changeOrStartAnew(stream: KnownStream, before: StreamSpec | undefined): Promise<void> {
    try {
      await this.change(stream, before);
    } catch (error) {
      const { name } = stream.spec;
      this.log.error('state not kept', { stream: name, ...errorFields(error) });
      this.engine.add(stream.spec);
      this.checkpoints.add(name, 'rebuilt', 0);
    }
  }

  private async change(stream: KnownStream, before: StreamSpec | undefined): Promise<void> {
    const { spec } = stream;
    const snapshot = this.stateFor(spec, before);
    if (snapshot === null) return this.takeUp([], [this.toRebuild(stream)]);
    // The open bucket is restored from the samples, as after a restart.
    if (this.store.saveSnapshots([snapshot])) return this.takeUp([], [stream]);
    this.engine.add(spec, snapshot);
    this.board.announce(spec.name, spec.unit, spec.device);
  }

  /**
   * Changes many streams. They are restored after this, in turns: each restore reads the rows of all streams.
   * @returns those whose states cannot be saved now
   */
  private async changeInTurns(
    streams: readonly KnownStream[],
    formerOf: (name: string) => StreamSpec | undefined,
  ): Promise<readonly KnownStream[]> {
    for (let from = 0; from < streams.length; from += SAVED_TOGETHER) {
      const some = streams.slice(from, from + SAVED_TOGETHER);
      const states = some.flatMap(({ spec }) => this.stateFor(spec, formerOf(spec.name)) ?? []);
      if (!this.store.saveSnapshots(states)) return streams.slice(from);
      const saved = new Set(states.map(({ stream }) => stream));
      for (const stream of some) this.returns(saved.has(stream.spec.name) ? stream : this.toRebuild(stream));
      await setImmediate();
    }
    return [];
  }

  /** The state of the running stream `before`, if it fits the new settings. */
  private stateFor(spec: StreamSpec, before: StreamSpec | undefined): StreamSnapshot | null {
    if (before === undefined || stateSettings(before) !== stateSettings(spec)) return null;
    const state = this.engine.snapshot(before.name);
    return state && { ...state, stream: spec.name };
  }

  /** The stream, with as much history as it is rebuilt from. */
  private toRebuild({ spec, firstMs }: KnownStream): KnownStream {
    this.store.dropSnapshots(spec.name);
    const spanMs = spec.intervalMs === null ? DAY_MS : REBUILD_BUCKETS * spec.intervalMs;
    return { spec, firstMs: Math.max(firstMs, this.parts.clock.now() - spanMs) };
  }

  /** The stream is restored as after a start. */
  private returns(stream: KnownStream): void {
    const { name, unit, device } = stream.spec;
    this.board.announce(name, unit, device);
    this.waitAgain([stream]);
  }

  /** @param stored streams with stored readings, which wait if these cannot be read now */
  private async takeUp(found: readonly KnownStream[], stored: readonly KnownStream[] = []): Promise<void> {
    const streams = [...found, ...stored];
    for (const { spec } of streams) this.board.announce(spec.name, spec.unit, spec.device);
    const linked = this.late.takeLinked([...this.specs(), ...streams.map(({ spec }) => spec)]);
    const { failedReads } = this.store;
    try {
      await this.restore([...streams, ...linked]);
    } catch (error) {
      // They have their turn again; the caller knows only its own streams.
      for (const stream of linked) this.late.put(stream);
      throw error;
    }
    const former = [...stored, ...linked];
    if (former.length > 0 && this.store.failedReads !== failedReads) this.notRead(former);
  }

  private async restore(streams: readonly Restorable[], pace?: RestorePace): Promise<void> {
    const clockMs = this.parts.clock.now();
    const nowMs = isClockSet(clockMs) ? clockMs : undefined;
    const { engine, store } = this;
    const byName = new Map(streams.map((stream) => [stream.spec.name, stream]));
    for (const one of await restoreStreams(engine, store, streams, nowMs, pace)) {
      const { name, state, replayed, start, postponed } = one;
      if (postponed) {
        const stream = byName.get(name);
        if (stream !== undefined) this.late.put(stream, start);
        continue;
      }
      this.checkpoints.add(name, state, replayed);
      if (state === 'rebuilt') this.log.warn('state rebuilt from stored samples', { stream: name, replayed });
    }
  }

  /** Later than all stored samples, and now if the clock is set: a clock that is not set is before them. */
  private nextSampleMs(): number {
    const nowMs = this.parts.clock.now();
    return isClockSet(nowMs) ? nowMs : Math.max(nowMs, (this.store.newestMs() ?? 0) + 1);
  }

  /** Removes the stream from everything that forecasts. */
  private leave(stream: string, staysInEngine = false): void {
    this.drop(stream, staysInEngine);
    this.router.forget(stream);
    this.known.remove(stream);
  }

  private drop(stream: string, staysInEngine = false): void {
    if (!staysInEngine) this.engine.remove(stream);
    this.late.delete(stream);
    this.checkpoints.remove(stream);
    this.board.forget(stream);
  }

  private mustKnow(stream: string): void {
    this.readMissedList();
    if (this.known.isUnread) throw storeFailed();
    if (!this.known.has(stream))
      throw new GatecastError(
        'STREAM_UNKNOWN',
        `There is no stream ${JSON.stringify(stream.slice(0, 200))}.`,
      );
  }
}

const storeFailed = (): GatecastError =>
  new GatecastError('STORE_FAILED', 'The database cannot be written now.', {
    hint: 'The alert `store` gives the cause. Repeat the request when it is gone.',
  });
