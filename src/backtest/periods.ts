/** Scores by week or month: shows whether a forecast that is better on the whole was worse for a while. */
import type { Grid, Played } from './play.ts';
import { historyErrors, type Score, scoreSeries } from './score.ts';

export const PERIODS = ['week', 'month'] as const;
export type Period = (typeof PERIODS)[number];

/** SQL of one series over the forecasts of one period. */
export interface PeriodScore {
  readonly series: string;
  /** Start of the period, UTC. */
  readonly startMs: number;
  readonly n: number;
  readonly published: number;
  readonly naive: number;
  readonly seasonal: number;
  /** Without fine-tuning; null if there was none. */
  readonly untuned: number | null;
}

/** A period counts as worse if its loss is above this multiple of the best of the others. */
const TOLERATED = 1.01;
const DAY_MS = 86_400_000;
/** The first Monday after the epoch. */
const MONDAY_MS = 4 * DAY_MS;

/** Start of the period that contains a time, UTC; weeks start on Monday. */
export function periodStart(timeMs: number, period: Period): number {
  const date = new Date(timeMs);
  if (period === 'month') return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
  const week = 7 * DAY_MS;
  return MONDAY_MS + Math.floor((timeMs - MONDAY_MS) / week) * week;
}

/**
 * @param untuned the forecasts of the same run without fine-tuning; null if there was none
 * @returns one score per period with scored readings, in time order
 */
export function scoreByPeriod(
  grid: Grid,
  played: readonly Played[],
  untuned: readonly Played[] | null,
  horizon: number,
  firstEvaluated: number,
  period: Period,
): PeriodScore[] {
  const errors = historyErrors(grid, horizon, firstEvaluated);
  const score = (list: readonly Played[]): Score => scoreSeries(grid, list, horizon, firstEvaluated, errors);
  const split = (list: readonly Played[]): Map<number, Played[]> => {
    const parts = new Map<number, Played[]>();
    for (const one of list) {
      // A forecast belongs to the period of its first bucket.
      const start = periodStart(grid.startMs + (one.origin + 1) * grid.intervalMs, period);
      const part = parts.get(start);
      if (part === undefined) parts.set(start, [one]);
      else part.push(one);
    }
    return parts;
  };
  const without = untuned === null ? null : split(untuned);
  return [...split(played)]
    .sort(([a], [b]) => a - b)
    .flatMap(([startMs, list]) => {
      const { n, sql, skillNaive, skillSeasonal } = score(list);
      if (n === 0) return [];
      const other = without === null ? null : score(without.get(startMs) ?? []).sql;
      return [
        {
          series: grid.name,
          startMs,
          n,
          published: sql,
          naive: sql / (1 - skillNaive),
          seasonal: sql / (1 - skillSeasonal),
          untuned: other,
        },
      ];
    });
}

/** Loss relative to the best of the other forecasts: above 1 if another one was better. */
export function againstBest({ published, naive, seasonal, untuned }: PeriodScore): number {
  const best = Math.min(...[naive, seasonal, untuned ?? Infinity].filter((one) => !Number.isNaN(one)));
  return published === 0 ? 0 : published / best;
}

/** The table: geometric means over the series of each period, and the periods in which another forecast was better. */
export function periodText(scores: readonly PeriodScore[], period: Period): string {
  const byStart = new Map<number, PeriodScore[]>();
  for (const one of scores) byStart.set(one.startMs, [...(byStart.get(one.startMs) ?? []), one]);
  const tuned = scores.some(({ untuned }) => untuned !== null);
  const cell = (text: string): string => text.padStart(12);
  const head = ['n', 'SQL', 'naive', 'seasonal', ...(tuned ? ['not tuned'] : []), 'to best', 'worst'];
  const lines = [`${period.padEnd(12)}${head.map(cell).join('')}`];
  for (const [startMs, rows] of [...byStart].sort(([a], [b]) => a - b)) {
    const worst = Math.max(...rows.map(againstBest));
    const means = [
      geometric(rows.map((one) => one.published)),
      geometric(rows.map((one) => one.naive)),
      geometric(rows.map((one) => one.seasonal)),
      ...(tuned ? [geometric(rows.map((one) => one.untuned ?? Number.NaN))] : []),
      geometric(rows.map(againstBest)),
      worst,
    ];
    const n = rows.reduce((sum, one) => sum + one.n, 0);
    lines.push(
      `${new Date(startMs).toISOString().slice(0, 10).padEnd(12)}${[String(n), ...means.map((one) => one.toFixed(3))].map(cell).join('')}`,
    );
  }
  const worse = scores.filter((one) => againstBest(one) > TOLERATED);
  const percent = (100 * (TOLERATED - 1)).toFixed(0);
  lines.push(
    '',
    `Series and ${period}s more than ${percent} % worse than the best of the others: ${worse.length} of ${scores.length}.`,
    'SQL and the others: geometric means over the series. to best: ratio of the SQL to that of the best other forecast of the same series, geometric mean; worst: the largest.',
  );
  return lines.join('\n');
}

/** Zeros count as very small, so that one does not decide the mean. */
function geometric(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, one) => sum + Math.log(Math.max(1e-9, one)), 0) / values.length);
}
