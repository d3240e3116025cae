/**
 * An append-only file of what the database has not taken yet. Committing to SQLite writes whole pages (about 4 KB even
 * for one row); a journal entry is 22 bytes. So every flush, and every acknowledged micro-batch, goes here, and the
 * database takes over in big batches. Is not a database: it is read once, at start, and emptied after each batch.
 *
 * File: magic (8 bytes), then frames: length u32, CRC-32 u32, payload. Payload: records, each a kind byte and
 *   1 name    id u32, length u16, UTF-8                 says what stream `id` is called in this file
 *   2 sample  id u32, time f64, value f64, mark u8
 *   3 meta    key length u16, key, value length u32, value
 *   4 mark    id u32, from f64, to f64, bits u8         of samples before it, in this file or in the database
 * little-endian. A frame that a crash tore fails its checksum; it and what follows was never acknowledged.
 */
import { closeSync, fdatasyncSync, fstatSync, ftruncateSync, openSync, readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { writeAll, writeFileAtomic } from '../system/files.ts';
import type { MarkSpan } from './marks.ts';

const MAGIC = Buffer.from('GCJRNL1\n');
const FRAME_HEADER = 8;
const SAMPLE_BYTES = 22;
const MARK_BYTES = 22;

export interface JournalReader {
  name(id: number, name: string): void;
  sample(id: number, timeMs: number, value: number, mark: number): void;
  mark(id: number, span: MarkSpan): void;
  meta(key: string, value: string): void;
}

/** Collects the records of one frame. */
export class FrameWriter {
  #buffer = Buffer.allocUnsafe(4096);
  #length = FRAME_HEADER;

  get empty(): boolean {
    return this.#length === FRAME_HEADER;
  }

  name(id: number, name: string): void {
    const text = Buffer.from(name);
    const at = this.#reserve(7 + text.length);
    this.#buffer[at] = 1;
    this.#buffer.writeUInt32LE(id, at + 1);
    this.#buffer.writeUInt16LE(text.length, at + 5);
    text.copy(this.#buffer, at + 7);
  }

  sample(id: number, timeMs: number, value: number, mark: number): void {
    const at = this.#reserve(SAMPLE_BYTES);
    this.#buffer[at] = 2;
    this.#buffer.writeUInt32LE(id, at + 1);
    this.#buffer.writeDoubleLE(timeMs, at + 5);
    this.#buffer.writeDoubleLE(value, at + 13);
    this.#buffer[at + 21] = mark;
  }

  mark(id: number, { fromMs, toMs, marks }: MarkSpan): void {
    const at = this.#reserve(MARK_BYTES);
    this.#buffer[at] = 4;
    this.#buffer.writeUInt32LE(id, at + 1);
    this.#buffer.writeDoubleLE(fromMs, at + 5);
    this.#buffer.writeDoubleLE(toMs, at + 13);
    this.#buffer[at + 21] = marks;
  }

  meta(key: string, value: string): void {
    const k = Buffer.from(key);
    const v = Buffer.from(value);
    const at = this.#reserve(7 + k.length + v.length);
    this.#buffer[at] = 3;
    this.#buffer.writeUInt16LE(k.length, at + 1);
    k.copy(this.#buffer, at + 3);
    this.#buffer.writeUInt32LE(v.length, at + 3 + k.length);
    v.copy(this.#buffer, at + 7 + k.length);
  }

  /** The frame, valid until the next record. */
  seal(): Buffer {
    const payload = this.#buffer.subarray(FRAME_HEADER, this.#length);
    this.#buffer.writeUInt32LE(payload.length, 0);
    this.#buffer.writeUInt32LE(crc32(payload), 4);
    return this.#buffer.subarray(0, this.#length);
  }

  #reserve(bytes: number): number {
    const at = this.#length;
    this.#length += bytes;
    if (this.#length > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#length, this.#buffer.length * 2));
      this.#buffer.copy(grown, 0, 0, at);
      this.#buffer = grown;
    }
    return at;
  }
}

export class Journal {
  readonly #fd: number;
  readonly #sync: boolean;
  #bytes: number;

  private constructor(fd: number, bytes: number, sync: boolean) {
    this.#fd = fd;
    this.#bytes = bytes;
    this.#sync = sync;
  }

  /**
   * Opens or creates `path`, hands what it holds to `reader`, and cuts off a torn or garbled tail.
   * @param sync wait for the disk on every append: survives a power cut, costs a write cycle each time
   * @returns the journal and how many bytes at its end could not be read
   * Throws the system's error when the file cannot be opened.
   */
  static open(path: string, sync: boolean, reader: JournalReader): { journal: Journal; lostBytes: number } {
    const fd = openSync(path, 'a+', 0o640);
    try {
      const content = readFileSync(fd);
      const good = content.subarray(0, MAGIC.length).equals(MAGIC) ? readFrames(content, reader) : 0;
      if (good < content.length) ftruncateSync(fd, good);
      const journal = new Journal(fd, good, sync);
      if (good === 0) journal.reset();
      return { journal, lostBytes: content.length - good };
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** Puts a journal of one frame in the place of the file, whole or not at all. Throws the system's error. */
  static replace(path: string, frame: Uint8Array): void {
    writeFileAtomic(path, Buffer.concat([MAGIC, frame]));
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Appends a frame. Throws the system's error; the file is then cut back to where it was. */
  append(frame: Uint8Array): void {
    try {
      writeAll(this.#fd, frame);
      if (this.#sync) fdatasyncSync(this.#fd);
      this.#bytes += frame.length;
    } catch (error) {
      // half a frame would hide the frames after it
      if (fstatSync(this.#fd).size > this.#bytes) ftruncateSync(this.#fd, this.#bytes);
      throw error;
    }
  }

  /** Empties it: call when the database holds, synced, what was in it. */
  reset(): void {
    ftruncateSync(this.#fd, 0);
    this.#bytes = 0;
    writeAll(this.#fd, MAGIC);
    this.#bytes = MAGIC.length;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/**
 * Hands what the journal at `path` holds to `reader`, and changes nothing: for readers beside the agent that writes it.
 * Throws the system's error when it cannot be read.
 */
export function readJournal(path: string, reader: JournalReader): void {
  const content = readFileSync(path);
  if (content.subarray(0, MAGIC.length).equals(MAGIC)) readFrames(content, reader);
}

/** Returns where the last readable frame ends. */
function readFrames(content: Buffer, reader: JournalReader): number {
  let at = MAGIC.length;
  while (at + FRAME_HEADER <= content.length) {
    const length = content.readUInt32LE(at);
    const end = at + FRAME_HEADER + length;
    if (end > content.length) break;
    const payload = content.subarray(at + FRAME_HEADER, end);
    if (crc32(payload) !== content.readUInt32LE(at + 4)) break;
    readRecords(payload, reader);
    at = end;
  }
  return at;
}

/** The checksum held, so the records are as they were written. */
function readRecords(payload: Buffer, reader: JournalReader): void {
  let at = 0;
  while (at < payload.length) {
    const kind = payload[at];
    if (kind === 1) {
      const length = payload.readUInt16LE(at + 5);
      reader.name(payload.readUInt32LE(at + 1), payload.toString('utf8', at + 7, at + 7 + length));
      at += 7 + length;
    } else if (kind === 2) {
      reader.sample(
        payload.readUInt32LE(at + 1),
        payload.readDoubleLE(at + 5),
        payload.readDoubleLE(at + 13),
        payload[at + 21]!,
      );
      at += SAMPLE_BYTES;
    } else if (kind === 4) {
      reader.mark(payload.readUInt32LE(at + 1), {
        fromMs: payload.readDoubleLE(at + 5),
        toMs: payload.readDoubleLE(at + 13),
        marks: payload[at + 21]!,
      });
      at += MARK_BYTES;
    } else {
      const keyLength = payload.readUInt16LE(at + 1);
      const keyEnd = at + 3 + keyLength;
      const end = keyEnd + 4 + payload.readUInt32LE(keyEnd);
      reader.meta(payload.toString('utf8', at + 3, keyEnd), payload.toString('utf8', keyEnd + 4, end));
      at = end;
    }
  }
}
