/** Time stamps in parsed JSON, recognized by their keys and values. */
import { couldBeTime, epochToMs, parseTime } from '../series/time-stamp.ts';
import { isTree, type Tree } from './json-tree.ts';

const PARTICIPLES =
  'updated|measured|sampled|recorded|received|created|observed|logged|sent|published|generated|enqueued|reported|read|acquired';
const TIME_OF =
  'unix|epoch|measure(?:ment|d)?|sampl(?:e|ing)|event|device|sensor|reading|record|log|server|gateway|gw|obs(?:ervation)?|local|utc|report|msg|message|packet|rx|poll|scan|enqueued|phenomenon|result';
const UNIT = '(?:_?(?:utc|unix|iso|ms|s|sec|us|ns|local))?s?$';
/** Usual keys of time stamps, singular or plural. `uptime`, `runtime` and the like are durations. */
const TIME_KEY = new RegExp(
  `^[@$]?(?:_?time|ts|tst|t|dt|date|datum|datetime|date_?time|epoch|utc|zeit(?:stempel|punkt)?|last_?(?:seen|updated?)|updated|date_?observed|` +
    `(?:${PARTICIPLES})_?at|_?time_?stamp|(?:${TIME_OF})_?time(?:_?stamp)?|time_?unix_?nano)${UNIT}`,
  'i',
);
/** Less sure: the word before may say that it is the time of something else, `boot_timestamp`. */
const OTHER_TIME_KEY = new RegExp(
  `^[@$]?(?:[\\w.-]+_|source|data|value|telemetry|capture|publish(?:ed)?|sent|received|recorded)time_?stamp${UNIT}`,
  'i',
);
const mayBeTime = (key: string): boolean => TIME_KEY.test(key) || OTHER_TIME_KEY.test(key);
/** Epochs of the years 2000 to 2100. */
const EPOCH_FROM_MS = 946_684_800_000;
const EPOCH_FROM_S = EPOCH_FROM_MS / 1000;
const EPOCH_TO_MS = 4_102_444_800_000;

/** Whether a member is a time stamp: it has a usual key, and its value is a time of this century. */
export function isTimeMember(key: string, value: unknown): boolean {
  if (typeof value === 'string') {
    // a number in quotes is treated like a number
    if (!mayBeTime(key) || !/\d{4}|\d:\d\d/.test(value)) return false;
    return plausible(
      /^\d{1,20}(?:\.\d+)?$/.test(value)
        ? (parseTime(value) ?? epochToMs(Number(value)))
        : couldBeTime(value),
    );
  }
  const isCandidate = typeof value === 'number' ? value >= EPOCH_FROM_S : isTree(value);
  return isCandidate && mayBeTime(key) && plausible(parseTime(value));
}

const DATE_ALONE = /^(?:\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2(?:\d{4}|\d{2}))$/;
const CLOCK_KEY = /^(?:time(?:_?of_?day)?|clock|uhrzeit|zeit)$/i;
const TIME_OF_DAY = /^\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,12})?)?(?:\s*[ap]\.?m\.?|\s*Z|[+-]\d{2}:?\d{2})?$/i;

/** Whether a text is a time of day without a date. */
export const isTimeOfDay = (text: string): boolean => TIME_OF_DAY.test(text);

/** The time under a key of an object: with the time of day, if that is a member of its own, `{"date":"29.11.2026","time":"20:11"}`. */
export function timeIn(tree: Tree, key: string): unknown {
  const date = tree[key];
  if (typeof date !== 'string' || !DATE_ALONE.test(date)) return date;
  for (const other of Object.keys(tree)) {
    const clock = tree[other];
    if (typeof clock === 'string' && CLOCK_KEY.test(other) && isTimeOfDay(clock))
      return `${date} ${clock.replace(/^\d:/, '0$&')}`;
  }
  return date;
}

const plausible = (ms: number | null): boolean => ms !== null && ms >= EPOCH_FROM_MS && ms <= EPOCH_TO_MS;

/** Whether a key says that its value is a time stamp; shorter ones have other meanings, too. */
export const isTimeKey = (key: string): boolean => key.length > 2 && (mayBeTime(key) || CLOCK_KEY.test(key));

/** The key of an object's time stamp, preferably a usual one, and not of a date alone; null without one. */
export function timeKeyOf(tree: Tree): string | null {
  let [date, other] = [null as string | null, null as string | null];
  for (const key of Object.keys(tree)) {
    const time = tree[key];
    if (OTHER_TIME_KEY.test(key) && !TIME_KEY.test(key)) {
      if (other === null && isTimeMember(key, time)) other = key;
    } else if (typeof time !== 'string' || !DATE_ALONE.test(time)) {
      if (isTimeMember(key, time)) return key;
    } else if (date === null && TIME_KEY.test(key)) {
      // only for the first date, because all members are searched for its time of day
      date = key;
      const whole = timeIn(tree, key);
      if (whole !== time && isTimeMember(key, whole)) return key;
    }
  }
  return date !== null && isTimeMember(date, tree[date]) ? date : other;
}

/** The key of the time stamp in the elements of a list; null if the list is not a batch of readings. */
export function batchTimeKey(list: readonly unknown[]): string | null {
  for (const element of list) {
    const key = isTree(element) ? timeKeyOf(element) : null;
    if (key !== null) return key;
  }
  return null;
}
