import { describe, expect, test } from 'vitest';
import { ClockHold } from '../../src/agent/clock-hold.ts';

describe('ClockHold', () => {
  test('a clock that was never set is not sane', () => {
    expect(ClockHold.sane(0)).toBe(false);
    expect(ClockHold.sane(Date.UTC(2023, 11, 31))).toBe(false);
    expect(ClockHold.sane(Date.UTC(2024, 0, 1))).toBe(true);
  });

  test('without a broker it lets go after a while', () => {
    const hold = new ClockHold(100);
    expect(hold.mayClose(5000)).toBe(false);
    expect(hold.mayClose(5100)).toBe(true);
  });

  test('waits for the backlog to end, not for live readings', () => {
    const hold = new ClockHold(0);
    hold.connected(1000);
    hold.arrived(60_000, 1900);
    expect(hold.mayClose(2000)).toBe(false);
    hold.arrived(20, 2350);
    expect(hold.mayClose(2399)).toBe(false);
    expect(hold.mayClose(2400)).toBe(true);
    hold.arrived(60_000, 2500);
    expect(hold.mayClose(2501)).toBe(true);
  });

  test('streams that are always late do not hold it for ever', () => {
    const hold = new ClockHold(0);
    hold.connected(1000);
    for (let t = 1000; t < 16_000; t += 100) {
      hold.arrived(300_000, t);
      expect(hold.mayClose(t)).toBe(false);
    }
    expect(hold.mayClose(16_000)).toBe(true);
  });
});
