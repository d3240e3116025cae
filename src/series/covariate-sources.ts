/** Sources of covariates: the closed buckets of another stream, and tables of values known ahead. */
import type { ClosedBucket } from './buckets.ts';
import type { CovariateSource } from './covariates.ts';
import type { StateIo } from './state-io.ts';

/** Buckets stored for each covariate stream; a stream that catches up from further back gets none. */
const REMEMBERED = 1024;
/** Most points of a table. */
const MAX_POINTS = 20_000;

/** Buckets saved in the state: as many as one bucket of a slower stream is likely to span. */
const KEPT = 256;

/** The parts of a forecast that other streams use. */
interface Outlook {
  /** Start of the last bucket known. */
  readonly originMs: number;
  readonly stepMs: number;
  /** [leads] */
  readonly medians: Float64Array;
}

export interface TablePoint {
  readonly timeMs: number;
  readonly value: number;
}

/** The closed buckets of another stream, by time: buckets that had not ended at the given time are not returned. */
export class StreamSource implements CovariateSource {
  readonly known = false;
  private readonly buckets: { startMs: number; endMs: number; value: number }[] = [];
  private next = 0;
  private outlook: Outlook | null = null;

  constructor(readonly name: string) {}

  /** Closed buckets, oldest first. */
  closed(list: readonly Pick<ClosedBucket, 'startMs' | 'intervalMs' | 'value'>[]): void {
    for (const { startMs, intervalMs, value } of list) {
      if (Number.isNaN(value)) continue;
      this.buckets[this.next] = { startMs, endMs: startMs + intervalMs, value };
      this.next = (this.next + 1) % REMEMBERED;
    }
  }

  forecast(outlook: Outlook): void {
    this.outlook = outlook;
  }

  clear(): void {
    this.buckets.length = 0;
    this.next = 0;
    this.outlook = null;
  }

  past(startMs: number, endMs: number, holdMs: number): number {
    const { buckets } = this;
    let sum = 0;
    let count = 0;
    for (let i = 1; i <= buckets.length; i++) {
      const bucket = buckets[(this.next - i + buckets.length) % buckets.length];
      if (bucket.endMs > endMs) continue;
      if (bucket.startMs >= startMs) {
        sum += bucket.value;
        count++;
        continue;
      }
      return count > 0 ? sum / count : endMs - bucket.endMs < holdMs ? bucket.value : Number.NaN;
    }
    return count > 0 ? sum / count : Number.NaN;
  }

  ahead(startMs: number, endMs: number, nowMs: number): number {
    const { outlook } = this;
    if (outlook === null || outlook.originMs + outlook.stepMs > nowMs) return Number.NaN;
    const { originMs, stepMs, medians } = outlook;
    const first = Math.max(1, Math.floor((startMs - originMs) / stepMs));
    const last = Math.max(first, Math.ceil((endMs - originMs) / stepMs) - 1);
    if (last > medians.length) return Number.NaN;
    let sum = 0;
    for (let k = first; k <= last; k++) sum += medians[k - 1];
    return sum / (last - first + 1);
  }

  persist(io: StateIo): void {
    const { buckets } = this;
    const count = io.number(Math.min(KEPT, buckets.length));
    const rows = new Float64Array(3 * count);
    for (let i = 0; i < count && !io.reading; i++) {
      const { startMs, endMs, value } = buckets[(this.next - count + i + buckets.length) % buckets.length];
      rows.set([startMs, endMs, value], 3 * i);
    }
    io.array(rows);
    const { originMs, stepMs, medians } = this.outlook ?? { originMs: 0, stepMs: 0, medians: [] };
    const said = { originMs: io.number(originMs), stepMs: io.number(stepMs) };
    const leads = io.number(medians.length);
    const read = io.array(io.reading ? new Float64Array(leads) : Float64Array.from(medians));
    if (!io.reading) return;
    buckets.length = 0;
    for (let i = 0; i < count; i++)
      buckets.push({ startMs: rows[3 * i], endMs: rows[3 * i + 1], value: rows[3 * i + 2] });
    this.next = count;
    this.outlook = leads === 0 ? null : { ...said, medians: read };
  }
}

/** A table of times and values that reaches into the future: a tariff, a weather forecast. Each value holds until the next. */
export class TableSource implements CovariateSource {
  readonly known = true;
  private times = new Float64Array(0);
  private values = new Float64Array(0);

  constructor(readonly name: string) {}

  /** Replaces all points. Skips points that are not finite; of points with equal times the last one counts. */
  set(points: readonly TablePoint[]): void {
    const by = new Map<number, number>();
    for (const { timeMs, value } of points)
      if (Number.isFinite(timeMs) && Number.isFinite(value)) by.set(timeMs, value);
    const sorted = [...by].sort(([a], [b]) => a - b).slice(-MAX_POINTS);
    this.times = Float64Array.from(sorted, ([timeMs]) => timeMs);
    this.values = Float64Array.from(sorted, ([, value]) => value);
  }

  points(): TablePoint[] {
    return Array.from(this.times, (timeMs, i) => ({ timeMs, value: this.values[i] }));
  }

  /** Mean over the part of the span that has values; NaN if none has. */
  past(startMs: number, endMs: number): number {
    const { times, values } = this;
    let mean = Number.NaN;
    let length = 0;
    for (let i = this.before(endMs), until = endMs; i >= 0 && until > startMs; i--) {
      const held = Math.min(until, this.endOf(i)) - Math.max(times[i], startMs);
      until = times[i];
      if (held <= 0) continue;
      length += held;
      mean = length === held ? values[i] : mean + (held / length) * (values[i] - mean);
    }
    return mean;
  }

  /** End of a value's validity: the last value is valid as long as the one before it. */
  private endOf(i: number): number {
    const { times } = this;
    const n = times.length;
    if (i < n - 1) return times[i + 1];
    return n === 1 ? Number.POSITIVE_INFINITY : 2 * times[i] - times[i - 1];
  }

  ahead(startMs: number, endMs: number): number {
    return this.past(startMs, endMs);
  }

  /** Index of the last point before `timeMs`, -1 if there is none. */
  private before(timeMs: number): number {
    let low = 0;
    let high = this.times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle] < timeMs) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
