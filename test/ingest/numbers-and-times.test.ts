import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRouter, parseConfig } from '../../src/config/index.ts';
import { parseNumber, parseNumberWithUnit, parseSwitch } from '../../src/ingest/number-text.ts';
import { payloadZone } from '../../src/ingest/payload-zone.ts';
import { isLocalTime, parseTime } from '../../src/series/time-stamp.ts';

describe('thousands separators', () => {
  it.each([
    ['1,234.5 W', 1234.5],
    ['1 234.5 W', 1234.5],
    ["1'234'567.25 Wh", 1_234_567.25],
    ['-12\u00a0345.5 kWh', -12_345.5],
    // Without a unit, or a fraction, the text may be two numbers, or have a decimal comma.
    ['1,234.5', null],
    ['1,234 W', null],
    ['21,5 °C', null],
    ['12,34.5 W', null],
    ['1,234 567.5 W', null],
  ])('%s', (text, value) => {
    expect(parseNumberWithUnit(text)).toEqual(
      value === null ? 'bad-number' : { value, unit: expect.any(String) },
    );
  });
});

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
    ['2024-02-29 12:00:00 UTC', noon],
    ['2024-02-29 12:00:00.250 GMT', noon + 250],
    ['2024-02-29T12:00:00UTC', noon],
    ['2024-02-29 13:30 UTC+01:30', noon],
    ['2024-02-29 07:00 GMT-5', noon],
    ['2024/02/29 12:00 utc', noon],
    ['29.02.2024 12:00:00 UTC', noon],
    ['20240229120000Z', noon],
    ['20240229120000 UTC', noon],
    ['Thu, 29 Feb 2024 12:00:00 GMT', noon],
    ['Thu, 29 Feb 2024 13:00:00 +0100', noon],
    ['Thu, 29 Feb 2024 07:00:00 -0500 (EST)', noon],
    ['29 Feb 2024 12:00', noon],
    ['Thursday, 29 February 2024 12:00 -0000', noon],
    ['29-Feb-2024 12:00:00', noon],
    ['Thu Feb 29 12:00:00 2024', noon],
    ['Thu Feb 29 12:00:00 UTC 2024', noon],
    ['Thu Feb 29 2024 13:00:00 GMT+0100 (Central European Standard Time)', noon],
    ['Feb 29, 2024 12:00:00', noon],
    ['2024-02-29 13:00:00 CET', noon],
    ['Thu, 29 Feb 2024 07:00:00 EST', noon],
    ['Thu Feb 29 13:00:00 CET 2024', noon],
    ['2024-02-29 12:00 PM', noon],
    ['29.02.2024 12:00:00 am', noon - 12 * 3_600_000],
    ['2/29/2024 12:00:00 PM', noon],
    ['2/29/2024 1:00 p.m. CET', noon],
    ['02/29/2024, 01:30:15.5 PM', noon + 5_415_500],
    ['29.02.24 12:00:00', noon],
    ['29.02.24', null],
    [`/Date(${noon})/`, noon],
    [`/Date(${noon}+0100)/`, noon],
    [{ seconds: noon / 1000, nanos: 5e8 }, noon + 500],
    [{ _seconds: noon / 1000, _nanoseconds: 0 }, noon],
    [{ timeInSeconds: `${noon / 1000}`, offsetInNanos: 1e6 }, noon + 1],
    [{ epochSecond: noon / 1000, nano: 0 }, noon],
    [{ $date: '2024-02-29T12:00:00Z' }, noon],
    [{ $date: { $numberLong: `${noon}` } }, noon],
    [{ $date: { $date: { at: noon } } }, null],
    [{ seconds: noon / 1000, value: 5 }, null],
    [{ nanos: 5e8 }, null],
    [{ seconds: [noon / 1000] }, null],
    [{ seconds: { toString: 1, valueOf: 1 } }, null],
    [{}, null],
    ['29-02-2024 12:00', noon],
    ['29/02/2024 12:00:00Z', noon],
    ['02/02/2024 12:00', noon - 27 * 24 * 3_600_000],
    ['03/04/2024 12:00', null],
    ['31/31/2024 12:00', null],
    ['29/02-2024 12:00', null],
    ['2024-02-29 13:00 PM', null],
    ['2024-02-29 05:00:00 MST', noon],
    ['2024-02-29 12:00:00 CST', null],
    ['Thu Feb 29 12:00:00 IST 2024', null],
    ['Thu, 30 Feb 2024 12:00:00 GMT', null],
    ['Thu, 29 Foo 2024 12:00:00 GMT', null],
    ['Thu, 29 Feb 2024 12:00:00 XYZ', null],
    ['2024-02-29 12:00:00 GMTA', null],
    ['2024-02-29 12:00:00 UTC+99', null],
    ['UTC', null],
    ['29 UTC', null],
    ['yesterday', null],
    ['', null],
    [Number.NaN, null],
    [1e300, null],
    [true, null],
    [{ toString: () => '2024-01-01' }, null],
  ])('%j is %j', (sent, expected) => expect(parseTime(sent)).toBe(expected));

  it.each([
    '2024-02-29 12:00:00 UTC',
    '20240229120000Z',
    'Thu, 29 Feb 2024 13:00:00 +0100',
    'Thu Feb 29 12:00:00 UTC 2024',
    '2024-02-29T12:00:00Z[UTC]',
    '2024-02-29T13:00:00.000+01:00[Europe/Berlin]',
    '2024-02-29T13:00:00+01:00[!Europe/Berlin][u-ca=iso8601]',
  ])('%j has a zone', (sent) => {
    expect(isLocalTime(sent)).toBe(false);
    expect(parseTime(sent, payloadZone('Asia/Tokyo'))).toBe(noon);
  });

  it('with day and month that may be swapped is the one near the arrival', () => {
    const [april, march] = [Date.UTC(2026, 3, 3, 13, 44), Date.UTC(2026, 2, 4, 13, 44)];
    for (const near of [april, march]) {
      expect(parseTime('03/04/2026 1:44 PM', undefined, near + 3_600_000)).toBe(near);
      expect(parseTime('03-04-2026 13:44', undefined, near - 24 * 3_600_000)).toBe(near);
    }
    expect(parseTime('03/04/2026 1:44 PM', undefined, april + 30 * 24 * 3_600_000)).toBe(null);
    // the same day either way
    expect(parseTime('4/04/2026', undefined, april + 30 * 24 * 3_600_000)).toBe(Date.UTC(2026, 3, 4));
    expect(isLocalTime('03/04/2026 1:44 PM')).toBe(true);
    expect(isLocalTime('03/04/2026 1:44 PM EST')).toBe(false);
    expect(parseTime('29-02-2024 13:00', payloadZone('Europe/Berlin'))).toBe(noon);
  });

  it('that is not read is refused with the reason, and never taken for another batch form', () => {
    const router = createRouter(
      parseConfig('node: n\nmqtt: { url: mqtt://b }\nstreams: [{ match: w, time: time }, { match: b }]'),
    );
    const sent = (topic: string, payload: object) =>
      router.message(topic, Buffer.from(JSON.stringify(payload)), noon);
    expect(sent('w', { time: '03/04/2025 12:00', t: 1 }).rejects[0]?.detail).toContain(
      'day and month may be swapped',
    );
    expect(sent('w', { time: '2024-02-29 12:00 CST', t: 1 }).rejects[0]?.detail).toContain(
      'CST is not a zone with one meaning',
    );
    const batch = sent('b', [
      { time: '03/04/2025 12:00', t: 1 },
      { time: '29/02/2024 11:59', t: 2 },
    ]);
    expect(batch.samples).toMatchObject([{ stream: 'b/t', value: 2, timeMs: noon - 60_000 }]);
    expect(batch.rejects.map(({ reason }) => reason)).toEqual(['bad-time']);
  });

  it.each([
    { date: '29.02.2024', time: '13:00' },
    { date: '2024-02-29', time: '1:00:00 pm' },
    { date: '2024-02-29', time: '1:00 p.m.' },
    { time: '2024-02-29T12:00:00Z', date: '2024-02-29' },
    { Datum: '29.02.24', Uhrzeit: '13:00:00' },
    { date: '02/29/2024', clock: '12:00:00Z' },
  ])('in two members, as in %j, are one time', (parts) => {
    const key = Object.keys(parts)[0];
    const router = createRouter(
      parseConfig(
        `node: n\nmqtt: { url: mqtt://b }\nstreams: [{ match: w, fields: [t], time: ${key}, time_zone: Europe/Berlin }, { match: b, time_zone: Europe/Berlin }]`,
      ),
    );
    const sent = (topic: string, payload: object) =>
      router.message(topic, Buffer.from(JSON.stringify(payload)), noon).samples;
    expect(sent('w', { ...parts, t: 1 })).toMatchObject([{ stream: 'w/t', timeMs: noon }]);
    expect(sent('b', [{ ...parts, t: 1 }])).toContainEqual(
      expect.objectContaining({ stream: 'b/t', timeMs: noon }),
    );
  });

  it('with a number of the hour beside the date keep the date, because some senders count hours from 1', () => {
    const router = createRouter(parseConfig('node: n\nmqtt: { url: mqtt://b }\nstreams: [{ match: b }]'));
    const payload = Buffer.from('[{"date":"2024-02-29","hour":24,"t":1}]');
    expect(router.message('b', payload, noon).samples).toMatchObject([
      { stream: 'b/hour', value: 24 },
      { stream: 'b/t', timeMs: noon - 12 * 3_600_000 },
    ]);
  });

  it('with the name of a zone, but without its offset, is not read', () => {
    expect(parseTime('2024-02-29T12:00:00[Europe/Berlin]')).toBe(null);
  });

  it.each(['29 Feb 2024 12:00', 'Thu Feb 29 12:00:00 2024', 'Feb 29, 2024 12:00:00', '20240229120000'])(
    '%j is local',
    (sent) => {
      expect(isLocalTime(sent)).toBe(true);
      expect(parseTime(sent, payloadZone('+02:00'))).toBe(noon - 2 * 3_600_000);
    },
  );

  describe('of a clock that follows summer time', () => {
    const time = (sent: string, zone: string, near?: string) => {
      const ms = parseTime(sent, payloadZone(zone), near === undefined ? undefined : Date.parse(near));
      return ms === null ? null : new Date(ms).toISOString();
    };

    it.each([
      // Berlin repeats 02:00 to 03:00, from 00:00 UTC on and again from 01:00 UTC on.
      ['first pass', '2026-10-25 02:10', 'Europe/Berlin', '2026-10-25T00:10:05Z', '2026-10-25T00:10:00.000Z'],
      [
        'second pass',
        '2026-10-25 02:10',
        'Europe/Berlin',
        '2026-10-25T01:10:05Z',
        '2026-10-25T01:10:00.000Z',
      ],
      [
        'first pass, late',
        '2026-10-25 02:55',
        'Europe/Berlin',
        '2026-10-25T01:20:00Z',
        '2026-10-25T00:55:00.000Z',
      ],
      [
        'first pass, buffered for 40 minutes',
        '2026-10-25 02:30',
        'Europe/Berlin',
        '2026-10-25T01:10:00Z',
        '2026-10-25T00:30:00.000Z',
      ],
      [
        'second pass, a clock 90 s ahead',
        '2026-10-25 02:01:30',
        'Europe/Berlin',
        '2026-10-25T01:00:00Z',
        '2026-10-25T01:01:30.000Z',
      ],
      [
        'before the repeated hour',
        '2026-10-25 01:59',
        'Europe/Berlin',
        '2026-10-24T23:59:00Z',
        '2026-10-24T23:59:00.000Z',
      ],
      ['after it', '2026-10-25 03:00', 'Europe/Berlin', '2026-10-25T02:00:00Z', '2026-10-25T02:00:00.000Z'],
      [
        'west of Greenwich',
        'Sun Nov  1 01:30:00 2026',
        'America/New_York',
        '2026-11-01T06:30:01Z',
        '2026-11-01T06:30:00.000Z',
      ],
      [
        'a change of half an hour',
        '2026-04-05 01:45',
        'Australia/Lord_Howe',
        '2026-04-04T15:15:01Z',
        '2026-04-04T15:15:00.000Z',
      ],
      // Berlin skips 02:00 to 03:00; such a stamp comes from a clock that still shows winter time.
      [
        'missing hour',
        '2026-03-29 02:30',
        'Europe/Berlin',
        '2026-03-29T01:30:05Z',
        '2026-03-29T01:30:00.000Z',
      ],
      [
        'start of the missing hour',
        '2026-03-29 02:00',
        'Europe/Berlin',
        undefined,
        '2026-03-29T01:00:00.000Z',
      ],
      ['end of it', '2026-03-29 03:00', 'Europe/Berlin', undefined, '2026-03-29T01:00:00.000Z'],
      ['before it', '2026-03-29 01:59', 'Europe/Berlin', undefined, '2026-03-29T00:59:00.000Z'],
      [
        'missing hour in the south',
        '2026-10-04 02:30',
        'Australia/Sydney',
        undefined,
        '2026-10-03T16:30:00.000Z',
      ],
    ])('%s', (_, sent, zone, near, expected) => expect(time(sent, zone, near)).toBe(expected));
  });

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
