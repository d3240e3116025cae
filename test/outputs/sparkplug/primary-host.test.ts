import { expect, test } from 'vitest';
import { PrimaryHost } from '../../../src/outputs/sparkplug/primary-host.ts';

const NOW = Date.UTC(2025, 0, 1);
const DAY = 86_400_000;
const state = (online: boolean, timestamp: number | string): Buffer =>
  Buffer.from(`{"online": ${online}, "timestamp": ${timestamp}}`);

test('a time stamp far ahead of the clock is ignored, and does not make later ones older', () => {
  const host = new PrimaryHost('scada');
  for (const absurd of ['1e999', '1e308', 2 ** 53, -1])
    expect(host.receive(state(true, absurd), NOW), String(absurd)).toBe('invalid');
  for (const ahead of [2 ** 53 - 1, NOW + 2 * DAY]) {
    expect(host.receive(state(true, ahead), NOW), String(ahead)).toBe('ahead');
    expect(host.receive(state(false, ahead), NOW), String(ahead)).toBe('ahead');
  }
  expect(host.receive(state(true, NOW - 5), NOW)).toBe('online');
  expect(host.receive(state(false, 2 ** 53 - 1), NOW)).toBe('ahead');
  // The rule of the specification, also for a host whose clock is less than a day ahead.
  expect(host.receive(state(true, NOW + DAY), NOW)).toBe('unchanged');
  expect(host.receive(state(false, NOW), NOW)).toBe('older');
  expect(host.receive(state(false, NOW + DAY), NOW)).toBe('offline');
});

test('while the clock is not set, every time stamp counts until the clock is set', () => {
  const host = new PrimaryHost('scada');
  expect(host.receive(state(true, 2 ** 53 - 1), null)).toBe('online');
  expect(host.receive(state(false, NOW), null)).toBe('older');
  expect(host.receive(state(false, NOW), NOW)).toBe('offline');
});
