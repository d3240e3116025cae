/**
 * Finds a stretch that was probably wrong once it has ended: the stream left everything it had ever shown by far, and
 * came back within a few hours (an unplugged probe that reads -127 for an hour). Such a stretch must not be repeated a
 * day later by the experts that look back by a season, so it is replaced in the history. When the same level comes
 * again, it counts as a normal value of the stream and is no longer replaced.
 */
import type { History } from './history.ts';
import type { StateIo } from './state-io.ts';

/** Readings before anything is far from all that has been shown. */
const WARM_UP = 48;
/** Beyond the range shown by this many ranges is far; back is within half a range. */
const FAR = 3;
const BACK = 0.5;

export class Excursion {
  private low = Number.POSITIVE_INFINITY;
  private high = Number.NEGATIVE_INFINITY;
  private seen = 0;
  /** Step of the first value of the current excursion, and the value before it; -1 if there is none. */
  private start = -1;
  private before = 0;

  /** @param longest steps after which an excursion counts as a new level */
  constructor(private readonly longest: number) {}

  /** Takes in an observed value that `history` has just taken in, and repairs the history when an excursion has ended. */
  add(value: number, history: History): void {
    const range = this.high - this.low;
    const beyond = Math.max(value - this.high, this.low - value);
    if (this.start < 0) {
      const far = this.seen >= WARM_UP && range > 0 && beyond > FAR * range && history.reach > 0;
      if (!far) {
        this.include(value);
        return;
      }
      this.start = history.steps - 1;
      this.before = history.at(1);
      return;
    }
    const length = history.steps - 1 - this.start;
    const isBack = beyond <= BACK * range;
    if (!isBack && length < this.longest) return;
    // From now on this level counts as normal: a second time it is not an excursion.
    for (let i = 0; i <= length; i++) this.include(history.at(i));
    if (isBack) {
      for (let i = 1; i <= length; i++)
        history.replace(i, value + (i / (length + 1)) * (this.before - value));
    }
    this.start = -1;
  }

  private include(value: number): void {
    this.seen++;
    this.low = Math.min(this.low, value);
    this.high = Math.max(this.high, value);
  }

  persist(io: StateIo): void {
    this.low = io.number(this.low);
    this.high = io.number(this.high);
    this.seen = io.number(this.seen);
    this.start = io.number(this.start);
    this.before = io.number(this.before);
  }
}
