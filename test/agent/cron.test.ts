import { createTask } from 'node-cron';
import { expect, it } from 'vitest';
import { Cron } from '../../src/agent/cron.ts';

const MINUTE = 60_000;
const at = (text: string): number => Date.parse(text);

it('is due once in its minute, in its time zone, whenever it is checked within that minute', () => {
  const cron = new Cron('17 3 * * *', 'Europe/Berlin');
  const due: string[] = [];
  for (let time = at('2025-01-30T00:00:20Z'); time < at('2025-01-31T00:00Z'); time += 0.25 * MINUTE) {
    if (cron.due(time)) due.push(new Date(time).toISOString());
  }
  expect(due).toEqual(['2025-01-30T02:17:05.000Z']);
});

it('catches up on minutes between two checks, but not after the clock was set', () => {
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

/** Every quarter of an hour around both changes of the clock, the end of a year and a leap day. */
const quarters = ['2024-02-28', '2024-12-31', '2025-03-29', '2025-10-25'].flatMap((day) =>
  Array.from({ length: 3 * 96 }, (_, i) => at(`${day}T00:00Z`) + 15 * i * MINUTE),
);

/** Hours that begin where the clocks of Berlin change: there node-cron misses runs and repeats them. */
const CHANGES = ['2025-03-30T01', '2025-10-26T01'];

it.each([
  ['30 2 * * *', 1, 1],
  ['0 2 L,29-30 3 *', 1, 0],
  ['15,45 1-3 * * *', 5, 6],
  ['0 3 * * *', 1, 1],
  ['30 * * * *', 23, 25],
])('where the clocks change, a run is neither missed nor repeated: %s', (expression, spring, autumn) => {
  /** From midnight to midnight in Berlin. */
  const runs = (from: string, to: string): number => {
    const cron = new Cron(expression, 'Europe/Berlin');
    let count = 0;
    for (let time = at(from); time < at(to); time += 0.25 * MINUTE) if (cron.due(time)) count++;
    return count;
  };
  expect(runs('2025-03-29T23:00Z', '2025-03-30T22:00Z')).toBe(spring);
  expect(runs('2025-10-25T22:00Z', '2025-10-26T23:00Z')).toBe(autumn);
});

it.each([
  '* * * * *',
  '*/15 2-4 * * *',
  '30 2 * * *',
  '0 3 1,29 * *',
  '15 1 * 2,3,10 sun',
  '45 23 31 12 *',
  '0 0 13 * 5',
  '0 4 * * 7',
  '30 22-3 * * mon-fri',
  '@daily',
])('is due when node-cron says so: %s', (expression) => {
  for (const timezone of ['UTC', 'Europe/Berlin', 'America/St_Johns', 'Asia/Kathmandu']) {
    const task = createTask(expression, () => {}, { timezone });
    const cron = new Cron(expression, timezone);
    const hourOf = (time: number) => new Date(time).toISOString().slice(0, 13);
    for (const time of quarters) {
      if (expression !== '* * * * *' && timezone === 'Europe/Berlin' && CHANGES.includes(hourOf(time)))
        continue;
      cron.due(time - MINUTE);
      expect([time, cron.due(time)]).toEqual([time, task.match(new Date(time))]);
    }
  }
});
