import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseNumber, parseNumberWithUnit, parseSwitch } from '../../src/ingest/number-text.ts';
import { parseTime } from '../../src/ingest/time-stamp.ts';

describe('a number as text', () => {
  it.each([
    ['21.5', 21.5],
    [' -3 \n', -3],
    ['+.5e-3', 0.0005],
    ['5.', 5],
    ['1e400', 'not-finite'],
    ['NaN', 'not-finite'],
    ['-Infinity', 'not-finite'],
    ['', 'bad-number'],
    ['0x1F', 'bad-number'],
    ['1,5', 'bad-number'],
    ['1_000', 'bad-number'],
    ['21.5 °C', 'bad-number'],
    ['9'.repeat(65), 'bad-number'],
  ])('%j is %j', (text, expected) => expect(parseNumber(text)).toBe(expected));

  it.each([
    ['21.5 °C', { value: 21.5, unit: '°C' }],
    ['1013hPa', { value: 1013, unit: 'hPa' }],
    ['5 m/s', { value: 5, unit: 'm/s' }],
    ['21.5', { value: 21.5, unit: null }],
    ['1,234', 'bad-number'],
    ['12:30', 'bad-number'],
    ['2024-01-02', 'bad-number'],
    ['1.2.3', 'bad-number'],
    ['1e999 W', 'not-finite'],
  ])('%j with its unit is %j', (text, expected) => expect(parseNumberWithUnit(text)).toEqual(expected));

  it('reads on and off', () => {
    expect(['ON', 'off', ' True ', 'open', 'Closed', 'no'].map(parseSwitch)).toEqual([1, 0, 1, 1, 0, 0]);
    expect(['', 'onn', 'constructor', '1'].map(parseSwitch)).toEqual([null, null, null, null]);
  });
});

describe('a time stamp', () => {
  const noon = Date.UTC(2024, 1, 29, 12, 0, 0);
  it.each([
    [noon, noon],
    [noon / 1000, noon],
    [noon / 1000 + 0.25, noon + 250],
    [noon * 1e3, noon],
    [noon * 1e6, noon],
    [String(noon), noon],
    ['2024-02-29T12:00:00Z', noon],
    ['2024-02-29T12:00:00.123456Z', noon + 123],
    ['2024-02-29T13:00:00+01:00', noon],
    ['2024-02-29 06:30:00-0530', noon],
    ['2024-02-29T12:00', noon],
    ['20240229T120000Z', noon],
    ['2024-02-29', noon - 12 * 3_600_000],
    ['2024-02-28T24:00:00Z', noon - 12 * 3_600_000],
    ['2016-12-31T23:59:60Z', Date.UTC(2017, 0, 1)],
    ['1969-12-31T23:59:59Z', -1000],
    ['0099-01-01T00:00:00Z', new Date('0099-01-01T00:00:00Z').getTime()],
    ['2023-02-29T12:00:00Z', null],
    ['2024-13-01T00:00:00Z', null],
    ['2024-02-29T25:00:00Z', null],
    ['2024-02-29T12:00:00+99:00', null],
    ['yesterday', null],
    ['', null],
    [Number.NaN, null],
    [1e300, null],
    [true, null],
    [{ toString: () => '2024-01-01' }, null],
  ])('%j is %j', (sent, expected) => expect(parseTime(sent)).toBe(expected));

  it('the usual form equals any other form of the same time', () => {
    const part = (most: number, width: number) =>
      fc.integer({ min: 0, max: most }).map((n) => String(n).padStart(width, '0'));
    const text = fc
      .tuple(
        part(9999, 4),
        part(13, 2),
        part(32, 2),
        part(25, 2),
        part(61, 2),
        part(61, 2),
        fc.option(part(999, 3)),
      )
      .map(([y, mo, d, h, mi, s, ms]) => `${y}-${mo}-${d}T${h}:${mi}:${s}${ms === null ? '' : `.${ms}`}`);
    fc.assert(
      fc.property(text, (time) => {
        expect(parseTime(`${time}Z`)).toBe(parseTime(`${time}+00:00`));
      }),
      { numRuns: 2000 },
    );
    expect(parseTime('2026-11-29T01:44:4xZ')).toBeNull();
  });
});
