/**
 * The whole Sparkplug B payload: each field is written as the specification says, and the parts that contain no reading are skipped
 * without a look at their content, however deep they nest.
 */
import { describe, expect, it } from 'vitest';
import { createDecoder } from '../../src/ingest/decoders/index.ts';
import { payloadType } from '../../src/ingest/sparkplug-payload.ts';
import { trueMetrics } from '../../src/outputs/sparkplug/payload.ts';
import { hasTahu, tahuReader } from '../support/sparkplug-reader.ts';
import { decode, reasons, values } from './decode.ts';
import { settings } from './rules.ts';
import { bytes, integer, metric, real, text } from './sparkplug-messages.ts';

const BIRTH = 'spBv1.0/plant/NBIRTH/edge';
const read = (payload: readonly number[] | Buffer, fields: string[] | null = null) =>
  decode(createDecoder('sparkplug', settings(fields)), Buffer.from(payload), BIRTH);

/** Each kind of scalar value, and its encoding with consecutive field numbers. */
const SCALARS = (first: number): readonly (readonly [object, number[]])[] => [
  [{ intValue: 7 }, integer(first, 7)],
  [{ longValue: 2 ** 40 }, integer(first + 1, 2 ** 40)],
  [{ floatValue: 1.5 }, real(first + 2, 1.5, 4)],
  [{ doubleValue: 0.1 }, real(first + 3, 0.1, 8)],
  [{ booleanValue: true }, integer(first + 4, 1)],
  [{ stringValue: 'é' }, text(first + 5, 'é')],
];

type Case = readonly [name: string, payload: object, encoded: readonly number[]];
const inMetric = (name: string, content: object, encoded: readonly number[]): Case => [
  name,
  { metrics: [content] },
  bytes(2, encoded),
];
const each = (
  name: string,
  scalars: readonly (readonly [object, readonly number[]])[],
  wrap: (value: object, encoded: readonly number[]) => readonly [object, readonly number[]],
): Case[] =>
  scalars.map(([value, encoded]) =>
    inMetric(`${name} ${Object.keys(value).join()}`, ...wrap(value, encoded)),
  );
const property = (value: object, encoded: readonly number[]): readonly [object, number[]] => [
  { properties: { keys: ['p'], values: [value] } },
  bytes(9, [...text(1, 'p'), ...bytes(2, encoded)]),
];
const set = { keys: ['q'], values: [{ type: 3, intValue: 4 }] };
const setBytes = [...text(1, 'q'), ...bytes(2, [...integer(1, 3), ...integer(3, 4)])];

const CASES: readonly Case[] = [
  [
    'payload',
    { timestamp: 5, seq: 6, uuid: 'u', body: Buffer.from('b') },
    [...integer(1, 5), ...integer(3, 6), ...text(4, 'u'), ...text(5, 'b')],
  ],
  inMetric(
    'metric',
    { name: 'm', alias: 1, timestamp: 2, datatype: 3, isHistorical: true, isTransient: true, isNull: true },
    [
      ...text(1, 'm'),
      ...[1, 2, 3].flatMap((value) => integer(value + 1, value)),
      ...[5, 6, 7].flatMap((field) => integer(field, 1)),
    ],
  ),
  inMetric(
    'metadata',
    {
      metadata: {
        isMultiPart: true,
        contentType: 'c',
        size: 9,
        seq: 8,
        fileName: 'n',
        fileType: 't',
        md5: '5',
        description: 'd',
      },
    },
    bytes(8, [
      ...integer(1, 1),
      ...text(2, 'c'),
      ...integer(3, 9),
      ...integer(4, 8),
      ...['n', 't', '5', 'd'].flatMap((value, at) => text(at + 5, value)),
    ]),
  ),
  ...each('metric', SCALARS(10), (value, encoded) => [value, encoded]),
  inMetric('bytes', { bytesValue: Buffer.from([1, 255]) }, bytes(16, [1, 255])),
  inMetric('metric extension', { extensionValue: {} }, bytes(19, [])),
  ...each('property', SCALARS(3), property),
  inMetric('null property', ...property({ type: 10, isNull: true }, [...integer(1, 10), ...integer(2, 1)])),
  inMetric('property set', ...property({ propertysetValue: set }, bytes(9, setBytes))),
  inMetric(
    'property sets',
    ...property(
      { propertysetsValue: { propertyset: [set, set] } },
      bytes(10, [...bytes(1, setBytes), ...bytes(1, setBytes)]),
    ),
  ),
  inMetric('property extension', ...property({ extensionValue: {} }, bytes(11, []))),
  inMetric(
    'table',
    {
      datasetValue: {
        numOfColumns: 2,
        columns: ['a', 'b'],
        types: [3, 10],
        rows: [{ elements: SCALARS(1).map(([value]) => value) }, { elements: [{ extensionValue: {} }] }],
      },
    },
    bytes(17, [
      ...integer(1, 2),
      ...text(2, 'a'),
      ...text(2, 'b'),
      ...integer(3, 3),
      ...integer(3, 10),
      ...bytes(
        4,
        SCALARS(1).flatMap(([, encoded]) => bytes(1, encoded)),
      ),
      ...bytes(4, bytes(1, bytes(7, []))),
    ]),
  ),
  ...each('parameter', [...SCALARS(3), [{ extensionValue: {} }, bytes(9, [])]], (value, encoded) => [
    {
      templateValue: {
        version: 'v',
        metrics: [{ name: 'inner', floatValue: 2 }],
        parameters: [{ name: 'p', type: 1, ...value }],
        templateRef: 'r',
        isDefinition: true,
      },
    },
    bytes(18, [
      ...text(1, 'v'),
      ...bytes(2, metric({ name: 'inner', float: 2 })),
      ...bytes(3, [...text(1, 'p'), ...integer(2, 1), ...encoded]),
      ...text(4, 'r'),
      ...integer(5, 1),
    ]),
  ]),
];

describe('the definition of the payload', () => {
  it.each(CASES)('writes as the specification says: %s', (_name, payload, encoded) => {
    const written = payloadType.encode(payloadType.fromObject(payload)).finish();
    expect([...written]).toEqual(encoded);
  });

  it.skipIf(!hasTahu)('is understood by the library of Eclipse Tahu: templates, tables, files', () => {
    const metrics = [
      {
        name: 'template',
        datatype: 19,
        templateValue: {
          templateRef: 'pump',
          isDefinition: false,
          version: '2',
          metrics: [{ name: 'speed', datatype: 10, doubleValue: 3.5 }],
          parameters: [{ name: 'size', type: 10, doubleValue: 4.5 }],
        },
      },
      {
        name: 'table',
        datatype: 16,
        datasetValue: {
          numOfColumns: 1,
          columns: ['a'],
          types: [10],
          rows: [{ elements: [{ doubleValue: 8.5 }] }],
        },
      },
      {
        name: 'file',
        datatype: 18,
        isTransient: true,
        bytesValue: Buffer.from('abc'),
        metadata: { fileName: 'f' },
      },
    ];
    const read = tahuReader()(
      payloadType.encode(payloadType.fromObject({ timestamp: 1, seq: 2, uuid: 'u', metrics })).finish(),
    );
    expect(read).toMatchObject({
      timestamp: 1,
      seq: 2,
      uuid: 'u',
      metrics: [
        {
          name: 'template',
          type: 'Template',
          value: {
            templateRef: 'pump',
            isDefinition: false,
            version: '2',
            metrics: [{ name: 'speed', type: 'Double', value: 3.5 }],
            parameters: [{ name: 'size', type: 'Double', value: 4.5 }],
          },
        },
        { name: 'table', type: 'DataSet', value: { columns: ['a'], types: ['Double'], rows: [[8.5]] } },
        { name: 'file', type: 'File', isTransient: true, metadata: { fileName: 'f' } },
      ],
    });
  });
});

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
