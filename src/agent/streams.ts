/**
 * The agent's streams: brings them back at the start, takes up new ones, lets go of those not wanted, and takes up another
 * config. What concerns a stream is spread over engine, router, store, checkpoints and page; here is the one place that
 * keeps them in step. All but `restore` are to be called between two rounds of the pipeline.
 */
import { isDeepStrictEqual } from 'node:util';
import { type Config, createRouter } from '../config/index.ts';
import { GatecastError } from '../errors.ts';
import type { Engine } from '../forecast/engine.ts';
import { excerpt, type RejectReason } from '../ingest/rejects.ts';
import type { Routed, Router } from '../ingest/router.ts';
import type { Logger } from '../log.ts';
import { type StreamSpec, stateSettings } from '../series/spec.ts';
import type { SqliteStore } from '../store/sqlite-store.ts';
import type { Clock } from '../system/clock.ts';
import { Board } from '../web/board.ts';
import { chartPast } from './chart-past.ts';
import { Checkpoints } from './checkpoints.ts';
import { ClockHold } from './clock-hold.ts';
import { type Counts, summed } from './drops.ts';
import type { Met } from './inbox.ts';
import { KnownAhead } from './known-ahead.ts';
import { type KnownStream, KnownStreams } from './known-streams.ts';
import { restoreStreams } from './restore.ts';
import { Seldom } from './seldom.ts';

/** Refused without anything being wrong. */
const EXPECTED: ReadonlySet<RejectReason> = new Set(['only-retained', 'other-agent']);

export interface AgentStreamsParts {
  readonly config: Config;
  readonly engine: Engine;
  readonly store: SqliteStore;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What became of the streams under another config, by name. */
export interface Reconfigured {
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

/** Buckets of history that a stream with other settings is made anew from. */
const REBUILD_BUCKETS = 4096;
const DAY_MS = 86_400_000;

export class AgentStreams {
  readonly board: Board;
  readonly checkpoints: Checkpoints;
  readonly ahead: KnownAhead;
  /** Replaced by `reconfigure`: ask for it each time. */
  router: Router;
  /** By the routers before it. */
  private droppedBefore: Counts = {};
  private readonly known: KnownStreams;
  private readonly engine: Engine;
  private readonly store: SqliteStore;
  private readonly log: Logger;
  private readonly complaints: Seldom;

  constructor(private readonly parts: AgentStreamsParts) {
    const { config, engine, store, log } = parts;
    this.engine = engine;
    this.store = store;
    this.log = log;
    this.complaints = new Seldom(parts.clock);
    this.router = createRouter(config);
    this.ahead = new KnownAhead(parts);
    this.known = new KnownStreams(store);
    this.checkpoints = new Checkpoints(engine, store, undefined, engine);
    this.board = new Board((stream, beforeMs, most) => {
      const view = engine.streams().find(({ spec }) => spec.name === stream);
      return view ? chartPast(store, view, beforeMs, most) : [];
    });
  }

  get size(): number {
    return this.board.size;
  }

  /** What the rules make of a message; what they refuse is logged, now and then one of each reason. */
  message(topic: string, payload: Uint8Array, arrivalMs: number, retained = false): Routed {
    const routed = this.router.message(topic, payload, arrivalMs, retained);
    for (const { reason, detail } of routed.rejects)
      this.complaints.say(reason, (omitted) =>
        this.log[EXPECTED.has(reason) ? 'info' : 'warn']('not taken', {
          topic: excerpt(topic),
          reason,
          detail,
          omitted,
        }),
      );
    return routed;
  }

  /** Messages and values that were not taken since the start, by reason; a reload does not forget them. */
  dropped(): Counts {
    return summed(this.droppedBefore, this.router.dropped());
  }

  specs(): readonly StreamSpec[] {
    return this.engine.streams().map(({ spec }) => spec);
  }

  has(stream: string): boolean {
    return this.known.has(stream);
  }

  /** The streams of former runs, where they were. @returns names of those that the config does not read any more */
  async restore(): Promise<readonly string[]> {
    const { clock } = this.parts;
    const startedMs = clock.monotonic();
    // Before anything is forecast with it.
    await this.ahead.use(this.parts.config);
    await this.takeUp(this.known.restore(this.router));
    await this.engine.prepare();
    this.log.info('streams restored', { streams: this.size, ms: Math.round(clock.monotonic() - startedMs) });
    return this.known.gone;
  }

  /** Where it throws, the streams are new again at their next message. */
  async discovered(found: readonly Met[]): Promise<void> {
    try {
      for (const stream of found) this.known.add(stream, stream.firstMs);
      await this.takeUp(found);
    } catch (error) {
      for (const { spec } of found) this.leave(spec.name);
      throw error;
    }
    this.known.save();
    const first = found[0]?.spec.name;
    this.log.info('streams discovered', { new: found.length, streams: this.size, first });
  }

  /**
   * Nothing of the stream is left: neither samples nor what was learnt. Should it speak again, it is a new one.
   * @throws GatecastError STREAM_UNKNOWN, STORE_FAILED; nothing has changed then
   */
  forget(stream: string): void {
    this.mustKnow(stream);
    if (!this.store.forget(stream)) throw storeFailed();
    this.leave(stream);
    this.known.save();
    this.store.flush();
    this.log.info('stream forgotten', { stream });
  }

  /**
   * What was learnt of the stream is forgotten; its samples stay, but a restart does not learn from them again.
   * @throws GatecastError STREAM_UNKNOWN, STORE_FAILED; nothing has changed then
   */
  reset(stream: string): void {
    this.mustKnow(stream);
    if (!this.store.dropSnapshots(stream)) throw storeFailed();
    this.engine.reset(stream);
    this.known.begins(stream, this.parts.clock.now());
    this.checkpoints.add(stream, 'new', 0);
    this.known.save();
    this.store.flush();
    this.log.info('stream reset', { stream });
  }

  /** Streams whose settings are the same go on untouched; others keep their state where it still fits. */
  async reconfigure(config: Config): Promise<Reconfigured> {
    await this.ahead.use(config);
    const router = createRouter(config);
    const before = new Map(this.specs().map((spec) => [spec.name, spec]));
    const kept = this.known.restore(router);
    this.droppedBefore = this.dropped();
    this.router = router;
    const names = new Set(kept.map(({ spec }) => spec.name));
    const removed = [...before.keys()].filter((name) => !names.has(name));
    for (const name of removed) this.leave(name);
    const changed = kept.filter(({ spec }) => !isDeepStrictEqual(spec, before.get(spec.name)));
    for (const stream of changed) await this.change(stream, before.get(stream.spec.name));
    this.known.save();
    this.store.flush();
    return { changed: changed.map(({ spec }) => spec.name), removed };
  }

  /** Before the store closes. */
  save(): void {
    const { clock } = this.parts;
    this.ahead.save();
    this.known.save();
    this.checkpoints.saveAll(() => clock.monotonic());
  }

  private async change({ spec, firstMs }: KnownStream, before: StreamSpec | undefined): Promise<void> {
    const snapshot = this.engine.snapshot(spec.name);
    if (before !== undefined && snapshot !== null && stateSettings(before) === stateSettings(spec)) {
      // Its open bucket comes from the samples, as after a restart.
      if (this.store.saveSnapshots([snapshot])) return this.takeUp([{ spec, firstMs }]);
      this.engine.add(spec, snapshot);
      this.board.announce(spec.name, spec.unit);
      return;
    }
    this.store.dropSnapshots(spec.name);
    const spanMs = spec.intervalMs === null ? DAY_MS : REBUILD_BUCKETS * spec.intervalMs;
    const fromMs = Math.max(firstMs, this.parts.clock.now() - spanMs);
    await this.takeUp([{ spec, firstMs: fromMs }]);
  }

  private async takeUp(streams: readonly KnownStream[]): Promise<void> {
    for (const { spec } of streams) this.board.announce(spec.name, spec.unit);
    const clockMs = this.parts.clock.now();
    const nowMs = ClockHold.sane(clockMs) ? clockMs : undefined;
    for (const { name, state, replayed } of await restoreStreams(this.engine, this.store, streams, nowMs)) {
      this.checkpoints.add(name, state, replayed);
      if (state === 'rebuilt') this.log.warn('state rebuilt from stored samples', { stream: name, replayed });
    }
  }

  /** It is forecast no more. */
  private leave(stream: string): void {
    this.engine.remove(stream);
    this.checkpoints.remove(stream);
    this.router.forget(stream);
    this.known.remove(stream);
    this.board.forget(stream);
  }

  private mustKnow(stream: string): void {
    if (!this.known.has(stream))
      throw new GatecastError(
        'STREAM_UNKNOWN',
        `There is no stream ${JSON.stringify(stream.slice(0, 200))}.`,
      );
  }
}

const storeFailed = (): GatecastError =>
  new GatecastError('STORE_FAILED', 'The database cannot be written now.', {
    hint: 'The alert `store` says why. Ask again when it is gone.',
  });
