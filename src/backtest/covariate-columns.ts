/** Columns of a file that help to forecast others: as streams of their own, or as tables of what is known ahead. */
import { GatecastError } from '../errors.ts';
import type { TablePoint } from '../series/covariate-sources.ts';
import type { CovariateName } from '../series/spec.ts';
import type { Reading } from './play.ts';

export interface CovariateColumns {
  /** Columns that are known up to the present bucket. */
  readonly covariates?: readonly string[];
  /** Columns whose future is known. */
  readonly known?: readonly string[];
}

export interface Beside {
  /** Series after those that are scored, which are only played. */
  readonly helpers: readonly string[];
  /** For each series that is scored; streams are named by their number, as `play` does. */
  readonly covariates: readonly (readonly CovariateName[])[];
  readonly tables: readonly { readonly name: string; readonly points: readonly TablePoint[] }[];
}

interface Parted {
  /** Series that are scored. */
  readonly names: string[];
  /** Of those, then of the helpers. */
  readonly readings: Reading[];
  readonly beside: Beside;
}

/** The columns to read of a file. */
export function columnsToRead(columns: 'all' | string[], { covariates = [], known = [] }: CovariateColumns) {
  return columns === 'all' ? columns : [...new Set([...columns, ...covariates, ...known])];
}

/**
 * Parts what was read: which series are scored, which only help, which are tables.
 * @param names of the series, `<id>/<column>` in long files; a series has the covariates of its own id
 * @param columns that are scored; `all`: all that are not known ahead
 * @throws GatecastError CSV_INVALID for a column that is not there
 */
export function part(
  names: readonly string[],
  all: readonly Reading[],
  columns: 'all' | readonly string[],
  { covariates = [], known = [] }: CovariateColumns,
): Parted {
  for (const column of [...covariates, ...known]) {
    if (names.some((name) => columnOf(name, column))) continue;
    throw new GatecastError('CSV_INVALID', `There is no column '${column}'.`, {
      hint: `There are: ${names.join(', ')}.`,
    });
  }
  const is = (name: string, list: readonly string[]): boolean =>
    list.some((column) => columnOf(name, column));
  const tables = names.filter((name) => is(name, known));
  const streams = names.filter((name) => !is(name, known));
  const scored = streams.filter((name) => columns === 'all' || is(name, columns));
  const played = [...scored, ...streams.filter((name) => !scored.includes(name))];
  const at = new Map(played.map((name, s) => [name, s]));
  const points = new Map(tables.map((name) => [name, [] as TablePoint[]]));
  const readings: Reading[] = [];
  for (const reading of all) {
    const name = names[reading.series];
    const series = at.get(name);
    if (series === undefined) points.get(name)?.push({ timeMs: reading.timeMs, value: reading.value });
    else readings.push({ ...reading, series });
  }
  return {
    names: scored,
    readings,
    beside: {
      helpers: played.slice(scored.length),
      covariates: scored.map((name) => [
        ...played
          .filter((other) => other !== name && is(other, covariates) && sameId(name, other))
          .map((other): CovariateName => ({ kind: 'stream', name: `s${at.get(other)}` })),
        ...tables
          .filter((other) => sameId(name, other))
          .map((other): CovariateName => ({ kind: 'table', name: other })),
      ]),
      tables: [...points].map(([name, list]) => ({ name, points: list })),
    },
  };
}

const columnOf = (name: string, column: string): boolean => name === column || name.endsWith(`/${column}`);
const idOf = (name: string): string => name.slice(0, name.lastIndexOf('/') + 1);
const sameId = (a: string, b: string): boolean => idOf(a) === idOf(b);
