/**
 * Lists in a JSON payload. Their elements are distinguished by time (a batch of readings), by a member that identifies
 * them (a list of devices), or by index. The decision depends only on the message, so that payloads of the same form
 * always give the same streams.
 */
import { epochToMs, parseTime } from './time-stamp.ts';

type Tree = Readonly<Record<string, unknown>>;

/** Usual keys of time stamps. */
const TIME_KEY =
  /^(?:_?time|timestamp|time_?stamp|ts|t|date|datetime|date_time|epoch|last_?seen|updated|updated_?at|measured_?at|sampled_?at|recorded_?at|received_?at|created_?at|phenomenontime|resulttime|utc)$/i;
/** Epochs of the years 2000 to 2100. */
const EPOCH_FROM_MS = 946_684_800_000;
const EPOCH_FROM_S = EPOCH_FROM_MS / 1000;
const EPOCH_TO_MS = 4_102_444_800_000;
const MAX_IDENTITY_LENGTH = 64;

/** Members that identify an element of a list, most reliable first. */
const IDENTITY_KEYS =
  `id _id uid uuid uniqueid deviceid devid sensorid meterid nodeid serial serialnumber serialno sn mac
macaddress addr address eui deveui name devicename sensorname key tag label device dev sensor meter probe node zone room
line phase circuit channel ch port slot idx index location position pos`.split(/\s+/);

export const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Whether a member is a time stamp: it has a usual key, and its value is a time of this century. */
export function isTimeMember(key: string, value: unknown): boolean {
  if (typeof value === 'string') {
    // a number in quotes is treated like a number
    if (!TIME_KEY.test(key) || !/\d{4}/.test(value)) return false;
    return plausible(
      /^\d{1,14}(?:\.\d+)?$/.test(value) ? (parseTime(value) ?? epochToMs(Number(value))) : parseTime(value),
    );
  }
  return (
    typeof value === 'number' && value >= EPOCH_FROM_S && TIME_KEY.test(key) && plausible(parseTime(value))
  );
}

const plausible = (ms: number | null): boolean => ms !== null && ms >= EPOCH_FROM_MS && ms <= EPOCH_TO_MS;

/** The key of an object's time stamp; null without one. */
export function timeKeyOf(tree: Tree): string | null {
  for (const key of Object.keys(tree)) if (isTimeMember(key, tree[key])) return key;
  return null;
}

/** The key of the time stamp in the elements of a list; null if the list is not a batch of readings. */
export function batchTimeKey(list: readonly unknown[]): string | null {
  for (const element of list) {
    const key = isTree(element) ? timeKeyOf(element) : null;
    if (key !== null) return key;
  }
  return null;
}

/**
 * The member that identifies the elements of a list: a text or integer under a usual key, or under the singular of the
 * list's name (`meters` -> `meter`), present in every element and unique. null without one.
 */
export function identityKey(list: readonly unknown[], listKey: string): string | null {
  const first = list[0];
  if (!isTree(first)) return null;
  const singular = simple(listKey).replace(/ies$/, 'y').replace(/s$/, '');
  const candidates = Object.keys(first)
    .map((key) => {
      const plain = simple(key);
      const own =
        singular !== '' && (plain === singular || plain === `${singular}id` || plain === `${singular}name`);
      return { key, rank: own ? 0.5 : IDENTITY_KEYS.indexOf(plain) };
    })
    .filter(({ rank }) => rank >= 0)
    .sort((a, b) => a.rank - b.rank);
  return candidates.find(({ key }) => identifies(list, key))?.key ?? null;
}

const simple = (key: string): string =>
  key
    .toLowerCase()
    .replace(/[\s-]|_(?!id$)/g, '')
    .replace(/^(.+)_id$/, '$1id');

function identifies(list: readonly unknown[], key: string): boolean {
  const seen = new Set<string>();
  for (const element of list) {
    const identity = isTree(element) ? identityOf(element[key]) : null;
    if (identity === null || seen.has(identity)) return false;
    seen.add(identity);
  }
  return true;
}

/** The text of a value that can be an identifier: a short text, an integer or a boolean; otherwise null. */
export function identityOf(value: unknown): string | null {
  if (typeof value === 'string') {
    const text = value.trim();
    return text === '' || text.length > MAX_IDENTITY_LENGTH ? null : text;
  }
  return (typeof value === 'number' && Number.isSafeInteger(value)) || typeof value === 'boolean'
    ? String(value)
    : null;
}

export interface TimeColumn {
  readonly key: string;
  readonly times: readonly unknown[];
}

/** The member with the times of a payload of columns, `{"t":[…],"v":[…]}`; null without one. */
export function timeColumn(tree: Tree): TimeColumn | null {
  for (const key of Object.keys(tree)) {
    const times = tree[key];
    if (
      Array.isArray(times) &&
      times.length > 0 &&
      times.some((time) => isTimeMember(key, time)) &&
      hasColumn(tree, key, times.length)
    )
      return { key, times };
  }
  return null;
}

const hasColumn = (tree: Tree, timeKey: string, length: number): boolean =>
  Object.keys(tree).some((key) => {
    const column = tree[key];
    return key !== timeKey && Array.isArray(column) && column.length === length;
  });

/** The rows of columns, as objects; other members are skipped. */
export function rowsOf(tree: Tree, { key, times }: TimeColumn): Tree[] {
  const columns = Object.keys(tree).filter((name) => {
    const column = tree[name];
    return name !== key && Array.isArray(column) && column.length === times.length;
  });
  return times.map((time, row) => {
    const entries = columns.map((name): [string, unknown] => [name, (tree[name] as readonly unknown[])[row]]);
    return Object.fromEntries([[key, time], ...entries]);
  });
}
