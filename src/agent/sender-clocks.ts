/** Detects senders with a wrong clock: streams whose readings are all refused because of their time stamp. */
import { clockAdvice } from '../ingest/sender-clock.ts';
import type { Sample } from '../series/sample.ts';

/** Refused readings in a row before a clock counts as wrong. */
const REFUSED_IN_A_ROW = 3;
const MOST_STREAMS = 1000;

export class SenderClocks {
  /** By stream: readings refused since the last accepted one. */
  private readonly refused = new Map<string, { count: number; last: Sample }>();

  /** Call when a reading is accepted: the clock is right. */
  accepted(stream: string): void {
    if (this.refused.size > 0) this.refused.delete(stream);
  }

  /** @returns advice, from the third refused reading in a row on; null before */
  refuse(sample: Sample): string | null {
    const { stream } = sample;
    const known = this.refused.get(stream);
    if (known === undefined && this.refused.size >= MOST_STREAMS) {
      const [oldest] = this.refused.keys();
      if (oldest !== undefined) this.refused.delete(oldest);
    }
    const count = (known?.count ?? 0) + 1;
    // The newest is last.
    this.refused.delete(stream);
    this.refused.set(stream, { count, last: sample });
    return count < REFUSED_IN_A_ROW ? null : clockAdvice(sample);
  }

  /** The stream with a wrong clock that sent last, and the number of such streams; null if there is none. */
  get wrong(): { readonly stream: string; readonly advice: string; readonly streams: number } | null {
    const all = [...this.refused].filter(([, { count }]) => count >= REFUSED_IN_A_ROW);
    const newest = all.at(-1)?.[1].last;
    return newest === undefined
      ? null
      : { stream: newest.stream, advice: clockAdvice(newest), streams: all.length };
  }
}
