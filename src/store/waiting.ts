/**
 * Data not yet in the database: rows, marks and meta values in memory, and the journal that preserves them over a
 * crash. Independent of SQLite. Works without a journal while the disk is unavailable.
 */
import { FrameWriter, type JournalReader, readJournal } from './journal.ts';
import type { MarkSpan } from './marks.ts';
import { PendingRows } from './pending.ts';
import { type Applied, type readSegments, Segments } from './segments.ts';

/** Most waiting marks stored with the times of their samples; further ones are stored without, to save memory in a disk outage. */
const MARKS_WITH_TIMES = 1024;
/** Number of frames per file that contain a stream's name, so that one damaged frame does not make later ones unreadable. */
const NAME_COPIES = 2;

export class Waiting {
  readonly segments: Segments;
  private readonly rowsHeld: PendingRows;
  /** Numbers of streams, assigned at their first row and valid until the process ends. */
  private readonly numbers = new Map<string, number>();
  private readonly names: string[] = [];
  readonly meta = new Map<string, string>();
  /** Marks to set on rows that are already in the database or the journal, oldest first; they are also set on the rows above. */
  marks: { readonly number: number; readonly span: MarkSpan }[] = [];
  /** Number of rows and marks that are already in the journal, from the oldest on. */
  private journalled = 0;
  private marksJournalled = 0;
  private metaJournalled = true;
  /** By stream: number of frames of the open file with its name. */
  private readonly named = new Map<number, number>();

  /**
   * @param dir the data directory
   * @param maxRows most rows held; the oldest are dropped first
   */
  constructor(
    dir: string,
    private readonly maxRows: number,
  ) {
    this.segments = new Segments(dir);
    this.rowsHeld = new PendingRows(maxRows);
  }

  get rows(): number {
    return this.rowsHeld.size;
  }

  get dropped(): number {
    return this.rowsHeld.dropped;
  }

  /** Number of rows that a crash would lose. */
  get unwritten(): number {
    return this.rows - this.journalled;
  }

  /** Whether the journal contains all waiting data. */
  get isWritten(): boolean {
    return this.unwritten === 0 && this.metaJournalled && this.marksJournalled === this.marks.length;
  }

  get isEmpty(): boolean {
    return this.rows === 0 && this.meta.size === 0 && this.marks.length === 0;
  }

  numberOf(stream: string): number | undefined {
    return this.numbers.get(stream);
  }

  /** @param number of a known stream */
  nameOf(number: number): string {
    return this.names[number] ?? '';
  }

  /** Returns whether the oldest row was dropped for it. */
  push(stream: string, timeMs: number, value: number, mark: number): boolean {
    const dropped = this.rowsHeld.push(this.number(stream), timeMs, value, mark);
    if (dropped && this.journalled > 0) {
      this.journalled--;
      this.segments.dropRow();
    }
    return dropped;
  }

  mark(stream: string, span: MarkSpan): void {
    const number = this.number(stream);
    this.rowsHeld.mark(number, span.fromMs, span.toMs, span.marks);
    const { timesMs: _, ...short } = span;
    this.marks.push({ number, span: this.marks.length < MARKS_WITH_TIMES ? span : short });
    if (this.marks.length <= this.maxRows) return;
    this.marks.shift();
    if (this.marksJournalled > 0) this.marksJournalled--;
  }

  setMeta(key: string, value: string): void {
    if (this.meta.get(key) === value) return;
    this.meta.set(key, value);
    this.metaJournalled = false;
  }

  /** Oldest first. @param most rows visited */
  forEach(
    visit: (number: number, timeMs: number, value: number, mark: number) => void,
    most = this.rows,
  ): void {
    this.rowsHeld.forEach(visit, 0, Math.min(most, this.rows));
  }

  /** Loads what earlier processes left in the journal; returns as `Segments.load`. */
  load(applied: Applied): ReturnType<Segments['load']> {
    const late = !this.isEmpty;
    const { reader, finish } = this.taking();
    const result = this.segments.load(applied, reader);
    finish();
    // Rows that arrived before the journal was loaded come before its rows, so everything is written again in order.
    if (late) this.rejournal();
    else {
      this.journalled = this.rows;
      this.marksJournalled = this.marks.length;
      this.metaJournalled = true;
    }
    return result;
  }

  /** Loads the journal for a reader in another process: changes no file. @param found result of `readSegments` */
  peek(found: ReturnType<typeof readSegments>, applied: Applied): void {
    const { reader, finish } = this.taking();
    for (const { name, content } of found) readJournal(content, applied[name] ?? 0, reader);
    finish();
  }

  /** Appends everything not yet in the journal. Throws the system's error; nothing is lost then, and the next call retries. */
  write(): void {
    if (this.isWritten) return;
    if (this.segments.startsFile) this.named.clear();
    const frame = new FrameWriter();
    const named = new Set<number>();
    const name = (number: number): void => {
      if (named.has(number) || (this.named.get(number) ?? 0) >= NAME_COPIES) return;
      frame.name(number, this.nameOf(number));
      named.add(number);
    };
    if (!this.metaJournalled) for (const [key, value] of this.meta) frame.meta(key, value);
    this.rowsHeld.forEach((number, timeMs, value, mark) => {
      name(number);
      frame.sample(number, timeMs, value, mark);
    }, this.journalled);
    for (const { number, span } of this.marks.slice(this.marksJournalled)) {
      name(number);
      frame.mark(number, span);
    }
    try {
      this.segments.append(frame.seal(), this.unwritten);
    } catch (error) {
      if (this.segments.startsFile) this.rejournal();
      throw error;
    }
    for (const number of named) this.named.set(number, (this.named.get(number) ?? 0) + 1);
    this.journalled = this.rows;
    this.marksJournalled = this.marks.length;
    this.metaJournalled = true;
  }

  /** Writes everything again to a new file, after a failed write or sync. */
  rejournal(): void {
    this.segments.abandon();
    this.journalled = 0;
    this.marksJournalled = 0;
    this.metaJournalled = this.meta.size === 0;
  }

  /** Call when the database contains the oldest rows. The journal keeps them until `settled`, with the marks beside them. */
  shift(rows: number): void {
    this.rowsHeld.shift(rows);
    this.journalled = Math.max(0, this.journalled - rows);
  }

  /** Call when the database contains everything and is synced. Never throws. */
  settled(): void {
    this.rowsHeld.clear();
    this.meta.clear();
    this.marks = [];
    this.rejournal();
    this.segments.settled();
  }

  private number(stream: string): number {
    const known = this.numbers.get(stream);
    if (known !== undefined) return known;
    const number = this.names.push(stream) - 1;
    this.numbers.set(stream, number);
    return number;
  }

  /** Reads records into memory. The last journal value of a key wins, unless the key has been set since. */
  private taking(): { reader: JournalReader; finish: () => void } {
    const former = new Map<string, string>();
    return {
      reader: {
        sample: (stream, timeMs, value, mark) => void this.push(stream, timeMs, value, mark),
        mark: (stream, span) => this.mark(stream, span),
        meta: (key, value) => former.set(key, value),
      },
      finish: () => {
        for (const [key, value] of former) if (!this.meta.has(key)) this.meta.set(key, value);
      },
    };
  }
}
