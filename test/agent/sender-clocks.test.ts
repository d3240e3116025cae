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
    expect(advice(-NOW)).toMatch(/57 years behind; set the clock/);
    expect(advice(37 * 60_000)).toMatch(/37 min ahead; set the clock/);
  });

  it('uses bounded memory', () => {
    const clocks = new SenderClocks();
    for (let n = 0; n < 5000; n += 1) for (let i = 0; i < 3; i += 1) clocks.refuse(reading(`s${n}`, HOUR));
    expect(clocks.wrong?.streams).toBe(1000);
  });
});
