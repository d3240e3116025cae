/**
 * Makes src/forecast/young-table.ts: what sensors change by, by unit, level, step and lead, and how forecasts of young streams are
 * mixed from that and from what experts and network say. Learnt from many starts of the series of the training sets.
 *
 *   tsx test/bench/cold.ts --sets models/base.sets.yaml [--without SET,SET] [--points FILE] [--out FILE]
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
import {
  PRIOR_GROUPS,
  type PriorGroup,
  priorGroup,
  priorUnit,
  quantityOf,
} from '../../src/forecast/prior-unit.ts';
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
const MEDIAN_SHARES = [0, 0.5, 1, 1, 1, 1, 1, 1];
const WIDTH_SHARES = [0, 0.1, 0.1, 0.4, 0.6, 0.75, 0.75, 0.75];
/** Share of readings to be held: more than 0.8, because series of other sets are less alike. */
const HELD = [0.87, 0.84, 0.83, 0.84, 0.84, 0.84, 0.83, 0.82];
/** With every doubling of the lead it is this much more, while a stream is young: few of the training sets vary as smoothly over hours as others do. */
const HELD_BY_LEAD = [0.006, 0.004, 0.007, 0.007, 0.006, 0.003, 0, 0];
const MOST_HELD = 0.94;
/** The prior is this quantile of the size of changes. */
const USUAL = 0.6;
/** Where a series does not move, its changes are this share of its scale. */
const LEAST = 1e-5;

/** Of units that no training set has: batteries and mains change by half a percent in an hour. */
const BY_HAND: Partial<Record<PriorGroup, readonly [number, number]>> = { V: [-3.2, 0] };
/** Share of the levels of a unit that are not above its highest one. */
const TOP = 0.99;
/** A level that is never reached, for units that no training set has. */
const NO_TOP = 30;
/** Inner quantiles that are tried, as shares of half the interval. */
const SHARES = [
  0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7,
];
/** A series counts once with its unit, by half with its name alone, and by half as one of which nothing is known. */
const [BY_NAME, BY_NOTHING] = [0.5, 0.5];

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

/** Homes' power has the names of the homes. */
const nameOf = (set: string, column: string): string => (set === 'home-power' ? 'power' : column);

interface Series {
  readonly set: string;
  readonly name: string;
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
      const at =
        series.push({
          set: set.name,
          name: nameOf(set.name, column),
          unit: unitOf(set.name, column),
          intervalMs,
          scale,
        }) - 1;
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
  const levels = PRIOR_GROUPS.map((): number[] => []);
  for (const [i, { series: s, lead, past, actual }] of first.entries()) {
    const { intervalMs, unit: unitName, name, scale } = series[s]!;
    const value = past.at(-1)!;
    const change = Math.abs(actual - value) + 1e-9 * Math.abs(value) + LEAST * scale;
    const unit = priorUnit(unitName);
    const add = (group: number, named: number, size: number, factor: number, share: number): void => {
      const [lag, step] = [Math.log(lead), Math.log(intervalMs / 1000)];
      // In proportion to the level where no unit says otherwise, so that a stream is forecast alike in any unit.
      const level = size === 0 ? 0 : Math.log(size);
      const logSize = Math.log(Math.max(0.01, size));
      const own = PRIOR_GROUPS.flatMap((_, g) => (g === group ? [1, logSize] : [0, 0]));
      const names = PRIOR_GROUPS.map((_, g) => (g === named ? 1 : 0));
      rows.push([1, size === 0 ? 1 : 0, lag, step, lag * lag, lag * step, ...own, ...names]);
      targets.push(Math.log(change * factor) - level);
      counted.push(share * w[i]!);
      if (group >= 0) levels[group]!.push(logSize);
    };
    if (unit !== null) {
      const size = Math.abs(unit.scale * (value - unit.zero));
      add(priorGroup(unit.group), -1, size, unit.scale, 1);
    }
    const quantity = quantityOf(name);
    if (quantity !== null) add(-1, priorGroup(quantity), Math.abs(value), 1, BY_NAME);
    add(-1, -1, Math.abs(value), 1, BY_NOTHING);
  }
  const ridge = [0, 0, 0, 0, 0, 0]
    .map(() => 1e-6)
    .concat(
      PRIOR_GROUPS.flatMap(() => [1e-4, 1e-4]),
      PRIOR_GROUPS.map(() => 1e-5),
    );
  const beta = quantileRegression(rows, targets, counted, USUAL, ridge);
  const rounded = beta.map((one) => Number(one.toFixed(3)));
  const units = PRIOR_GROUPS.flatMap((group, g) => BY_HAND[group] ?? rounded.slice(6 + 2 * g, 8 + 2 * g));
  const afterUnits = 6 + 2 * PRIOR_GROUPS.length;
  const names = PRIOR_GROUPS.map((group, g) => BY_HAND[group]?.[0] ?? rounded[afterUnits + g]!);
  const tops = levels.map((own) => {
    if (own.length === 0) return NO_TOP;
    own.sort((x, y) => x - y);
    return Number(own[Math.floor(TOP * (own.length - 1))]!.toFixed(1));
  });
  const table = { prior: [rounded[0]!, 1, ...rounded.slice(1, 6)], units, names, tops };
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

/** How forecasts after a number of buckets are mixed: of series with their units, and of the same with their names alone. */
function mixture(
  series: readonly Series[],
  points: readonly Point[],
  table: YoungTable,
  c: number,
): number[] {
  const medianShare = MEDIAN_SHARES[c]!;
  const widthShare = WIDTH_SHARES[c]!;
  const once = weights(series, points, 1);
  const w = [...once, ...once];
  const change = new Float64Array(LAGS.length);
  const line = new Line();
  const twice = [true, false].flatMap((withUnit) => points.map((point) => ({ withUnit, point })));
  let of: { past: readonly number[]; series: number; withUnit: boolean } | null = null;
  /** Size of the error, and logarithm of half the interval before it is widened. */
  const missed = new Float64Array(twice.length);
  const halves = new Float64Array(twice.length);
  for (const [i, { withUnit, point }] of twice.entries()) {
    const { past, median, low, high, actual, lead } = point;
    const known = [...past];
    for (let at = 1; at < known.length; at++) if (Number.isNaN(known[at])) known[at] = known[at - 1]!;
    if (of === null || of.series !== point.series || of.past !== past || of.withUnit !== withUnit) {
      const { intervalMs, unit, name } = series[point.series]!;
      const about = withUnit ? { unit, name } : { unit: null, name };
      const young = new Young(intervalMs, about, false, undefined, table);
      const steps = known.length;
      const history = { steps, reach: steps - 1, at: (lag: number) => known[steps - 1 - lag]! };
      young.usualChanges(history, line, change);
      of = { past, series: point.series, withUnit };
    }
    const doublings = Math.min(LAGS.length - 1, Math.log2(lead));
    const below = Math.min(LAGS.length - 2, Math.floor(doublings));
    const usual = change[below]! + (doublings - below) * (change[below + 1]! - change[below]!);
    const last = known.at(-1)!;
    const middle = last + medianShare * (median - last);
    const half = Math.log(Math.max(actual < middle ? median - low : high - median, 1e-3 * Math.exp(usual)));
    missed[i] = Math.abs(actual - middle) + 1e-12 + 1e-9 * Math.abs(actual);
    halves[i] = usual + widthShare * (half - usual);
  }
  const ratio = (i: number): number => Math.log(missed[i]!) - halves[i]!;
  const widths = Array.from({ length: WIDTH_KNOTS }, (_, knot) => {
    const chosen = twice.flatMap(({ point }, i) => (Math.ceil(Math.log2(point.lead)) === knot ? [i] : []));
    if (chosen.length < 30) return Number.NaN;
    return weightedQuantile(
      chosen.map(ratio),
      chosen.map((i) => w[i]!),
      Math.min(MOST_HELD, HELD[c]! + knot * HELD_BY_LEAD[c]!),
    );
  });
  for (let k = 1; k < WIDTH_KNOTS; k++) if (Number.isNaN(widths[k])) widths[k] = widths[k - 1]!;
  const smooth = widths.map((own, k) => {
    const [before, after] = [widths[Math.max(0, k - 1)]!, widths[Math.min(WIDTH_KNOTS - 1, k + 1)]!];
    return 0.25 * before + 0.5 * own + 0.25 * after;
  });
  for (const [i, { point }] of twice.entries()) {
    const knot = Math.min(WIDTH_KNOTS - 1, Math.log2(point.lead));
    const low = Math.min(WIDTH_KNOTS - 2, Math.floor(knot));
    const scale = series[point.series]!.scale;
    halves[i] =
      Math.exp(halves[i]! + smooth[low]! + (knot - low) * (smooth[low + 1]! - smooth[low]!)) / scale;
    missed[i]! /= scale;
  }
  // Quantiles between the median and the edge: shares of the half that have the least loss. The loss of a set counts beside
  // its mean error, so that sets that are hard to forecast do not decide alone.
  const usualOf = new Map<string, { error: number; weight: number }>();
  for (const [i, { point }] of twice.entries()) {
    const { set } = series[point.series]!;
    const sums = usualOf.get(set) ?? { error: 0, weight: 0 };
    usualOf.set(set, { error: sums.error + w[i]! * missed[i]!, weight: sums.weight + w[i]! });
  }
  const counted = twice.map(({ point }, i) => {
    const { error, weight } = usualOf.get(series[point.series]!.set)!;
    return (w[i]! * weight) / error;
  });
  const inner = [0.4, 0.3, 0.2].map((level) => {
    const loss = (share: number): number => {
      let sum = 0;
      for (const [i, own] of counted.entries()) {
        const [error, edge] = [missed[i]!, share * halves[i]!];
        // Of the quantile on the side of the reading, and of its mirror image.
        sum += own * (error > edge ? (1 - level) * (error - edge) : level * (edge - error));
        sum += own * level * (edge + error);
      }
      return sum;
    };
    const losses = SHARES.map(loss);
    return SHARES[losses.indexOf(Math.min(...losses))]!;
  });
  const out = new Array<number>(MIXTURE).fill(0);
  out[MEDIAN_SHARE] = medianShare;
  out[WIDTH_SHARE] = widthShare;
  for (const [k, width] of smooth.entries()) out[WIDTHS + k] = width;
  for (const [i, share] of inner.entries()) out[INNER + i] = share;
  return out.map((one) => Number(one.toFixed(2)));
}

function write(path: string, { prior, units, tops, names, mixtures }: YoungTable): void {
  const rows = (list: readonly number[], width: number): string =>
    Array.from(
      { length: list.length / width },
      (_, i) => `    ${list.slice(i * width, (i + 1) * width).join(', ')},`,
    ).join('\n');
  writeFileSync(
    path,
    [
      '/** Generated by `npx tsx test/bench/cold.ts`; see there. */',
      "import type { YoungTable } from './young.ts';",
      '',
      '// biome-ignore format: a row of numbers for each unit, and for each number of buckets seen',
      'export const YOUNG_TABLE: YoungTable = {',
      `  prior: [${prior.join(', ')}],`,
      `  units: [\n${rows(units, 2)}\n  ],`,
      `  tops: [${tops.join(', ')}],`,
      `  names: [${names.join(', ')}],`,
      `  mixtures: [\n${rows(mixtures, MIXTURE)}\n  ],`,
      '};',
      '',
    ].join('\n'),
  );
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      sets: { type: 'string' },
      without: { type: 'string' },
      points: { type: 'string' },
      out: { type: 'string' },
    },
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
    values.out ?? fileURLToPath(new URL('../../src/forecast/young-table.ts', import.meta.url)),
    tableFrom(
      all.series,
      all.points.filter(({ series }) => !without.has(all.series[series]!.set)),
    ),
  );
}

await main();
