/** The exit code of `npm run bench`: a regression, not a goal that was never met. */
import { expect, it } from 'vitest';
import { type Figure, keeps, table } from './report.ts';

const figure = (change: Partial<Figure>): Figure => ({
  what: 'cost',
  value: 268,
  unit: 'us',
  limit: null,
  lowerIsBetter: true,
  ...change,
});

it('a missed goal is printed, and is no regression; a missed limit is one', () => {
  const goal = figure({ limit: { side: 'most', value: 100, isGoal: true } });
  expect(keeps(goal)).toBe(true);
  expect(table([goal])).toMatch(/goal: at most 100 .*0.37x goal missed/);
  const limit = figure({ limit: { side: 'most', value: 100 } });
  expect(keeps(limit)).toBe(false);
  expect(table([limit])).toMatch(/0.37x MISSED/);
});

it('a ratio to a peer of the same run below its limit is a regression, also beside a goal', () => {
  const limit = { side: 'most', value: 100, isGoal: true } as const;
  const beside = (value: number) =>
    figure({ limit, peer: { name: 'loop', value, least: 0.75, record: 0.83 } });
  expect(keeps(beside(224))).toBe(true);
  expect(keeps(beside(200))).toBe(false);
  expect(table([beside(200)])).toMatch(/loop: 200, 0.75x \(recorded: 0.830x\) MISSED/);
});
