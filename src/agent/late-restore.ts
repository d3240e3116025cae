/**
 * Streams of an earlier run that are restored after the start, some in each round of the pipeline, so that an agent with thousands
 * of streams is soon online. Until its turn the readings of such a stream are only stored. The restore replays them with the
 * earlier ones, so none is lost, even if the agent is killed meanwhile. Streams with new readings come first.
 */
import type { PushOutcome } from '../forecast/engine-contract.ts';
import { FUTURE_MS, refusal } from '../series/admission.ts';
import type { Sample } from '../series/sample.ts';
import type { StreamSpec } from '../series/spec.ts';
import type { KnownStream } from './known-streams.ts';
import { ReplayScan, type ReplayStart, type ScannedStore } from './replay-scan.ts';
import type { Restorable } from './restore.ts';

/** An agent with no more streams restores all of them before it connects. */
const AT_ONCE = 256;
/**
 * More streams than these, whose states are rebuilt from thousands of samples, wait in any case: on a slow board the agent would not be
 * ready before the service manager ends it, again and again.
 */
const REBUILT_AT_ONCE = 16;
/** Most time of a turn, ms; a stream with many samples may take longer. New readings wait meanwhile. */
const TURN_MS = 200;
/** Samples replayed in the first turn, and the limits of later ones; few samples make small batches for the network. */
const FIRST_TURN = 256;
const LEAST_IN_TURN = 1024;
const MOST_IN_TURN = 16_384;
/** Cost of loading the state of a stream, in replayed samples. */
const STATE_SAMPLES = 8;
/** While the store cannot be read: time between two scans, and after which the streams begin without their stored samples, ms. */
const AGAIN_MS = 1000;
const GIVE_UP_MS = 60_000;
/** Streams prepared between two pauses. */
const STREAMS_PER_BREATH = 64;

interface Waiting {
  readonly stream: KnownStream;
  start?: ReplayStart;
}

interface LateRestoreParts {
  /** See `AT_ONCE`. */
  readonly atOnce?: number;
  readonly store: ScannedStore;
  /** Where the replay of a stream is expected to begin. */
  readonly startOf: (stream: KnownStream) => ReplayStart;
  /** Time before which the saved state of a stream contains all buckets, ms; null without a state. */
  readonly replayFromMs: (stream: string) => number | null;
}

/** Restores all of the streams. @param isIncomplete whether their stored samples could not be read */
type Restore = (streams: readonly Restorable[], isIncomplete: boolean) => Promise<void>;

interface TurnPace {
  readonly monotonicMs: () => number;
  readonly breathe: () => Promise<void> | undefined;
}

/** The names of streams that see others, or are seen. They learn in order of time, so they are restored together. */
function linkedNames(specs: Iterable<StreamSpec>): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { name, covariates = [] } of specs) {
    const seen = covariates.filter(({ kind }) => kind === 'stream');
    if (seen.length > 0) names.add(name);
    for (const other of seen) names.add(other.name);
  }
  return names;
}

export class LateRestore {
  private readonly waiting = new Map<string, Waiting>();
  private readonly heard = new Set<string>();
  /** The saved state of a stream contains its buckets before this time, ms; -Infinity without a state. */
  private readonly closedToMs = new Map<string, number>();
  /** Samples replayed in the next turn. */
  private count = FIRST_TURN;
  /** Null between two scans: streams that came later, or that did not fit into its memory, need another one. */
  private scan: ReplayScan | null = null;
  /** When it was made, ms of the monotonic clock. */
  private scannedMs = 0;
  /** Since when the store cannot be read, and when the next turn tries again, ms of the monotonic clock; null: it can be read. */
  private unread: { readonly sinceMs: number; readonly againMs: number } | null = null;

  constructor(private readonly parts: LateRestoreParts) {}

  /** Number of streams that are still to be restored. */
  get size(): number {
    return this.waiting.size;
  }

  /** Time until the next turn, ms; null if no stream waits. */
  dueInMs(monotonicMs: number): number | null {
    if (this.waiting.size === 0) return null;
    return this.unread === null ? 0 : Math.max(0, this.unread.againMs - monotonicMs);
  }

  has(stream: string): boolean {
    return this.waiting.has(stream);
  }

  get(stream: string): KnownStream | undefined {
    return this.waiting.get(stream)?.stream;
  }

  specs(): StreamSpec[] {
    return [...this.waiting.values()].map(({ stream }) => stream.spec);
  }

  /** Queues streams for a later restore. @returns those that must be restored at once */
  defer(streams: readonly KnownStream[]): readonly KnownStream[] {
    const { atOnce = AT_ONCE, startOf } = this.parts;
    let later = streams;
    if (streams.length <= atOnce) {
      later = streams.filter((stream) => startOf(stream).state === 'rebuilt');
      if (later.length <= REBUILT_AT_ONCE) return streams;
    }
    for (const stream of later) this.put(stream);
    const now = streams.filter(({ spec }) => !this.has(spec.name));
    return [...now, ...this.takeLinked(now.map(({ spec }) => spec))];
  }

  /** Adds a stream, or replaces its entry. @param start of its replay, if known */
  put({ spec, firstMs }: KnownStream, start?: ReplayStart): void {
    this.scan?.forget(spec.name);
    this.waiting.set(spec.name, { stream: { spec, firstMs }, start });
    this.closedToMs.delete(spec.name);
  }

  delete(stream: string): void {
    this.scan?.forget(stream);
    this.waiting.delete(stream);
    this.heard.delete(stream);
    this.closedToMs.delete(stream);
  }

  /** Removes and returns the streams that are linked by covariates. @param others streams that do not wait */
  takeLinked(others: Iterable<StreamSpec>): KnownStream[] {
    if (this.waiting.size === 0) return [];
    const taken: KnownStream[] = [];
    for (const name of linkedNames([...others, ...this.specs()])) {
      const stream = this.get(name);
      if (stream === undefined) continue;
      taken.push(stream);
      this.delete(name);
    }
    return taken;
  }

  /**
   * What becomes of a reading: `accepted` if it must be stored now, and is replayed later; `late` if the saved state contains its bucket,
   * because the replay begins after it.
   * @returns null if its stream does not wait
   */
  outcome(sample: Sample): PushOutcome | null {
    const stream = this.get(sample.stream);
    if (stream === undefined) return null;
    const refused = refusal(sample, stream.spec, stream.spec.intervalMs);
    if (refused !== null) return refused;
    if (this.isLate(sample, stream.spec.intervalMs)) return 'late';
    this.heard.add(sample.stream);
    this.scan?.stored(sample.stream, Math.round(sample.timeMs), sample.value);
    return 'accepted';
  }

  private isLate({ stream, timeMs, arrivalMs }: Sample, intervalMs: number | null): boolean {
    let closedToMs = this.closedToMs.get(stream) ?? this.closedToOf(stream);
    if (closedToMs === undefined) {
      const { replayFromMs, store } = this.parts;
      const { failedReads } = store;
      closedToMs = replayFromMs(stream) ?? Number.NEGATIVE_INFINITY;
      if (store.failedReads === failedReads) this.closedToMs.set(stream, closedToMs);
    }
    // A state far ahead of the clock is of a wrong clock: its buckets make no reading late, see `Buckets`.
    return timeMs < closedToMs && !(closedToMs - arrivalMs > FUTURE_MS + (intervalMs ?? 0));
  }

  /** As the scan has found it, if it could read the store. */
  private closedToOf(stream: string): number | undefined {
    return this.scan?.isIncomplete === false ? this.waiting.get(stream)?.start?.closedToMs : undefined;
  }

  /** Whether the last attempt to read the stored samples failed. */
  get isUnread(): boolean {
    return this.unread !== null;
  }

  /** The store cannot be read now. @returns whether to try again later; false after some time */
  mustWait(monotonicMs: number): boolean {
    const sinceMs = this.unread?.sinceMs ?? monotonicMs;
    const waits = monotonicMs - sinceMs < GIVE_UP_MS;
    this.unread = { sinceMs, againMs: waits ? monotonicMs + AGAIN_MS : monotonicMs };
    return waits;
  }

  /** Reads stored samples until they suffice for some streams, and restores these. */
  async turn(pace: TurnPace, restore: Restore): Promise<void> {
    const { monotonicMs, breathe } = pace;
    const startedMs = monotonicMs();
    if (this.dueInMs(startedMs) !== 0) return;
    // Making a scan takes all streams, so streams that begin anew while the store cannot be read share one for a second.
    if (this.scan?.isIncomplete === true && startedMs - this.scannedMs >= AGAIN_MS) this.discardScan();
    if (this.scan === null) {
      this.scannedMs = startedMs;
      this.scan = await this.newScan(breathe);
    }
    const { scan } = this;
    let isLong = false;
    while (scan.ready.size === 0 && !scan.isOver && !isLong) {
      scan.read();
      await breathe();
      isLong = monotonicMs() - startedMs > TURN_MS;
    }
    const { isIncomplete } = scan;
    if (isIncomplete && this.mustWait(monotonicMs())) return;
    if (isLong) return;
    const restoresMs = monotonicMs();
    const streams = this.next(scan);
    if (scan.ready.size === 0 && scan.isOver) this.scan = null;
    await restore(streams, isIncomplete);
    if (!scan.isIncomplete) this.unread = null;
    const tookMs = monotonicMs() - restoresMs;
    if (tookMs > TURN_MS) this.count = Math.max(LEAST_IN_TURN, this.count >> 1);
    else if (4 * tookMs < TURN_MS) this.count = Math.min(MOST_IN_TURN, 2 * this.count);
  }

  private discardScan(): void {
    this.scan = null;
    // What could not be read may be missing here, too.
    for (const waiting of this.waiting.values()) waiting.start = undefined;
  }

  private async newScan(breathe: () => Promise<void> | undefined): Promise<ReplayScan> {
    const scan = new ReplayScan(this.parts.store);
    let prepared = 0;
    for (const [name, waiting] of this.waiting) {
      waiting.start ??= this.parts.startOf(waiting.stream);
      scan.want(name, waiting.start);
      if (++prepared % STREAMS_PER_BREATH === 0) await breathe();
    }
    return scan;
  }

  /** Removes and returns the streams to restore next: those with new readings first. */
  private next(scan: ReplayScan): Restorable[] {
    const streams: Restorable[] = [];
    let samples = 0;
    for (const names of [this.heard, scan.ready.keys()])
      for (const name of names) {
        if (samples >= this.count) break;
        const waiting = this.waiting.get(name);
        const taken = waiting === undefined ? null : scan.take(name);
        if (waiting?.start === undefined || taken === null) continue;
        samples += STATE_SAMPLES + (taken.samples?.length ?? this.count);
        this.delete(name);
        const start = { state: waiting.start.state, fromMs: [taken.fromMs] };
        streams.push(
          taken.samples === null || scan.isIncomplete
            ? waiting.stream
            : { ...waiting.stream, start, samples: taken.samples },
        );
      }
    return streams;
  }
}
