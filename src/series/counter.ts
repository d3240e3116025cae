/**
 * The increase of a counter, reading by reading. A fall or an impossible rise can be a reset, another meter, the end
 * of the counter's range, or a wrong reading; often only later readings show which. So the level before the jump
 * is stored: if the counter returns to that level, the readings in between were wrong and counting continues
 * from there.
 */
import type { StateIo } from './state-io.ts';

/** The counter only grows (`delta`), or may also run backwards (`change`). */
export type CounterKind = 'delta' | 'change';

/** Ranges of counters: 16 and 32 bits, also in tenths to thousandths, and decimal digits. */
const BINARY = [2 ** 16, 2 ** 32];
const SCALES = [1, 10, 100, 1000];
const DECIMAL = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];
/** A fall by less than this share is a correction, not a reset. */
const CORRECTION = 0.1;
/** A fall by less than this is jitter: counting continues from the highest reading. */
const TREMBLING = 0.01;
/** A reading below this share of the previous level counts as 0: the meter has lost its total. */
const NOTHING = 0.01;
/** Number of increases before the usual increase is known. */
const ENOUGH = 4;
/** An increase above this multiple of the largest one so far is a jump ... */
const FAR = 30;
/** ... and above this multiple it never counts as consumption, even if the readings continue from there. */
const IMPOSSIBLE = 1000;
/** A fall is an overflow if it means an increase of at most this multiple of the largest; of a counter that has been reset before, at most the largest. */
const WRAP = 3;
/** Number of growing readings at a new level before the previous level is dropped. */
const SETTLED = 8;
/** Most readings without growth at a level near 0 that count as wrong readings. */
const MOST_IDLE = 12;
const SPAN = 64;
/** Decay of the largest increase per reading. */
const FORGET = 1 / 2048;

interface Growth {
  /** Increase since the previous reading; NaN if unknown. */
  readonly increase: number;
  /** Whether the reading made an impossible jump: the counter fell, or rose too far. */
  readonly jump: boolean;
  /** Start of the time over which the increase was counted, ms. */
  readonly fromMs: number;
}

/** Increase of at most `most` if a counter with a known range has overflowed from `before` to `after`; else NaN. */
function wrapped(before: number, after: number, most: number): number {
  let best = Number.NaN;
  const consider = (range: number): void => {
    const increase = range - before + after;
    if (before < range && after < 0.1 * range && increase <= most && !(increase >= best)) best = increase;
  };
  for (const range of BINARY)
    for (const scale of SCALES)
      if (Number.isInteger(Math.round(before * scale * 1e6) / 1e6)) consider(range / scale);
  for (const range of DECIMAL) consider(range);
  return best;
}

/** Increase if a counter without known increases has probably overflowed: from near the end of a range to a low value. */
function likelyWrapped(before: number, after: number): number {
  for (const range of BINARY) {
    if (before < range && before >= 0.9 * range && after <= 0.1 * range && Number.isInteger(before))
      return range - before + after;
  }
  for (const range of DECIMAL)
    if (range >= 1e4 && before < range && before >= 0.999 * range && after <= 1e-3 * range)
      return range - before + after;
  return Number.NaN;
}

export class Counter {
  private readonly signed: boolean;
  private last = Number.NaN;
  private timeMs = Number.NaN;
  /** The level before the last jump, and the time of the jump, ms; NaN if there is none. */
  private other = Number.NaN;
  private jumpMs = Number.NaN;
  /** Whether the current level is confirmed by enough readings, and whether the previous one was. */
  private settled = true;
  private otherSettled = false;
  /** Increase counted since the jump. */
  private told = 0;
  /** A rise that counts when the next reading confirms it. */
  private pending = 0;
  /** Number of readings since the jump that grew, and that did not. */
  private grown = 0;
  private idle = 0;
  /** Whether the last jump fell to 0 or nearly 0. */
  private emptied = false;
  /** Number of falls that were resets. */
  private resets = 0;
  /** Number of increases; the largest one per usual time between readings (it decays slowly); and that time, ms. */
  private seen = 0;
  private largest = 0;
  private gapMs = 0;

  constructor(kind: CounterKind) {
    this.signed = kind === 'change';
  }

  /** Call in order of time. */
  read(timeMs: number, value: number): Growth {
    const { last, timeMs: fromMs } = this;
    if (Number.isNaN(last)) {
      this.stand(timeMs, value);
      return { increase: Number.NaN, jump: false, fromMs: timeMs };
    }
    const step = value - last;
    const passedMs = timeMs - fromMs;
    const back = this.returnsToOther(value, timeMs);
    if (!Number.isNaN(back)) return this.goBack(timeMs, value, back);
    if (this.seen === 0 && Number.isNaN(this.other) && last === 0 && step !== 0 && this.idle === 0) {
      // A meter may send a single 0 at the start, before it knows its total.
      this.stand(timeMs, value);
      this.idle = 1;
      return { increase: Number.NaN, jump: false, fromMs: timeMs };
    }
    const size = this.signed ? Math.abs(step) : step;
    if (size >= 0 && size <= this.reach(passedMs)) return this.goOn(timeMs, value, step, passedMs);
    if (!this.signed && step < 0) {
      if (-step < TREMBLING * Math.abs(last)) {
        this.timeMs = timeMs;
        return { increase: 0, jump: false, fromMs };
      }
      const usual = this.usual(passedMs);
      const most = this.resets > 0 ? usual : WRAP * usual;
      const over = this.seen < ENOUGH ? likelyWrapped(last, value) : wrapped(last, value, most);
      if (!Number.isNaN(over)) {
        // A daily total may reach the end of a range by chance: if its increase were learnt, every reset would be an overflow.
        this.stand(timeMs, value);
        return { increase: over, jump: false, fromMs };
      }
    }
    return this.jump(timeMs, value, step, passedMs);
  }

  /** The largest increase so far, scaled to the time since the last reading. */
  private usual(passedMs: number): number {
    return this.largest * Math.max(1, this.gapMs > 0 ? passedMs / this.gapMs : 1);
  }

  private reach(passedMs: number): number {
    return this.seen < ENOUGH || this.largest === 0 ? Number.POSITIVE_INFINITY : FAR * this.usual(passedMs);
  }

  private learn(increase: number, passedMs: number): void {
    const distances = Math.max(1, this.gapMs > 0 ? passedMs / this.gapMs : 1);
    if (this.seen < SPAN) this.seen++;
    this.gapMs += (Math.min(passedMs, this.gapMs > 0 ? 10 * this.gapMs : passedMs) - this.gapMs) / this.seen;
    this.largest = Math.max(this.largest * (1 - FORGET), Math.abs(increase) / distances);
  }

  private stand(timeMs: number, value: number): void {
    this.last = value;
    this.timeMs = timeMs;
  }

  /** Total increase since the jump if this reading continues from the previous level; else NaN. */
  private returnsToOther(value: number, timeMs: number): number {
    const { other, last } = this;
    if (Number.isNaN(other)) return Number.NaN;
    const beyond = value - other;
    const most = this.reach(timeMs - this.jumpMs);
    const near = Number.isFinite(most) ? most : CORRECTION * Math.abs(other);
    const least = this.signed ? near : TREMBLING * Math.abs(other);
    if (beyond > near || beyond < -least) return Number.NaN;
    // A value reachable by a usual increase from the current level is not a return.
    const step = Math.abs(value - last);
    if (Math.abs(beyond) > step || (Number.isFinite(most) && step <= this.reach(timeMs - this.timeMs)))
      return Number.NaN;
    return beyond;
  }

  private goBack(timeMs: number, value: number, beyond: number): Growth {
    const { jumpMs, told, last, other, settled, otherSettled } = this;
    const increase = this.signed ? beyond - told : Math.max(0, beyond - told);
    this.leave(last, timeMs);
    this.settled = otherSettled;
    this.otherSettled = settled;
    this.emptied = false;
    this.resets = 0;
    this.stand(timeMs, this.signed ? value : Math.max(value, other));
    return { increase, jump: false, fromMs: jumpMs };
  }

  /** Stores the level that the counter has just left. */
  private leave(level: number, timeMs: number): void {
    this.other = level;
    this.otherSettled = this.settled;
    this.jumpMs = timeMs;
    this.told = 0;
    this.pending = 0;
    this.grown = 0;
    this.idle = 0;
  }

  private goOn(timeMs: number, value: number, step: number, passedMs: number): Growth {
    const fromMs = this.timeMs;
    this.stand(timeMs, value);
    if (step === 0) this.idle++;
    else this.grown++;
    const waits = this.emptied && this.grown === 0 && this.idle < MOST_IDLE;
    if (waits) return { increase: Number.NaN, jump: true, fromMs };
    this.learn(step, passedMs);
    const increase = step + this.pending;
    if (this.pending !== 0) this.learn(this.pending, passedMs);
    this.pending = 0;
    this.told += increase;
    if (this.grown >= SETTLED && !Number.isNaN(this.other)) {
      if (!this.settled && this.other > value) this.resets++;
      this.settled = true;
      this.other = Number.NaN;
    }
    return { increase, jump: false, fromMs };
  }

  private jump(timeMs: number, value: number, step: number, passedMs: number): Growth {
    const { last, timeMs: fromMs } = this;
    const usual = FAR * this.usual(passedMs);
    // An unconfirmed level may be wrong, so the previous level stays the one to return to.
    if (this.settled) this.leave(last, timeMs);
    this.settled = false;
    this.pending = 0;
    this.stand(timeMs, value);
    this.emptied = Math.abs(value) < NOTHING * Math.abs(last) && this.resets === 0;
    if (this.signed ? !this.emptied : step > 0) {
      if (Math.abs(step) <= (IMPOSSIBLE / FAR) * usual) this.pending = step;
      return { increase: Number.NaN, jump: true, fromMs };
    }
    if (this.signed) return { increase: Number.NaN, jump: true, fromMs };
    // A correction, or growth from 0 after a reset, within the possible amount.
    const most = this.seen < ENOUGH ? CORRECTION * last : usual;
    const told = -step < CORRECTION * last || value > most ? 0 : Math.max(0, value);
    this.told += told;
    if (told > 0) this.emptied = false;
    return { increase: this.emptied ? Number.NaN : told, jump: true, fromMs };
  }

  /** Call when the grid restarts: the next reading may not follow the last one. */
  restart(): void {
    this.stand(Number.NaN, Number.NaN);
    this.other = Number.NaN;
    this.settled = true;
  }

  persist(io: StateIo): void {
    this.last = io.number(this.last);
    this.timeMs = io.number(this.timeMs);
    this.other = io.number(this.other);
    this.jumpMs = io.number(this.jumpMs);
    this.settled = io.number(this.settled ? 1 : 0) === 1;
    this.otherSettled = io.number(this.otherSettled ? 1 : 0) === 1;
    this.told = io.number(this.told);
    this.pending = io.number(this.pending);
    this.grown = io.number(this.grown);
    this.idle = io.number(this.idle);
    this.emptied = io.number(this.emptied ? 1 : 0) === 1;
    this.resets = io.number(this.resets);
    this.seen = io.number(this.seen);
    this.largest = io.number(this.largest);
    this.gapMs = io.number(this.gapMs);
  }
}
