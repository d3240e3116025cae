/** Detects senders with a wrong clock: streams whose readings are all refused because of their time stamp. */
import { clockAdvice } from '../ingest/sender-clock.ts';
import type { Sample } from '../series/sample.ts';

/** Refused readings in a row before a clock counts as wrong. */
const REFUSED_IN_A_ROW = 3;
const MOST_STREAMS = 1000;

export class SenderClocks {
  /** By stream: readings refused since the last accepted one. */
  private readonly refused = new Map<string, { count: number; offsetMs: number }>();

  /** Call when a reading is accepted: the clock is right. */
  accepted(stream: string): void {
    if (this.refused.size > 0) this.refused.delete(stream);
  }

  /** @returns advice, from the third refused reading in a row on; null before */
  refuse({ stream, timeMs, arrivalMs }: Sample): string | null {
    const known = this.refused.get(stream);
    if (known === undefined && this.refused.size >= MOST_STREAMS) return null;
    const entry = known ?? { count: 0, offsetMs: 0 };
    entry.count += 1;
    entry.offsetMs = timeMs - arrivalMs;
    this.refused.set(stream, entry);
    return entry.count < REFUSED_IN_A_ROW ? null : clockAdvice(entry.offsetMs);
  }

  /** One of the streams with a wrong clock, and their number; null if there is none. */
  get wrong(): { readonly stream: string; readonly advice: string; readonly streams: number } | null {
    const all = [...this.refused].filter(([, { count }]) => count >= REFUSED_IN_A_ROW);
    const [first] = all;
    return first === undefined
      ? null
      : { stream: first[0], advice: clockAdvice(first[1].offsetMs), streams: all.length };
  }
}
