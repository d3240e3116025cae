import { expect, it } from 'vitest';
import { Cron } from '../../src/agent/cron.ts';

const MINUTE = 60_000;
const at = (text: string): number => Date.parse(text);

it('is due once in its minute, in its zone, whenever it is asked within it', () => {
  const cron = new Cron('17 3 * * *', 'Europe/Berlin');
  const due: string[] = [];
  for (let time = at('2025-01-30T00:00:20Z'); time < at('2025-01-31T00:00Z'); time += 0.25 * MINUTE) {
    if (cron.due(time)) due.push(new Date(time).toISOString());
  }
  expect(due).toEqual(['2025-01-30T02:17:05.000Z']);
});

it('catches up on minutes between two looks, but not on a clock that was set', () => {
  const cron = new Cron('17 3 * * *', 'UTC');
  expect(cron.due(at('2025-01-30T03:10Z'))).toBe(false);
  expect(cron.due(at('2025-01-30T03:40Z'))).toBe(true);
  expect(cron.due(at('2025-01-30T03:41Z'))).toBe(false);
  expect(cron.due(at('2025-02-02T03:41Z'))).toBe(false);
});

it('is never due when it is off', () => {
  const cron = new Cron('off', 'UTC');
  for (let i = 0; i < 3000; i++) expect(cron.due(i * MINUTE)).toBe(false);
});

it("goes by the machine's own zone where that is asked for", () => {
  const cron = new Cron('17 3 * * *', 'local');
  const start = new Date(2025, 0, 30, 3, 16).getTime();
  expect([0, 1, 2].map((minutes) => cron.due(start + minutes * MINUTE))).toEqual([false, true, false]);
});
