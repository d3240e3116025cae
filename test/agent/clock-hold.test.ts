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

  test('lets go soon after the broker has answered the subscriptions', () => {
    const hold = new ClockHold(0);
    hold.connected(1000);
    expect(hold.mayClose(1900)).toBe(false);
    hold.answered(2000);
    expect(hold.mayClose(2249)).toBe(false);
    expect(hold.mayClose(2250)).toBe(true);
  });

  test('does not wait for ever for a broker that never answers', () => {
    const hold = new ClockHold(0);
    hold.connected(1000);
    expect(hold.mayClose(3999)).toBe(false);
    expect(hold.mayClose(4000)).toBe(true);
  });

  test('waits for the backlog to end, not for live readings', () => {
    const hold = new ClockHold(0);
    hold.connected(1000);
    hold.answered(1100);
    hold.arrived(60_000, 1340);
    expect(hold.mayClose(1400)).toBe(false);
    hold.arrived(60_000, 1700);
    hold.arrived(20, 2150);
    expect(hold.mayClose(2199)).toBe(false);
    expect(hold.mayClose(2200)).toBe(true);
    hold.arrived(60_000, 2300);
    expect(hold.mayClose(2301)).toBe(true);
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
