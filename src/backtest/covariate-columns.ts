/** Covariate columns of a file: streams of their own, or tables of values known ahead. */
import { GatecastError } from '../errors.ts';
import type { TablePoint } from '../series/covariate-sources.ts';
import type { CovariateName } from '../series/spec.ts';
import type { Reading } from './play.ts';

interface CovariateColumns {
  /** Columns whose values are known up to the current bucket. */
  readonly covariates?: readonly string[];
  /** Columns whose future values are known. */
  readonly known?: readonly string[];
}

export interface CovariateInputs {
  /** Series that are played but not scored; their numbers follow those of the scored series. */
  readonly helpers: readonly string[];
  /** For each scored series. Streams are named by their number, as in `play`. */
  readonly covariates: readonly (readonly CovariateName[])[];
  readonly tables: readonly { readonly name: string; readonly points: readonly TablePoint[] }[];
}

interface SplitColumns {
  readonly names: string[];
  /** Of the scored series and of the helpers. */
  readonly readings: Reading[];
  readonly covariateInputs: CovariateInputs;
}

export function columnsToRead(
  columns: 'all' | readonly string[],
  { covariates = [], known = [] }: CovariateColumns,
) {
  return columns === 'all' ? columns : [...new Set([...columns, ...covariates, ...known])];
}

/**
 * Splits the series of a file into scored series, helpers and tables of values known ahead.
 * @param names of the series, `<id>/<column>` in long files; a series has the covariates of its own id
 * @param columns to score; `all`: all that are not known ahead
 * @throws GatecastError CSV_INVALID for a missing column
 */
export function splitColumns(
  names: readonly string[],
  all: readonly Reading[],
  columns: 'all' | readonly string[],
  { covariates = [], known = [] }: CovariateColumns,
): SplitColumns {
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
    covariateInputs: {
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
