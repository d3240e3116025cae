/**
 * Lists whose readings have no times of their own: a start and an interval, `{"start":…,"interval":60,"values":[…]}`, or a time and
 * an offset in each reading, `{"base_time":…,"readings":[{"offset":0,…},…]}`.
 */
import { FUTURE_MS } from '../series/admission.ts';
import type { ZoneOffset } from '../series/calendar.ts';
import { parseTime } from '../series/time-stamp.ts';
import { isTimeKey, isTimeMember, timeKeyOf } from './json-times.ts';
import { isTree, type Tree } from './json-tree.ts';

const START =
  /^(?:start|begin|base|first|reference)_?(?:time(?:_?stamp)?|ts|at|date(?:_?time)?)?$|^(?:t0|bt)$/i;
/** With the unit that the key may name: ms or s. */
const STEP =
  /^(?:(?:sampl(?:e|ing)|measurement|log(?:ging)?|time)_?)?(?:interval|period|step)(?:_?(ms|millis(?:econds)?|s|sec(?:onds?)?))?$/i;
const OFFSET =
  /^(?:(?:t|time)?_?offset|rel(?:ative)?_?time|time_?delta|delta_?t(?:ime)?|d_?t|elapsed(?:_?time)?)(?:_?(ms|millis(?:econds)?|s|sec(?:onds?)?))?$/i;
/** In this many lengths of its own a list of unknown unit has arrived. */
const MAX_WAIT = 3;

/** Whether a member is the start of such a list, and so no reading. */
export const isStart = (key: string, value: unknown): boolean =>
  (typeof value === 'string' || (typeof value === 'number' && value >= 1e9)) &&
  START.test(key) &&
  isTimeMember('time', value);

interface Beside {
  readonly start: string | undefined;
  readonly step: string | undefined;
  readonly time: string | null;
}

/** Searched once for all lists of an object, because it may have very many. */
const found = new WeakMap<Tree, Beside>();

function besideOf(tree: Tree): Beside {
  let beside = found.get(tree);
  if (beside === undefined) {
    const keys = Object.keys(tree);
    beside = {
      start: keys.find((key) => isStart(key, tree[key])),
      step: keys.find((key) => STEP.test(key) && numberOf(tree[key]) > 0),
      time: timeKeyOf(tree),
    };
    found.set(tree, beside);
  }
  return beside;
}

/** The readings of such a list with their times; null: it is none. A text tells why the times are not known. */
export function relativeRows(
  tree: Tree,
  list: readonly unknown[],
  zone: ZoneOffset,
  arrivalMs: number,
): readonly Tree[] | string | null {
  const [first] = list;
  const isObjects = list.every(isTree);
  if (list.length < 2 || !(isObjects || list.every((value) => value === null || typeof value === 'number')))
    return null;
  // `t` is an offset beside the base time of SenML
  const isOffset = (one: string): boolean =>
    OFFSET.test(one) || isTimeKey(one) || (one === 't' && Object.hasOwn(tree, 'bt'));
  const key = isObjects
    ? Object.keys(first as Tree).find((one) => isOffset(one) && differs(list, one))
    : besideOf(tree).step;
  if (key === undefined) return null;
  const named = (isObjects ? OFFSET : STEP).exec(key);
  const { start, time } = besideOf(tree);
  // it may as well correct the value
  if (start === undefined && /^offset/i.test(key)) return null;
  const base = start ?? (isObjects ? time : null);
  const baseMs =
    base === null || (named === null && key !== 't') ? null : parseTime(tree[base], zone, arrivalMs);
  if (base === null || baseMs === null)
    return isObjects ? `${key} of the readings is no time that is read` : null;
  const steps = list.map((element, at) =>
    isObjects ? Number((element as Tree)[key]) : at * numberOf(tree[key]),
  );
  const [least, most] = steps.reduce(
    ([low, high], step) => [Math.min(low, step), Math.max(high, step)],
    [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  );
  const unit = key === 't' ? 's' : named?.[1];
  // beside a number of ms, offsets of a second and more are ms
  const isMs =
    unit === undefined
      ? numberOf(tree[base]) >= 1e11 && most - least >= 1000 * (list.length - 1)
      : /^m/i.test(unit);
  const unitMs = isMs ? 1 : 1000;
  const waitMs = arrivalMs - baseMs - unitMs * most;
  if (waitMs < -FUTURE_MS || (unit === undefined && waitMs > MAX_WAIT * unitMs * (most - least)))
    return `the unit of ${key} is not clear; name it ${key}_s or ${key}_ms`;
  return list.map((element, at) => {
    const ownMs = baseMs + unitMs * (steps[at] as number);
    if (!isTree(element)) return { time: ownMs, v: element };
    const { [key]: _, ...members } = element;
    return { ...members, time: ownMs };
  });
}

/** NaN for what is no number, also in quotes; an object could throw. */
const numberOf = (value: unknown): number =>
  typeof value === 'number' || typeof value === 'string' ? Number(value) : Number.NaN;

/** Whether a member is a number in every element, and not the same. */
const differs = (list: readonly Tree[], key: string): boolean =>
  list.every((element) => typeof element[key] === 'number') &&
  new Set(list.map((element) => element[key])).size > 1;
