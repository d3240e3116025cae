/**
 * Encodes PUBLISH and PUBACK packets and writes all packets of one turn of the event loop with a single socket
 * write. mqtt.js would copy each message and write each of its fields as a separate buffer.
 */
import type { Writable } from 'node:stream';

/** First bytes of the packets, without the flags (MQTT 3.1.1, 2.2). */
export const PUBLISH = 0x30;
export const PUBACK = 0x40;

/** Size of a block of packets, bytes; a larger packet gets its own block. */
const BLOCK = 32 * 1024;
/** Largest overhead of a PUBLISH: fixed header, topic length, packet id, and the length of the properties. */
const MOST_OVERHEAD = 5 + 2 + 2 + 1;

export class PacketWriter {
  private block: Buffer | null = null;
  private used = 0;

  /** @param stream returns the open stream; null: none is open, so encoded packets are dropped */
  constructor(
    private readonly version: 4 | 5,
    private readonly stream: () => Writable | null,
  ) {}

  /** Whether the stream's buffer is full: the next message should wait for `drain`. */
  get congested(): boolean {
    return this.stream()?.writableNeedDrain === true;
  }

  /** @param packetId null: QoS 0 */
  publish(topic: string, payload: string | Uint8Array, retain: boolean, packetId: number | null): void {
    const topicBytes = Buffer.byteLength(topic);
    const payloadBytes = typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length;
    const propertyBytes = this.version === 5 ? 1 : 0;
    const remaining = 2 + topicBytes + (packetId === null ? 0 : 2) + propertyBytes + payloadBytes;
    const block = this.room(MOST_OVERHEAD + topicBytes + payloadBytes);
    let at = this.used;
    block[at++] = PUBLISH | (packetId === null ? 0 : 2) | (retain ? 1 : 0);
    for (let rest = remaining; ; ) {
      const digit = rest % 128;
      rest = Math.floor(rest / 128);
      block[at++] = rest > 0 ? digit | 128 : digit;
      if (rest === 0) break;
    }
    at = block.writeUInt16BE(topicBytes, at);
    at += block.write(topic, at, 'utf8');
    if (packetId !== null) at = block.writeUInt16BE(packetId, at);
    if (propertyBytes > 0) block[at++] = 0;
    if (typeof payload === 'string') at += block.write(payload, at, 'utf8');
    else {
      block.set(payload, at);
      at += payload.length;
    }
    this.used = at;
  }

  acknowledge(packetId: number): void {
    const block = this.room(4);
    block[this.used] = PUBACK;
    block[this.used + 1] = 2;
    block.writeUInt16BE(packetId, this.used + 2);
    this.used += 4;
  }

  /** Returns a block with this many free bytes. The first packet of a turn schedules the write at the end of the turn. */
  private room(bytes: number): Buffer {
    const { block, used } = this;
    if (block !== null && block.length - used >= bytes) return block;
    if (block !== null) this.flush();
    else process.nextTick(() => this.flush());
    this.block = Buffer.allocUnsafeSlow(Math.max(BLOCK, bytes));
    return this.block;
  }

  /** Writes all encoded packets: needed before mqtt.js writes a packet that must follow them. */
  flush(): void {
    const { block, used } = this;
    this.block = null;
    this.used = 0;
    if (block !== null && used > 0) this.stream()?.write(block.subarray(0, used));
  }
}
