import { expect, test } from 'vitest';
import { Board } from '../../src/web/board.ts';
import { streamRow } from '../../src/web/wire.ts';
import { fakeForecast } from '../support/forecasts.ts';

test('a small chart has a gap where many buckets are missing, as after a backlog', () => {
  const board = new Board();
  const record = (second: number, observed: number) =>
    board.record(fakeForecast({ stream: 'a', originMs: 1000 * second, stepMs: 1000, observed }), 0);
  for (const [second, observed] of [
    [1, 10],
    [5, 11],
    [90, 12],
    [91, 13],
  ] as const)
    record(second, observed);
  const entry = board.get('a');
  expect(entry && streamRow(entry).spark).toEqual([10, 11, null, 12, 13]);
  for (let second = 200; second < 300; second += 2) record(second, second);
  expect(entry && streamRow(entry).spark).toHaveLength(40);
  expect(entry && streamRow(entry).spark.at(-1)).toBe(298);
});
