/** Text output: aligned columns, and lines of facts. */

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

/** `name       text` */
export const factLine = (name: string, text: string): string => `${name.padEnd(10)} ${text}`;
