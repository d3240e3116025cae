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

/** An agent with no more streams restores all of them before it connects. */
const AT_ONCE = 256;
/**
 * Most time of a turn, ms; one slow stream may take longer. Readings wait meanwhile, but each turn reads the stored samples of
 * its time span once, so that many short turns would take far longer in all.
 */
const TURN_MS = 800;
const FIRST_TURN = 32;
const MOST_IN_TURN = 256;

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
  private readonly waiting = new Map<string, KnownStream>();
  private readonly heard = new Set<string>();
  /** The saved state of a stream contains its buckets before this time, ms; -Infinity without a state. */
  private readonly closedToMs = new Map<string, number>();
  /** Streams of the next turn. */
  private count = FIRST_TURN;

  /**
   * @param atOnce see `AT_ONCE`
   * @param replayFromMs time before which the saved state of a stream contains all buckets, ms; null without a state
   */
  constructor(
    private readonly atOnce = AT_ONCE,
    private readonly replayFromMs: (stream: string) => number | null = () => null,
  ) {}

  /** Number of streams that are still to be restored. */
  get size(): number {
    return this.waiting.size;
  }

  has(stream: string): boolean {
    return this.waiting.has(stream);
  }

  get(stream: string): KnownStream | undefined {
    return this.waiting.get(stream);
  }

  specs(): StreamSpec[] {
    return [...this.waiting.values()].map(({ spec }) => spec);
  }

  /** Queues streams for a later restore. @returns those that must be restored at once */
  defer(streams: readonly KnownStream[]): readonly KnownStream[] {
    if (streams.length <= this.atOnce) return streams;
    for (const stream of streams) this.put(stream);
    return this.takeLinked([]);
  }

  /** Adds a stream, or replaces its entry. */
  put(stream: KnownStream): void {
    this.waiting.set(stream.spec.name, stream);
    this.closedToMs.delete(stream.spec.name);
  }

  delete(stream: string): void {
    this.waiting.delete(stream);
    this.heard.delete(stream);
    this.closedToMs.delete(stream);
  }

  /** Removes and returns the streams that are linked by covariates. @param others streams that do not wait */
  takeLinked(others: Iterable<StreamSpec>): KnownStream[] {
    if (this.waiting.size === 0) return [];
    return this.take(linkedNames([...others, ...this.specs()]));
  }

  /**
   * What becomes of a reading: `accepted` if it is to be stored, and replayed later; `late` if the saved state contains its bucket,
   * because the replay begins after it.
   * @returns null if its stream does not wait
   */
  outcome(sample: Sample): PushOutcome | null {
    const stream = this.waiting.get(sample.stream);
    if (stream === undefined) return null;
    const refused = refusal(sample, stream.spec, stream.spec.intervalMs);
    if (refused !== null) return refused;
    if (this.isLate(sample, stream.spec.intervalMs)) return 'late';
    this.heard.add(sample.stream);
    return 'accepted';
  }

  private isLate({ stream, timeMs, arrivalMs }: Sample, intervalMs: number | null): boolean {
    let closedToMs = this.closedToMs.get(stream);
    if (closedToMs === undefined) {
      closedToMs = this.replayFromMs(stream) ?? Number.NEGATIVE_INFINITY;
      this.closedToMs.set(stream, closedToMs);
    }
    // A state far ahead of the clock is of a wrong clock: its buckets make no reading late, see `Buckets`.
    return timeMs < closedToMs && !(closedToMs - arrivalMs > FUTURE_MS + (intervalMs ?? 0));
  }

  /** Restores the streams whose turn it is. @param restore restores all of these */
  async turn(
    monotonicMs: () => number,
    restore: (streams: readonly KnownStream[]) => Promise<void>,
  ): Promise<void> {
    const names: string[] = [];
    for (const list of [this.heard, this.waiting.keys()])
      for (const name of list) {
        if (names.length >= this.count) break;
        if (!names.includes(name)) names.push(name);
      }
    const startedMs = monotonicMs();
    await restore(this.take(names));
    const tookMs = monotonicMs() - startedMs;
    if (tookMs > TURN_MS) this.count = Math.max(1, this.count >> 1);
    else if (4 * tookMs < TURN_MS) this.count = Math.min(MOST_IN_TURN, 2 * this.count);
  }

  private take(names: Iterable<string>): KnownStream[] {
    const taken: KnownStream[] = [];
    for (const name of names) {
      const stream = this.waiting.get(name);
      if (stream === undefined) continue;
      taken.push(stream);
      this.delete(name);
    }
    return taken;
  }
}
