/**
 * Reads a CSV file (.csv or .csv.gz) into time-stamped numbers, for backtest, replay and train. Needs 8 bytes per cell;
 * text columns are dropped at their first text. Rows keep the file's order; the pipeline sorts and buckets them, as it does
 * live messages.
 */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { parse } from 'csv-parse/sync';
import { errorText, GatecastError, readNamed } from '../errors.ts';
import { CellReader, IdColumn, NumberColumn } from './columns.ts';
import { detectTimeReader, timeReaderOf } from './time.ts';
import { timeColumns } from './time-columns.ts';

/** How a file is written, and what to read from it. */
export interface TableFormat {
  /** Time columns: one stamp; a date and a clock time; or year, month, day, hour. Default: `clockStartMs`, or by name. */
  readonly time?: readonly string[];
  /** strptime-like; several time columns are joined by a space. Default: detected. */
  readonly timeFormat?: string;
  /** `all`: every numeric column except time and id. */
  readonly columns: 'all' | readonly string[];
  /** Columns that identify the series of a row, in long files; joined by `/`. */
  readonly id?: readonly string[];
  /** Default: detected from the header. */
  readonly delimiter?: string;
  /** Default: a point; also a comma, if the delimiter is not a comma. */
  readonly decimal?: '.' | ',';
  /** Further cells that mean "no value"; compared as text and, if numeric, as numbers. */
  readonly missing?: readonly string[];
}

export interface TableOptions extends TableFormat {
  /** For files without a time column: time of the first row, ms since 1970 UTC, and interval between rows, ms. */
  readonly clockStartMs?: number;
  readonly intervalMs?: number;
  /** As `clockStartMs`, if no time column is found by name. */
  readonly otherwiseStartMs?: number;
}

export interface TableRow {
  readonly timeMs: number;
  /** One per column, in the order of `Table.columns`; NaN is missing. */
  readonly values: Float64Array;
  readonly id: string | null;
}

export interface Table {
  readonly columns: readonly string[];
  /** In order of appearance; empty without id columns. */
  readonly ids: readonly string[];
  readonly length: number;
  /** In the file's order. Can be iterated repeatedly. */
  rows(): Generator<TableRow>;
  /** Dropped columns and rows, for messages; `cell` is empty if a column has no values. */
  readonly leftOut: {
    readonly columns: readonly { readonly name: string; readonly line: number; readonly cell: string }[];
    readonly rowsWithoutTime: number;
  };
}

/**
 * @throws FILE_UNREADABLE if the file cannot be read or decompressed
 * @throws CSV_INVALID with the line, if it is not a table, or a column or a cell is invalid
 */
export function readTable(path: string, options: TableOptions): Table {
  const bytes = readNamed(path, () => readFileSync(path));
  return parseTable(path, bytes, options);
}

/**
 * As `readTable`, of a file that has been read.
 * @param mostBytes largest size after decompression
 */
export function parseTable(path: string, file: Buffer, options: TableOptions, mostBytes?: number): Table {
  const bytes = readNamed(path, () => unzipped(file, mostBytes));
  try {
    return readRecords(bytes, options);
  } catch (error) {
    if (error instanceof GatecastError) {
      throw new GatecastError(error.code, `${path}: ${error.message}`, { hint: error.hint, cause: error });
    }
    const message = errorText(error);
    throw new GatecastError('CSV_INVALID', `${path}: ${message}`, {
      hint: 'check the delimiter (--delimiter) and the quotes',
      cause: error,
    });
  }
}

function unzipped(bytes: Buffer, maxOutputLength?: number): Buffer {
  const isZipped = bytes[0] === 0x1f && bytes[1] === 0x8b;
  return isZipped ? gunzipSync(bytes, { ...(maxOutputLength !== undefined && { maxOutputLength }) }) : bytes;
}

function readRecords(bytes: Buffer, options: TableOptions): Table {
  const delimiter = options.delimiter ?? sniffDelimiter(bytes);
  let builder: TableBuilder | null = null;
  parse(bytes, {
    delimiter,
    bom: true,
    trim: true,
    relax_column_count: true,
    skip_empty_lines: true,
    on_record: (record: string[], context) => {
      if (builder === null) builder = new TableBuilder(record, delimiter, options);
      else builder.row(record, context.lines);
      return null;
    },
  });
  if (builder === null) throw new GatecastError('CSV_INVALID', 'the file is empty');
  return (builder as TableBuilder).table();
}

class TableBuilder {
  private readonly reader: CellReader;
  private readonly timeAt: readonly number[];
  private readonly idAt: readonly number[];
  private readonly columns: readonly NumberColumn[];
  private readonly ids = new IdColumn();
  /** Of each row: its line, and its time as written. */
  private readonly lines: number[] = [];
  private readonly times: string[] = [];
  private rowsWithoutTime = 0;
  /** 1 if rows start with a name that the header does not have. */
  private shift: 0 | 1 = 0;

  constructor(
    private readonly names: readonly string[],
    delimiter: string,
    private readonly options: TableOptions,
  ) {
    const decimalComma = options.decimal === ',' || (options.decimal === undefined && delimiter !== ',');
    this.reader = new CellReader(decimalComma, options.missing ?? []);
    this.timeAt = timesOf(names, options).map((name) => this.find(name));
    this.idAt = (options.id ?? []).map((name) => this.find(name));
    const startMs = options.clockStartMs ?? options.otherwiseStartMs;
    if (this.timeAt.length === 0 && (startMs === undefined || options.intervalMs === undefined)) {
      throw new GatecastError('USAGE', 'rows need a time', {
        hint: 'name the time column with --time, or give --clock-start and --interval',
      });
    }
    this.columns = this.wanted().map((at) => new NumberColumn(names[at], at));
    const twice = this.columns.find(
      (column, at) => this.columns.findIndex((c) => c.name === column.name) < at,
    );
    if (twice !== undefined) throw invalid(1, `duplicate column "${twice.name}"`);
  }

  row(record: readonly string[], line: number): void {
    if (record.every((cell) => cell === '')) return;
    this.align(record, line);
    if (this.timeAt.length > 0) {
      const time = this.timeAt.map((at) => this.cell(record, at)).join(' ');
      if (this.reader.isMissing(time)) {
        this.rowsWithoutTime++;
        return;
      }
      this.times.push(time);
    }
    this.lines.push(line);
    if (this.idAt.length > 0) this.ids.add(this.idAt.map((at) => this.cell(record, at)).join('/'));
    for (const column of this.columns) {
      const cell = this.cell(record, column.at);
      if (column.add(cell, line, this.reader) || this.options.columns === 'all') continue;
      throw invalid(line, `column "${column.name}" has "${cell}", which is not a number`, {
        hint: 'name cells that stand for "no value" with --missing, or the decimal sign with --decimal',
      });
    }
  }

  table(): Table {
    if (this.lines.length === 0 && this.rowsWithoutTime === 0)
      throw new GatecastError('CSV_INVALID', 'there is a header, but no row below it');
    const kept = this.columns.filter((c) => c.isNumeric || this.options.columns !== 'all');
    if (kept.length === 0) {
      throw new GatecastError('CSV_INVALID', 'no column holds numbers', {
        hint: 'check --delimiter, --decimal and --missing',
      });
    }
    const timeMs = this.stamps();
    const ids = this.ids;
    return {
      columns: kept.map((c) => c.name),
      ids: ids.names,
      length: timeMs.length,
      leftOut: {
        columns: this.columns
          .filter((c) => !kept.includes(c))
          .map((c) => ({ name: c.name, ...(c.text ?? { line: 1, cell: '' }) })),
        rowsWithoutTime: this.rowsWithoutTime,
      },
      *rows() {
        for (let row = 0; row < timeMs.length; row++) {
          const values = new Float64Array(kept.length);
          for (let i = 0; i < kept.length; i++) values[i] = kept[i].value(row);
          yield { timeMs: timeMs[row], values, id: ids.of(row) };
        }
      },
    };
  }

  private find(name: string): number {
    const at = this.names.indexOf(name.trim());
    if (at >= 0) return at;
    const hint = `the file has ${this.names.filter((n) => n !== '').join(', ')}`;
    throw invalid(1, `there is no column "${name}"`, { hint });
  }

  private wanted(): number[] {
    const { columns } = this.options;
    if (columns !== 'all') return columns.map((name) => this.find(name));
    const taken = [...this.timeAt, ...this.idAt];
    return this.names.flatMap((name, at) => (name === '' || taken.includes(at) ? [] : [at]));
  }

  private cell(record: readonly string[], at: number): string {
    return record[at + this.shift] ?? '';
  }

  /** Pads short rows; rejects long rows, except those with row names as written by R. */
  private align(record: readonly string[], line: number): void {
    const width = this.names.length;
    if (record.length <= width) return;
    const isFirst = this.lines.length + this.rowsWithoutTime === 0;
    if (record.length > width + 1 || (this.shift === 0 && !isFirst)) {
      throw invalid(line, `has ${record.length} cells, the header has ${width}`);
    }
    this.shift = 1;
  }

  private stamps(): Float64Array {
    const {
      timeFormat,
      otherwiseStartMs = 0,
      clockStartMs = otherwiseStartMs,
      intervalMs = 0,
    } = this.options;
    const columns = this.timeAt.length;
    if (columns === 0) return Float64Array.from(this.lines, (_, row) => clockStartMs + row * intervalMs);
    const read = timeFormat === undefined ? detectTimeReader(this.times, columns) : timeReaderOf(timeFormat);
    return Float64Array.from(this.times, (text, row) => {
      const stamp = read(text);
      if (!Number.isNaN(stamp)) return stamp;
      throw invalid(this.lines[row], `the time "${text}" cannot be read`, {
        hint: 'pass its format with --time-format, for example "%d/%m/%Y %H.%M.%S" or unix_s',
      });
    });
  }
}

function timesOf(names: readonly string[], { time = [], clockStartMs }: TableOptions): readonly string[] {
  return time.length > 0 || clockStartMs !== undefined ? time : timeColumns(names);
}

/** The character that splits the header line most often. */
function sniffDelimiter(bytes: Buffer): string {
  const end = bytes.indexOf(10);
  const header = bytes.toString('utf8', 0, end < 0 ? Math.min(bytes.length, 65_536) : end);
  const count = (sign: string): number => header.split(sign).length;
  return [',', ';', '\t', '|'].reduce((best, sign) => (count(sign) > count(best) ? sign : best));
}

function invalid(line: number, message: string, options: { hint?: string } = {}): GatecastError {
  return new GatecastError('CSV_INVALID', `line ${line}: ${message}`, options);
}
