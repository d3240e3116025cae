/** Describes the likely problem of a sender's clock whose time stamps are far from the arrival time. */

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

/** Advice if all readings are refused because of their time. @param offsetMs time stamp minus arrival */
export function clockAdvice(offsetMs: number): string {
  const zoneMs = zoneLike(offsetMs);
  return zoneMs === null || zoneMs < 0
    ? `its time is ${shownOffset(offsetMs)}; set the clock of the sender, or omit \`time\` to use the arrival time`
    : `its time is ${shownOffset(offsetMs)}, which fits a local time; set time_zone: ${offsetText(zoneMs)}, or the name of the zone`;
}
