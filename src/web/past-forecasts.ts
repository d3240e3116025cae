/**
 * Past forecasts of one stream at a few leads: the forecasts for the newest buckets, and the share of readings below each
 * quantile. Kept in memory; `past-file.ts` carries it over a restart. Pure.
 */

/** Quantiles kept: those shown in a chart. */
export const LEVELS = [0.1, 0.3, 0.5, 0.7, 0.9] as const;
const N = LEVELS.length;
const MEDIAN = 2;
/** Number of past buckets kept. */
const KEPT = 120;
/** The shares below the quantiles cover about this many forecasts, as the scores do. */
const MEMORY = 1000;
/** Numbers of a saved row: time, median, quantiles. */
const COLUMNS = 2 + N;
/** A file with more leads is invalid. */
const MAX_LEADS = 10_000;

/** One step, a quarter, half and all of the horizon. */
export const leadsKept = (leads: number): number[] =>
  [...new Set([1, Math.ceil(leads / 4), Math.ceil(leads / 2), leads])].filter((lead) => lead <= leads);

interface Calibration {
  /** In steps. */
  readonly lead: number;
  readonly n: number;
  /** Share of readings below each of `LEVELS`; one that equals a quantile counts half. */
  readonly below: readonly number[];
}

export interface PastForecast {
  readonly timeMs: number;
  readonly p10: number;
  readonly p50: number;
  readonly p90: number;
}

export class PastForecasts {
  private readonly rings: readonly LeadRing[];

  constructor(
    readonly leads: number,
    readonly stepMs: number,
  ) {
    this.rings = leadsKept(leads).map((lead) => new LeadRing(lead, stepMs));
  }

  /** @param fan [5, leads] row-major, as differences from `base` */
  record(originMs: number, base: number, fan: Float32Array): void {
    for (const ring of this.rings) ring.record(originMs, base, fan, this.leads);
  }

  /** Records the reading of a bucket. */
  settle(timeMs: number, observed: number): void {
    for (const ring of this.rings) ring.settle(timeMs, observed);
  }

  /** Forecasts made `lead` steps before their bucket, ascending, up to the bucket `untilMs`. */
  at(lead: number, untilMs: number): PastForecast[] {
    return this.rings.find((ring) => ring.lead === lead)?.until(untilMs) ?? [];
  }

  /** [leads, stepMs], then the numbers of each ring. */
  numbers(): Float64Array {
    return Float64Array.from([this.leads, this.stepMs, ...this.rings.flatMap((ring) => ring.numbers())]);
  }

  /** Null: these are not the numbers of `numbers()`. */
  static fromNumbers(numbers: Float64Array): PastForecasts | null {
    const [leads = 0, stepMs = 0] = numbers;
    if (!Number.isInteger(leads) || leads < 1 || leads > MAX_LEADS || !(stepMs > 0)) return null;
    const past = new PastForecasts(leads, stepMs);
    let at = 2;
    for (const ring of past.rings) at = ring.take(numbers, at);
    return at === numbers.length ? past : null;
  }

  calibration(): Calibration[] {
    return this.rings.flatMap((ring) => (ring.n > 0 ? [ring.calibration()] : []));
  }
}

class LeadRing {
  n = 0;
  private readonly rows: number;
  /** [rows, 2]: time of the bucket (NaN: none), median. */
  private readonly exact: Float64Array;
  /** [rows, 5], as differences from the median. */
  private readonly quantiles: Float32Array;
  private readonly below = new Float64Array(N);

  constructor(
    readonly lead: number,
    private readonly stepMs: number,
  ) {
    this.rows = lead + KEPT;
    this.exact = new Float64Array(2 * this.rows).fill(Number.NaN);
    this.quantiles = new Float32Array(N * this.rows);
  }

  /** Filled rows only: [count of rows, n, below [5], rows [count, 2 + 5]]. */
  numbers(): number[] {
    const rows: number[] = [];
    for (let row = 0; row < this.rows; row++)
      if (!Number.isNaN(this.exact[2 * row]))
        rows.push(
          this.exact[2 * row],
          this.exact[2 * row + 1],
          ...this.quantiles.subarray(N * row, N * row + N),
        );
    return [rows.length / COLUMNS, this.n, ...this.below, ...rows];
  }

  /** @returns index after the numbers of this ring; -1: they are invalid */
  take(numbers: Float64Array, from: number): number {
    if (from < 0) return -1;
    const count = numbers[from];
    const rows = from + 2 + N;
    const end = rows + COLUMNS * count;
    if (!(count >= 0 && count <= this.rows) || end > numbers.length) return -1;
    this.n = numbers[from + 1];
    this.below.set(numbers.subarray(from + 2, rows));
    for (let at = rows; at < end; at += COLUMNS) {
      const row = this.row(numbers[at]);
      this.exact.set(numbers.subarray(at, at + 2), 2 * row);
      this.quantiles.set(numbers.subarray(at + 2, at + COLUMNS), N * row);
    }
    return end;
  }

  private row(timeMs: number): number {
    return Math.round(timeMs / this.stepMs) % this.rows;
  }

  record(originMs: number, base: number, fan: Float32Array, leads: number): void {
    const timeMs = originMs + this.lead * this.stepMs;
    const row = this.row(timeMs);
    const value = (quantile: number): number => fan[quantile * leads + this.lead - 1];
    this.exact[2 * row] = timeMs;
    this.exact[2 * row + 1] = base + value(MEDIAN);
    for (let q = 0; q < N; q++) this.quantiles[N * row + q] = value(q) - value(MEDIAN);
  }

  settle(timeMs: number, observed: number): void {
    const row = this.row(timeMs);
    if (this.exact[2 * row] !== timeMs) return;
    this.n = Math.min(MEMORY, this.n + 1);
    for (let q = 0; q < N; q++) {
      const quantile = this.quantile(row, q);
      // tolerance for single precision: rounding would move a constant stream to one side
      const equal = Math.abs(observed - quantile) <= 1e-6 * Math.abs(observed);
      const share = equal ? 0.5 : observed < quantile ? 1 : 0;
      this.below[q] += (share - this.below[q]) / this.n;
    }
  }

  private quantile(row: number, q: number): number {
    return this.exact[2 * row + 1] + this.quantiles[N * row + q];
  }

  until(untilMs: number): PastForecast[] {
    const found: PastForecast[] = [];
    for (let row = 0; row < this.rows; row++) {
      const timeMs = this.exact[2 * row];
      if (timeMs <= untilMs && timeMs > untilMs - this.rows * this.stepMs)
        found.push({
          timeMs,
          p10: this.quantile(row, 0),
          p50: this.quantile(row, MEDIAN),
          p90: this.quantile(row, N - 1),
        });
    }
    return found.sort((a, b) => a.timeMs - b.timeMs);
  }

  calibration(): Calibration {
    return { lead: this.lead, n: this.n, below: [...this.below] };
  }
}
