/** Numbers and durations as the page writes them. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

interface Format {
  duration(seconds: number): string;
  interval(low: number, high: number): string;
  columnFormat(values: readonly number[]): (value: number | null) => string;
  evenFormat(values: readonly number[], apart: number): (value: number) => string;
  signedPercent(share: number): string;
  scheduleText(expression: string): string;
}
const source = readFileSync('src/web/format.client.js', 'utf8');
const address = `data:text/javascript,${encodeURIComponent(source)}`;
const { duration, interval, columnFormat, evenFormat, signedPercent, scheduleText }: Format = await import(
  /* @vite-ignore */ address
);

it.each([
  [0, '0 s'],
  [89.6, '90 s'],
  [90, '1 min 30 s'],
  [300, '5 min'],
  [4800, '80 min'],
  [9600, '2 h 40 min'],
  [9659, '2 h 41 min'],
  [43_200, '12 h'],
  [172_799, '48 h'],
  [176_400, '2 d 1 h'],
  [864_000, '10 d'],
])('%d seconds: %s', (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

it('leads of different steps have different names, up to a day of minutes', () => {
  const names = Array.from({ length: 1440 }, (_, k) => duration((k + 1) * 60));
  expect(new Set(names).size).toBe(1440);
});

it.each([
  [957.1, 1091.4, '957 – 1,091'],
  [21.04, 21.06, '21.04 – 21.06'],
  [21.041, 21.043, '21.041 – 21.043'],
  [-0.5, 3.25, '-0.5 – 3.25'],
  [5, 5, '5 – 5'],
])('an interval has the same precision at both ends: %d to %d', (low, high, text) => {
  expect(interval(low, high)).toBe(text);
});

it('numbers of a column have the same number of decimals', () => {
  const column = (values: number[]) => values.map(columnFormat(values));
  expect(column([30.14, 96, 127.12])).toEqual(['30.1', '96.0', '127.1']);
  expect(column([0.031, 0.5])).toEqual(['0.031', '0.500']);
  expect(column([1.5, 0, -2.25])).toEqual(['1.50', '0.00', '-2.25']);
  expect(column([])).toEqual([]);
  expect(columnFormat([1])(null)).toBe('–');
});

it('numbers of a forecast have the same number of decimals, enough to tell them apart', () => {
  const even = (values: number[], apart: number) => values.map(evenFormat(values, apart));
  expect(even([9.5, 12.345, 101.2], 1)).toEqual(['9.5', '12.3', '101.2']);
  expect(even([20, 20.004, 20.01], 0.001)).toEqual(['20.000', '20.004', '20.010']);
  expect(even([-0.0001, 0.5], 0)).toEqual(['0.000', '0.500']);
  expect(even([0.0002, 0.0004], 0)).toEqual(['2.00e-4', '4.00e-4']);
});

it('a share has a sign unless it is none', () => {
  expect([0.184, -0.012, 0.001, -0.001].map(signedPercent)).toEqual(['+18 %', '-1 %', '0 %', '0 %']);
});

it.each([
  ['17 3 * * *', 'every day at 03:17'],
  ['5 3,15 * * *', 'every day at 03:05, 15:05'],
  ['0 4 * * 1', 'every Monday at 04:00'],
  ['0 4 * * 3,7', 'every Wednesday, Sunday at 04:00'],
  ['30 2 1 * *', 'on day 1 of each month at 02:30'],
  ['0 */6 * * *', 'every 6 hours from 00:00 on'],
  ['20 * * * *', 'every hour, 20 min past'],
  ['*/15 * * * *', 'every 15 minutes'],
  ['off', 'off'],
])('the schedule %s in words: %s', (expression, text) => {
  expect(scheduleText(expression)).toBe(text);
});

it.each([
  '* * * * *',
  '*/7 * * * *',
  '0 */5 * * *',
  '0 3 L * *',
  '0 3 * * SUN#5',
  '0 3 1 * 1',
  '0 3 * 6 *',
  '*/15 2-4 * * *',
  '@daily',
])('the schedule %s stays as it is: words would be wrong or long', (expression) => {
  expect(scheduleText(expression)).toBe(expression);
});
