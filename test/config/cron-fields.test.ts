import { createTask, validate } from 'node-cron';
import { describe, expect, it } from 'vitest';
import { cronMatches, everComes, parseCron } from '../../src/config/cron-fields.ts';

const MINUTE = 60_000;
const START = Date.parse('2024-02-26T00:00Z');

const EXPRESSIONS = [
  '* * * * *',
  '17 3 * * *',
  '*/7 */5 * * *',
  '3-50/11,59 0,12,23 * * *',
  '0 6 29 2 *',
  '0 0 1-7 * 1',
  '0 12 * 3-5/2 0',
  '0 12 * * 7',
  '30 1 * * 5-7',
  '30 1 * * */2',
  '30 1 */10 * 1,3,7',
];

describe('cron fields', () => {
  it.each(EXPRESSIONS)('%s means what it means to node-cron', (expression) => {
    const fields = parseCron(expression)!;
    const other = createTask(expression, () => {}, { timezone: 'UTC' });
    const differing: string[] = [];
    // Every minute of four days around a leap day, then a coprime stride through two years.
    for (let i = 0; i < 4 * 1440 + 4000; i++) {
      const minutes = i < 4 * 1440 ? i : (i - 4 * 1440) * 263;
      const time = START + minutes * MINUTE;
      if (cronMatches(fields, time) !== other.match(new Date(time)))
        differing.push(new Date(time).toISOString());
    }
    expect(differing).toEqual([]);
  });

  it.each([
    '',
    '* * * *',
    '* * * * * *',
    '60 * * * *',
    '* 24 * * *',
    '* * 0 * *',
    '* * * 13 *',
    '* * * * 8',
    '5-3 * * * *',
    '*/0 * * * *',
    'a * * * *',
    '1- * * * *',
    '@daily',
  ])('%j is none', (text) => {
    expect(parseCron(text)).toBeNull();
  });

  it.each(['0 0 30 2 *', '0 0 31 4,6,9,11 *', '0 0 29 2 *', '0 0 31 1-12 *'])('%s: ever comes?', (text) => {
    expect(everComes(parseCron(text)!)).toBe(validate(text));
  });
});
