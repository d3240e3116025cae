import { describe, expect, it } from 'vitest';
import { nextDue, parseCron } from '../../src/training/cron.ts';

const at = (text: string) => Date.parse(`${text}Z`);
const next = (cron: string, after: string) => {
  const due = nextDue(parseCron(cron), at(after));
  return due === null ? null : new Date(due).toISOString().slice(0, 16);
};

describe('nextDue', () => {
  it.each([
    ['17 3 * * *', '2024-05-01T03:16:59', '2024-05-01T03:17'],
    ['17 3 * * *', '2024-05-01T03:17:00', '2024-05-02T03:17'],
    ['*/15 * * * *', '2024-05-01T10:14', '2024-05-01T10:15'],
    ['5/20 8-10 * * *', '2024-05-01T08:06', '2024-05-01T08:25'],
    ['0 0 1 1 *', '2024-05-01T00:00', '2025-01-01T00:00'],
    ['0 0 29 2 *', '2024-02-29T00:00', '2028-02-29T00:00'],
    ['30 6 * * 1-5', '2024-05-03T07:00', '2024-05-06T06:30'],
    ['0 12 * * 7', '2024-05-01T00:00', '2024-05-05T12:00'],
    ['0 0 13 * 5', '2024-05-01T00:00', '2024-05-03T00:00'],
    ['59 23 31 12 *', '2024-12-31T23:59', '2025-12-31T23:59'],
    ['1,2,3 * * * *', '2024-05-01T00:02', '2024-05-01T00:03'],
  ])('%s after %s is %s', (cron, after, due) => {
    expect(next(cron, after)).toBe(due);
  });

  it('knows days that never come', () => {
    expect(next('0 0 30 2 *', '2024-01-01T00:00')).toBeNull();
  });
});

describe('parseCron', () => {
  it.each([
    '',
    '* * * *',
    '60 * * * *',
    '* 24 * * *',
    '* * 0 * *',
    '* * * 13 *',
    '* * * * 8',
    '5-2 * * * *',
    '*/0 * * * *',
    'a * * * *',
    '@daily',
    '1,,2 * * * *',
  ])('refuses %j', (text) => {
    expect(() => parseCron(text)).toThrow(/no cron expression/);
  });
});
