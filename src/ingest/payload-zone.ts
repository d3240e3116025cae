/** Zones of time stamps in payloads: the zones of `series/calendar.ts`, and fixed offsets. */
import { type ZoneOffset, zoneOffset } from '../series/calendar.ts';

/** `+02:00`, up to 18 hours. */
export const OFFSET_ZONE = /^([+-])(0\d|1[0-8]):([0-5]\d)$/;

/** Throws RangeError for an unknown zone, which the config schema does not allow. */
export function payloadZone(name: string): ZoneOffset {
  const fixed = OFFSET_ZONE.exec(name);
  if (fixed === null) return zoneOffset(name);
  const [, sign, hours, minutes] = fixed;
  const offsetMs = (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60_000;
  return () => offsetMs;
}
