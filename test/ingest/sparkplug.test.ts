import { deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { createDecoder } from '../../src/ingest/decoders/index.ts';
import { Router } from '../../src/ingest/router.ts';
import { decodeSparkplug } from '../../src/ingest/sparkplug-payload.ts';
import { ARRIVAL, decode, reasons, values } from './decode.ts';
import { rule, settings } from './rules.ts';
import { bytes, integer, metric, sparkplug, type TestMetric, text } from './sparkplug-messages.ts';

const FLOAT = 9;
const at = (type: string, device = '') => `spBv1.0/plant/${type}/edge${device === '' ? '' : `/${device}`}`;
const decoder = () => createDecoder('sparkplug', settings(null));

/** A node that was born with sequence number 0, and a device with 1. */
function born() {
  const each = decoder();
  decode(
    each,
    sparkplug(
      [
        { name: 'bdSeq', type: 8, long: 7 },
        { name: 'Node Control/Rebirth', type: 11, bool: false },
      ],
      0,
    ),
    at('NBIRTH'),
  );
  const birth: TestMetric[] = [
    { name: 'Motor/Speed', alias: 1, type: FLOAT, float: 20.5, time: ARRIVAL - 5, unit: 'rpm' },
    { name: 'Count', alias: 2, type: 2, int: 4294967291n },
    { name: 'Note', alias: 3, type: 12, string: 'hello' },
  ];
  return { each, birth: decode(each, sparkplug(birth, 1, ARRIVAL - 9), at('DBIRTH', 'pump')) };
}

describe('the Sparkplug B decoder', () => {
  it('reads births, with times, units and signs, and leaves control metrics and texts alone', () => {
    const { birth } = born();
    expect(birth).toEqual({
      readings: [
        { field: 'Motor/Speed', value: 20.5, timeMs: ARRIVAL - 5, unit: 'rpm' },
        { field: 'Count', value: -5, timeMs: ARRIVAL - 9, unit: null },
      ],
      rejects: [],
      requests: [],
    });
  });

  it('resolves aliases, with the type and unit of the birth', () => {
    const { each } = born();
    const data = decode(
      each,
      sparkplug(
        [
          { alias: 1, float: 21.5, time: 5000 },
          { alias: 2, int: 4294967295n },
        ],
        2,
      ),
      at('DDATA', 'pump'),
    );
    expect(data.readings).toEqual([
      { field: 'Motor/Speed', value: 21.5, timeMs: 5000, unit: 'rpm' },
      { field: 'Count', value: -1, timeMs: null, unit: null },
    ]);
    expect(data.rejects).toEqual([]);
  });

  it.each([
    [{ type: 1, int: 251 }, -5],
    [{ type: 2, int: 65531 }, -5],
    [{ type: 3, int: 4294967291n }, -5],
    [{ type: 4, long: -5n }, -5],
    [{ type: 4, long: 2n ** 40n }, 2 ** 40],
    [{ type: 7, int: 4294967291n }, 4294967291],
    [{ type: 8, long: 2n ** 63n }, 2 ** 63],
    [{ type: 10, double: 0.1 }, 0.1],
    [{ type: 11, bool: true }, 1],
    [{ type: 11, bool: false }, 0],
    [{ type: 3, int: 0 }, 0],
    [{ type: 9, float: 0 }, 0],
    [{ type: 8, long: 0 }, 0],
  ])('reads case %# as $1', (sent, expected) => {
    const found = decode(decoder(), sparkplug([{ name: 'm', ...sent }], 0), at('NBIRTH'));
    expect(values(found)).toEqual({ m: expected });
  });

  it('requests a rebirth if data arrives before its birth, but not repeatedly', () => {
    const each = decoder();
    const first = decode(
      each,
      sparkplug(
        [
          { alias: 1, float: 1 },
          { alias: 2, float: 1 },
        ],
        9,
      ),
      at('DDATA', 'pump'),
    );
    expect(reasons(first)).toEqual(['unknown-alias', 'unknown-alias']);
    expect(first.requests.map(({ topic }) => topic)).toEqual(['spBv1.0/plant/NCMD/edge']);
    const command = decodeSparkplug(first.requests[0]?.payload ?? new Uint8Array());
    expect(command?.metrics.map((m) => [m.name, m.datatype, m.value(undefined)])).toEqual([
      ['Node Control/Rebirth', 11, 1],
    ]);
    expect(decode(each, sparkplug([{ alias: 1, float: 1 }], 10), at('DDATA', 'pump')).requests).toEqual([]);
  });

  it.each([
    ['GZIP', gzipSync],
    ['DEFLATE', deflateSync],
  ])('reads a payload compressed with %s, up to a size', (algorithm, compress) => {
    const packed = (plain: Buffer, seq: number) =>
      Buffer.from([
        ...integer(1, ARRIVAL - 3),
        ...bytes(2, metric({ name: 'algorithm', type: 12, string: algorithm })),
        ...integer(3, seq),
        ...text(4, 'SPBV1.0_COMPRESSED'),
        ...bytes(5, [...compress(plain)]),
      ]);
    const { each } = born();
    const read = decode(each, packed(sparkplug([{ alias: 1, float: 30 }]), 2), at('DDATA', 'pump'));
    expect(read.readings).toEqual([{ field: 'Motor/Speed', value: 30, timeMs: ARRIVAL - 3, unit: 'rpm' }]);
    expect([read.rejects, read.requests]).toEqual([[], []]);
    const damaged = packed(sparkplug([{ alias: 1, float: 31 }]), 3);
    damaged.fill(0, damaged.length - 12);
    expect(reasons(decode(each, damaged, at('DDATA', 'pump')))).toEqual(['bad-payload']);
    // zeros are compressed to a thousandth of their size
    const bomb = packed(Buffer.alloc(32 * 1024 * 1024), 3);
    expect(reasons(decode(each, bomb, at('DDATA', 'pump')))).toEqual(['bad-payload']);
  });

  it('detects a gap in the sequence once, requests a rebirth, and still reads the data', () => {
    const { each } = born();
    const gap = decode(each, sparkplug([{ alias: 1, float: 1 }], 4), at('DDATA', 'pump'));
    expect(reasons(gap)).toEqual(['sequence-gap']);
    expect(gap.requests).toHaveLength(1);
    expect(values(gap)).toEqual({ 'Motor/Speed': 1 });
    expect(decode(each, sparkplug([{ alias: 1, float: 2 }], 5), at('DDATA', 'pump')).rejects).toEqual([]);
  });

  it('distinguishes alias 0 from no alias', () => {
    const each = decoder();
    decode(each, sparkplug([{ name: 'm', alias: 0, type: FLOAT, float: 1 }], 0), at('NBIRTH'));
    expect(values(decode(each, sparkplug([{ alias: 0, float: 0 }], 1), at('NDATA')))).toEqual({ m: 0 });
  });

  it('wraps the sequence from 255 to 0', () => {
    const each = decoder();
    decode(each, sparkplug([{ name: 'm', alias: 1, type: FLOAT, float: 1 }], 255), at('NBIRTH'));
    expect(decode(each, sparkplug([{ alias: 1, float: 2 }], 0), at('NDATA')).rejects).toEqual([]);
  });

  it('forgets aliases at a death, but not at the death of an earlier session', () => {
    const { each } = born();
    const death = (bdSeq: number) =>
      decode(each, sparkplug([{ name: 'bdSeq', type: 8, long: bdSeq }]), at('NDEATH'));
    death(6);
    expect(values(decode(each, sparkplug([{ alias: 1, float: 3 }], 2), at('DDATA', 'pump')))).toEqual({
      'Motor/Speed': 3,
    });
    death(7);
    expect(reasons(decode(each, sparkplug([{ alias: 1, float: 3 }], 3), at('DDATA', 'pump')))).toEqual([
      'unknown-alias',
    ]);
  });

  it('rejects bad quality, nulls, and history without a time; keeps history with one', () => {
    const found = decode(
      decoder(),
      sparkplug(
        [
          { name: 'bad', type: FLOAT, float: 1, quality: 0 },
          { name: 'stale', type: FLOAT, float: 1, quality: 500 },
          { name: 'good', type: FLOAT, float: 1, quality: 192 },
          { name: 'null', type: FLOAT, isNull: true },
          { name: 'old', type: FLOAT, float: 1, historical: true },
          { name: 'older', type: FLOAT, float: 2, historical: true, time: 1000 },
          { name: 'nan', type: FLOAT, float: Number.NaN },
        ],
        0,
      ),
      at('NBIRTH'),
    );
    expect(reasons(found)).toEqual(['bad-quality', 'bad-quality', 'unavailable', 'bad-time', 'not-finite']);
    expect(found.readings.map(({ field, timeMs }) => [field, timeMs])).toEqual([
      ['good', null],
      ['older', 1000],
    ]);
  });

  it('ignores commands and host states, and rejects other payloads', () => {
    const nothing = { readings: [], rejects: [], requests: [] };
    expect(decode(decoder(), 'x', at('NCMD'))).toEqual(nothing);
    expect(decode(decoder(), '{"online":true}', 'spBv1.0/STATE/host')).toEqual(nothing);
    expect(reasons(decode(decoder(), '{"a":1}', at('NDATA')))).toEqual(['bad-payload']);
  });

  it('joins births and data of one metric in one stream, also with two rules, which request once', () => {
    const match = 'spBv1.0/{group}/+/{node}/#';
    const router = new Router([
      rule(match, 'sparkplug', { decoder: settings(['Motor/Speed']), unit: 'rpm' }),
      rule(match, 'sparkplug'),
    ]);
    const metrics: TestMetric[] = [
      { name: 'Motor/Speed', alias: 1, type: FLOAT, float: 1 },
      { name: 'Motor/Load', alias: 2, type: FLOAT, float: 2, unit: '%' },
    ];
    const early = router.message(at('DDATA', 'pump'), sparkplug([{ alias: 1, float: 5 }], 3), ARRIVAL);
    expect(early.requests).toHaveLength(1);
    expect(early.rejects).toHaveLength(1);
    router.message(at('NBIRTH'), sparkplug([], 0), ARRIVAL);
    const birth = router.message(at('DBIRTH', 'pump'), sparkplug(metrics, 1), ARRIVAL);
    expect(birth.discovered.map(({ spec }) => [spec.name, spec.unit])).toEqual([
      ['plant/edge/pump/Motor/Speed', 'rpm'],
      ['plant/edge/pump/Motor/Load', '%'],
    ]);
    const data = router.message(at('DDATA', 'pump'), sparkplug([{ alias: 2, float: 3 }], 2), ARRIVAL);
    expect(data.samples.map(({ stream, value }) => [stream, value])).toEqual([
      ['plant/edge/pump/Motor/Load', 3],
    ]);
    expect(data.discovered).toEqual([]);
  });
});
