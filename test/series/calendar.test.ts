import { afterEach, describe, expect, it } from 'vitest';
import { Phases, UTC, zoneOffset } from '../../src/series/calendar.ts';

const HOUR = 3_600_000;
const at = (text: string): number => Date.parse(text);

/** Local hour of day of a run of hourly buckets. */
function hours(zone: string, from: string, count: number): number[] {
  const phases = new Phases(count);
  phases.fill(at(from), HOUR, zoneOffset(zone));
  return Array.from(phases.day, (phase) => Math.round(phase * 24 * 1e6) / 1e6);
}

describe('zoneOffset', () => {
  it('handles daylight saving time', () => {
    const berlin = zoneOffset('Europe/Berlin');
    expect(berlin(at('2025-01-15T12:00Z'))).toBe(HOUR);
    expect(berlin(at('2025-07-15T12:00Z'))).toBe(2 * HOUR);
    const newYork = zoneOffset('America/New_York');
    expect(newYork(at('2025-01-15T12:00Z'))).toBe(-5 * HOUR);
    expect(newYork(at('2025-07-15T12:00Z'))).toBe(-4 * HOUR);
  });

  it('changes in the exact minute of the transition', () => {
    const berlin = zoneOffset('Europe/Berlin');
    expect(berlin(at('2025-03-30T00:59:59.999Z'))).toBe(HOUR);
    expect(berlin(at('2025-03-30T01:00Z'))).toBe(2 * HOUR);
    expect(berlin(at('2025-10-26T00:59Z'))).toBe(2 * HOUR);
    expect(berlin(at('2025-10-26T01:00Z'))).toBe(HOUR);
    const newYork = zoneOffset('America/New_York');
    expect(newYork(at('2025-03-09T06:59Z'))).toBe(-5 * HOUR);
    expect(newYork(at('2025-03-09T07:00Z'))).toBe(-4 * HOUR);
    expect(newYork(at('2025-11-02T05:59Z'))).toBe(-4 * HOUR);
    expect(newYork(at('2025-11-02T06:00Z'))).toBe(-5 * HOUR);
  });

  it('handles offsets of quarter hours', () => {
    expect(zoneOffset('Asia/Kathmandu')(at('2025-01-01T00:00Z'))).toBe(5.75 * HOUR);
  });

  it('refuses an unknown zone', () => {
    expect(() => zoneOffset('Mars/Olympus')).toThrow(RangeError);
  });
});

describe('Phases', () => {
  it('skips the lost hour of a spring day and repeats that of an autumn day in Berlin', () => {
    expect(hours('Europe/Berlin', '2025-03-29T23:00Z', 5)).toEqual([0, 1, 3, 4, 5]);
    expect(hours('Europe/Berlin', '2025-10-25T22:00Z', 6)).toEqual([0, 1, 2, 2, 3, 4]);
  });

  it('skips the lost hour of a spring day and repeats that of an autumn day in New York', () => {
    expect(hours('America/New_York', '2025-03-09T05:00Z', 4)).toEqual([0, 1, 3, 4]);
    expect(hours('America/New_York', '2025-11-02T04:00Z', 4)).toEqual([0, 1, 1, 2]);
  });

  it('has 23 buckets in the short day, 25 in the long, and always ends at midnight', () => {
    const short = hours('Europe/Berlin', '2025-03-29T23:00Z', 24);
    expect(short[22]).toBe(23);
    expect(short[23]).toBe(0);
    const long = hours('Europe/Berlin', '2025-10-25T22:00Z', 26);
    expect(long[24]).toBe(23);
    expect(long[25]).toBe(0);
  });

  it('detects a transition inside a run whose first and last bucket have the same offset', () => {
    // Seven months of days: winter time on both ends, summer between.
    const phases = new Phases(300);
    phases.fill(at('2025-02-01T00:00Z'), 24 * HOUR, zoneOffset('Europe/Berlin'));
    const july = Math.round((at('2025-07-01T00:00Z') - at('2025-02-01T00:00Z')) / (24 * HOUR));
    expect(phases.day[0] * 24).toBeCloseTo(1, 9);
    expect(phases.day[july] * 24).toBeCloseTo(2, 9);
    expect(phases.day[299] * 24).toBeCloseTo(1, 9);
  });

  it('begins the week on Monday, local time', () => {
    const phases = new Phases(1);
    phases.fill(at('2025-01-05T23:00Z'), HOUR, zoneOffset('Europe/Berlin'));
    expect(phases.week[0]).toBeCloseTo(0, 9);
    phases.fill(at('2025-01-05T23:00Z'), HOUR, UTC);
    expect(phases.week[0]).toBeCloseTo(1 - 1 / 168, 9);
  });

  it('stays within [0, 1) before 1970 and far ahead', () => {
    for (const time of ['1969-12-31T23:30Z', '2037-12-31T23:59Z', '2000-01-01T00:00Z']) {
      const phases = new Phases(3);
      phases.fill(at(time), HOUR, zoneOffset('America/New_York'));
      for (const phase of [...phases.day, ...phases.week]) {
        expect(phase).toBeGreaterThanOrEqual(0);
        expect(phase).toBeLessThan(1);
      }
    }
  });
});

describe('the zone of the machine', () => {
  const before = process.env.TZ;
  afterEach(() => {
    if (before === undefined) delete process.env.TZ;
    else process.env.TZ = before;
  });

  it.each(['Europe/Berlin', 'America/New_York', 'Asia/Kathmandu', 'Australia/Lord_Howe'])(
    '%s is the same as by its name, in every half hour of a year and a day',
    (name) => {
      process.env.TZ = name;
      const [local, named] = [zoneOffset('local'), zoneOffset(name)];
      const start = at('2024-01-01T00:00Z');
      const differing = Array.from({ length: 367 * 48 }, (_, i) => start + i * 0.5 * HOUR).filter(
        (time) => local(time) !== named(time),
      );
      expect(differing.map((time) => new Date(time).toISOString())).toEqual([]);
      expect(local(start)).not.toBe(0);
    },
  );
});
