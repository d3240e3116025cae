/**
 * Makes src/forecast/young-table.ts: what sensors change by, by unit, level, step and lead, and how forecasts of young streams are
 * mixed from that and from what experts and network say. Learnt from many starts of the series of the training sets.
 *
 *   tsx test/bench/cold.ts --sets models/base.sets.yaml [--without SET,SET] [--points FILE]
 *
 * `--points` keeps what was played, so that another table is made from it at once.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { COLD_COUNTS, playCold } from '../../src/backtest/cold.ts';
import { openModel } from '../../src/backtest/run.ts';
import { seasonOf, seriesScale } from '../../src/backtest/score.ts';
import { readSets, seriesOfSet } from '../../src/cli/train/data.ts';
import { Engine } from '../../src/forecast/engine.ts';
import { PRIOR_GROUPS, type PriorGroup, priorGroup, priorUnit } from '../../src/forecast/prior-unit.ts';
import {
  INNER,
  LAGS,
  MEDIAN_SHARE,
  MIXTURE,
  WIDTH_KNOTS,
  WIDTH_SHARE,
  WIDTHS,
  YOUNG_COUNTS,
  Young,
  type YoungTable,
} from '../../src/forecast/young.ts';
import { ModelRegistry } from '../../src/model/registry.ts';
import { MEDIAN, Q } from '../../src/quantiles.ts';
import { Line } from '../../src/series/line.ts';

/** Leads that are looked at. */
const LEADS = [1, 2, 4, 8, 16, 24, 48, 96];
const SLICES = 10;
const MOST_BUCKETS = 128;
/** Shares of the network's median and width, for each of YOUNG_COUNTS: the best of a few on the training sets. */
const MEDIAN_SHARES = [0, 0, 0.5, 0.5, 1, 1, 1, 1];
const WIDTH_SHARES = [0, 0, 0.1, 0.25, 0.5, 0.75, 0.75, 0.75];
/** Share of readings to be held: more than 0.8, because series of other sets are less alike. Less at first, where it costs most. */
const HELD = [0.78, 0.8, 0.82, 0.84, 0.84, 0.84, 0.83, 0.82];
/** The prior is this quantile of the size of changes. */
const USUAL = 0.6;
/** Where a series does not move, its changes are this share of its scale. */
const LEAST = 1e-5;

/** Of units that no training set has: batteries and mains change by half a percent in an hour. */
const BY_HAND: Partial<Record<PriorGroup, readonly [number, number]>> = { V: [-3.2, 0] };

/** Columns of the training sets whose unit is known; any other has none. */
function unitOf(set: string, column: string): string | null {
  const name = column.toLowerCase();
  if (set === 'home-power') return 'W';
  if (set === 'noaa-coops-alaska') return '°C';
  if (set === 'metro-traffic') return name === 'temp' ? 'K' : name === 'clouds_all' ? '%' : null;
  if (set.startsWith('nab') || set === 'bike-sharing' || name === 'humidityratio') return null;
  if (/temp|^t\d?$|^t_out$|^tdewpoint$|^dewp$/.test(name)) return '°C';
  if (/^rh(?:_\w+)?$|humidity|humedad/.test(name)) return '%';
  if (name === 'pres') return 'hPa';
  if (name === 'press_mm_hg') return 'mmHg';
  if (/^(?:pm.*|so2|no2|o3|co|c6h6\(gt\)|nox\(gt\)|no2\(gt\))$/.test(name)) return 'µg/m³';
  if (name.includes('co2')) return 'ppm';
  if (name.includes('light') && name !== 'lights') return 'lx';
  if (/piranometro|diffuse/.test(name)) return 'W/m²';
  if (/wind|^wspm$|viento/.test(name)) return 'm/s';
  if (name.includes('power')) return 'kW';
  return null;
}

interface Series {
  readonly set: string;
  readonly unit: string | null;
  readonly intervalMs: number;
  readonly scale: number;
}
/** One forecast of one lead, without what this file makes. */
interface Point {
  readonly series: number;
  readonly count: number;
  readonly lead: number;
  readonly past: readonly number[];
  readonly actual: number;
  readonly low: number;
  readonly median: number;
  readonly high: number;
}

async function played(setsFile: string): Promise<{ series: Series[]; points: Point[] }> {
  // What is learnt here is left out of what it is learnt from.
  Young.prototype.mix = () => true;
  const { model } = openModel({ registry: new ModelRegistry(null), model: 'base' } as never);
  const engine = new Engine(model);
  const series: Series[] = [];
  const points: Point[] = [];
  for (const set of readSets(setsFile)) {
    for (const one of seriesOfSet({ ...set, flip: 0, hasten: 0, places: 1, horizons: [24, 48, 60, 96] })) {
      const { intervalMs, startMs, values } = one;
      const grid = { name: one.name, startMs, intervalMs, actual: values };
      const column = one.name.slice(set.name.length + 1, one.name.lastIndexOf('@'));
      const scale = seriesScale(grid, seasonOf(intervalMs, values.length));
      const at = series.push({ set: set.name, unit: unitOf(set.name, column), intervalMs, scale }) - 1;
      const options = {
        intervalMs,
        horizon: one.leads,
        start: 0,
        stride: 1,
        fill: 'model',
        aggregate: 'mean',
        maxGapMs: 5 * intervalMs,
        timeZone: 'UTC',
        min: null,
        max: null,
      } as const;
      const keep: Parameters<typeof playCold>[3] = ({ count, lead, past, actual, quantiles }) => {
        if (!LEADS.includes(lead)) return;
        const [low, median, high] = [quantiles[0]!, quantiles[MEDIAN]!, quantiles[Q - 1]!];
        points.push({ series: at, count, lead, past: [...past], actual, low, median, high });
      };
      await playCold(engine, [grid], options, keep, SLICES);
    }
    process.stderr.write(`${set.name}: ${series.length} series, ${points.length} forecasts\n`);
  }
  await engine.release();
  return { series, points };
}

/** Solves a x = b, symmetric and positive; both are worked in. */
function solve(a: number[][], b: number[]): number[] {
  const n = b.length;
  for (let i = 0; i < n; i++) {
    for (let r = i + 1; r < n; r++) {
      const factor = a[r]![i]! / a[i]![i]!;
      for (let c = i; c < n; c++) a[r]![c]! -= factor * a[i]![c]!;
      b[r]! -= factor * b[i]!;
    }
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let c = i + 1; c < n; c++) b[i]! -= a[i]![c]! * b[c]!;
    b[i]! /= a[i]![i]!;
  }
  return b;
}

/** Linear regression of a quantile, by weighted least squares again and again (Schlossmacher 1973). */
function quantileRegression(
  x: readonly number[][],
  y: readonly number[],
  weight: readonly number[],
  level: number,
  ridge: readonly number[],
): number[] {
  const n = ridge.length;
  const total = weight.reduce((sum, w) => sum + w, 0);
  let beta = new Array<number>(n).fill(0);
  beta[0] = y.reduce((sum, one, i) => sum + one * weight[i]!, 0) / total;
  for (let turn = 0; turn < 50; turn++) {
    const a = ridge.map((own, i) => ridge.map((_, j) => (i === j ? own * total : 0)));
    const b = new Array<number>(n).fill(0);
    for (const [p, row] of x.entries()) {
      let residual = y[p]!;
      for (let i = 0; i < n; i++) residual -= row[i]! * beta[i]!;
      const w = ((residual >= 0 ? level : 1 - level) * weight[p]!) / Math.max(0.05, Math.abs(residual));
      for (let i = 0; i < n; i++) {
        if (row[i] === 0) continue;
        b[i]! += w * row[i]! * y[p]!;
        for (let j = i; j < n; j++) a[i]![j]! += w * row[i]! * row[j]!;
      }
    }
    for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) a[i]![j] = a[j]![i]!;
    beta = solve(a, b);
  }
  return beta;
}

function weightedQuantile(values: readonly number[], weight: readonly number[], level: number): number {
  const order = values.map((_, i) => i).sort((a, b) => values[a]! - values[b]!);
  const total = weight.reduce((sum, w) => sum + w, 0);
  let sum = 0;
  for (const i of order) {
    sum += weight[i]!;
    if (sum >= level * total) return values[i]!;
  }
  return values[order.at(-1)!]!;
}

/** Series of a set count the same together, by a power of how many there are; points of a series likewise. */
function weights(series: readonly Series[], points: readonly Point[], power: number): number[] {
  const ofSeries = new Map<number, number>();
  for (const { series: s } of points) ofSeries.set(s, (ofSeries.get(s) ?? 0) + 1);
  const ofSet = new Map<string, number>();
  for (const s of ofSeries.keys()) ofSet.set(series[s]!.set, (ofSet.get(series[s]!.set) ?? 0) + 1);
  return points.map((p) => 1 / ofSeries.get(p.series)! / ofSet.get(series[p.series]!.set)! ** power);
}

function tableFrom(series: readonly Series[], points: readonly Point[]): YoungTable {
  const first = points.filter(({ count }) => count === 1);
  const w = weights(series, first, 0.5);
  const rows: number[][] = [];
  const targets: number[] = [];
  const counted: number[] = [];
  for (const [i, { series: s, lead, past, actual }] of first.entries()) {
    const { intervalMs, unit: name, scale } = series[s]!;
    const value = past.at(-1)!;
    const change = Math.abs(actual - value) + 1e-9 * Math.abs(value) + LEAST * scale;
    // Each counts as a sensor of its unit, and by half as one whose unit nobody has told.
    for (const unit of new Set([priorUnit(name), null])) {
      const size = unit === null ? Math.abs(value) : Math.abs(unit.scale * (value - unit.zero));
      const [lag, step] = [Math.log(lead), Math.log(intervalMs / 1000)];
      // In proportion to the level where no unit says otherwise, so that a stream is forecast alike in any unit.
      const level = size === 0 ? 0 : Math.log(size);
      const group = unit === null ? -1 : priorGroup(unit);
      const own = PRIOR_GROUPS.flatMap((_, g) =>
        g === group ? [1, Math.log(Math.max(0.01, size))] : [0, 0],
      );
      rows.push([1, size === 0 ? 1 : 0, lag, step, lag * lag, lag * step, ...own]);
      targets.push(Math.log(change * (unit?.scale ?? 1)) - level);
      counted.push(unit === null ? (priorUnit(name) === null ? 1.5 : 0.5) * w[i]! : w[i]!);
    }
  }
  const ridge = [0, 0, 0, 0, 0, 0].map(() => 1e-6).concat(PRIOR_GROUPS.flatMap(() => [1e-4, 1e-4]));
  const beta = quantileRegression(rows, targets, counted, USUAL, ridge);
  const rounded = beta.map((one) => Number(one.toFixed(3)));
  const units = PRIOR_GROUPS.flatMap((group, g) => BY_HAND[group] ?? rounded.slice(6 + 2 * g, 8 + 2 * g));
  const table = { prior: [rounded[0]!, 1, ...rounded.slice(1, 6)], units };
  const mixtures = YOUNG_COUNTS.flatMap((count, c) =>
    mixture(
      series,
      points.filter((point) => point.count === count),
      { ...table, mixtures: [] },
      c,
    ),
  );
  return { ...table, mixtures };
}

/** How forecasts after a number of buckets are mixed. */
function mixture(
  series: readonly Series[],
  points: readonly Point[],
  table: YoungTable,
  c: number,
): number[] {
  const medianShare = MEDIAN_SHARES[c]!;
  const widthShare = WIDTH_SHARES[c]!;
  const w = weights(series, points, 1);
  const change = new Float64Array(LAGS.length);
  const line = new Line();
  let of: { past: readonly number[]; series: number } | null = null;
  /** Logarithm of how much larger an error is than what the stream is expected to change by. */
  const ratios = points.map((point) => {
    const { past, median, low, high, actual, lead } = point;
    const known = [...past];
    for (let i = 1; i < known.length; i++) if (Number.isNaN(known[i])) known[i] = known[i - 1]!;
    if (of === null || of.series !== point.series || of.past !== past) {
      const { intervalMs, unit } = series[point.series]!;
      const young = new Young(intervalMs, unit, false, undefined, table);
      const steps = known.length;
      const history = { steps, reach: steps - 1, at: (lag: number) => known[steps - 1 - lag]! };
      young.usualChanges(history, line, change);
      of = { past, series: point.series };
    }
    const doublings = Math.min(LAGS.length - 1, Math.log2(lead));
    const below = Math.min(LAGS.length - 2, Math.floor(doublings));
    const usual = change[below]! + (doublings - below) * (change[below + 1]! - change[below]!);
    const last = known.at(-1)!;
    const middle = last + medianShare * (median - last);
    const half = Math.log(Math.max(actual < middle ? median - low : high - median, 1e-3 * Math.exp(usual)));
    const error = Math.abs(actual - middle) + 1e-12 + 1e-9 * Math.abs(actual);
    return Math.log(error) - usual - widthShare * (half - usual);
  });
  const widths = Array.from({ length: WIDTH_KNOTS }, (_, knot) => {
    const chosen = points.flatMap(({ lead }, i) => (Math.ceil(Math.log2(lead)) === knot ? [i] : []));
    if (chosen.length < 30) return Number.NaN;
    return weightedQuantile(
      chosen.map((i) => ratios[i]!),
      chosen.map((i) => w[i]!),
      HELD[c]!,
    );
  });
  for (let k = 1; k < WIDTH_KNOTS; k++) if (Number.isNaN(widths[k])) widths[k] = widths[k - 1]!;
  const smooth = widths.map((own, k) => {
    const [before, after] = [widths[Math.max(0, k - 1)]!, widths[Math.min(WIDTH_KNOTS - 1, k + 1)]!];
    return 0.25 * before + 0.5 * own + 0.25 * after;
  });
  const beyond = points.map(({ lead }, i) => {
    const knot = Math.min(WIDTH_KNOTS - 1, Math.log2(lead));
    const low = Math.min(WIDTH_KNOTS - 2, Math.floor(knot));
    return ratios[i]! - (smooth[low]! + (knot - low) * (smooth[low + 1]! - smooth[low]!));
  });
  // Quantiles between the median and the edge: shares of the half, no less than a third of a normal's.
  const inner = [0.2, 0.4, 0.6].map((level, i) => {
    const share = Math.exp(Math.min(0, weightedQuantile(beyond, w, (level * HELD[c]!) / 0.8)));
    return Math.max(share, [0.06, 0.12, 0.2][i]!);
  });
  const out = new Array<number>(MIXTURE).fill(0);
  out[MEDIAN_SHARE] = medianShare;
  out[WIDTH_SHARE] = widthShare;
  for (const [k, width] of smooth.entries()) out[WIDTHS + k] = width;
  for (const [i, share] of inner.entries()) out[INNER + i] = share;
  return out.map((one) => Number(one.toFixed(2)));
}

function write({ prior, units, mixtures }: YoungTable): void {
  const path = fileURLToPath(new URL('../../src/forecast/young-table.ts', import.meta.url));
  const rows = (list: readonly number[], width: number): string =>
    Array.from(
      { length: list.length / width },
      (_, i) => `    ${list.slice(i * width, (i + 1) * width).join(', ')},`,
    ).join('\n');
  writeFileSync(
    path,
    [
      '/** Made by `npx tsx test/bench/cold.ts`; see there. */',
      "import type { YoungTable } from './young.ts';",
      '',
      '// biome-ignore format: a row of numbers for each unit, and for each number of buckets seen',
      'export const YOUNG_TABLE: YoungTable = {',
      `  prior: [${prior.join(', ')}],`,
      `  units: [\n${rows(units, 2)}\n  ],`,
      `  mixtures: [\n${rows(mixtures, MIXTURE)}\n  ],`,
      '};',
      '',
    ].join('\n'),
  );
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { sets: { type: 'string' }, without: { type: 'string' }, points: { type: 'string' } },
  });
  if (COLD_COUNTS.some((count, i) => count !== YOUNG_COUNTS[i]) || Math.max(...COLD_COUNTS) !== MOST_BUCKETS)
    throw new Error('the counts differ');
  const { points: kept, sets = 'models/base.sets.yaml' } = values;
  const known = kept !== undefined && existsSync(kept);
  const all = known
    ? (JSON.parse(readFileSync(kept, 'utf8')) as Awaited<ReturnType<typeof played>>)
    : await played(sets);
  if (kept !== undefined && !known) writeFileSync(kept, JSON.stringify(all));
  const without = new Set(values.without?.split(','));
  write(
    tableFrom(
      all.series,
      all.points.filter(({ series }) => !without.has(all.series[series]!.set)),
    ),
  );
}

await main();
