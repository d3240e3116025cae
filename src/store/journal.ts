/**
 * The format of the journal, which contains all rows not yet in the database. Committing to SQLite writes whole pages (4 KB even for one
 * row); a journal record takes about 13 bytes. So every flush, and every acknowledged batch, is appended to a journal file, and
 * rows move to the database in big batches. `segments.ts` manages the files.
 *
 * File: magic (8 bytes), then frames: marker (2 bytes), payload length u32, CRC-32 u32 of length and payload, payload.
 * Payload: records, each a kind byte and
 *   1 name    id u32, length u16, UTF-8           the name of stream `id` in this file; written in two frames of a file
 *   3 meta    key length u16, key, value length u32, value
 *   4 mark    id u32, from f64, to f64, bits u8   for earlier samples, in this file or in the database
 *   5 sample  id varint, time varint, value f64   time: ms since the previous sample of the frame (the first: since 1970)
 *   6 sample  as 5, then mark u8
 * little-endian; varints are LEB128, times zigzag-encoded. A frame is read if its checksum and every record of it are valid.
 * After a bad frame the reader continues at the next marker with a valid checksum.
 *
 * Version 1 (gatecast 0.1) can still be read: no marker, the checksum covers only the payload, and
 *   2 sample  id u32, time f64, value f64, mark u8
 */
import { crc32 } from 'node:zlib';
import type { MarkSpan } from './marks.ts';

export const MAGIC = Buffer.from('GCJRNL2\n');
const MAGIC_1 = Buffer.from('GCJRNL1\n');
/** Not valid UTF-8, so that no name and no meta value contains it. */
const MARKER = Buffer.from([0xa7, 0xf3]);
const HEADER = MARKER.length + 8;
const HEADER_1 = 8;
const LONGEST_SAMPLE = 1 + 5 + 8 + 8 + 1;
const MARK_BYTES = 22;

export interface JournalReader {
  sample(stream: string, timeMs: number, value: number, mark: number): void;
  mark(stream: string, span: MarkSpan): void;
  meta(key: string, value: string): void;
}

type JournalRecord =
  | { readonly kind: 'name'; readonly id: number; readonly name: string }
  | {
      readonly kind: 'sample';
      readonly id: number;
      readonly timeMs: number;
      readonly value: number;
      readonly mark: number;
    }
  | { readonly kind: 'mark'; readonly id: number; readonly span: MarkSpan }
  | { readonly kind: 'meta'; readonly key: string; readonly value: string };

/** Collects the records of one frame. */
export class FrameWriter {
  private buffer = Buffer.allocUnsafe(4096);
  private length = HEADER;
  private lastMs = 0;

  name(id: number, name: string): void {
    const text = Buffer.from(name);
    const at = this.reserve(7 + text.length);
    this.buffer[at] = 1;
    this.buffer.writeUInt32LE(id, at + 1);
    this.buffer.writeUInt16LE(text.length, at + 5);
    text.copy(this.buffer, at + 7);
  }

  sample(id: number, timeMs: number, value: number, mark: number): void {
    const at = this.reserve(LONGEST_SAMPLE);
    this.buffer[at] = mark === 0 ? 5 : 6;
    const delta = timeMs - this.lastMs;
    this.lastMs = timeMs;
    let end = this.varint(at + 1, id);
    end = this.varint(end, delta < 0 ? -2 * delta - 1 : 2 * delta);
    end = this.buffer.writeDoubleLE(value, end);
    if (mark !== 0) this.buffer[end++] = mark;
    this.length = end;
  }

  mark(id: number, { fromMs, toMs, marks }: MarkSpan): void {
    const at = this.reserve(MARK_BYTES);
    this.buffer[at] = 4;
    this.buffer.writeUInt32LE(id, at + 1);
    this.buffer.writeDoubleLE(fromMs, at + 5);
    this.buffer.writeDoubleLE(toMs, at + 13);
    this.buffer[at + 21] = marks;
  }

  meta(key: string, value: string): void {
    const k = Buffer.from(key);
    const v = Buffer.from(value);
    const at = this.reserve(7 + k.length + v.length);
    this.buffer[at] = 3;
    this.buffer.writeUInt16LE(k.length, at + 1);
    k.copy(this.buffer, at + 3);
    this.buffer.writeUInt32LE(v.length, at + 3 + k.length);
    v.copy(this.buffer, at + 7 + k.length);
  }

  /** Returns the finished frame, valid until the next record is added. */
  seal(): Buffer {
    MARKER.copy(this.buffer);
    this.buffer.writeUInt32LE(this.length - HEADER, 2);
    this.buffer.writeUInt32LE(checksum(this.buffer, 2, this.length), 6);
    return this.buffer.subarray(0, this.length);
  }

  private varint(at: number, value: number): number {
    let rest = value;
    let end = at;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.buffer[end++] = (rest % 128) | 128;
    this.buffer[end++] = rest;
    return end;
  }

  private reserve(bytes: number): number {
    const at = this.length;
    this.length += bytes;
    if (this.length > this.buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.length, this.buffer.length * 2));
      this.buffer.copy(grown, 0, 0, at);
      this.buffer = grown;
    }
    return at;
  }
}

/** CRC-32 of the length at `at` and of the payload after the checksum. */
function checksum(frame: Buffer, at: number, end: number): number {
  return crc32(frame.subarray(at + 8, end), crc32(frame.subarray(at, at + 4)));
}

/** An unreadable part of a file. */
export interface Damage {
  readonly at: number;
  readonly bytes: Buffer;
}

/**
 * Passes the records of `content` to `reader`, oldest first, and returns the damaged parts.
 * @param from start offset: everything before is in the database
 */
export function readJournal(content: Buffer, from: number, reader: JournalReader): Damage[] {
  const version = content.subarray(0, MAGIC.length).equals(MAGIC_1) ? 1 : 2;
  const damaged: Damage[] = [];
  const names = new Map<number, string>();
  const frames: { readonly start: number; readonly end: number; readonly records: JournalRecord[] }[] = [];
  let at = MAGIC.length;
  let badFrom = -1;
  const closeBad = (end: number): void => {
    if (badFrom >= 0) damaged.push({ at: badFrom, bytes: content.subarray(badFrom, end) });
    badFrom = -1;
  };
  if (content.length > 0 && version === 2 && !content.subarray(0, MAGIC.length).equals(MAGIC)) badFrom = 0;
  while (at < content.length) {
    const frame = version === 1 ? frameOfVersion1(content, at) : frameAt(content, at);
    if (frame === null) {
      if (badFrom < 0) badFrom = at;
      at = version === 1 ? at + 1 : nextMarker(content, at + 1);
      continue;
    }
    closeBad(at);
    for (const record of frame.records) if (record.kind === 'name') names.set(record.id, record.name);
    frames.push({ start: at, ...frame });
    at = frame.end;
  }
  closeBad(content.length);

  for (const { start, end, records } of frames) {
    if (end <= from) continue;
    const nameless = records.some((record) => 'id' in record && !names.has(record.id));
    // Both frames with the stream's name are lost.
    if (nameless) damaged.push({ at: start, bytes: content.subarray(start, end) });
    for (const record of records) hand(record, names, reader);
  }
  return damaged.filter(({ at, bytes }) => at + bytes.length > from);
}

function hand(record: JournalRecord, names: ReadonlyMap<number, string>, reader: JournalReader): void {
  if (record.kind === 'meta') reader.meta(record.key, record.value);
  if (record.kind === 'meta' || record.kind === 'name') return;
  const name = names.get(record.id);
  if (name === undefined) return;
  if (record.kind === 'sample') reader.sample(name, record.timeMs, record.value, record.mark);
  else reader.mark(name, record.span);
}

function nextMarker(content: Buffer, from: number): number {
  const at = content.indexOf(MARKER, from);
  return at < 0 ? content.length : at;
}

interface Frame {
  readonly end: number;
  readonly records: JournalRecord[];
}

/** Null if no valid frame begins at `at`. */
function frameAt(content: Buffer, at: number): Frame | null {
  if (at + HEADER >= content.length) return null;
  if (content[at] !== MARKER[0] || content[at + 1] !== MARKER[1]) return null;
  const end = at + HEADER + content.readUInt32LE(at + 2);
  if (end > content.length || checksum(content, at + 2, end) !== content.readUInt32LE(at + 6)) return null;
  const records = recordsOf(content.subarray(at + HEADER, end));
  return records === null ? null : { end, records };
}

/** Without markers every offset must be tried; the kind of the first record excludes most of them. */
function frameOfVersion1(content: Buffer, at: number): Frame | null {
  if (at + HEADER_1 >= content.length) return null;
  const kind = content[at + HEADER_1] ?? 0;
  const end = at + HEADER_1 + content.readUInt32LE(at);
  if (kind < 1 || kind > 4 || end > content.length) return null;
  const payload = content.subarray(at + HEADER_1, end);
  if (crc32(payload) !== content.readUInt32LE(at + 4)) return null;
  const records = recordsOf(payload);
  return records === null ? null : { end, records };
}

/** Null if a record is truncated, of an unknown kind, or has values that this program never writes. */
function recordsOf(payload: Buffer): JournalRecord[] | null {
  const records: JournalRecord[] = [];
  const cursor = new Cursor(payload);
  try {
    while (!cursor.done) {
      const record = readRecord(cursor);
      if (record === null) return null;
      records.push(record);
    }
  } catch {
    // A record is longer than the payload.
    return null;
  }
  return records;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

class Cursor {
  private at = 0;
  lastMs = 0;

  constructor(private readonly bytes: Buffer) {}

  get done(): boolean {
    return this.at >= this.bytes.length;
  }

  u8(): number {
    this.at += 1;
    return this.bytes.readUInt8(this.at - 1);
  }

  u16(): number {
    this.at += 2;
    return this.bytes.readUInt16LE(this.at - 2);
  }

  u32(): number {
    this.at += 4;
    return this.bytes.readUInt32LE(this.at - 4);
  }

  f64(): number {
    this.at += 8;
    return this.bytes.readDoubleLE(this.at - 8);
  }

  varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.u8();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }

  /** @throws RangeError, TypeError if the text is truncated or not UTF-8 */
  text(length: number): string {
    if (this.at + length > this.bytes.length) throw new RangeError('truncated');
    this.at += length;
    return utf8.decode(this.bytes.subarray(this.at - length, this.at));
  }
}

function readRecord(cursor: Cursor): JournalRecord | null {
  switch (cursor.u8()) {
    case 1: {
      const id = cursor.u32();
      const name = cursor.text(cursor.u16());
      return name === '' ? null : { kind: 'name', id, name };
    }
    case 2:
      return checkedSample(cursor.u32(), cursor.f64(), cursor.f64(), cursor.u8());
    case 3: {
      const key = cursor.text(cursor.u16());
      return { kind: 'meta', key, value: cursor.text(cursor.u32()) };
    }
    case 4: {
      const id = cursor.u32();
      const span = { fromMs: cursor.f64(), toMs: cursor.f64(), marks: cursor.u8() };
      return Number.isNaN(span.fromMs) || Number.isNaN(span.toMs) ? null : { kind: 'mark', id, span };
    }
    case 5:
      return compactSample(cursor, false);
    case 6:
      return compactSample(cursor, true);
    default:
      return null;
  }
}

function compactSample(cursor: Cursor, marked: boolean): JournalRecord | null {
  const id = cursor.varint();
  const zigzag = cursor.varint();
  cursor.lastMs += zigzag % 2 === 1 ? -(zigzag + 1) / 2 : zigzag / 2;
  return checkedSample(id, cursor.lastMs, cursor.f64(), marked ? cursor.u8() : 0);
}

function checkedSample(id: number, timeMs: number, value: number, mark: number): JournalRecord | null {
  if (!Number.isSafeInteger(timeMs) || !Number.isFinite(value)) return null;
  return { kind: 'sample', id, timeMs, value, mark };
}
