/** Computes the phase of a bucket in the local day and week. Grid times are UTC; the time zone only shifts the phases. */
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const WEEK_MS = 7 * DAY_MS;
/** 1970-01-01 was a Thursday; weeks start on Monday. */
const MONDAY_MS = 4 * DAY_MS;
/** No zone starts and ends daylight saving time within this span. */
const CONSTANT_SPAN_MS = 14 * DAY_MS;

/** Offset of local time from UTC at an instant, ms. */
export type ZoneOffset = (timeMs: number) => number;

export const UTC: ZoneOffset = () => 0;

/** The time zone of the machine. */
const LOCAL: ZoneOffset = (timeMs) => -MINUTE_MS * new Date(timeMs).getTimezoneOffset();

/** Zones computed without Intl, which takes 8 MB at its first use. */
const zones = new Map<string, ZoneOffset>([
  ['UTC', UTC],
  ['local', LOCAL],
]);

/**
 * Returns the offset function of an IANA zone or of `local`, including DST; shared by all callers. Except for the machine's zone, offsets are looked
 * up once per quarter of an hour of data and cached, because Intl is slow. Throws RangeError for an unknown zone (the
 * config has refused those already).
 */
export function zoneOffset(timeZone: string): ZoneOffset {
  const known = zones.get(timeZone);
  if (known !== undefined) return known;
  const made = lookedUp(timeZone);
  zones.set(timeZone, made);
  return made;
}

function lookedUp(timeZone: string): ZoneOffset {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
  });
  const quarter = 900_000;
  const known = new Map<number, number>();
  return (timeMs) => {
    const slot = Math.floor(timeMs / quarter);
    let offset = known.get(slot);
    if (offset === undefined) {
      const at = slot * quarter;
      const part: Record<string, number> = {};
      for (const { type, value } of format.formatToParts(at)) part[type] = Number(value);
      offset = Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute) - at;
      if (known.size >= 1024) known.clear();
      known.set(slot, offset);
    }
    return offset;
  };
}

/**
 * The instant of a UTC date and time, ms; null if it does not exist, such as the 31st of April. 24:00 is the end of the
 * day and second 60 a leap second: both roll over.
 */
export function civilMs(
  year: number,
  month: number,
  day: number,
  hour = 0,
  minute = 0,
  second = 0,
): number | null {
  if (!(month >= 1 && month <= 12) || !(day >= 1 && day <= 31)) return null;
  if (!(hour >= 0 && hour <= 24) || !(minute >= 0 && minute <= 59) || !(second >= 0 && second <= 60))
    return null;
  if (hour === 24 && minute + second > 0) return null;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCDate() !== day) return null;
  return date.getTime() + ((hour * 60 + minute) * 60 + second) * 1000;
}

/** Minutes of an offset from UTC written as `Z`, `+02`, `+0200` or `+02:00`; null if no zone has it. */
export function offsetMinutes(text: string): number | null {
  if (text === 'Z' || text === 'z') return 0;
  const digits = text.slice(1).replace(':', '');
  const hours = Number(digits.slice(0, 2));
  const minutes = Number(digits.slice(2) || 0);
  if (!(hours <= 18 && minutes <= 59)) return null;
  return (text.startsWith('-') ? -1 : 1) * (hours * 60 + minutes);
}

/** Unix times from this value on are in milliseconds, smaller ones in seconds: 1e11 s is the year 5138, 1e11 ms is 1973. */
export const MS_FROM = 1e11;

/** Local time of day and week as fractions in [0, 1), for a bucket and the ones after it. */
export class Phases {
  readonly day: Float64Array;
  readonly week: Float64Array;
  /** What they were computed for. */
  private firstMs = Number.NaN;
  private intervalMs = Number.NaN;
  private zone: ZoneOffset | null = null;

  /** @param count number of buckets */
  constructor(count: number) {
    this.day = new Float64Array(count);
    this.week = new Float64Array(count);
  }

  /** Computes the phases of the buckets that start at `firstMs`, `firstMs + intervalMs`, ... */
  fill(firstMs: number, intervalMs: number, zone: ZoneOffset): void {
    // Streams that share the buffers are mostly due at the same time, on the same grid.
    if (firstMs === this.firstMs && intervalMs === this.intervalMs && zone === this.zone) return;
    this.firstMs = firstMs;
    this.intervalMs = intervalMs;
    this.zone = zone;
    const n = this.day.length;
    const offset = zone(firstMs);
    const spanMs = (n - 1) * intervalMs;
    // The offset is looked up for every bucket only if daylight saving time may change within the run.
    const constant = spanMs <= CONSTANT_SPAN_MS && zone(firstMs + spanMs) === offset;
    for (let i = 0; i < n; i++) {
      const time = firstMs + i * intervalMs;
      const local = time + (constant ? offset : zone(time));
      this.day[i] = fraction(local, DAY_MS);
      this.week[i] = fraction(local - MONDAY_MS, WEEK_MS);
    }
  }
}

function fraction(time: number, period: number): number {
  const part = (time % period) / period;
  return part < 0 ? part + 1 : part;
}
