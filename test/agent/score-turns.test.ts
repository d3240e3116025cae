import { expect, test } from 'vitest';
import { ScoreTurns } from '../../src/agent/reports.ts';
import { testSpec } from '../support/specs.ts';

const views = (count: number, bucketsSeen: number) => () =>
  Array.from({ length: count }, (_, i) => ({
    spec: testSpec(`s${i}`),
    intervalMs: 1000,
    horizonSteps: 10,
    bucketsSeen,
    lastObservedMs: null,
  }));

test('few streams: scores of those with new buckets are published every ten seconds', () => {
  const turns = new ScoreTurns();
  expect(turns.next(views(3, 1), 0)).toEqual(['s0', 's1', 's2']);
  expect(turns.next(views(3, 2), 9000)).toEqual([]);
  expect(turns.next(views(3, 1), 10_000)).toEqual([]);
  expect(turns.next(views(3, 2), 20_000)).toEqual(['s0', 's1', 's2']);
});

test('many streams: scores are published in turns, all within five minutes', () => {
  const turns = new ScoreTurns();
  const seen = new Set<string>();
  let most = 0;
  for (let second = 0; second < 300; second++) {
    const names = turns.next(views(9000, 1), second * 1000);
    most = Math.max(most, names.length);
    for (const name of names) seen.add(name);
  }
  expect(seen.size).toBe(9000);
  expect(most).toBe(30);
});
