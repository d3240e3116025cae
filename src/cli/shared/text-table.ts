/** Text output: aligned columns, numbers with the same decimals, and lines of facts. */
import { digitsFor, inDigits } from '../../forecast/digits.ts';

/** Maximum number of decimals of `toFixed`. */
const MOST_PLACES = 12;

/**
 * Pads each column to its widest cell and trims line ends.
 * @param numbers whether all columns but the first are aligned to the right
 */
export function textTable(rows: readonly (readonly string[])[], numbers = false): string {
  const columns = Math.max(0, ...rows.map((cells) => cells.length));
  const widths = Array.from({ length: columns }, (_, at) =>
    Math.max(...rows.map((cells) => cells[at]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, at) => (numbers && at > 0 ? cell.padStart(widths[at]) : cell.padEnd(widths[at])))
      .join('  ')
      .trimEnd();
  return rows.map((cells) => `${line(cells)}\n`).join('');
}

/** An indented table of numbers. */
export const indentedTable = (rows: readonly (readonly string[])[]): string =>
  textTable(rows, true).trimEnd().replace(/^/gm, '  ');

/**
 * Function that writes numbers with the same number of decimals.
 * @param values those that must differ where they are apart
 * @param least significant digits of the largest, at least
 * @param ofSpread digits, besides the first, that resolve the spread
 */
export function sameDecimals(
  values: readonly number[],
  least: number,
  ofSpread?: number,
): (value: number) => string {
  const digits = digitsFor(values, least, ofSpread);
  const largest = Math.max(...values.map(Math.abs));
  const most = Math.max(0, digits - 1 - Math.floor(Math.log10(largest)));
  const places = most <= MOST_PLACES ? Math.max(...values.map((value) => placesOf(value.toFixed(most)))) : 0;
  if (places === 0) return (value) => String(Number.isSafeInteger(value) ? value : inDigits(value, digits));
  return (value) => (Number(value.toFixed(places)) + 0).toFixed(places);
}

/** Number of decimals without the zeros at the end. */
const placesOf = (text: string): number => /\.(\d*[1-9])/.exec(text)?.[1]?.length ?? 0;

/** `name       text` */
export const factLine = (name: string, text: string): string => `${name.padEnd(10)} ${text}`;
