/** Sparkplug B payloads for tests, written with an encoder of their own: varints and wire types, no shared code. */

const varint = (value: bigint): number[] => {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  return [...bytes, Number(rest)];
};
const key = (field: number, wire: number): number[] => varint(BigInt((field << 3) | wire));
export const integer = (field: number, value: number | bigint): number[] => [
  ...key(field, 0),
  ...varint(BigInt(value)),
];
export const bytes = (field: number, value: readonly number[]): number[] => [
  ...key(field, 2),
  ...varint(BigInt(value.length)),
  ...value,
];
export const text = (field: number, value: string): number[] => bytes(field, [...Buffer.from(value)]);
export const real = (field: number, value: number, width: 4 | 8): number[] => {
  const buffer = Buffer.alloc(width);
  if (width === 4) buffer.writeFloatLE(value);
  else buffer.writeDoubleLE(value);
  return [...key(field, width === 4 ? 5 : 1), ...buffer];
};

export interface TestMetric {
  name?: string;
  alias?: number;
  time?: number;
  type?: number;
  historical?: boolean;
  isNull?: boolean;
  int?: number | bigint;
  long?: number | bigint;
  float?: number;
  double?: number;
  bool?: boolean;
  string?: string;
  quality?: number;
  unit?: string;
}

export function metric(m: TestMetric): number[] {
  const properties: [string, number[]][] = [];
  if (m.quality !== undefined) properties.push(['Quality', [...integer(1, 3), ...integer(3, m.quality)]]);
  if (m.unit !== undefined) properties.push(['engUnit', [...integer(1, 12), ...text(8, m.unit)]]);
  return [
    ...(m.name === undefined ? [] : text(1, m.name)),
    ...(m.alias === undefined ? [] : integer(2, m.alias)),
    ...(m.time === undefined ? [] : integer(3, m.time)),
    ...(m.type === undefined ? [] : integer(4, m.type)),
    ...(m.historical ? integer(5, 1) : []),
    ...(m.isNull ? integer(7, 1) : []),
    ...(properties.length === 0
      ? []
      : bytes(9, [
          ...properties.flatMap(([name]) => text(1, name)),
          ...properties.flatMap(([, value]) => bytes(2, value)),
        ])),
    ...(m.int === undefined ? [] : integer(10, m.int)),
    ...(m.long === undefined ? [] : integer(11, m.long)),
    ...(m.float === undefined ? [] : real(12, m.float, 4)),
    ...(m.double === undefined ? [] : real(13, m.double, 8)),
    ...(m.bool === undefined ? [] : integer(14, m.bool ? 1 : 0)),
    ...(m.string === undefined ? [] : text(15, m.string)),
  ];
}

export function sparkplug(metrics: readonly TestMetric[], seq?: number, time?: number): Buffer {
  return Buffer.from([
    ...(time === undefined ? [] : integer(1, time)),
    ...metrics.flatMap((each) => bytes(2, metric(each))),
    ...(seq === undefined ? [] : integer(3, seq)),
    ...text(4, 'a-uuid-that-readers-skip'),
  ]);
}
