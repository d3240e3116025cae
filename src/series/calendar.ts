/** Where a bucket stands in the local day and week. Grid times are UTC; the zone only turns the phases. */
import type { Phases } from './experts.ts';

const DAY_MS = 86_400_000;
const WEEK_MS = 7 * DAY_MS;
/** 1970-01-01 was a Thursday; weeks start on Monday. */
const MONDAY_MS = 4 * DAY_MS;

/** Offset of local time from UTC at an instant, ms. */
export type ZoneOffset = (timeMs: number) => number;

export const UTC: ZoneOffset = () => 0;

/**
 * Offset of an IANA zone, DST included. Looked up once an hour of data and remembered, because
 * Intl is slow. Throws RangeError for an unknown zone (the config refuses those before).
 */
export function zoneOffset(timeZone: string): ZoneOffset {
  if (timeZone === 'UTC') return UTC;
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

/** Phases of the bucket that starts at `timeMs`. */
export function phasesOf(timeMs: number, zone: ZoneOffset): Phases {
  const local = timeMs + zone(timeMs);
  return { day: fraction(local, DAY_MS), week: fraction(local - MONDAY_MS, WEEK_MS) };
}

function fraction(time: number, period: number): number {
  return (((time % period) + period) % period) / period;
}
