/**
 * Limits how far a forecast may go beyond the past values of a stream. A level that the stream has often
 * approached and never crossed (a clipped inverter, a full tank, a machine that is off) is most likely a bound; a
 * level that it has just crossed is not. So the room above the highest value is the amount by which earlier records
 * exceeded the records before them, reduced with every visit near the maximum that set no record; likewise below the
 * lowest value. The bound is soft: values beyond are compressed, not cut off. A highest value that was reached exactly on
 * many visits and never exceeded leaves no room for what is published; one that was almost reached on many visits leaves
 * as much room as these visits have fallen short of it. In between, once the stream has come back to the edge of its range, a
 * published value has as much room as the records since then have exceeded it. A visit that stays at its highest value, and comes and
 * goes faster than that, counts as several. The end of a usual scale (a switch, a percentage, 8 bits) is a bound as soon as a visit has
 * come back to it, or has stayed.
 */
import type { StateIo } from './state-io.ts';

/** Number of readings before a bound applies. */
const WARM_UP = 32;
/** Minimum room, as a share of the range. */
const LEAST = 0.01;
/** Distance within which a reading is near the bound, as a share of the range. */
const NEAR = 0.02;
/** Number of visits near a bound, of any length, that halve the room derived from earlier records. */
const VISITS = 2;
/** Number of visits from which the published room depends on how far they fell short of the bound: the next record is rarer than one visit in ten. */
const ENOUGH_VISITS = 9;
/** A visit is over at this distance from the bound, as a share of the range: noise alone makes no further visit. */
const LEFT = 0.08;
const EXACT = 1e-9;
/**
 * A visit that stays at its highest value for this many readings, and for this many times as many as it needs to come and go, ends
 * at a limit (a full battery, a clipped inverter): it counts as several more visits. A rounded peak comes and goes more slowly.
 */
const PLATEAU = 8;
const PLATEAU_SHARE = 1.5;
const PLATEAU_VISITS = 3;
/** Far more than a visit has readings: with a lower limit the two counts of a long visit would have another ratio. */
const MOST_COUNTED = 2 ** 24 - 1;
/** The stored number has the remainder of the readings that stayed by this, then those that passed, then the quotient. */
const STORED_FIRST = 256;
/** Exponent of the decrease with further visits. */
const POWER = 1.5;
/** Records at most this many steps apart belong to one rise. */
const EPISODE = 48;
/** A stream with a larger share of records rises (falls) permanently and has no bound. */
const RISING = 0.03;
const MEMORY = 256;
/** Minimum published room of a stream that has come back to its bound, as a share of the range. */
const LEAST_RISE = 0.125;
/** A stream is away from a bound, and back, at these distances, as shares of the range. */
const FAR = 0.5;
const BACK = 0.25;

/** Highest values that are the ends of scales from 0 on. */
const FULL_SCALES: readonly number[] = [1, 100, 255];

const compressed = (beyond: number, room: number): number =>
  room > 0 ? room * (1 - Math.exp(-beyond / room)) : 0;

class Side {
  private bound = Number.NEGATIVE_INFINITY;
  /** The maximum before the newest rise, and steps since its last record. */
  private base = Number.NEGATIVE_INFINITY;
  private since = 0;
  /** Largest amount by which a rise has exceeded the previous maximum. */
  private excess = 0;
  private visits = 0;
  private near = false;
  /** Visits that reached the bound exactly, and whether the current visit is one of them. */
  private exact = 0;
  private counted = false;
  /** Readings of the current visit at its highest value, and those below it that are not away. */
  private stayed = 0;
  private passed = 0;
  private share = 0;
  /** Visits since the last large record, each from near the bound until the stream has left it; and how far they fell short of it on average. */
  private returns = 0;
  private short = 0;
  // The next three start anew at each large record: one that exceeds the maximum by more than the range.
  /** Whether the stream has been in the other half of its range. */
  private away = false;
  /** Whether it has come back to the bound from there. */
  private returned = false;
  /** The largest rise of a later record over the maximum before it. */
  private rise = 0;
  /** Highest value of the current visit, or of the last one; whether the stream has left since. */
  private top = Number.NEGATIVE_INFINITY;
  private left = true;

  constructor(/** 1: above; -1: below. */ private readonly sign: number) {}

  add(value: number, range: number, seen: number): void {
    const x = this.sign * value;
    const record = x > this.bound;
    this.since++;
    if (seen > WARM_UP) {
      this.share += ((record ? 1 : 0) - this.share) / MEMORY;
      if (record) {
        if (this.since > EPISODE) this.base = this.bound;
        this.excess = Math.max(this.excess, x - this.base);
        if (x - this.bound > NEAR * range) this.visits = this.returns = 0;
        else this.short += x - this.bound;
        if (x - this.bound > range) {
          this.returned = this.away = false;
          this.rise = 0;
        } else if (this.returned) this.rise = Math.max(this.rise, x - this.base);
      }
      if (x < this.bound - FAR * range) this.away = true;
      else if (this.away && x > this.bound - BACK * range) this.returned = true;
      this.visit(x, range);
      this.stay(x, range);
      const near = x > this.bound - NEAR * range;
      if (near && !this.near) this.visits++;
      if (!near) this.counted = false;
      else if (!record && !this.counted && this.bound - x <= EXACT * range) {
        this.counted = true;
        this.exact++;
      }
      this.near = near;
    }
    if (!record) return;
    this.since = 0;
    this.bound = x;
    this.exact = 0;
    this.counted = true;
    if (seen <= WARM_UP) this.base = x;
  }

  private visit(x: number, range: number): void {
    const bound = Math.max(x, this.bound);
    if (x < bound - LEFT * range && !this.left) {
      this.left = true;
      this.returns++;
      this.short += (bound - this.top - this.short) / Math.min(this.returns, MEMORY);
    }
    if (x < bound - NEAR * range) return;
    this.top = this.left ? x : Math.max(this.top, x);
    this.left = false;
  }

  private stay(x: number, range: number): void {
    if (x < this.bound - LEFT * range) {
      if (this.stayed >= PLATEAU && this.passed > 0 && this.stayed >= PLATEAU_SHARE * this.passed)
        this.exact += PLATEAU_VISITS;
      this.stayed = this.passed = 0;
    } else if (x > this.bound + EXACT * range) {
      this.passed = Math.min(MOST_COUNTED, this.passed + this.stayed);
      this.stayed = 1;
    } else if (x >= this.bound - EXACT * range) this.stayed = Math.min(MOST_COUNTED, this.stayed + 1);
    else this.passed = Math.min(MOST_COUNTED, this.passed + 1);
  }

  /** Returns the value, compressed towards the bound if it is beyond. */
  hold(value: number, range: number): number {
    const x = this.sign * value;
    const beyond = x - this.bound;
    if (beyond <= 0 || this.share > RISING) return value;
    const room =
      this.excess / (1 + this.visits / VISITS) + range * Math.max(LEAST, (1 + this.visits) ** -POWER);
    const free = room / (1 - this.share / RISING);
    return this.sign * (this.bound + compressed(beyond, free));
  }

  /** How far a value is beyond the bound and the least room; less as records are more frequent. */
  beyond(value: number, range: number): number {
    const beyond = this.sign * value - this.bound - LEAST * range;
    return Math.max(0, beyond) * Math.max(0, 1 - this.share / RISING);
  }

  /**
   * Compresses a value beyond a bound that the stream has often reached or approached, or that new records exceed by little.
   * @param isScale whether the bound is the end of a usual scale
   */
  limit(value: number, range: number, isScale: boolean): number {
    const beyond = this.sign * value - this.bound;
    if (beyond <= 0) return value;
    if (isScale && (this.exact > 0 || this.stayed >= PLATEAU)) return this.sign * this.bound;
    if (this.share > RISING) return value;
    if (this.exact >= ENOUGH_VISITS) return this.sign * this.bound;
    if (this.returns >= ENOUGH_VISITS) return this.sign * (this.bound + compressed(beyond, this.short));
    if (!this.returned) return value;
    return this.sign * (this.bound + compressed(beyond, Math.max(this.rise, LEAST_RISE * range)));
  }

  persist(io: StateIo): void {
    this.bound = io.number(this.bound);
    this.base = io.number(this.base);
    this.since = io.number(this.since);
    this.excess = io.number(this.excess);
    this.visits = io.number(this.visits);
    const visit = io.number((this.near ? 1 : 0) + (this.counted ? 2 : 0) + 4 * this.exact);
    this.near = visit % 2 === 1;
    this.counted = Math.floor(visit / 2) % 2 === 1;
    this.exact = Math.floor(visit / 4);
    this.share = io.number(this.share);
    this.short = io.number(this.short);
    const upper = this.passed + (MOST_COUNTED + 1) * Math.floor(this.stayed / STORED_FIRST);
    const counts = (this.stayed % STORED_FIRST) + STORED_FIRST * upper;
    const flags = io.number((this.away ? 1 : 0) + (this.returned ? 2 : 0) + 4 * counts);
    this.away = flags % 2 === 1;
    this.returned = Math.floor(flags / 2) % 2 === 1;
    const stored = Math.floor(flags / 4 / STORED_FIRST);
    this.passed = stored % (MOST_COUNTED + 1);
    this.stayed =
      (Math.floor(flags / 4) % STORED_FIRST) + STORED_FIRST * Math.floor(stored / (MOST_COUNTED + 1));
    this.rise = io.number(this.rise);
    this.top = io.number(this.top);
    const returns = io.number(2 * this.returns + (this.left ? 1 : 0));
    this.left = returns % 2 === 1;
    this.returns = Math.floor(returns / 2);
  }
}

export class Bounds {
  private readonly above = new Side(1);
  private readonly below = new Side(-1);
  private seen = 0;
  private low = Number.POSITIVE_INFINITY;
  private high = Number.NEGATIVE_INFINITY;

  add(value: number): void {
    this.seen++;
    const range = this.seen > 1 ? this.high - this.low : 0;
    this.above.add(value, range, this.seen);
    this.below.add(value, range, this.seen);
    this.low = Math.min(this.low, value);
    this.high = Math.max(this.high, value);
  }

  /** Returns the value, compressed towards the range of past values if it is beyond. */
  hold(value: number): number {
    if (this.seen <= WARM_UP || (value <= this.high && value >= this.low)) return value;
    const range = this.high - this.low;
    if (!(range > 0)) return value;
    return value > this.high ? this.above.hold(value, range) : this.below.hold(value, range);
  }

  /** How far a value is outside the range of past values: 0 while there is none, and for a stream that rises or falls permanently. */
  beyond(value: number): number {
    if (this.holds(value, value)) return 0;
    return (value > this.high ? this.above : this.below).beyond(value, this.high - this.low);
  }

  /** Like `hold`, for a published value: beyond a level that was often reached there is less room, or none. */
  limit(value: number): number {
    if (this.holds(value, value)) return value;
    const held = this.hold(value);
    const isScale = this.low >= 0 && FULL_SCALES.includes(this.high);
    if (value > this.high) return this.above.limit(held, this.high - this.low, isScale);
    return this.below.limit(held, this.high - this.low, isScale && this.low === 0);
  }

  /** Whether `hold` and `limit` change no value from `low` to `high`. */
  holds(low: number, high: number): boolean {
    return this.seen <= WARM_UP || (low >= this.low && high <= this.high) || !(this.high > this.low);
  }

  /** Lowest and highest value so far; null while there is no bound. */
  get range(): { readonly low: number; readonly high: number } | null {
    return this.seen > WARM_UP ? { low: this.low, high: this.high } : null;
  }

  persist(io: StateIo): void {
    this.above.persist(io);
    this.below.persist(io);
    this.seen = io.number(this.seen);
    this.low = io.number(this.low);
    this.high = io.number(this.high);
  }
}
