/** Whose scores are due: each stream that got on, soon where there are few, in turns where there are many, never all at once. */
import type { StreamView } from '../forecast/engine-contract.ts';

/** A stream's scores are said no more often than this, ms. */
const LEAST_MS = 10_000;
/** And all streams within this, ms. */
const MOST_MS = 300_000;
const LEAST_A_TURN = 10;

export class ScoreTurns {
  private queue: string[] = [];
  private beganMs = Number.NEGATIVE_INFINITY;
  /** By stream, its buckets when its scores were last said. */
  private said = new Map<string, number>();

  /**
   * Call every `turnMs`.
   * @param views asked for once a round of turns
   */
  next(views: () => readonly StreamView[], monotonicMs: number, turnMs: number): string[] {
    if (this.queue.length === 0) {
      if (monotonicMs - this.beganMs < LEAST_MS) return [];
      this.beganMs = monotonicMs;
      const now = new Map(views().map(({ spec, bucketsSeen }) => [spec.name, bucketsSeen]));
      this.queue = [...now.keys()].filter((name) => now.get(name) !== this.said.get(name));
      this.said = now;
    }
    return this.queue.splice(0, Math.max(LEAST_A_TURN, Math.ceil((this.said.size * turnMs) / MOST_MS)));
  }
}
