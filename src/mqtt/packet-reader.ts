/**
 * Reads the broker's bytes before mqtt.js does. PUBLISH packets at QoS 0 or 1 and PUBACKs make up nearly all traffic
 * of a gateway: they are parsed here, without the objects, events and ticks that mqtt.js needs for each packet. All
 * other packets go on to mqtt.js.
 *
 * Also bounds the memory of a packet: mqtt.js collects a whole packet, up to 256 MB. MQTT 5 announces the limit to
 * the broker; MQTT 3.1.1 cannot. The fixed header gives the length of a packet: the bytes of a PUBLISH that is too
 * large are skipped as they arrive, and the message is acknowledged, so that the broker does not send it repeatedly.
 * Any other packet that is too large is an error.
 */
import { PUBACK, PUBLISH } from './packet-writer.ts';

/** Largest fixed header, bytes: one for the type, four for the length. */
const FIXED_HEADER = 5;
/** Bytes of a skipped PUBLISH that are parsed: the topic's length, the longest topic, the packet id. */
const MAX_HEAD = 2 + 65_535 + 2;

/** A message at QoS 0 or 1. */
export interface PublishPacket {
  readonly topic: string;
  /** A view of the chunk: copy it to keep it. */
  readonly payload: Buffer;
  readonly retained: boolean;
  /** Whether the broker may have sent the message before. */
  readonly dup: boolean;
  /** Packet id to acknowledge; null at QoS 0. */
  readonly packetId: number | null;
}

interface PacketEvents {
  /** @returns false: the packet is for mqtt.js */
  readonly publish: (message: PublishPacket) => boolean;
  /** @param reason code of MQTT 5; 0 is success @returns false: the packet is for mqtt.js */
  readonly acknowledged: (packetId: number, reason: number) => boolean;
  /** Receives whole packets for mqtt.js. */
  readonly pass: (bytes: Buffer) => void;
  /** @param bytes of the whole packet @param packetId to acknowledge; null at QoS 0 */
  readonly skipped: (topic: string, bytes: number, packetId: number | null) => void;
  /** The stream is malformed and cannot be read further. */
  readonly broken: (reason: string) => void;
}

/** A fixed header: remaining length, and its own length, in bytes. */
interface Header {
  readonly length: number;
  readonly bytes: number;
}

export class PacketReader {
  /** Buffer of an incomplete packet, and how many of its bytes have arrived. */
  private partial: Buffer | null = null;
  private filled = 0;
  /** Whether `partial` has the size of its packet; otherwise it contains a part of a fixed header. */
  private sized = false;
  /** Remaining bytes of a packet that is streamed to mqtt.js. */
  private passing = 0;
  /** Remaining bytes of a skipped packet. */
  private skipping = 0;
  private head: { bytes: Buffer; readonly size: number; readonly qos: number } | null = null;
  private broken = false;

  /** @param version protocol version: a PUBLISH of MQTT 5 has properties */
  constructor(
    private readonly version: 4 | 5,
    private readonly maxBytes: number,
    private readonly events: PacketEvents,
  ) {}

  read(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.broken) {
      if (this.skipping > 0) at = this.skip(chunk, at);
      else if (this.passing > 0) at = this.passOn(chunk, at);
      else if (this.partial !== null) at = this.complete(chunk, at);
      else at = this.packets(chunk, at);
    }
  }

  /** Reads the complete packets of a chunk, and stores the start of the last one. @returns where it stopped */
  private packets(chunk: Buffer, from: number): number {
    let at = from;
    // Packets for mqtt.js are passed on together, but before the next message, to keep the order.
    let passFrom = at;
    while (at < chunk.length) {
      const header = readHeader(chunk, at);
      const size = header === null || header === 'broken' ? 0 : header.bytes + header.length;
      const end = at + size;
      if (header !== null && header !== 'broken' && size <= this.maxBytes && end <= chunk.length) {
        if (this.isRead(chunk, at, at + header.bytes, end, passFrom)) passFrom = end;
        at = end;
        continue;
      }
      this.pass(chunk, passFrom, at);
      return this.begin(chunk, at, header, size);
    }
    this.pass(chunk, passFrom, at);
    return at;
  }

  /** Starts a packet that is too large or continues in the next chunk. */
  private begin(chunk: Buffer, at: number, header: Header | null | 'broken', size: number): number {
    if (header === 'broken') return this.fail(chunk, 'malformed packet length');
    if (size > this.maxBytes) return this.beginSkip(chunk, at, header, size);
    const first = chunk[at] ?? 0;
    if (header !== null && first >> 4 !== PUBLISH >> 4 && first !== PUBACK) {
      // mqtt.js detects from the first bytes whether the other side is an MQTT broker.
      this.passing = size;
      return this.passOn(chunk, at);
    }
    this.sized = header !== null;
    this.partial = Buffer.allocUnsafe(header === null ? FIXED_HEADER : size);
    this.filled = chunk.copy(this.partial, 0, at);
    return chunk.length;
  }

  private beginSkip(chunk: Buffer, at: number, header: Header | null, size: number): number {
    const first = chunk[at] ?? 0;
    if (header === null || first >> 4 !== PUBLISH >> 4 || (first & 0x06) === 0x04)
      return this.fail(chunk, `a packet of ${size} bytes is too large`);
    this.skipping = header.length;
    this.head = { bytes: Buffer.alloc(0), size, qos: (first >> 1) & 3 };
    return at + header.bytes;
  }

  private passOn(chunk: Buffer, at: number): number {
    const step = Math.min(this.passing, chunk.length - at);
    this.passing -= step;
    this.pass(chunk, at, at + step);
    return at + step;
  }

  private skip(chunk: Buffer, at: number): number {
    const step = Math.min(this.skipping, chunk.length - at);
    this.look(chunk.subarray(at, at + step));
    this.skipping -= step;
    return at + step;
  }

  /** Completes the packet from an earlier chunk. @returns start of the next packet */
  private complete(chunk: Buffer, from: number): number {
    const { partial } = this;
    if (partial === null) return from;
    if (!this.sized) {
      // Copy byte by byte until the length is known.
      partial[this.filled++] = chunk[from] ?? 0;
      const known = partial.subarray(0, this.filled);
      const header = readHeader(known, 0);
      if (header === null) return from + 1;
      this.partial = null;
      const size = header === 'broken' ? 0 : header.bytes + header.length;
      if (header !== 'broken' && header.length === 0) this.whole(known, header);
      else this.begin(known, 0, header, size);
      return from + 1;
    }
    const step = Math.min(partial.length - this.filled, chunk.length - from);
    chunk.copy(partial, this.filled, from, from + step);
    this.filled += step;
    if (this.filled === partial.length) {
      this.partial = null;
      this.whole(partial, readHeader(partial, 0));
    }
    return from + step;
  }

  private whole(packet: Buffer, header: Header | null | 'broken'): void {
    if (header === null || header === 'broken') return;
    if (!this.isRead(packet, 0, header.bytes, packet.length, 0)) this.events.pass(packet);
  }

  private pass(chunk: Buffer, from: number, to: number): void {
    if (to > from) this.events.pass(from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to));
  }

  private fail(chunk: Buffer, reason: string): number {
    this.broken = true;
    this.events.broken(reason);
    return chunk.length;
  }

  /**
   * @param at start of the packet @param body offset after its fixed header @param passFrom bytes from here to `at` are for mqtt.js
   * @returns whether the packet was handled here
   */
  private isRead(chunk: Buffer, at: number, body: number, end: number, passFrom: number): boolean {
    const first = chunk[at] ?? 0;
    if (first >> 4 === PUBLISH >> 4) return this.isPublishRead(chunk, at, body, end, passFrom);
    if (first === PUBACK && end - body >= 2) {
      this.pass(chunk, passFrom, at);
      const reason = end - body > 2 ? (chunk[body + 2] ?? 0) : 0;
      if (this.events.acknowledged(chunk.readUInt16BE(body), reason)) return true;
      this.events.pass(chunk.subarray(at, end));
      return true;
    }
    return false;
  }

  /** Handles a usual PUBLISH; leaves QoS 2, topic aliases and invalid lengths to mqtt.js. */
  private isPublishRead(chunk: Buffer, at: number, body: number, end: number, passFrom: number): boolean {
    const flags = chunk[at] ?? 0;
    const qos = (flags >> 1) & 3;
    if (qos > 1 || end - body < 3) return false;
    const topicEnd = body + 2 + chunk.readUInt16BE(body);
    let payloadAt = topicEnd + 2 * qos;
    if (topicEnd === body + 2 || payloadAt > end) return false;
    if (this.version === 5) {
      const properties = chunk[payloadAt] ?? 128;
      // Longer ones have a length of two bytes.
      if (payloadAt === end || properties >= 128) return false;
      payloadAt += 1 + properties;
      if (payloadAt > end) return false;
    }
    this.pass(chunk, passFrom, at);
    const taken = this.events.publish({
      topic: chunk.toString('utf8', body + 2, topicEnd),
      payload: chunk.subarray(payloadAt, end),
      retained: (flags & 1) === 1,
      dup: (flags & 8) === 8,
      packetId: qos === 0 ? null : chunk.readUInt16BE(topicEnd),
    });
    if (!taken) this.events.pass(chunk.subarray(at, end));
    return true;
  }

  /** Finds topic and packet id of the skipped packet. */
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

/** @returns null if more bytes are needed */
function readHeader(chunk: Buffer, at: number): Header | null | 'broken' {
  let length = 0;
  for (let bytes = 1; bytes < FIXED_HEADER; bytes++) {
    const byte = chunk[at + bytes];
    if (byte === undefined) return null;
    length += (byte & 127) * 128 ** (bytes - 1);
    if (byte < 128) return { length, bytes: bytes + 1 };
  }
  return 'broken';
}
