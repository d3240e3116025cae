import { describe, expect, it } from 'vitest';
import { InFlight } from '../../src/mqtt/in-flight.ts';
import { uniform } from '../support/random.ts';

describe('messages in flight', () => {
  it('are acknowledged in their order, whatever the order here, many at a time, and once each', () => {
    const random = uniform(3);
    const sent: number[] = [];
    const inFlight = new InFlight((packetId) => sent.push(packetId));
    const waiting: (() => void)[] = [];
    const expected: number[] = [];
    let most = 0;
    // Packet ids wrap around; more wait than the ring holds at first.
    for (let n = 0; n < 20_000; n++) {
      const packetId = ((n + 60_000) % 65_535) + 1;
      expected.push(packetId);
      waiting.push(inFlight.enter(packetId));
      most = Math.max(most, waiting.length);
      const waits = n % 5000 < 2500 ? 1500 : 3;
      while (waiting.length > waits) {
        const [acknowledge] = waiting.splice(Math.floor(random() * waiting.length), 1);
        acknowledge?.();
        if (random() < 0.1) acknowledge?.();
      }
    }
    expect(inFlight.acknowledged).toBeLessThanOrEqual(expected.length - waiting.length);
    expect(sent).toEqual(expected.slice(0, sent.length));
    for (const acknowledge of waiting) acknowledge();
    expect(sent).toEqual(expected);
    expect([inFlight.total, inFlight.acknowledged]).toEqual([expected.length, expected.length]);
    expect(inFlight.most).toBeGreaterThanOrEqual(most);
  });

  it('are counted: the most at once, until that is forgotten', () => {
    const inFlight = new InFlight(() => {});
    const waiting = [1, 2, 3, 4].map((packetId) => inFlight.enter(packetId));
    expect(inFlight.most).toBe(4);
    // The first one still waits, so none is acknowledged to the broker.
    waiting[2]?.();
    expect(inFlight.acknowledged).toBe(0);
    waiting[0]?.();
    expect(inFlight.acknowledged).toBe(1);
    waiting[1]?.();
    expect(inFlight.acknowledged).toBe(3);
    expect(inFlight.most).toBe(4);
    inFlight.forgetMost();
    expect(inFlight.most).toBe(1);
    inFlight.raiseMost(7);
    expect(inFlight.most).toBe(7);
  });
});
