import { Writable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PacketReader } from '../../src/mqtt/packet-reader.ts';
import { PacketWriter } from '../../src/mqtt/packet-writer.ts';

const MAX_BYTES = 400;

/** What a reader says of these chunks, in order; neighbouring bytes for mqtt.js are put together. */
function eventsOf(chunks: readonly Buffer[], version: 4 | 5, takes = true): unknown[] {
  const events: unknown[] = [];
  const reader = new PacketReader(version, MAX_BYTES, {
    publish: ({ payload, dup, ...rest }) => {
      if (takes) events.push({ ...rest, payload: payload.toString('hex'), ...(dup && { dup }) });
      return takes;
    },
    acknowledged: (packetId, reason) => {
      if (takes) events.push({ packetId, reason });
      return takes;
    },
    pass: (bytes) => {
      const before = events.at(-1);
      if (typeof before === 'string') events[events.length - 1] = before + bytes.toString('hex');
      else events.push(bytes.toString('hex'));
    },
    skipped: (topic, bytes, packetId) => events.push({ skipped: topic, bytes, packetId }),
    broken: (reason) => events.push({ broken: reason }),
  });
  for (const chunk of chunks) reader.read(chunk);
  return events;
}

/** Bytes that the writer gives for some packets. */
async function written(version: 4 | 5, write: (writer: PacketWriter) => void): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write: (chunk: Buffer, _, done) => {
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  write(new PacketWriter(version, () => stream));
  await new Promise(process.nextTick);
  return chunks;
}

const split = (bytes: Buffer, places: readonly number[]): Buffer[] => {
  const sorted = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...sorted].map((from, at) => bytes.subarray(from, sorted[at] ?? bytes.length));
};

const message = fc.record({
  topic: fc.string({ minLength: 1, maxLength: 20, unit: 'binary' }),
  payload: fc.string({ maxLength: 150, unit: 'binary' }),
  retain: fc.boolean(),
  packetId: fc.option(fc.integer({ min: 1, max: 65_535 })),
});
/** Of packets that are for mqtt.js: PINGRESP, SUBACK, PUBREL, a PUBLISH at QoS 2. */
const other = fc.constantFrom('d000', '9003000100', '62020001', '340700026f6b000141');

describe('PacketReader and PacketWriter', () => {
  it.each([4, 5] as const)(
    'are read back as written, however the bytes are split: version %i',
    async (version) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.oneof(message, other), { maxLength: 8 }),
          fc.array(fc.nat(), { maxLength: 6 }),
          async (packets, places) => {
            const parts: Buffer[] = [];
            const expected: unknown[] = [];
            for (const packet of packets) {
              if (typeof packet === 'string') {
                parts.push(Buffer.from(packet, 'hex'));
                const before = expected.at(-1);
                if (typeof before === 'string') expected[expected.length - 1] = before + packet;
                else expected.push(packet);
                continue;
              }
              const { topic, payload, retain, packetId } = packet;
              parts.push(
                ...(await written(version, (writer) => writer.publish(topic, payload, retain, packetId))),
              );
              const hex = Buffer.from(payload).toString('hex');
              const text = Buffer.from(topic).toString();
              expected.push({ topic: text, payload: hex, retained: retain, packetId });
            }
            const bytes = Buffer.concat(parts);
            expect(eventsOf(split(bytes, places), version)).toEqual(expected);
            // A reader whose messages are for mqtt.js passes every byte on.
            const passed = packets.length === 0 ? [] : [bytes.toString('hex')];
            expect(eventsOf(split(bytes, places), version, false)).toEqual(passed);
          },
        ),
        { numRuns: 200 },
      );
    },
  );

  it('skips a message that is too large, byte by byte, and reads on behind it', async () => {
    const [bytes = Buffer.alloc(0)] = await written(4, (writer) => {
      writer.publish('big', 'x'.repeat(MAX_BYTES), false, 7);
      writer.publish('small', 'y', false, null);
      writer.publish('loud', 'x'.repeat(MAX_BYTES), false, null);
    });
    const expected = [
      { skipped: 'big', bytes: MAX_BYTES + 10, packetId: 7 },
      { topic: 'small', payload: '79', retained: false, packetId: null },
      { skipped: 'loud', bytes: MAX_BYTES + 9, packetId: null },
    ];
    expect(eventsOf([bytes], 4)).toEqual(expected);
    expect(
      eventsOf(
        [...bytes].map((byte) => Buffer.from([byte])),
        4,
      ),
    ).toEqual(expected);
  });

  it('reads acknowledgements of both versions', () => {
    const bytes = Buffer.from('400200014003000287', 'hex');
    const expected = [
      { packetId: 1, reason: 0 },
      { packetId: 2, reason: 0x87 },
    ];
    expect(eventsOf([bytes], 5)).toEqual(expected);
    expect(
      eventsOf(
        [...bytes].map((byte) => Buffer.from([byte])),
        5,
      ),
    ).toEqual(expected);
  });

  it('recognises a message that the broker may have sent before', () => {
    const message = { topic: 't', payload: '78', retained: true, packetId: 1, dup: true };
    expect(eventsOf([Buffer.from('3b06000174000178', 'hex')], 4)).toEqual([message]);
  });

  it('skips the properties of MQTT 5', () => {
    // Message expiry interval (0x02), four bytes.
    const bytes = Buffer.from('300a0001740502000000017879', 'hex');
    bytes[1] = bytes.length - 2;
    expect(eventsOf([bytes], 5)).toEqual([{ topic: 't', payload: '7879', retained: false, packetId: null }]);
  });

  it.each([
    ['a topic alias', 5, '30070000032300013e'],
    ['a topic that goes beyond its packet', 4, '3003000574'],
    ['properties that go beyond their packet', 5, '3005000174097a'],
    ['no packet of MQTT', 4, Buffer.from('HTTP/1.1 400').toString('hex')],
  ] as const)('leaves to mqtt.js: %s', (_, version, hex) => {
    expect(eventsOf([Buffer.from(hex, 'hex')], version)).toEqual([hex]);
  });

  it('stops at a length that no packet has, and at a packet that is too large', () => {
    expect(eventsOf([Buffer.from('30ffffffff', 'hex')], 4)).toEqual([{ broken: 'malformed packet length' }]);
    expect(eventsOf([Buffer.from('90ffff03', 'hex'), Buffer.from('d000', 'hex')], 4)).toEqual([
      { broken: 'a packet of 65539 bytes is too large' },
    ]);
  });

  it('writes the packets of a turn at once, large ones too', async () => {
    const small = await written(4, (writer) => {
      for (let i = 0; i < 10; i++) writer.publish('topic', 'payload', false, null);
      writer.acknowledge(513);
    });
    expect(small).toHaveLength(1);
    expect(small[0]?.subarray(-4)).toEqual(Buffer.from('40020201', 'hex'));
    const large = await written(5, (writer) => {
      writer.publish('topic', new Uint8Array(100_000), true, 1);
      writer.publish('topic', 'payload', false, null);
    });
    const [first] = eventsOf([Buffer.concat(large)], 5);
    expect(first).toEqual({ skipped: 'topic', bytes: 100_014, packetId: 1 });
  });
});
