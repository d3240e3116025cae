import { expect, it } from 'vitest';
import { Backoff } from '../../src/mqtt/backoff.ts';
import { FakeClock } from '../support/fake-clock.ts';

it('doubles up to its bound', () => {
  const backoff = new Backoff(new FakeClock(), () => 0.999_999, 5000);
  expect(Array.from({ length: 5 }, () => Math.round(backoff.next()))).toEqual([1000, 2000, 4000, 5000, 5000]);
});

it('waits at least half, so that a random zero is no storm', () => {
  expect(new Backoff(new FakeClock(), () => 0, 5000).next()).toBe(500);
});

it('begins anew after a connection that lasted, not after one that flapped', () => {
  const clock = new FakeClock();
  const backoff = new Backoff(clock, () => 0.999_999, 60_000);
  backoff.next();
  backoff.next();
  backoff.connected();
  clock.advance(100);
  expect(Math.round(backoff.next())).toBe(4000);
  backoff.connected();
  clock.advance(9999);
  expect(Math.round(backoff.next())).toBe(8000);
  backoff.connected();
  clock.advance(10_000);
  expect(Math.round(backoff.next())).toBe(1000);
  clock.advance(60_000);
  expect(Math.round(backoff.next())).toBe(2000);
});
