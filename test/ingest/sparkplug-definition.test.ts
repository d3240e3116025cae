/**
 * The parts of a Sparkplug B payload that contain no reading are skipped without a look at their content, however deep they nest.
 * That each written field is as the specification says is tested in `test/outputs/sparkplug`.
 */
import { describe, expect, it } from 'vitest';
import { createDecoder } from '../../src/ingest/decoders/index.ts';
import { trueMetrics } from '../../src/outputs/sparkplug/payload.ts';
import { decode, reasons, values } from './decode.ts';
import { settings } from './rules.ts';
import { bytes, integer, metric, text } from './sparkplug-messages.ts';

const BIRTH = 'spBv1.0/plant/NBIRTH/edge';
const read = (payload: readonly number[] | Buffer, fields: string[] | null = null) =>
  decode(createDecoder('sparkplug', settings(fields)), Buffer.from(payload), BIRTH);

const GOOD = metric({ name: 'good', type: 10, double: 20 });
const DEPTH = 2000;
/** A message that contains itself, far deeper than a decoder could follow. */
function nested(wrap: (inner: readonly number[]) => number[]): readonly number[] {
  let inner: readonly number[] = [];
  for (let depth = 0; depth < DEPTH; depth++) inner = wrap(inner);
  return inner;
}
const template = nested((inner) => bytes(2, bytes(18, inner)));
const propertySet = nested((inner) => [...text(1, 'k'), ...bytes(2, bytes(9, inner))]);
const propertySets = nested((inner) => bytes(1, bytes(2, bytes(10, inner))));
const withProperty = (value: readonly number[]): number[] =>
  bytes(9, [...text(1, 'Quality'), ...bytes(2, value)]);
const NOT_PROTOBUF = new Array<number>(50).fill(255);

describe('the parts of a payload without a reading', () => {
  it.each([
    ['templates', bytes(18, template)],
    ['property sets', withProperty(bytes(9, propertySet))],
    ['lists of property sets', withProperty(bytes(10, propertySets))],
  ])('%s that nest without end are skipped, and the reading beside them is taken', (_name, content) => {
    const hostile = [...text(1, 'deep'), ...integer(4, 19), ...content];
    const alone = read([...bytes(2, hostile), ...bytes(2, GOOD), ...integer(3, 0)]);
    expect([values(alone), reasons(alone)]).toEqual([{ good: 20 }, []]);
    // In the metric of the reading itself.
    const within = read([...bytes(2, [...GOOD, ...content]), ...integer(3, 0)]);
    expect([values(within), reasons(within)]).toEqual([{ good: 20 }, []]);
    const command = [
      ...bytes(2, hostile),
      ...bytes(2, metric({ name: 'Node Control/Rebirth', type: 11, bool: true })),
    ];
    expect(trueMetrics(Uint8Array.from(command))).toEqual(['Node Control/Rebirth']);
  });

  it.each([8, 16, 17, 18, 19])('field %i of a metric is skipped without a look at its content', (field) => {
    const found = read([...bytes(2, [...GOOD, ...bytes(field, NOT_PROTOBUF)]), ...integer(3, 0)]);
    expect([values(found), reasons(found)]).toEqual([{ good: 20 }, []]);
  });

  it.each([9, 10, 11])('field %i of a property is skipped without a look at its content', (field) => {
    const content = withProperty([...integer(3, 192), ...bytes(field, NOT_PROTOBUF)]);
    const found = read([...bytes(2, [...GOOD, ...content]), ...integer(3, 0)]);
    expect([values(found), reasons(found)]).toEqual([{ good: 20 }, []]);
  });

  it('a template is no reading, and refused where a rule names it; a transient metric is read', () => {
    const inner = metric({ name: 'inner', type: 10, double: 1 });
    const payload = [
      ...bytes(2, [...text(1, 'pump'), ...integer(4, 19), ...bytes(18, bytes(2, inner))]),
      ...bytes(2, [...GOOD, ...integer(6, 1)]),
      ...integer(3, 0),
    ];
    const all = read(payload);
    expect([values(all), reasons(all)]).toEqual([{ good: 20 }, []]);
    expect(reasons(read(payload, ['pump']))).toEqual(['wrong-type']);
  });
});
