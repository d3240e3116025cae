/**
 * Reads a CSV file (.csv or .csv.gz) into time-stamped numbers: the one table reader of backtest, replay and train.
 * Holds numbers compactly (8 bytes a cell); text columns are dropped as soon as they show themselves.
 * Rows come out in the file's order: sorting and bucketing are the pipeline's business, as with live messages.
 */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { parse } from 'csv-parse/sync';
import { GatecastError } from '../errors.ts';
import { detectTimeReader, timeReaderOf } from './csv-time.ts';

export interface TableOptions {
  /** Names of the time columns: one stamp; a date and a clock time; or year, month, day, hour. Empty: see `clockStartMs`. */
  readonly time?: readonly string[];
  /** strptime-like, for several time columns over their cells joined by a space; found out by itself when left out. */
  readonly timeFormat?: string;
  /** `all`: every column that holds numbers, but the time and the id. */
  readonly columns: 'all' | readonly string[];
  /** Columns that say whose row it is, in long files; joined by `/`. */
  readonly id?: readonly string[];
  /** Found out from the header when left out. */
  readonly delimiter?: string;
  /** Left out: a point, or, where the delimiter is no comma, also a comma. */
  readonly decimal?: '.' | ',';
  /** Cells that mean "no value", beside the usual ones; compared as text and, where they are numbers, as numbers. */
  readonly missing?: readonly string[];
  /** For files without a time column: time of the first row, ms since 1970 UTC, and the distance of rows, ms. */
  readonly clockStartMs?: number;
  readonly intervalMs?: number;
}

export interface TableRow {
  readonly timeMs: number;
  /** One a column, in the order of `Table.columns`; NaN is missing. */
  readonly values: Float64Array;
  readonly id: string | null;
}

export interface Table {
  readonly columns: readonly string[];
  /** In order of appearance; empty without id columns. */
  readonly ids: readonly string[];
  readonly length: number;
  /** In the file's order. Can be walked any number of times. */
  rows(): Generator<TableRow>;
  /** What was left out and why, so that a caller can say it; `cell` is empty where a column had no value at all. */
  readonly leftOut: {
    readonly columns: readonly { readonly name: string; readonly line: number; readonly cell: string }[];
    readonly rowsWithoutTime: number;
  };
}

const NO_VALUE = ['', 'na', 'n/a', '#n/a', 'nan', 'null', 'none', 'nil', '-', '?', 'inf', '-inf', '+inf'];

/** A column that may be one of numbers; grows by doubling. */
interface Candidate {
  readonly name: string;
  /** Index of the cell in a record. */
  readonly at: number;
  readonly named: boolean;
  cells: Float64Array;
  /** Whether any cell held a number. */
  holds: boolean;
  /** The first cell that is none. */
  text: { line: number; cell: string } | null;
}

/**
 * @throws FILE_UNREADABLE when the file cannot be read or unpacked
 * @throws CSV_INVALID with the line, when it is no table, a column is not there, or a cell cannot be understood
 */
export function readTable(path: string, options: TableOptions): Table {
  const bytes = readBytes(path);
  try {
    return readRecords(bytes, options);
  } catch (error) {
    if (error instanceof GatecastError) {
      throw new GatecastError(error.code, `${path}: ${error.message}`, { hint: error.hint, cause: error });
    }
    const message = error instanceof Error ? error.message : String(error);
    throw new GatecastError('CSV_INVALID', `${path}: ${message}`, {
      hint: 'check the delimiter (--delimiter) and the quotes',
      cause: error,
    });
  }
}

function readBytes(path: string): Buffer {
  try {
    const bytes = readFileSync(path);
    return bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes;
  } catch (cause) {
    throw new GatecastError('FILE_UNREADABLE', `${path}: ${(cause as Error).message}`, { cause });
  }
}

function readRecords(bytes: Buffer, options: TableOptions): Table {
  const delimiter = options.delimiter ?? sniffDelimiter(bytes);
  const decimalComma = options.decimal === ',' || (options.decimal === undefined && delimiter !== ',');
  const noValue = new Set([...NO_VALUE, ...(options.missing ?? []).map((m) => m.toLowerCase())]);
  const noNumber = new Set((options.missing ?? []).filter((m) => m.trim() !== '').map(Number));
  const times: string[] = [];
  const lines: number[] = [];
  const ids: string[] = [];
  const idIndex = new Map<string, number>();
  const idOfRow: number[] = [];
  let header: Header | null = null;
  let candidates: Candidate[] = [];
  let shift = 0;
  let rowsWithoutTime = 0;

  const onRecord = (record: string[], line: number): void => {
    if (header === null) {
      header = resolveHeader(record, options);
      candidates = header.candidates;
      return;
    }
    if (record.every((cell) => cell === '')) return;
    if (record.length > header.width) {
      // as R writes it: row names without a header of their own
      if (record.length === header.width + 1 && (shift === 1 || lines.length + rowsWithoutTime === 0))
        shift = 1;
      else throw invalid(line, `has ${record.length} cells, the header has ${header.width}`);
    }
    const { timeAt } = header;
    if (timeAt.length > 0) {
      let time = record[timeAt[0]! + shift] ?? '';
      for (let i = 1; i < timeAt.length; i++) time += ` ${record[timeAt[i]! + shift] ?? ''}`;
      if (noValue.has(time.trim().toLowerCase())) {
        rowsWithoutTime++;
        return;
      }
      times.push(time);
    }
    const row = lines.length;
    lines.push(line);
    if (header.idAt.length > 0) {
      const id = header.idAt.map((at) => record[at + shift] ?? '').join('/');
      let index = idIndex.get(id);
      if (index === undefined) {
        index = ids.push(id) - 1;
        idIndex.set(id, index);
      }
      idOfRow.push(index);
    }
    for (const candidate of candidates) {
      if (candidate.text !== null) continue;
      const cell = record[candidate.at + shift] ?? '';
      const value = numberOf(cell, decimalComma, noValue, noNumber);
      if (value === null) {
        if (candidate.named) {
          throw invalid(line, `column "${candidate.name}" has "${cell}", which is no number`, {
            hint: 'name cells that stand for "no value" with --missing, or the decimal sign with --decimal',
          });
        }
        candidate.text = { line, cell };
        candidate.cells = new Float64Array(0);
        continue;
      }
      if (row >= candidate.cells.length) {
        const grown = new Float64Array(candidate.cells.length * 2);
        grown.set(candidate.cells);
        candidate.cells = grown;
      }
      candidate.cells[row] = value;
      if (!Number.isNaN(value)) candidate.holds = true;
    }
  };

  parse(bytes, {
    delimiter,
    bom: true,
    trim: true,
    relax_column_count: true,
    skip_empty_lines: true,
    on_record: (record: string[], context) => {
      onRecord(record, context.lines);
      return null;
    },
  });
  if (header === null) throw new GatecastError('CSV_INVALID', 'the file is empty');
  const kept = candidates.filter((c) => c.text === null && (c.named || c.holds));
  if (kept.length === 0) {
    throw new GatecastError('CSV_INVALID', 'no column holds numbers', {
      hint: 'check --delimiter, --decimal and --missing',
    });
  }
  const timeMs = stampRows(times, lines, options);
  const count = lines.length;
  return {
    columns: kept.map((c) => c.name),
    ids,
    length: count,
    leftOut: {
      columns: candidates.flatMap((c) =>
        kept.includes(c) ? [] : [{ name: c.name, ...(c.text ?? { line: 1, cell: '' }) }],
      ),
      rowsWithoutTime,
    },
    *rows() {
      for (let row = 0; row < count; row++) {
        const values = new Float64Array(kept.length);
        for (let i = 0; i < kept.length; i++) values[i] = kept[i]!.cells[row]!;
        yield { timeMs: timeMs[row]!, values, id: ids.length === 0 ? null : ids[idOfRow[row]!]! };
      }
    },
  };
}

interface Header {
  readonly width: number;
  readonly timeAt: readonly number[];
  readonly idAt: readonly number[];
  readonly candidates: Candidate[];
}

function resolveHeader(names: readonly string[], options: TableOptions): Header {
  const find = (name: string): number => {
    const at = names.indexOf(name.trim());
    if (at < 0) {
      throw new GatecastError('CSV_INVALID', `line 1: there is no column "${name}"`, {
        hint: `the file has ${names.filter((n) => n !== '').join(', ')}`,
      });
    }
    return at;
  };
  const timeAt = (options.time ?? []).map(find);
  const idAt = (options.id ?? []).map(find);
  if (timeAt.length === 0 && (options.clockStartMs === undefined || options.intervalMs === undefined)) {
    throw new GatecastError('USAGE', 'rows need a time', {
      hint: 'name the time column with --time, or give --clock-start and --interval',
    });
  }
  const named = options.columns !== 'all';
  const wanted = named
    ? options.columns.map(find)
    : names.flatMap((name, at) => (name === '' || timeAt.includes(at) || idAt.includes(at) ? [] : [at]));
  const candidates: Candidate[] = [];
  for (const at of wanted) {
    const name = names[at]!;
    if (candidates.some((c) => c.name === name)) {
      throw new GatecastError('CSV_INVALID', `line 1: the column "${name}" is there twice`);
    }
    candidates.push({ name, at, named, cells: new Float64Array(1024), holds: false, text: null });
  }
  return { width: names.length, timeAt, idAt, candidates };
}

/** NaN: no value; null: not a number at all. */
function numberOf(
  cell: string,
  decimalComma: boolean,
  noValue: Set<string>,
  noNumber: Set<number>,
): number | null {
  let value = Number(cell);
  if (Number.isNaN(value) && decimalComma) value = Number(cell.replace(',', '.'));
  if (cell === '') return Number.NaN;
  if (Number.isNaN(value)) return noValue.has(cell.toLowerCase()) ? Number.NaN : null;
  // Number() also reads 0x1f and 0b1, which in a table are flags
  const second = cell.charCodeAt(1) | 0x20;
  if (cell[0] === '0' && (second === 0x78 || second === 0x62 || second === 0x6f)) return null;
  if (!Number.isFinite(value) || noNumber.has(value)) return Number.NaN;
  return value;
}

function stampRows(times: readonly string[], lines: readonly number[], options: TableOptions): Float64Array {
  const columns = options.time?.length ?? 0;
  if (columns === 0) {
    const { clockStartMs = 0, intervalMs = 0 } = options;
    return Float64Array.from(lines, (_, row) => clockStartMs + row * intervalMs);
  }
  const read =
    options.timeFormat === undefined ? detectTimeReader(times, columns) : timeReaderOf(options.timeFormat);
  return Float64Array.from(times, (text, row) => {
    const stamp = read(text);
    if (!Number.isNaN(stamp)) return stamp;
    throw invalid(lines[row]!, `the time "${text}" cannot be read`, {
      hint: 'say how it is written with --time-format, for example "%d/%m/%Y %H.%M.%S" or unix_s',
    });
  });
}

/** The sign that splits the header line most often. */
function sniffDelimiter(bytes: Buffer): string {
  const end = bytes.indexOf(10);
  const header = bytes.toString('utf8', 0, end < 0 ? Math.min(bytes.length, 65_536) : end);
  const count = (sign: string): number => header.split(sign).length;
  return [',', ';', '\t', '|'].reduce((best, sign) => (count(sign) > count(best) ? sign : best));
}

function invalid(line: number, message: string, options: { hint?: string } = {}): GatecastError {
  return new GatecastError('CSV_INVALID', `line ${line}: ${message}`, options);
}
