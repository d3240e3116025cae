/**
 * A sender of MQTT messages that costs next to nothing, so that a benchmark measures the receiver: packets of MQTT
 * 3.1.1, encoded once and written to a plain socket. Is not a client: it never reads.
 */
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';

/** Length prefix of two bytes, then UTF-8. */
const text = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
};

/** The rest's length, 7 bits a byte, least first (MQTT 3.1.1, 2.2.3). @param flags type and flags */
function packet(flags: number, body: Buffer): Buffer {
  const length: number[] = [];
  let rest = body.length;
  do {
    const digit = rest % 128;
    rest = Math.floor(rest / 128);
    length.push(rest > 0 ? digit | 128 : digit);
  } while (rest > 0);
  return Buffer.concat([Buffer.from([flags, ...length]), body]);
}

const PUBLISH = 0x30;
/** Of a message at QoS 1. The sender reads no acknowledgements, so one number serves all. */
const PACKET_ID = Buffer.from([0, 1]);

export const publishPacket = (topic: string, payload: string, qos: 0 | 1 = 0): Buffer =>
  packet(
    PUBLISH | (qos << 1),
    Buffer.concat([text(topic), ...(qos === 1 ? [PACKET_ID] : []), Buffer.from(payload)]),
  );

export class Sender {
  private constructor(private readonly socket: Socket) {}

  static async connect(port: number): Promise<Sender> {
    const socket = createConnection({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    const connect = Buffer.concat([text('MQTT'), Buffer.from([4, 2, 0, 0]), text('bench-sender')]);
    socket.write(packet(0x10, connect));
    await once(socket, 'data');
    socket.resume();
    return new Sender(socket);
  }

  /** Resolves when the socket takes more. */
  async send(packets: Buffer): Promise<void> {
    if (!this.socket.write(packets)) await once(this.socket, 'drain');
  }

  close(): void {
    this.socket.destroy();
  }
}
