/** Batches of readings that are not lists of objects: pairs of a time and a value, rows of cells, and columns. */
import { parseTime } from '../series/time-stamp.ts';
import { identityKey, identityPair } from './json-identity.ts';
import { isTimeMember } from './json-times.ts';
import { isTree, memberOf, type Tree } from './json-tree.ts';

/**
 * Readings written without objects, as a batch: pairs `[[time, value], …]`, rows of the columns that a sibling lists
 * (`{"columns":["time","t"],"values":[[…]]}`), or an object whose keys are times. null if it is none of these.
 * @param columns names of the cells; null: unknown
 * @param arrivalMs seconds or ms since 1970 are times only within a week of it, because serial numbers look the same
 */
export function rowsWithTimes(
  value: unknown,
  columns: readonly unknown[] | null,
  arrivalMs: number | null,
): Rows | null {
  if (Array.isArray(value)) {
    const first: unknown = value[0];
    if (!Array.isArray(first) || first.length < 2) return null;
    if (!value.every((row) => Array.isArray(row) && row.length === first.length)) return null;
    const named = columns?.length === first.length && columns.every((name) => typeof name === 'string');
    // the time may be the second of a pair, as in Grafana
    const isPair = !named && first.length === 2;
    const timeAt =
      isPair && !isTimeMember('time', first[0]) && value.every((row) => isTimeMember('time', row[1])) ? 1 : 0;
    const names = named ? columns : first.map((_, at) => (at === timeAt ? 'time' : String(at)));
    const key = names.find((name, at) => isTimeMember(name, first[at]));
    if (key === undefined) return null;
    return {
      key,
      single: isPair ? String(1 - timeAt) : null,
      rows: value.map((row) =>
        Object.fromEntries(names.map((name, at) => [name, (row as readonly unknown[])[at]])),
      ),
    };
  }
  if (!isTree(value)) return null;
  const keys = Object.keys(value);
  const isTime = FULL_TIME.test(keys[0] ?? '')
    ? (key: string) => FULL_TIME.test(key) && isTimeMember('time', key)
    : (key: string) =>
        EPOCH.test(key) && Math.abs((parseTime(key) ?? 0) - (arrivalMs ?? Number.NaN)) <= NEAR_MS;
  if (keys.length === 0 || !keys.every(isTime)) return null;
  return { key: 'time', single: 'v', rows: keys.map((time) => ({ time, v: value[time] })) };
}

const EPOCH = /^\d{10}(?:\d{3})?$/;
const NEAR_MS = 7 * 86_400_000;
/** A date with a time of day. */
const FULL_TIME = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}/;

interface Rows {
  /** Key of the times. */
  readonly key: string;
  /** The member that takes the name of the whole batch; null: each member has its own. */
  readonly single: string | null;
  readonly rows: readonly Tree[];
}

/** Names of the cells of rows, as InfluxDB and others send them. */
export function columnNames(tree: Tree): readonly unknown[] | null {
  for (const key of ['columns', 'fields', 'names', 'keys', 'header', 'headers']) {
    const names = tree[key];
    if (Array.isArray(names)) return names;
  }
  return null;
}

/** A payload of columns, read as a batch. */
interface Columns {
  /** Key of the times in the rows. */
  readonly key: string;
  readonly rows: readonly Tree[];
  /** The object without its columns. */
  readonly rest: Tree;
}

/**
 * Reads an object of columns, `{"t":[…],"v":[…]}`, as a batch; null if it is none. The columns may be in objects below it,
 * `{"t":[…],"values":{"v":[…]}}`, or in a list of series, `{"t":[…],"series":[{"name":"v","values":[…]}]}`, and the times in an
 * object beside them.
 * @param named the column of the times, if a rule names it
 */
export function columnsOf(tree: Tree, named: TimeColumn | null = null): Columns | null {
  for (const found of named === null
    ? [...timesOf(tree), ...timesBeside(tree)].slice(0, MAX_TIMES)
    : [named]) {
    const columns = columnsWith(tree, found);
    if (columns !== null) return columns;
  }
  return null;
}

function columnsWith(tree: Tree, { key, times, within }: TimeColumn): Columns | null {
  const cells: [name: string, at: CellsOf][] = [];
  const rest: [name: string, value: unknown][] = [];
  for (const name of Object.keys(tree)) {
    const value = tree[name];
    if (name === (within ?? key) && (within !== undefined || value === times)) continue;
    const part = partColumns(name, value, times.length, 0);
    if (part.cells !== null) cells.push([name, part.cells]);
    if (part.rest !== undefined) rest.push([name, part.rest]);
  }
  if (cells.length === 0) return null;
  const rows = times.map((time, row) =>
    Object.fromEntries([[key, time] as const, ...cells.map(([name, at]) => [name, at(row)] as const)]),
  );
  return { key, rows, rest: Object.fromEntries(rest) };
}

interface TimeColumn {
  readonly key: string;
  readonly times: readonly unknown[];
  /** The object that contains the times, if they are one level below. */
  readonly within?: string;
}

/** A part of one row. */
type CellsOf = (row: number) => unknown;

const MAX_COLUMN_DEPTH = 3;
const NO_TIMES: TimeColumn[] = [];
/** A payload may have very many lists of times, and each is tried with every member. */
const MAX_TIMES = 8;

/** Divides a member into its columns of this length, and the rest. */
function partColumns(
  key: string,
  value: unknown,
  length: number,
  depth: number,
): { cells: CellsOf | null; rest: unknown } {
  if (Array.isArray(value)) {
    const series = value.every((element) => isTree(element) && hasColumn(element, length));
    if (series && value.length > 0 && depth < MAX_COLUMN_DEPTH) {
      const one = identityKey(value, key);
      const members = one === null ? (identityPair(value, key) ?? []) : [one];
      const parts = value.map((element: Tree) => {
        const { cells } = partColumns('', element, length, depth + 1);
        return { cells, name: Object.fromEntries(members.map((name) => [name, memberOf(element, name)])) };
      });
      return {
        cells: (row) => parts.map(({ cells, name }) => ({ ...name, ...(cells?.(row) as Tree) })),
        rest: undefined,
      };
    }
    return value.length === length
      ? { cells: (row) => value[row], rest: undefined }
      : { cells: null, rest: value };
  }
  if (!isTree(value) || depth >= MAX_COLUMN_DEPTH) return { cells: null, rest: value };
  const cells: [name: string, at: CellsOf][] = [];
  const rest: [name: string, value: unknown][] = [];
  for (const name of Object.keys(value)) {
    const part = partColumns(name, value[name], length, depth + 1);
    if (part.cells !== null) cells.push([name, part.cells]);
    if (part.rest !== undefined) rest.push([name, part.rest]);
  }
  if (cells.length === 0) return { cells: null, rest: value };
  return {
    cells: (row) => Object.fromEntries(cells.map(([name, at]) => [name, at(row)])),
    rest: rest.length === 0 ? undefined : Object.fromEntries(rest),
  };
}

const hasColumn = (tree: Tree, length: number): boolean =>
  Object.keys(tree).some((key) => {
    const column = tree[key];
    return Array.isArray(column) && column.length === length;
  });

function timesOf(tree: Tree): readonly TimeColumn[] {
  let found: TimeColumn[] = NO_TIMES;
  for (const key of Object.keys(tree)) {
    const times = tree[key];
    if (Array.isArray(times) && times.length > 0 && times.some((time) => isTimeMember(key, time)))
      found = [...found, { key, times }];
    if (found.length === MAX_TIMES) break;
  }
  return found;
}

/** The times in an object that has no column for them itself. One time alone may be that of the whole message. */
function timesBeside(tree: Tree): readonly TimeColumn[] {
  let found: TimeColumn[] = NO_TIMES;
  for (const within of Object.keys(tree)) {
    const beside = tree[within];
    if (!isTree(beside)) continue;
    for (const column of timesOf(beside))
      if (column.times.length > 1 && columnsWith(beside, column) === null)
        found = [...found, { ...column, within }];
    if (found.length >= MAX_TIMES) break;
  }
  return found;
}

/** The key of a list of times that no column fits; null without one. */
export function unmatchedTimes(tree: Tree): string | null {
  return timesOf(tree).find(({ times }) => times.length > 1)?.key ?? null;
}
