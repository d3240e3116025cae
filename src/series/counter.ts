/**
 * The increase of a counter, reading by reading. A fall or an impossible rise can be a reset, another meter, the end
 * of the counter's range, or a wrong reading; often only the next readings show which. So the level before the jump
 * is remembered: if the counter returns to that level, the readings in between were wrong and counting continues
 * from there.
 */
import type { StateIo } from './state-io.ts';

/** The counter only grows (`delta`), or may run backwards as well (`change`). */
export type CounterKind = 'delta' | 'change';

/** Numbers of a finite range: 16 and 32 bits, also of a counter in tenths to thousandths, and decimal digits. */
const BINARY = [2 ** 16, 2 ** 32];
const SCALES = [1, 10, 100, 1000];
const DECIMAL = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];
/** A counter that falls by less than this share has been corrected, not reset. */
const CORRECTION = 0.1;
/** The counter trembles where it falls by less than this: the highest reading stays the one to count from. */
const TREMBLING = 0.01;
/** Less than this share of the level before is nothing: the reading of a meter that has lost its total. */
const NOTHING = 0.01;
/** Increases before it is known what is usual. */
const ENOUGH = 4;
/** An increase above so many times the largest one so far is a jump ... */
const FAR = 30;
/** ... above so many it is no consumption at all, even where the readings go on from there. */
const IMPOSSIBLE = 1000;
/** A range has ended where that explains a fall by an increase of at most so many times the largest. */
const WRAP = 3;
/** Readings that go on growing from a new level before the one before it is forgotten. */
const SETTLED = 8;
/** Readings without growth at a level of nothing that are taken for wrong ones. */
const MOST_IDLE = 12;
const SPAN = 64;
/** Share of the largest increase that is forgotten with each reading. */
const FORGET = 1 / 2048;

export interface Growth {
  /** Since the reading before; NaN where it is not known. */
  readonly increase: number;
  /** The reading stands where a counter cannot have got to: it fell, or rose too far. */
  readonly jump: boolean;
  /** From when on it was counted, ms. */
  readonly fromMs: number;
}

/** Whether a counter of some finite range went over its end from `before` to `after` by at most `most`; the increase, or NaN. */
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

/** The same where nothing is known of the counter: it stood in the top of a range and came back low. */
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
  /** The level before the last jump, and when it was left, ms; NaN where there is none. */
  private other = Number.NaN;
  private jumpMs = Number.NaN;
  /** Whether the readings have long gone on from the present level, and did from that one. */
  private settled = true;
  private otherSettled = false;
  /** Told since the jump. */
  private told = 0;
  /** A rise that is counted once the next reading confirms it. */
  private pending = 0;
  /** Readings since the jump that grew, and those that did not. */
  private grown = 0;
  private idle = 0;
  /** Whether the last jump fell to nothing, or nearly. */
  private emptied = false;
  /** Falls that were resets indeed. */
  private resets = 0;
  /** Increases seen, the largest in one usual distance between readings (slowly forgotten), and that distance, ms. */
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
    const back = this.goesBack(value, timeMs);
    if (!Number.isNaN(back)) return this.goBack(timeMs, value, back);
    if (this.seen === 0 && Number.isNaN(this.other) && last === 0 && step !== 0 && this.idle === 0) {
      // A single 0 at the very start may be what a meter says before it knows its total.
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
      const over =
        this.seen < ENOUGH ? likelyWrapped(last, value) : wrapped(last, value, WRAP * this.usual(passedMs));
      if (!Number.isNaN(over)) {
        this.learn(over, passedMs);
        this.stand(timeMs, value);
        return { increase: over, jump: false, fromMs };
      }
    }
    return this.jump(timeMs, value, step, passedMs);
  }

  /** The largest increase so far, over the time since the last reading. */
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

  /** What was counted in all while the counter stood elsewhere, if this reading goes on from the level before; else NaN. */
  private goesBack(value: number, timeMs: number): number {
    const { other, last } = this;
    if (Number.isNaN(other)) return Number.NaN;
    const beyond = value - other;
    const most = this.reach(timeMs - this.jumpMs);
    const near = Number.isFinite(most) ? most : CORRECTION * Math.abs(other);
    const least = this.signed ? near : TREMBLING * Math.abs(other);
    if (beyond > near || beyond < -least) return Number.NaN;
    // What can be reached step by step from where it stands is no return.
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

  /** Remembers a level that was left just now. */
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
    // Of a level that is not settled yet nothing is known: the one before it stays the one to return to.
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
    // Corrected; or counted up from zero since a reset, as far as that can be.
    const most = this.seen < ENOUGH ? CORRECTION * last : usual;
    const told = -step < CORRECTION * last || value > most ? 0 : Math.max(0, value);
    this.told += told;
    if (told > 0) this.emptied = false;
    return { increase: this.emptied ? Number.NaN : told, jump: true, fromMs };
  }

  /** Another reading than the next one may come now: the grid has started anew. */
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
