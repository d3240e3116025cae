/** The data of a chart as the columns that uPlot draws. Runs in the browser. */
import { isMasked } from './marks.client.js';

/** Columns of the data, in order, after the time. A band is drawn between two columns. */
export const COLUMNS = [
  { name: 'observed', stroke: 'observed', width: 1.8, auto: true },
  { name: 'rangeHigh', auto: true },
  { name: 'rangeLow', auto: true },
  { name: 'expectedHigh' },
  { name: 'expectedLow' },
  { name: 'p90', auto: true },
  { name: 'p10', auto: true },
  { name: 'p70', auto: true },
  { name: 'p30', auto: true },
  { name: 'p50', stroke: 'median', width: 2, auto: true },
  { name: 'pastHigh' },
  { name: 'pastLow' },
  { name: 'past', stroke: 'past', width: 1.5, auto: true },
];
const QUANTILES = ['p10', 'p30', 'p50', 'p70', 'p90'];

/**
 * Removes buckets that are both in the points and in the stored readings. If the stored readings have full resolution, the points
 * take precedence, and the store fills their gaps (of a backlog, only the newest bucket was forecast). If they are thinned, they
 * replace the points.
 */
export function withoutDoubles(data) {
  const { points, history, binMs, stepMs } = data;
  const last = points.at(-1);
  if (history.length === 0 || last === undefined) return data;
  if (binMs > stepMs) {
    const end = history.at(-1)[0] + binMs;
    return { ...data, points: points.filter((point) => point[0] >= end || point === last) };
  }
  const known = new Set(points.map(([time]) => time));
  return { ...data, history: history.filter(([time]) => time < last[0] && !known.has(time)) };
}

/**
 * Breaks columns wherever two of their values are further apart than `width`. uPlot ends a gap at the next row that is not null, so
 * all rows in between become null, also those that other columns have brought.
 * @param rows by time
 */
function breakAtGaps(rows, names, width) {
  const sorted = [...rows.values()].sort((a, b) => a.time - b.time);
  let last = -1;
  for (const [at, row] of sorted.entries()) {
    if (row[names[0]] == null) continue;
    if (last >= 0 && row.time - sorted[last].time > 1.5 * width) {
      const between = sorted.slice(last + 1, at);
      if (between.length === 0) between.push({ time: sorted[last].time + width });
      for (const one of between) {
        for (const name of names) one[name] = null;
        rows.set(one.time, one);
      }
    }
    last = at;
  }
}

/** Usual distance of two past forecasts, ms. */
function usualDistance(past, stepMs) {
  const distances = past.slice(1).map(([time], i) => time - past[i][0]);
  distances.sort((a, b) => a - b);
  return Math.max(stepMs, distances[distances.length >> 1] ?? 0);
}

/** Rows by time for uPlot: null breaks a line, undefined does not. */
export function columnsOf({ points, history, binMs, forecast, past, stepMs }) {
  const rows = new Map();
  const row = (time) => {
    const found = rows.get(time) ?? { time };
    rows.set(time, found);
    return found;
  };
  for (const [time, mean, low, high] of history)
    Object.assign(row(time), { observed: mean, rangeLow: low, rangeHigh: high });
  for (const point of points) {
    const [time, observed, low, p50, high] = point;
    const value = isMasked(point) ? null : observed;
    Object.assign(row(time), { observed: value, expectedLow: low, expectedHigh: high });
    // The fan begins at the newest reading, or at the value filled in for it.
    if (forecast && time === forecast.origin_ms) {
      const start = value ?? p50;
      if (start !== null) for (const name of QUANTILES) row(time)[name] = start;
    }
  }
  if (forecast)
    for (let k = 0; k < forecast.p50.length; k++)
      for (const name of QUANTILES) row(forecast.origin_ms + (k + 1) * stepMs)[name] = forecast[name][k];
  for (const [time, low, middle, high] of past)
    Object.assign(row(time), { past: middle, pastLow: low, pastHigh: high });
  const width = history.length > 0 ? Math.max(binMs, stepMs) : stepMs;
  breakAtGaps(rows, ['observed'], width);
  breakAtGaps(rows, ['rangeHigh', 'rangeLow'], width);
  // In a backlog only the newest bucket has a forecast; the readings of the others are from the store.
  breakAtGaps(rows, ['expectedHigh', 'expectedLow'], stepMs);
  breakAtGaps(rows, ['past', 'pastHigh', 'pastLow'], usualDistance(past, stepMs));
  const sorted = [...rows.values()].sort((a, b) => a.time - b.time);
  return [sorted.map(({ time }) => time), ...COLUMNS.map(({ name }) => sorted.map((one) => one[name]))];
}
