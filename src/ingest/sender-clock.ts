/** Describes the likely problem of a sender's clock whose time stamps are far from the arrival time. */

import type { Sample } from '../series/sample.ts';

const MINUTE_MS = 60_000;
const QUARTER_MS = 15 * MINUTE_MS;
/** UTC+14, the largest offset of a zone. */
const FARTHEST_ZONE_MS = 14 * 60 * MINUTE_MS;

/** The offset of a zone that explains the offset of a time stamp; null if none does. */
function zoneLike(offsetMs: number): number | null {
  const zoneMs = Math.round(offsetMs / QUARTER_MS) * QUARTER_MS;
  const near = Math.abs(offsetMs - zoneMs) < QUARTER_MS / 3;
  return near && zoneMs !== 0 && Math.abs(zoneMs) <= FARTHEST_ZONE_MS ? zoneMs : null;
}

/** `+02:00` */
export function offsetText(ms: number): string {
  const minutes = Math.abs(Math.round(ms / MINUTE_MS));
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${ms < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

/** `2 h 15 min ahead`, `3 d behind` */
export function shownOffset(ms: number): string {
  const minutes = Math.abs(Math.round(ms / MINUTE_MS));
  const days = Math.floor(minutes / 1440);
  const hours = `${Math.floor(minutes / 60)} h${minutes % 60 === 0 ? '' : ` ${minutes % 60} min`}`;
  const text =
    days > 730
      ? `${Math.round(days / 365)} years`
      : days > 2
        ? `${days} d`
        : minutes >= 60
          ? hours
          : `${minutes} min`;
  return `${text} ${ms > 0 ? 'ahead' : 'behind'}`;
}

/** Other beginnings of time than 1970: NTP, Macintosh, GPS, embedded clocks, Apple. */
const EPOCHS_MS = [[1900], [1904], [1980, 0, 6], [2000], [2001]].map(([year, month = 0, day = 1]) =>
  Date.UTC(year, month, day),
);
/** A day, an hour and a minute in seconds, and powers of ten, are how far units of time are apart. */
const FACTORS = [10, 100, 1000, 1e4, 1e5, 1e6, 1e9, 60, 3600, 86_400];
/** A time that is a multiple of the arrival time up to this share, about two days. */
const FACTOR_TOLERANCE = 1e-4;
/** Longest time that a device without a clock runs, from 1970 on. */
const UPTIME_MS = 9 * 365 * 86_400_000;

/** `1000 times too large`; null if no unit explains the time. */
function unitLike(timeMs: number, arrivalMs: number): string | null {
  const near = (factor: number): boolean => Math.abs(factor - 1) <= FACTOR_TOLERANCE;
  for (const factor of FACTORS) {
    if (near(timeMs / arrivalMs / factor)) return `${factor} times too large`;
    if (near((timeMs / arrivalMs) * factor)) return `${factor} times too small`;
  }
  return null;
}

const ARRIVAL_TIME = 'or omit `time` to use the arrival time';

/** Advice if all readings are refused because of their time. */
export function clockAdvice({ timeMs, arrivalMs }: Pick<Sample, 'timeMs' | 'arrivalMs'>): string {
  const offsetMs = timeMs - arrivalMs;
  const shown = `its time is ${shownOffset(offsetMs)}`;
  const epochMs = EPOCHS_MS.find((ms) => Math.abs(offsetMs + ms) <= FARTHEST_ZONE_MS);
  if (epochMs !== undefined)
    return `${shown}, as if it counted from ${new Date(epochMs).getUTCFullYear()} instead of 1970; correct it at the sender, ${ARRIVAL_TIME}`;
  const unit = unitLike(timeMs, arrivalMs);
  if (unit !== null)
    return `${shown}: its number is ${unit}, so it has another unit than its format expects; correct the unit at the sender, ${ARRIVAL_TIME}`;
  if (timeMs >= 0 && timeMs < UPTIME_MS)
    return `${shown}: its clock was never set, or counts from the start of the device; set the clock of the sender, ${ARRIVAL_TIME}`;
  const zoneMs = zoneLike(offsetMs);
  return zoneMs === null || zoneMs < 0
    ? `${shown}; set the clock of the sender, ${ARRIVAL_TIME}`
    : `${shown}, which fits a local time; set time_zone: ${offsetText(zoneMs)}, or the name of the zone`;
}
