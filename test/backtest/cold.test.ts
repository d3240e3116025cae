/** Scores of new streams: by number of buckets seen, half of the series, and series. */
import { expect, it } from 'vitest';
import { COLD_COUNTS, type ColdPoint, coldReport, coldText } from '../../src/backtest/cold.ts';

const point = (series: number, isFirstHalf: boolean, count: number, isHeld: boolean): ColdPoint => ({
  series,
  isFirstHalf,
  count,
  lead: 1,
  past: new Float64Array(count),
  actual: isHeld ? 1 : 9,
  quantiles: Float64Array.from({ length: 9 }, (_, q) => q / 4),
  loss: isHeld ? 0.5 : 2,
});

it('are means over the series, for all slices, each half and each series', () => {
  const points = [
    ...[true, true, false].map((isHeld) => point(0, true, 4, isHeld)),
    point(0, false, 4, false),
    point(1, false, 4, true),
  ];
  const report = coldReport(points, ['a', 'b']);
  const at = COLD_COUNTS.indexOf(4);
  expect(report.cold[at]).toEqual({ count: 4, n: 5, coverage: 0.75, sql: (1.25 + 0.5) / 2 });
  expect(report.firstHalf[at]).toMatchObject({ n: 3, coverage: 2 / 3 });
  expect(report.secondHalf[at]).toMatchObject({ n: 2, coverage: 0.5 });
  expect(report.series.map(({ name, scores }) => [name, scores[at]?.coverage])).toEqual([
    ['a', 0.5],
    ['b', 1],
  ]);
  const lines = coldText(report).split('\n');
  expect(lines.find((line) => line.startsWith('4 '))).toMatch(
    /5 +75\.0 % +0\.875 +66\.7 % +1\.000 +50\.0 % +1\.250$/,
  );
  expect(lines.find((line) => line.startsWith('a '))).toMatch(/^a( +-){2} +50\.0 %( +-){5}$/);
  // Without a forecast there is no score.
  expect(lines.find((line) => line.startsWith('1 '))).toMatch(/^1 +0( +-){6}$/);
});
