/** Keeps a complaint that comes again and again from filling the log: of each kind one in ten minutes, with how many were left out. */
import type { Clock } from '../system/clock.ts';

const EVERY_MS = 600_000;
/** Kinds remembered; with more, the oldest is forgotten. */
const MOST_KINDS = 1000;

export class Seldom {
  private readonly said = new Map<string, { atMs: number; omitted: number }>();

  constructor(private readonly clock: Pick<Clock, 'monotonic'>) {}

  /** @param say called now or not at all; with how many of the kind were left out since the last, undefined for none */
  say(kind: string, say: (omitted: number | undefined) => void): void {
    const nowMs = this.clock.monotonic();
    const last = this.said.get(kind);
    if (last !== undefined && nowMs - last.atMs < EVERY_MS) {
      last.omitted++;
      return;
    }
    this.said.delete(kind);
    const [oldest] = this.said.keys();
    if (this.said.size >= MOST_KINDS && oldest !== undefined) this.said.delete(oldest);
    this.said.set(kind, { atMs: nowMs, omitted: 0 });
    say(last?.omitted || undefined);
  }
}
