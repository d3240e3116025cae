/**
 * The files of the journal. One process appends to each file, and the file is removed once the database contains its
 * data. The transaction that stores the rows also records how much of each file the database contains: a crash
 * between storing and removing, or a file that cannot be removed, does not restore old rows. Knows the format
 * (`journal.ts`), not the meaning of the records.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  existsSync,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import {
  openPrivate,
  syncPath,
  syncPathAsync,
  tryRemove,
  unlessAbsent,
  writeAll,
  writeFileAtomic,
} from '../system/files.ts';
import { type Damage, type JournalReader, MAGIC, readJournal } from './journal.ts';

/** The journal file of gatecast 0.1, which is read and then removed. */
const FORMER_FILE = 'samples.journal';
const FILE = /^samples-(\d{1,15})-([0-9a-f]{12})\.journal$/;
const DAMAGED_FILE = /\.journal\.damaged-\d+$/;
/** Most files with damaged parts to keep for inspection. */
const MOST_DAMAGED_FILES = 16;
/** Size at which a new file is started, so that old files can be removed while the database is unavailable. */
const SEGMENT_BYTES = 2 ** 22;

/** By file: how many of its bytes are in the database. */
export type Applied = Readonly<Record<string, number>>;

interface Segment {
  readonly path: string;
  readonly number: number;
  bytes: number;
  /** Number of its samples that are not in the database yet. */
  rows: number;
}

/** The file opened for appending. */
interface OpenSegment {
  readonly file: Segment;
  readonly fd: number;
  /** Whether the system counts the links of the file: some file systems report none. */
  readonly countsLinks: boolean;
  syncedBytes: number;
  folderSynced: boolean;
  /** Number of running syncs; the file is closed after the last one. */
  syncs: number;
  closing: boolean;
}

const fdatasyncAsync = promisify(fdatasync);

export class Segments {
  /** Files whose rows are also in memory, oldest first. */
  private files: Segment[] = [];
  /** Files whose content is also elsewhere: removed at the next opportunity. */
  private obsolete: Segment[] = [];
  private open: OpenSegment | null = null;
  private readonly read = new Set<string>();

  /** @param dir the data directory */
  constructor(private readonly dir: string) {}

  /** Total size of the files with waiting rows. */
  get bytes(): number {
    return this.files.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Whether the next frame starts a new file. */
  get startsFile(): boolean {
    const { open } = this;
    return open === null || (open.file.bytes >= SEGMENT_BYTES && this.isSynced);
  }

  /** Whether all appended frames would survive a power cut. */
  get isSynced(): boolean {
    return this.open === null || this.open.syncedBytes === this.open.file.bytes;
  }

  /**
   * Reads the files of earlier processes that have not been read yet. Damaged parts are copied to separate files.
   * @returns the damaged parts, and the system's error if a file could not be read; then call again
   */
  load(applied: Applied, reader: JournalReader): { damaged: Damage[]; error: unknown } {
    const damaged: Damage[] = [];
    let failure: unknown = null;
    const own = new Set(this.files.map(({ path }) => path));
    let found: JournalFile[] = [];
    try {
      found = unlessAbsent(() => journalFiles(this.dir)) ?? [];
    } catch (error) {
      failure = error;
    }
    for (const { path, number } of found) {
      if (own.has(path) || this.read.has(path)) continue;
      try {
        const content = readSegment(path);
        const file = { path, number, bytes: content.length, rows: 0 };
        const counting = {
          ...reader,
          sample: (stream: string, timeMs: number, value: number, mark: number) => {
            file.rows++;
            reader.sample(stream, timeMs, value, mark);
          },
        };
        const bad = readJournal(content, applied[basename(path)] ?? 0, counting);
        this.setAside(path, bad);
        damaged.push(...bad);
        this.files.push(file);
        this.read.add(path);
      } catch (error) {
        failure ??= error;
      }
    }
    this.files.sort((a, b) => a.number - b.number);
    return { damaged, error: failure };
  }

  /** How much of the files the database will contain after it has stored all waiting rows. */
  applied(): Applied {
    const known = [...this.files, ...this.obsolete].filter(({ path }) => basename(path) !== FORMER_FILE);
    return Object.fromEntries(known.map(({ path, bytes }) => [basename(path), bytes]));
  }

  /** @param rows number of samples in the frame. Throws the system's error; the frame is then not in a file. */
  append(frame: Uint8Array, rows: number): void {
    if (this.startsFile) this.close();
    this.open ??= this.create();
    const { fd, file } = this.open;
    try {
      if (isRemoved(this.open)) throw new Error(`${file.path} was removed`);
      writeAll(fd, frame, file.bytes);
    } catch (error) {
      try {
        // A partial frame would be reported as damage.
        ftruncateSync(fd, file.bytes);
        if (isRemoved(this.open)) this.abandon();
      } catch {
        this.abandon();
      }
      throw error;
    }
    file.bytes += frame.length;
    file.rows += rows;
  }

  /** Syncs and waits. Throws the system's error; appended frames may then be lost, see `abandon`. */
  syncNow(): void {
    const { open } = this;
    if (open === null || this.isSynced) return;
    fdatasyncSync(open.fd);
    if (!open.folderSynced) syncPath(this.dir);
    open.folderSynced = true;
    open.syncedBytes = open.file.bytes;
  }

  /** Syncs without blocking; rejects with the system's error. */
  async sync(): Promise<void> {
    const { open } = this;
    if (open === null || this.isSynced) return;
    const { bytes } = open.file;
    open.syncs++;
    try {
      await fdatasyncAsync(open.fd);
      if (!open.folderSynced) await syncPathAsync(this.dir);
      open.folderSynced = true;
      open.syncedBytes = Math.max(open.syncedBytes, bytes);
    } finally {
      open.syncs--;
      if (open.closing && open.syncs === 0) closeSync(open.fd);
    }
  }

  /** Call after a failed write or sync: all frames must then be appended again, to a new file. */
  abandon(): void {
    this.close();
    this.obsolete.push(...this.files);
    this.files = [];
  }

  /** Removes files whose content has been rewritten. */
  removeObsolete(): void {
    this.obsolete = this.obsolete.filter(({ path }) => !tryRemove(path));
  }

  /** Call when the oldest row is dropped from memory; removes a file after all its rows are dropped. */
  dropRow(): void {
    const oldest = this.files.find(({ rows }) => rows > 0);
    if (oldest === undefined || --oldest.rows > 0 || oldest === this.open?.file) return;
    this.files.splice(this.files.indexOf(oldest), 1);
    this.obsolete.push(oldest);
    this.removeObsolete();
  }

  /** Call when the database contains all rows. Never throws: a failed removal is retried later. */
  settled(): void {
    this.abandon();
    this.removeObsolete();
  }

  close(): void {
    const { open } = this;
    this.open = null;
    if (open === null) return;
    open.closing = true;
    if (open.syncs === 0) closeSync(open.fd);
  }

  private create(): OpenSegment {
    const numbers = [...this.files, ...this.obsolete, ...journalFiles(this.dir)].map(({ number }) => number);
    const number = Math.max(0, ...numbers) + 1;
    const path = join(this.dir, `samples-${number}-${randomBytes(6).toString('hex')}.journal`);
    const { O_CREAT, O_EXCL, O_WRONLY } = constants;
    const fd = openPrivate(path, O_CREAT | O_EXCL | O_WRONLY);
    let countsLinks: boolean;
    try {
      countsLinks = fstatSync(fd).nlink > 0;
      writeAll(fd, MAGIC, 0);
    } catch (error) {
      closeSync(fd);
      tryRemove(path);
      throw error;
    }
    const file = { path, number, bytes: MAGIC.length, rows: 0 };
    this.files.push(file);
    return { file, fd, countsLinks, syncedBytes: 0, folderSynced: false, syncs: 0, closing: false };
  }

  /** Copies damaged parts to separate files. Ignores errors, so that the rest can be read on a full disk. */
  private setAside(path: string, damaged: readonly Damage[]): void {
    try {
      for (const { at, bytes } of damaged) writeFileAtomic(`${path}.damaged-${at}`, bytes);
      const kept = readdirSync(this.dir).filter((name) => DAMAGED_FILE.test(name));
      const number = (name: string): number => Number(FILE.exec(name.split('.damaged-')[0] ?? '')?.[1] ?? 0);
      kept.sort((a, b) => number(b) - number(a));
      for (const name of kept.slice(MOST_DAMAGED_FILES)) tryRemove(join(this.dir, name));
    } catch {
      // The caller still counts and logs the damage.
    }
  }
}

const isRemoved = ({ fd, countsLinks }: OpenSegment): boolean => countsLinks && fstatSync(fd).nlink === 0;

interface JournalFile {
  readonly path: string;
  readonly number: number;
}

/** Oldest first. Throws the system's error. */
function journalFiles(dir: string): JournalFile[] {
  const found: JournalFile[] = [];
  for (const name of readdirSync(dir)) {
    const number = FILE.exec(name)?.[1];
    if (number !== undefined) found.push({ path: join(dir, name), number: Number(number) });
    else if (name === FORMER_FILE) found.push({ path: join(dir, name), number: 0 });
  }
  return found.sort((a, b) => a.number - b.number);
}

/** For readers in other processes. The agent may remove files meanwhile; their rows are then in the database. */
export function readSegments(dir: string): { readonly name: string; readonly content: Buffer }[] {
  if (!existsSync(dir)) return [];
  return journalFiles(dir).flatMap(({ path }) => {
    const content = unlessAbsent(() => readSegment(path));
    return content === null ? [] : [{ name: basename(path), content }];
  });
}

function readSegment(path: string): Buffer {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}
