/**
 * What the database has not taken yet: rows and meta values in memory, and the journal that makes them survive a
 * crash. Knows nothing of SQLite. Works without a journal while the disk is away.
 */
import { FrameWriter, Journal } from './journal.ts';
import type { MarkSpan } from './marks.ts';
import { PendingRows } from './pending.ts';

export interface WriteAheadOptions {
  readonly path: string;
  /** Most rows held; the oldest go first. */
  readonly maxRows: number;
  /** Wait for the disk on every write. */
  readonly powerSafe: boolean;
  /** Told how many bytes at the end of the file were unreadable. */
  readonly onLost: (bytes: number) => void;
}

/** A journal this many times longer than what waits is written anew; see `write`. */
const REWRITE_RATIO = 4;
const ROW_BYTES = 22;
/** Further marks wait without the times of their samples, so that an outage of the disk costs little memory. */
const MARKS_WITH_TIMES = 1024;

export class WriteAhead {
  readonly #options: WriteAheadOptions;
  readonly #rows: PendingRows;
  /** Streams get a number at first sight; it holds until the process ends. */
  readonly #numbers = new Map<string, number>();
  readonly #names: string[] = [];
  readonly #meta = new Map<string, string>();
  /** Also set on the rows above; here for those that the database or the journal has already. */
  #marks: { readonly number: number; readonly span: MarkSpan }[] = [];
  #marksJournalled = 0;
  #journal: Journal | null = null;
  /** The first so many rows are in the journal. */
  #journalled = 0;
  #metaJournalled = true;
  readonly #namesJournalled = new Set<number>();
  #loaded = false;
  /** Keys of values set before the file was read, which are newer than what it says of them. */
  readonly #newer = new Set<string>();
  /** The file does not stand for what is here: it holds what the database has in newer form, or lacks what came first. */
  #stale = false;

  constructor(options: WriteAheadOptions) {
    this.#options = options;
    this.#rows = new PendingRows(options.maxRows);
  }

  get rows(): number {
    return this.#rows.size;
  }

  get dropped(): number {
    return this.#rows.dropped;
  }

  get meta(): ReadonlyMap<string, string> {
    return this.#meta;
  }

  get journalBytes(): number {
    return this.#journal?.bytes ?? 0;
  }

  /** Rows that a crash would lose. */
  get unwritten(): number {
    return this.#rows.size - this.#journalled;
  }

  /** Whether the journal has been read, and holds what waits and nothing else. */
  get isWritten(): boolean {
    return (
      this.#loaded &&
      !this.#stale &&
      this.unwritten === 0 &&
      this.#metaJournalled &&
      this.#marksJournalled === this.#marks.length
    );
  }

  get isEmpty(): boolean {
    return this.#rows.size === 0 && this.#meta.size === 0 && this.#marks.length === 0;
  }

  numberOf(stream: string): number | undefined {
    return this.#numbers.get(stream);
  }

  nameOf(number: number): string {
    return this.#names[number]!;
  }

  /** Returns whether an older row had to go for it. */
  push(stream: string, timeMs: number, value: number, mark: number): boolean {
    const dropped = this.#rows.push(this.#number(stream), timeMs, value, mark);
    if (dropped && this.#journalled > 0) this.#journalled--;
    return dropped;
  }

  mark(stream: string, span: MarkSpan): void {
    const number = this.#number(stream);
    this.#rows.mark(number, span.fromMs, span.toMs, span.marks);
    const { timesMs: _, ...short } = span;
    this.#marks.push({ number, span: this.#marks.length < MARKS_WITH_TIMES ? span : short });
    if (this.#marks.length <= this.#options.maxRows) return;
    this.#marks.shift();
    if (this.#marksJournalled > 0) this.#marksJournalled--;
  }

  /** Oldest first. */
  get marks(): readonly { readonly number: number; readonly span: MarkSpan }[] {
    return this.#marks;
  }

  #number(stream: string): number {
    const known = this.#numbers.get(stream);
    if (known !== undefined) return known;
    const number = this.#names.push(stream) - 1;
    this.#numbers.set(stream, number);
    return number;
  }

  setMeta(key: string, value: string): void {
    if (!this.#loaded) this.#newer.add(key);
    this.#meta.set(key, value);
    this.#metaJournalled = false;
  }

  /** Oldest first. */
  forEach(visit: (number: number, timeMs: number, value: number, mark: number) => void): void {
    this.#rows.forEach(visit);
  }

  forget(stream: string): void {
    const number = this.#numbers.get(stream);
    if (number === undefined) return;
    this.#rows.filter((row) => row !== number);
    this.#marks = this.#marks.filter((mark) => mark.number !== number);
    this.#journalled = 0;
    this.#marksJournalled = 0;
  }

  /**
   * Reads what a former process left; once, or with the first `write` where it fails, until when the file is left alone.
   * Throws the system's error.
   */
  load(): void {
    const names = new Map<number, string>();
    const late = !this.isEmpty;
    const { journal, lostBytes } = Journal.open(this.#options.path, this.#options.powerSafe, {
      name: (id, name) => names.set(id, name),
      sample: (id, timeMs, value, mark) => this.push(names.get(id)!, timeMs, value, mark),
      mark: (id, span) => this.mark(names.get(id)!, span),
      // within the journal the last value is the newest
      meta: (key, value) => {
        if (!this.#newer.has(key)) this.#meta.set(key, value);
      },
    });
    this.#newer.clear();
    this.#journal = journal;
    this.#loaded = true;
    this.#stale = late;
    // numbers in the file are the former process's: say the names again before the next row
    this.#namesJournalled.clear();
    this.#journalled = this.#rows.size;
    this.#marksJournalled = this.#marks.length;
    if (lostBytes > 0) this.#options.onLost(lostBytes);
  }

  /** Appends what is not in the journal yet. Throws the system's error; nothing is lost then, and the next call tries again. */
  write(): void {
    try {
      if (!this.#loaded) this.load();
      this.#journal ??= this.#reopen();
      const tooLong = this.#journal.bytes > REWRITE_RATIO * ROW_BYTES * Math.max(4096, this.#rows.size);
      if (tooLong || this.#stale) this.#rewrite();
      else this.#journal.append(this.#frame(this.#journalled, this.#marksJournalled).seal());
    } catch (error) {
      this.close();
      throw error;
    }
    this.#rows.forEach((number) => {
      this.#namesJournalled.add(number);
    }, this.#journalled);
    for (const { number } of this.#marks) this.#namesJournalled.add(number);
    this.#journalled = this.#rows.size;
    this.#marksJournalled = this.#marks.length;
    this.#metaJournalled = true;
  }

  /** The database holds, synced, all that was here. Throws the system's error when the journal cannot be emptied; rows in it twice do no harm. */
  settled(): void {
    this.#rows.clear();
    this.#meta.clear();
    this.#marks = [];
    this.#journalled = 0;
    this.#marksJournalled = 0;
    this.#metaJournalled = true;
    this.#namesJournalled.clear();
    // Rows in a file that cannot be emptied now do no harm, but older values in it would come back at the next start.
    this.#stale = this.#loaded && this.#journal === null;
    try {
      this.#journal?.reset();
    } catch (error) {
      this.#stale = true;
      this.close();
      throw error;
    }
  }

  close(): void {
    this.#journal?.close();
    this.#journal = null;
    this.#journalled = 0;
    this.#marksJournalled = 0;
    this.#metaJournalled = this.#meta.size === 0;
    this.#namesJournalled.clear();
  }

  #frame(from: number, marksFrom: number): FrameWriter {
    const frame = new FrameWriter();
    const named = new Set(from === 0 ? [] : this.#namesJournalled);
    const name = (number: number): void => {
      if (!named.has(number)) frame.name(number, this.#names[number]!);
      named.add(number);
    };
    if (!this.#metaJournalled || from === 0) for (const [key, value] of this.#meta) frame.meta(key, value);
    this.#rows.forEach((number, timeMs, value, mark) => {
      name(number);
      frame.sample(number, timeMs, value, mark);
    }, from);
    for (const { number, span } of this.#marks.slice(marksFrom)) {
      name(number);
      frame.mark(number, span);
    }
    return frame;
  }

  /** After a fault: what the file holds is in memory too, or was dropped by the bound. */
  #reopen(): Journal {
    const nothing = { name: () => {}, sample: () => {}, mark: () => {}, meta: () => {} };
    return Journal.open(this.#options.path, this.#options.powerSafe, nothing).journal;
  }

  /** While the database is away the bound drops rows that still fill the file. */
  #rewrite(): void {
    this.close();
    Journal.replace(this.#options.path, this.#frame(0, 0).seal());
    this.#journal = this.#reopen();
    this.#stale = false;
  }
}
