/**
 * Keeps packets that are too large away from mqtt.js, which collects a whole packet in memory, up to 256 MB. MQTT 5 tells
 * the broker the limit; MQTT 3.1.1 cannot. The fixed header says how long a packet is: the bytes of a PUBLISH that is too
 * large are skipped as they arrive, and the message is acknowledged, so that the broker does not send it again and again.
 * Any other packet that is too large is a broken peer.
 */
import { Transform, type TransformCallback } from 'node:stream';

const PUBLISH = 3;
/** Most bytes of the fixed header: type, and four of the length. */
const FIXED_HEADER = 5;
/** Bytes of a skipped PUBLISH that are looked at: the topic's length, the longest topic, the packet id. */
const MAX_HEAD = 2 + 65_535 + 2;

export interface OversizeEvents {
  /** @param bytes of the whole packet @param packetId to acknowledge; null at QoS 0 */
  readonly skipped: (topic: string, bytes: number, packetId: number | null) => void;
  /** The stream cannot go on. */
  readonly broken: (reason: string) => void;
}

export class OversizeFilter extends Transform {
  /** Bytes of a fixed header that is not complete yet. */
  private header: number[] = [];
  /** Bytes left of a packet that goes through. */
  private passing = 0;
  /** Bytes left of a packet that is skipped. */
  private skipping = 0;
  private head: { bytes: Buffer; readonly size: number; readonly qos: number } | null = null;

  constructor(
    private readonly maxBytes: number,
    private readonly events: OversizeEvents,
  ) {
    super();
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    // Mostly the chunk holds small packets only, and goes through as it is.
    let kept = 0;
    let at = 0;
    while (at < chunk.length) {
      if (this.passing > 0) {
        const step = Math.min(this.passing, chunk.length - at);
        this.passing -= step;
        at += step;
        continue;
      }
      if (this.skipping > 0) {
        const step = Math.min(this.skipping, chunk.length - at);
        this.look(chunk.subarray(at, at + step));
        this.skipping -= step;
        at += step;
        kept = at;
        continue;
      }
      const before = this.header.length;
      const start = at;
      const length = this.readHeader(chunk, at);
      if (length === 'broken') {
        this.events.broken('malformed packet length');
        done();
        return;
      }
      if (length === null) {
        // The rest of the header comes with the next chunk, and goes through with it.
        this.push(chunk.subarray(kept, start));
        done();
        return;
      }
      const [type = 0] = this.header;
      const headerBytes = this.header;
      at += headerBytes.length - before;
      this.header = [];
      const size = headerBytes.length + length;
      if (size <= this.maxBytes) {
        // Bytes of a header that came with the chunk before were kept back.
        if (before > 0) this.push(Buffer.from(headerBytes.slice(0, before)));
        this.passing = length;
        continue;
      }
      if (type >> 4 !== PUBLISH || (type & 0x06) === 0x04) {
        this.events.broken(`a packet of ${size} bytes is too large`);
        done();
        return;
      }
      if (start > kept) this.push(chunk.subarray(kept, start));
      kept = at;
      this.skipping = length;
      this.head = { bytes: Buffer.alloc(0), size, qos: (type >> 1) & 3 };
    }
    if (kept === 0) this.push(chunk);
    else if (kept < chunk.length) this.push(chunk.subarray(kept));
    done();
  }

  /** Reads on in the fixed header. @returns the remaining length; null: more bytes are needed */
  private readHeader(chunk: Buffer, from: number): number | null | 'broken' {
    for (let at = from; at < chunk.length; at++) {
      this.header.push(chunk[at] ?? 0);
      const { length } = this.header;
      if (length === 1) continue;
      if ((this.header.at(-1) ?? 0) < 128) {
        return this.header.slice(1).reduce((sum, byte, i) => sum + (byte & 127) * 128 ** i, 0);
      }
      if (length === FIXED_HEADER) return 'broken';
    }
    return null;
  }

  /** Finds topic and packet id of the packet that is skipped. */
  private look(bytes: Buffer): void {
    if (this.head === null) return;
    this.head.bytes = Buffer.concat([this.head.bytes, bytes.subarray(0, MAX_HEAD - this.head.bytes.length)]);
    const { bytes: head, size, qos } = this.head;
    if (head.length < 2) return;
    const end = 2 + head.readUInt16BE(0);
    if (head.length < end + (qos > 0 ? 2 : 0)) return;
    this.head = null;
    this.events.skipped(head.toString('utf8', 2, end), size, qos > 0 ? head.readUInt16BE(end) : null);
  }
}
