/**
 * What the database has not taken yet: rows and meta values in memory, and the journal that makes them survive a
 * crash. Knows nothing of SQLite. Works without a journal while the disk is away.
 */
import { FrameWriter, Journal } from './journal.ts';
import { PendingRows } from './pending.ts';

export interface WriteAheadOptions {
  readonly path: string;
  /** Most rows held; the oldest go first. */
  readonly maxRows: number;
  /** Wait for the disk on every write. */
  readonly powerSafe: boolean;
}

/** A journal this many times longer than what waits is written anew; see `write`. */
const REWRITE_RATIO = 4;
const ROW_BYTES = 22;

export class WriteAhead {
  readonly #options: WriteAheadOptions;
  readonly #rows: PendingRows;
  /** Streams get a number at first sight; it holds until the process ends. */
  readonly #numbers = new Map<string, number>();
  readonly #names: string[] = [];
  readonly #meta = new Map<string, string>();
  #journal: Journal | null = null;
  /** The first so many rows are in the journal. */
  #journalled = 0;
  #metaJournalled = true;
  readonly #namesJournalled = new Set<number>();

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

  get isWritten(): boolean {
    return this.unwritten === 0 && this.#metaJournalled;
  }

  get isEmpty(): boolean {
    return this.#rows.size === 0 && this.#meta.size === 0;
  }

  numberOf(stream: string): number | undefined {
    return this.#numbers.get(stream);
  }

  nameOf(number: number): string {
    return this.#names[number]!;
  }

  /** Returns whether an older row had to go for it. */
  push(stream: string, timeMs: number, value: number, mark: number): boolean {
    let number = this.#numbers.get(stream);
    if (number === undefined) {
      number = this.#names.push(stream) - 1;
      this.#numbers.set(stream, number);
    }
    const dropped = this.#rows.push(number, timeMs, value, mark);
    if (dropped && this.#journalled > 0) this.#journalled--;
    return dropped;
  }

  setMeta(key: string, value: string): void {
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
    this.#journalled = 0;
  }

  /** Reads what a former process left. Returns how many bytes at the journal's end were unreadable. Throws the system's error. */
  load(): number {
    const names = new Map<number, string>();
    const { journal, lostBytes } = Journal.open(this.#options.path, this.#options.powerSafe, {
      name: (id, name) => names.set(id, name),
      sample: (id, timeMs, value, mark) => this.push(names.get(id)!, timeMs, value, mark),
      // what was set since is newer
      meta: (key, value) => this.#meta.has(key) || this.#meta.set(key, value),
    });
    this.#journal = journal;
    // numbers in the file are the former process's: say the names again before the next row
    this.#namesJournalled.clear();
    this.#journalled = this.#rows.size;
    return lostBytes;
  }

  /** Appends what is not in the journal yet. Throws the system's error; nothing is lost then, and the next call tries again. */
  write(): void {
    try {
      this.#journal ??= this.#reopen();
      const tooLong = this.#journal.bytes > REWRITE_RATIO * ROW_BYTES * Math.max(4096, this.#rows.size);
      if (tooLong) this.#rewrite();
      else this.#journal.append(this.#frame(this.#journalled).seal());
    } catch (error) {
      this.close();
      throw error;
    }
    this.#rows.forEach((number) => {
      this.#namesJournalled.add(number);
    }, this.#journalled);
    this.#journalled = this.#rows.size;
    this.#metaJournalled = true;
  }

  /** The database holds, synced, all that was here. Throws the system's error when the journal cannot be emptied; rows in it twice do no harm. */
  settled(): void {
    this.#rows.clear();
    this.#meta.clear();
    this.#journalled = 0;
    this.#metaJournalled = true;
    this.#namesJournalled.clear();
    try {
      this.#journal?.reset();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    this.#journal?.close();
    this.#journal = null;
    this.#journalled = 0;
    this.#metaJournalled = this.#meta.size === 0;
    this.#namesJournalled.clear();
  }

  #frame(from: number): FrameWriter {
    const frame = new FrameWriter();
    const named = new Set(from === 0 ? [] : this.#namesJournalled);
    if (!this.#metaJournalled || from === 0) for (const [key, value] of this.#meta) frame.meta(key, value);
    this.#rows.forEach((number, timeMs, value, mark) => {
      if (!named.has(number)) frame.name(number, this.#names[number]!);
      named.add(number);
      frame.sample(number, timeMs, value, mark);
    }, from);
    return frame;
  }

  /** After a fault: what the file holds is in memory too, or was dropped by the bound. */
  #reopen(): Journal {
    const nothing = { name: () => {}, sample: () => {}, meta: () => {} };
    return Journal.open(this.#options.path, this.#options.powerSafe, nothing).journal;
  }

  /** While the database is away the bound drops rows that still fill the file. */
  #rewrite(): void {
    this.close();
    Journal.replace(this.#options.path, this.#frame(0).seal());
    this.#journal = this.#reopen();
  }
}
