/** Fan charts: past readings, the forecast, and the readings that followed. */
import {
  axes,
  bandPath,
  type Frame,
  linear,
  linePath,
  niceTicks,
  numberText,
  svg,
  timeTicks,
} from '../../plot/svg.ts';
import { MEDIAN, Q, quantileLoss } from '../../quantiles.ts';
import type { Grid, Played } from '../play.ts';

interface ChosenForecast {
  readonly name: 'typical' | 'poor' | 'newest';
  readonly played: Played;
}

/** Mean quantile loss of one forecast; NaN without readings to compare. */
export function lossOf({ actual }: Grid, { origin, quantiles }: Played): number {
  let sum = 0;
  let n = 0;
  for (let k = 1; k * Q <= quantiles.length; k++) {
    const y = actual[origin + k];
    if (y === undefined || Number.isNaN(y)) continue;
    sum += quantileLoss(y, quantiles, (k - 1) * Q);
    n++;
  }
  return n > 0 ? sum / n : Number.NaN;
}

/**
 * Chooses the forecasts to show: the one of median loss, the one at the 90th percentile of loss, and the newest. Fewer if
 * these coincide.
 */
export function chooseForecasts(grid: Grid, played: readonly Played[]): ChosenForecast[] {
  const scored = played
    .map((one) => ({ one, loss: lossOf(grid, one) }))
    .filter(({ loss }) => !Number.isNaN(loss))
    .sort((a, b) => a.loss - b.loss)
    .map(({ one }) => one);
  if (scored.length === 0) return [];
  const at = (share: number): Played => scored[Math.floor(share * (scored.length - 1))];
  const newest = scored.reduce((a, b) => (b.origin > a.origin ? b : a));
  const picks: ChosenForecast[] = [
    { name: 'typical', played: at(0.5) },
    { name: 'poor', played: at(0.9) },
    { name: 'newest', played: newest },
  ];
  return picks.filter((pick, i) => picks.findIndex(({ played: other }) => other === pick.played) === i);
}

const FRAME: Frame = { width: 380, height: 210, left: 50, right: 8, top: 8, bottom: 24 };
/** Columns of the chart; in each, the lowest and highest reading are drawn, so that no spike is lost. */
const COLUMNS = 110;
const MOST_LEADS = 72;

export function fanChart(grid: Grid, { played, name }: ChosenForecast): string {
  const { origin, quantiles } = played;
  const leads = quantiles.length / Q;
  const from = Math.max(0, origin + 1 - Math.max(24, Math.min(2 * leads, 288)));
  const until = Math.min(grid.actual.length - 1, origin + leads);
  const timeOf = (bucket: number): number => grid.startMs + bucket * grid.intervalMs;
  const seen = grid.actual.subarray(from, until + 1);
  const shown = thinned(leads);
  const level = (k: number, q: number): number => quantiles[(k - 1) * Q + q];
  const [low, high] = range(seen, quantiles);
  const x = linear(from, origin + leads, FRAME.left, FRAME.width - FRAME.right);
  const y = linear(low, high, FRAME.height - FRAME.bottom, FRAME.top);

  const known = grid.actual[origin];
  const start = Number.isNaN(known) ? [] : [origin];
  const xs = [...start, ...shown.map((k) => origin + k)].map(x);
  const line = (q: number): number[] => [...start.map(() => y(known)), ...shown.map((k) => y(level(k, q)))];
  const band = (name: string, a: number, b: number): string =>
    `<path class="${name}" d="${bandPath(xs, line(a), line(b))}"/>`;
  const time = timeTicks(timeOf(from), timeOf(origin + leads), 5);
  const content = [
    axes(
      FRAME,
      time.map(({ at, label }) => ({ at: x((at - grid.startMs) / grid.intervalMs), label })),
      niceTicks(low, high, 4).map((at) => ({ at: y(at), label: numberText(at) })),
    ),
    band('outer', 0, Q - 1),
    band('inner', 2, Q - 3),
    `<path class="median" d="${linePath(xs.map((at, i) => [at, line(MEDIAN)[i]] as const))}"/>`,
    `<path class="now" d="M${x(origin).toFixed(1)} ${FRAME.top}V${FRAME.height - FRAME.bottom}"/>`,
    `<path class="observed" d="${linePath(envelope(grid.actual, from, until, x, y))}"/>`,
  ];
  const made = new Date(timeOf(origin)).toISOString().replace('.000Z', 'Z');
  return svg(FRAME, `${grid.name}, ${name} forecast, made ${made}`, content.join(''));
}

/** Leads to draw: all, or evenly spaced ones including the first and the last. */
function thinned(leads: number): number[] {
  const n = Math.min(leads, MOST_LEADS);
  return Array.from({ length: n }, (_, i) => (n === 1 ? 1 : 1 + Math.round((i * (leads - 1)) / (n - 1))));
}

function range(seen: Float64Array, quantiles: Float64Array): [low: number, high: number] {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const values of [seen, quantiles]) {
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  const room = high > low ? 0.06 * (high - low) : Math.max(1e-9, 0.1 * Math.abs(high) || 1);
  return [low - room, high + room];
}

/** Points of the readings: of each column the lowest and highest in order of time, NaN for an empty column. */
function envelope(
  actual: Float64Array,
  from: number,
  until: number,
  x: (bucket: number) => number,
  y: (value: number) => number,
): (readonly [number, number])[] {
  const width = Math.max(1, Math.ceil((until - from + 1) / COLUMNS));
  const points: (readonly [number, number])[] = [];
  for (let column = from; column <= until; column += width) {
    let least = -1;
    let most = -1;
    for (let i = column; i < Math.min(column + width, until + 1); i++) {
      if (Number.isNaN(actual[i])) continue;
      if (least < 0 || actual[i] < actual[least]) least = i;
      if (most < 0 || actual[i] > actual[most]) most = i;
    }
    if (least < 0) points.push([x(column), Number.NaN]);
    else
      for (const i of least === most ? [least] : [Math.min(least, most), Math.max(least, most)])
        points.push([x(i), y(actual[i])]);
  }
  return points;
}
