/** Whether the time stamps of a payload can be used, and in which zone they are. */
import { offsetText, shownOffset } from '../../ingest/sender-clock.ts';
import type { HeardTopic } from '../../ingest/survey.ts';

export interface ReadingTime {
  /** `time` of the rule; absent if the time stamps cannot be used. */
  readonly field?: string;
  /** `time_zone` of the rule. */
  readonly zone?: string;
  readonly remark?: string;
}

const MINUTE_MS = 60_000;
const QUARTER_MS = 15 * MINUTE_MS;
/** A clock that differs less from ours is right. */
const NEAR_MS = 2 * MINUTE_MS;
const FARTHEST_ZONE_MS = 14 * 60 * MINUTE_MS;
const MIN_STAMPS = 2;
/** Keys of times at which something else than the measurement happens. */
const OTHER_EVENT = /start|begin|from|boot|since|next|until|end|expir|valid/i;

/** @returns null if the payloads have no time, or if too few live ones were received */
export function readingTime(topics: readonly HeardTopic[]): ReadingTime | null {
  const [first] = topics;
  if (first === undefined) return null;
  const { times, otherTimes, unreadTimes } = first.shape;
  const isNested = (field: string): boolean => field.includes('.');
  const nested = [...times.keys()].filter(isNested);
  // of several times in objects, each belongs to its own
  const known = [...times.keys()].filter((field) => !isNested(field) || nested.length === 1);
  const judged = (field: string, of: (shape: HeardTopic['shape']) => typeof times): ReadingTime | null => {
    const members = topics.flatMap(({ shape }) => of(shape).get(field) ?? []);
    const offsets = members.flatMap(({ offsetsMs }) => offsetsMs);
    return members.length < topics.length || offsets.length < MIN_STAMPS
      ? null
      : judge(
          field,
          members.some(({ local }) => local),
          offsets,
        );
  };
  const found = known
    .sort((a, b) => Number(isNested(a)) - Number(isNested(b)))
    .flatMap((field) => judged(field, (shape) => shape.times) ?? []);
  const others = [...otherTimes.keys()]
    .filter((field) => !isNested(field) && !OTHER_EVENT.test(field))
    .flatMap((field) => judged(field, (shape) => shape.otherTimes) ?? []);
  const best = [...found, ...others].find(({ field }) => field !== undefined) ?? found[0];
  if (best !== undefined) return best;
  const [unread] = unreadTimes;
  return unread === undefined
    ? null
    : { remark: `${unread[0]} is ${unread[1]}, which is not read as a time; the time of arrival counts` };
}

function judge(field: string, local: boolean, offsets: readonly number[]): ReadingTime {
  const sorted = [...offsets].sort((a, b) => a - b);
  const middle = sorted[Math.floor(sorted.length / 2)];
  const zoneMs = Math.round(middle / QUARTER_MS) * QUARTER_MS;
  const steady = sorted.every((offset) => Math.abs(offset - zoneMs) <= NEAR_MS);
  if (steady && zoneMs === 0) return { field };
  if (steady && local && Math.abs(zoneMs) <= FARTHEST_ZONE_MS) {
    const machineMs = -new Date().getTimezoneOffset() * MINUTE_MS;
    if (zoneMs === machineMs) return { field, zone: 'local' };
    return {
      field,
      zone: offsetText(zoneMs),
      remark: `${field} is local time, ${offsetText(zoneMs)} from UTC now; a zone such as Europe/Berlin in time_zone follows summer time`,
    };
  }
  return {
    remark: steady
      ? `the clock of the sender looks ${shownOffset(middle)}, so ${field} is not used; the time of arrival counts`
      : `${field} does not agree with the time of arrival, so it is not used`,
  };
}
