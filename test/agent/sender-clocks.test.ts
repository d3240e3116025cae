import { describe, expect, it } from 'vitest';
import { SenderClocks } from '../../src/agent/sender-clocks.ts';

const NOW = Date.UTC(2026, 10, 29, 12);
const HOUR = 3_600_000;
const reading = (stream: string, offsetMs: number) => ({
  stream,
  timeMs: NOW + offsetMs,
  value: 1,
  arrivalMs: NOW,
});

describe('the clock of a sender', () => {
  it('is called wrong from the third refused reading in a row on', () => {
    const clocks = new SenderClocks();
    expect(clocks.refuse(reading('a', 2 * HOUR))).toBeNull();
    expect(clocks.refuse(reading('a', 2 * HOUR))).toBeNull();
    expect(clocks.wrong).toBeNull();
    expect(clocks.refuse(reading('a', 2 * HOUR + 1500))).toBe(
      'its time is 2 h ahead, which fits a local time; set time_zone: +02:00, or the name of the zone',
    );
    expect(clocks.wrong).toMatchObject({ stream: 'a', streams: 1 });
    clocks.accepted('a');
    expect(clocks.wrong).toBeNull();
    expect(clocks.refuse(reading('a', 2 * HOUR))).toBeNull();
  });

  it('is another case when no zone is as far away', () => {
    const clocks = new SenderClocks();
    const advice = (offsetMs: number): string | null =>
      [1, 2, 3].map(() => clocks.refuse(reading(String(offsetMs), offsetMs)))[2] ?? null;
    expect(advice(5.5 * HOUR)).toContain('time_zone: +05:30');
    expect(advice(20 * HOUR)).toMatch(/20 h ahead; set the clock of the sender/);
    expect(advice(-NOW)).toMatch(/57 years behind: its clock was never set, or counts from the start/);
    expect(advice(-NOW + 5000 * HOUR)).toMatch(/56 years behind: its clock was never set/);
    expect(advice(37 * 60_000)).toMatch(/37 min ahead; set the clock/);
  });

  it.each([
    [1000, '1000 times too large'],
    [1e6, '1000000 times too large'],
    [10, '10 times too large'],
    [1 / 1000, '1000 times too small'],
    [1 / 1e6, '1000000 times too small'],
    [1 / 60, '60 times too small'],
  ])('is a mistake of units if the time is %d of the arrival', (factor, text) => {
    const clocks = new SenderClocks();
    // Also if the clock is hours away.
    for (const hours of [0, -5, 9]) {
      const timeMs = (NOW + hours * HOUR) * factor;
      const advice = [1, 2, 3].map(() => clocks.refuse({ ...reading('s', 0), timeMs }))[2];
      expect(advice).toContain(`its number is ${text}`);
      clocks.accepted('s');
    }
  });

  it.each([1900, 1904, 2000, 2001])('counts from another year: %i', (year) => {
    const clocks = new SenderClocks();
    const sample = reading('s', -Date.UTC(year, 0, 1) + 2 * HOUR);
    expect([1, 2, 3].map(() => clocks.refuse(sample))[2]).toContain(`counted from ${year} instead of 1970`);
  });

  it('is reported for the device that sent last, not for one that is gone', () => {
    const clocks = new SenderClocks();
    for (let i = 0; i < 3; i += 1) clocks.refuse(reading('gone', HOUR));
    for (let i = 0; i < 3; i += 1) clocks.refuse(reading('here', 2 * HOUR));
    expect(clocks.wrong).toMatchObject({ stream: 'here', streams: 2 });
    for (let n = 0; n < 2000; n += 1) clocks.refuse(reading(`once${n}`, HOUR));
    for (let i = 0; i < 3; i += 1) clocks.refuse(reading('new', 2 * HOUR));
    expect(clocks.wrong).toMatchObject({ stream: 'new' });
  });

  it('uses bounded memory', () => {
    const clocks = new SenderClocks();
    for (let n = 0; n < 5000; n += 1) for (let i = 0; i < 3; i += 1) clocks.refuse(reading(`s${n}`, HOUR));
    expect(clocks.wrong?.streams).toBe(1000);
  });
});
