import { describe, expect, it } from 'vitest';
import { readTablePayload } from '../../src/ingest/table-payload.ts';

const read = (json: unknown, fields: { list?: string; time?: string; value?: string } = {}) =>
  readTablePayload(Buffer.from(typeof json === 'string' ? json : JSON.stringify(json)), {
    list: null,
    time: 'time',
    value: 'value',
    ...fields,
  });

describe('a message of what is known ahead', () => {
  it('is a list of points', () => {
    const points = [
      { time: '2025-01-01T00:00:00Z', value: 1 },
      { time: 1_735_693_200, value: '2.5' },
      { time: '2025-01-01T02:00:00Z', value: null },
      { time: 'soon', value: 3 },
    ];
    const known = [
      { timeMs: Date.UTC(2025, 0, 1), value: 1 },
      { timeMs: Date.UTC(2025, 0, 1, 1), value: 2.5 },
    ];
    expect(read(points)).toEqual(known);
    expect(read({ data: { rows: points } }, { list: '/data/rows' })).toEqual(known);
    expect(
      read(
        points.map(({ time, value }) => ({ at: time, main: { t: value } })),
        { time: 'at', value: '/main/t' },
      ),
    ).toEqual(known);
  });

  it('is a list of times beside a list of values', () => {
    const hourly = { time: ['2025-01-01T00:00', '2025-01-01T01:00'], temperature_2m: [-3, 4] };
    expect(read({ hourly }, { time: '/hourly/time', value: '/hourly/temperature_2m' })).toEqual([
      { timeMs: Date.UTC(2025, 0, 1), value: -3 },
      { timeMs: Date.UTC(2025, 0, 1, 1), value: 4 },
    ]);
    expect(read({ hourly }, { list: 'hourly', value: 'temperature_2m' })).toHaveLength(2);
  });

  for (const [what, json, fields] of [
    ['no JSON', '{"time":', {}],
    ['no list', { rows: 1 }, { list: 'points' }],
    ['no points', [], {}],
    ['points without numbers', [{ time: 1e9, value: 'x' }], {}],
    ['lists of different lengths', { time: [1, 2], value: [1] }, {}],
    ['a number', '5', {}],
    ['null', 'null', {}],
    ['very deep', '['.repeat(100_000) + ']'.repeat(100_000), {}],
  ] as const) {
    it(`is refused if it is ${what}`, () => {
      expect(() => read(json, fields)).toThrow(expect.objectContaining({ code: 'COVARIATE_INVALID' }));
    });
  }
});
