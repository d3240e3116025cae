/** Limits repeated warnings: one of each kind in ten minutes, with the number of omitted ones. */
import type { Clock } from './clock.ts';

const EVERY_MS = 600_000;
/** Kinds remembered; beyond that the oldest is forgotten. */
const MOST_KINDS = 1000;

export class RateLimitedLog {
  private readonly written = new Map<string, { atMs: number; omitted: number }>();

  constructor(private readonly clock: Pick<Clock, 'monotonic'>) {}

  /** @param write called at once or not at all, with the number of omitted lines of the kind since the last one (undefined: none) */
  say(kind: string, write: (omitted: number | undefined) => void): void {
    const nowMs = this.clock.monotonic();
    const last = this.written.get(kind);
    if (last !== undefined && nowMs - last.atMs < EVERY_MS) {
      last.omitted++;
      return;
    }
    this.written.delete(kind);
    const [oldest] = this.written.keys();
    if (this.written.size >= MOST_KINDS && oldest !== undefined) this.written.delete(oldest);
    this.written.set(kind, { atMs: nowMs, omitted: 0 });
    write(last?.omitted || undefined);
  }
}
