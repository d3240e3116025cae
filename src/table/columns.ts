/** Columns of a table while it is read: stores numbers compactly, drops text columns. */

/** Cells that mean "no value" in any file, lower case. */
const NO_VALUE = ['', 'na', 'n/a', '#n/a', 'nan', 'null', 'none', 'nil', '-', '?', 'inf', '-inf', '+inf'];

export class CellReader {
  private readonly words: ReadonlySet<string>;
  private readonly numbers: ReadonlySet<number>;

  /** @param missing further cells without a value; compared as text and, where they are numbers, as numbers */
  constructor(
    private readonly decimalComma: boolean,
    missing: readonly string[],
  ) {
    this.words = new Set([...NO_VALUE, ...missing.map((m) => m.toLowerCase())]);
    this.numbers = new Set(missing.filter((m) => m.trim() !== '').map(Number));
  }

  isMissing(cell: string): boolean {
    return this.words.has(cell.trim().toLowerCase());
  }

  /** NaN: no value; null: not a number. */
  number(cell: string): number | null {
    if (cell === '') return Number.NaN;
    let value = Number(cell);
    if (Number.isNaN(value) && this.decimalComma) value = Number(cell.replace(',', '.'));
    if (Number.isNaN(value)) return this.isMissing(cell) ? Number.NaN : null;
    // Number() also parses 0x1f and 0b1, which are flags in a table
    if (/^0[xbo]/i.test(cell)) return null;
    return Number.isFinite(value) && !this.numbers.has(value) ? value : Number.NaN;
  }
}

export class NumberColumn {
  private cells = new Float64Array(1024);
  private count = 0;
  private holds = false;
  /** The first cell that is not a number. */
  text: { readonly line: number; readonly cell: string } | null = null;

  constructor(
    readonly name: string /** Index of its cell in a record. */,
    readonly at: number,
  ) {}

  /** Whether at least one cell is a number, and none is text. */
  get isNumeric(): boolean {
    return this.holds && this.text === null;
  }

  /** Adds a cell; ignores further cells after a text. @returns whether the column may still be numeric */
  add(cell: string, line: number, reader: CellReader): boolean {
    if (this.text !== null) return false;
    const value = reader.number(cell);
    if (value === null) {
      this.text = { line, cell };
      this.cells = new Float64Array(0);
      return false;
    }
    if (this.count === this.cells.length) {
      const grown = new Float64Array(this.count * 2);
      grown.set(this.cells);
      this.cells = grown;
    }
    this.cells[this.count++] = value;
    if (!Number.isNaN(value)) this.holds = true;
    return true;
  }

  value(row: number): number {
    return this.cells[row];
  }
}

/** Ids of rows, numbered in order of appearance. */
export class IdColumn {
  readonly names: string[] = [];
  private readonly numbers = new Map<string, number>();
  private readonly rows: number[] = [];

  add(id: string): void {
    let number = this.numbers.get(id);
    if (number === undefined) {
      number = this.names.push(id) - 1;
      this.numbers.set(id, number);
    }
    this.rows.push(number);
  }

  /** null if the file has no ids. */
  of(row: number): string | null {
    const number = this.rows[row];
    return number === undefined ? null : this.names[number];
  }
}
