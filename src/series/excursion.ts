/**
 * Finds a stretch that was probably wrong once it has ended: the stream left everything it had ever shown by far, and
 * came back within a few hours (an unplugged probe that reads -127 for an hour). Such a stretch must not be repeated a
 * day later by the experts that look back by a season, so it is replaced in the history. A level that comes often, again
 * at the same time of day, or each time after the same time, is a normal value of the stream and is no longer replaced.
 */
import type { History } from './history.ts';
import type { StateIo } from './state-io.ts';

/** Readings before anything is far from all that has been shown. */
const WARM_UP = 48;
/** Beyond the range shown by this many ranges is far; back is within half a range. */
const FAR = 3;
const BACK = 0.5;
/** A stretch is rare if the one before began this many times its length earlier. */
const RARE = 50;
/** The same for a stretch of one value, this many times or more: an error code. A machine that runs has other values. */
const RARE_CODE = 10;
const CODE_LENGTH = 3;
/** Stretches are regular if they begin within this many steps, or within this share of the distance, of what is expected. */
const REGULAR_STEPS = 2;
const REGULAR_SHARE = 0.02;
/** Equal distances in a row from which stretches are regular. */
const REPEATS = 2;

export class Excursion {
  private low = Number.POSITIVE_INFINITY;
  private high = Number.NEGATIVE_INFINITY;
  private seen = 0;
  /** Step of the first value of the current excursion, and the value before it; -1 if there is none. */
  private start = -1;
  private before = 0;
  /** Step at which the newest excursion began, and its distance from the one before. */
  private newest = Number.NEGATIVE_INFINITY;
  private distance = Number.POSITIVE_INFINITY;
  /** How many times in a row this distance has been about the same. */
  private repeats = 0;

  /**
   * @param longest steps after which an excursion counts as a new level
   * @param day steps in a day; 0 if unknown
   */
  constructor(
    private readonly longest: number,
    private readonly day: number,
  ) {}

  /** Takes in an observed value that `history` has just taken in, and repairs the history when an excursion has ended. */
  add(value: number, history: History): void {
    const range = this.high - this.low;
    const beyond = Math.max(value - this.high, this.low - value);
    if (this.start < 0) {
      const far = this.seen >= WARM_UP && range > 0 && beyond > FAR * range && history.reach > 0;
      if (!far || this.beginsRegularly(history.steps - 1)) {
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
    this.start = -1;
    const rare = isOneValue(history, length) ? RARE_CODE : RARE;
    if (isBack && this.distance >= rare * length) {
      this.include(value);
      for (let i = 1; i <= length; i++)
        history.replace(i, value + (i / (length + 1)) * (this.before - value));
      return;
    }
    // From now on this level counts as normal: the next time it is not an excursion.
    for (let i = 0; i <= length; i++) this.include(history.at(i));
  }

  /**
   * Notes that an excursion begins at a step.
   * @returns whether it comes at the same time of day as the one before, or the distances between excursions have been equal
   */
  private beginsRegularly(step: number): boolean {
    const { day } = this;
    const former = this.distance;
    const distance = step - this.newest;
    this.distance = distance;
    this.newest = step;
    const isSame = Math.abs(distance - former) <= Math.max(REGULAR_STEPS, REGULAR_SHARE * distance);
    this.repeats = isSame ? this.repeats + 1 : 0;
    const isDaily = day > 0 && Math.abs(distance - day * Math.round(distance / day)) <= REGULAR_STEPS;
    return isDaily || this.repeats >= REPEATS;
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
    this.newest = io.number(this.newest);
    this.distance = io.number(this.distance);
    this.repeats = io.number(this.repeats);
  }
}

/** Whether the last values before the newest are the same, and many enough to tell. */
function isOneValue(history: History, length: number): boolean {
  for (let lag = 2; lag <= length; lag++) if (history.at(lag) !== history.at(1)) return false;
  return length >= CODE_LENGTH;
}
