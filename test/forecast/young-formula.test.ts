/** The usual changes of a young stream, and what is mixed from them, compared with their formulas. */
import { describe, expect, it } from 'vitest';
import { limited } from '../../src/forecast/limits.ts';
import { PRIOR_GROUPS, priorGroup, priorUnit } from '../../src/forecast/prior-unit.ts';
import {
  INNER,
  MEDIAN_SHARE,
  MIXTURE,
  WIDTH_SHARE,
  WIDTHS,
  Young,
  YoungScratch,
  type YoungTable,
} from '../../src/forecast/young.ts';
import { MEDIAN, Q } from '../../src/quantiles.ts';
import { Line } from '../../src/series/line.ts';
import { normal } from '../support/random.ts';

const MINUTE = 60_000;
const LAGS = [1, 2, 4, 8, 16, 32, 64, 128];
const TABLE: YoungTable = {
  prior: [-2, 0.7, -3, 0.4, 0.2, -0.05, 0.03],
  units: PRIOR_GROUPS.flatMap((_, g) => [0.1 + g, -0.02 * (g + 1)]),
  tops: PRIOR_GROUPS.map(() => 5),
  names: PRIOR_GROUPS.map((_, g) => -0.3 * (g + 1)),
  mixtures: Array.from({ length: 8 * MIXTURE }, (_, i) => {
    const [row, column] = [Math.floor(i / MIXTURE), i % MIXTURE];
    if (column === MEDIAN_SHARE || column === WIDTH_SHARE) return 0.1 + 0.1 * row;
    if (column < INNER) return 0.05 * (column - WIDTHS) - 0.04 * row;
    return 0.2 * (column - INNER + 1) + 0.01 * row;
  }),
};

const historyOf = (values: readonly number[]) => ({
  steps: values.length,
  reach: values.length - 1,
  at: (lag: number): number => values[values.length - 1 - lag]!,
});

/** Logarithm of the change expected at each lag before any was seen. */
function priors(
  first: number,
  intervalMs: number,
  unit: readonly [group: number, scale: number] | null,
): number[] {
  const [constant, perLevel, atZero, perLag, perInterval, square, both] = TABLE.prior as [
    number,
    ...number[],
  ];
  const interval = Math.log(intervalMs / 1000);
  let level = constant + perInterval! * interval + (first === 0 ? atZero! : perLevel! * Math.log(first));
  if (unit !== null) {
    const [own, ownPerLevel] = TABLE.units.slice(2 * unit[0]) as [number, number];
    const logLevel = Math.log(Math.max(first, 0.01));
    level += own + ownPerLevel * logLevel - 0.5 * Math.max(0, logLevel - 5) - Math.log(unit[1]);
  }
  return LAGS.map((lag) => {
    const log = Math.log(lag);
    return level + perLag! * log + square! * log ** 2 + both! * log * interval;
  });
}

/** One observation of each lag after another, each weighed against the variance that is left; nine tenths of the noise are known from the lag before. */
function usualChanges(values: readonly number[], prior: readonly number[], variance: number): number[] {
  const steps = Math.min(values.length, 128);
  const newest = values.toReversed();
  let [mean, wrong, noise, moved] = [0, 0, 0, false];
  const first = variance;
  return LAGS.map((lag, j) => {
    // Nine tenths of what is learnt at a lag count at the next.
    if (j > 0) [mean, variance] = [0.9 * mean, 0.81 * variance + 0.4];
    const before = prior[j]! + wrong;
    const count = Math.max(0, steps - lag);
    const changes = newest.slice(0, count).map((value, i) => Math.abs(value - newest[i + lag]!));
    const sum = changes.reduce((total, change) => total + change, 0);
    moved ||= sum > 0;
    if (count > 0 && (sum > 0 || !moved)) {
      const seen = sum > 0 ? Math.log(sum / count) - before : Math.log(0.25 / steps);
      const correlation = j > 0 ? 0.9 : 0;
      const surprise = seen - mean - correlation * noise;
      const wide = surprise < 0 || count >= 8 ? Math.max(variance, surprise ** 2 / 2) : variance;
      const gain = wide / (wide + ((2 * Math.sqrt(lag)) / count) * (1 - correlation ** 2) + 0.02);
      // What a far too wide or narrow prior is wrong by is no change at one lag: it holds for all.
      const least = surprise < 0 || count >= 8 ? Math.sqrt(2 * first) : Infinity;
      const beyond = gain * Math.sign(surprise) * Math.max(0, Math.abs(surprise) - least);
      noise = seen - mean - gain * surprise;
      [mean, wrong, variance] = [mean + gain * surprise - beyond, wrong + beyond, variance * (1 - gain)];
      return before + mean + beyond;
    }
    return before + mean;
  });
}

function changesOf(young: Young, values: readonly number[], line = new Line()): number[] {
  const out = new Float64Array(LAGS.length);
  young.usualChanges(historyOf(values), line, out);
  return [...out];
}
const make = (unit: string | null, circular = false, intervalMs = MINUTE, name = '') =>
  new Young(intervalMs, { unit, name }, circular, undefined, TABLE);
function expectClose(got: readonly number[], wanted: readonly number[]): void {
  expect(got).toHaveLength(wanted.length);
  for (const [j, one] of wanted.entries()) expect(got[j], `at ${j}`).toBeCloseTo(one, 9);
}

describe('the usual change', () => {
  it.each([
    ['without a unit', null, 7, 7, null],
    ['below zero', null, -7, 7, null],
    ['at zero', null, 0, 0, null],
    ['of an unknown unit', 'rpm', 7, 7, null],
    ['in °C', '°C', 21, 21, [0, 1]],
    ['in °F', '°F', 50, 10, [0, 1 / 1.8]],
    ['in kPa', 'kPa', 101.3, 1013, [3, 10]],
    ['at zero of a unit', 'V', 0, 0, [7, 1]],
    ['above the levels learnt from', 'kW', 34, 34_000, [2, 1000]],
  ] as const)('after one reading %s is the prior', (_, unit, first, size, group) => {
    expectClose(changesOf(make(unit), [first]), priors(size, MINUTE, group));
  });

  it('without a unit is that of the quantity which the name tells', () => {
    const prior = priors(12, MINUTE, null).map((one) => one - 0.3 * 8);
    expectClose(changesOf(make(null, false, MINUTE, 'hall/battery'), [12]), prior);
    const values = [12, 12.5, 12.4];
    expectClose(changesOf(make(null, false, MINUTE, 'hall/battery'), values), usualChanges(values, prior, 1));
    expectClose(changesOf(make('°C', false, MINUTE, 'battery'), [12]), priors(12, MINUTE, [0, 1]));
  });

  it('of directions does not depend on where they point', () => {
    expectClose(changesOf(make('°', true), [3]), priors(100, MINUTE, null));
    expectClose(changesOf(make('°', true), [350]), priors(100, MINUTE, null));
  });

  it('is updated by the changes of each lag, the shorter ones first', () => {
    const noise = normal(1);
    let level = 20;
    const walk = Array.from({ length: 200 }, () => (level += 0.3 * noise()));
    for (const length of [2, 3, 5, 9, 40, 128, 200]) {
      const values = walk.slice(0, length);
      const prior = priors(values[0]!, 5 * MINUTE, [0, 1]);
      expectClose(changesOf(make('°C', false, 5 * MINUTE), values), usualChanges(values, prior, 0.7));
      const unknown = priors(values[0]!, MINUTE, null);
      expectClose(changesOf(make(null), values), usualChanges(values, unknown, 3));
    }
  });

  it('of a stream that stands still becomes smaller, and one that came back counts where it moved', () => {
    for (const values of [[5, 5], new Array<number>(20).fill(5), [5, 6, 5], [5, 6, 5, 6, 5, 6, 5, 6, 5]])
      expectClose(changesOf(make(null), values), usualChanges(values, priors(5, MINUTE, null), 3));
  });

  it('is in the unit of the history, whose values may be kept in a smaller unit', () => {
    const line = new Line();
    line.enter(3e-8);
    const size = line.sizeInUnit(1);
    const prior = priors(3e-8, MINUTE, null).map((one) => one - Math.log(size));
    expectClose(changesOf(make(null), [line.toLine(3e-8)], line), prior);
  });
});

describe('the mixture', () => {
  const scratch = new YoungScratch();
  /** Of quantiles whose halves are 2 and 3 wide, about 24. */
  function mixed(values: readonly number[], leads: number, spread = 1): Float64Array {
    const quantiles = Float64Array.from({ length: leads * Q }, (_, i) => {
      const away = (i % Q) - MEDIAN;
      return 24 + spread * (away < 0 ? 0.5 : 0.75) * away;
    });
    const features = { experts: { history: historyOf(values) }, line: new Line() };
    expect(make(null).mix(features as never, quantiles, scratch)).toBe(true);
    return quantiles;
  }
  /** A list at 1, 2, 4, ... between whose numbers a line is drawn over the logarithm. */
  function between(list: readonly number[], at: number): number {
    const doublings = Math.min(list.length - 1, Math.log2(at));
    const low = Math.min(list.length - 2, Math.floor(doublings));
    return list[low]! + (doublings - low) * (list[low + 1]! - list[low]!);
  }
  const column = (i: number): number[] =>
    Array.from({ length: 8 }, (_, row) => TABLE.mixtures[row * MIXTURE + i]!);

  it.each([
    [1, 1],
    [3, 1],
    [8, 1],
    [100, 1],
    [128, 1],
    [256, 0.5],
    [400, 1 - Math.log2(400 / 128) / 2],
  ])('after %i buckets has the shares of that age; the prior fades out from 128 on', (steps, fading) => {
    const noise = normal(2);
    const values = Array.from({ length: steps }, () => 20 + noise());
    const leads = 200;
    const got = mixed(values, leads);
    const change = usualChanges(values, priors(values[0]!, MINUTE, null), 3);
    const share = (i: number): number => between(column(i), steps);
    const last = values.at(-1)!;
    for (const lead of [1, 2, 3, 100, 128, 200]) {
      const usual = between(change, lead);
      const width = between(
        Array.from({ length: 8 }, (_, j) => share(WIDTHS + j)),
        lead,
      );
      const half = (own: number): number =>
        Math.exp(usual + share(WIDTH_SHARE) * (Math.log(own) - usual) + width);
      for (let q = 0; q < Q; q++) {
        const away = q - MEDIAN;
        const before = 24 + (away < 0 ? 0.5 : 0.75) * away;
        const inner = away === 0 ? 0 : Math.abs(away) === MEDIAN ? 1 : share(INNER + Math.abs(away) - 1);
        const middle = last + share(MEDIAN_SHARE) * (24 - last);
        const wanted = middle + (away < 0 ? -half(2) : half(3)) * inner;
        expect(got[(lead - 1) * Q + q]).toBeCloseTo(before + fading * (wanted - before), 8);
      }
    }
  });

  it('takes an interval without width for a thousandth of the usual change', () => {
    const got = mixed([20, 21], 1, 0);
    const usual = usualChanges([20, 21], priors(20, MINUTE, null), 3)[0]!;
    const share = (i: number): number => between(column(i), 2);
    const half = Math.exp(usual + share(WIDTH_SHARE) * Math.log(1e-3) + share(WIDTHS));
    expect(got[Q - 1]! - got[MEDIAN]!).toBeCloseTo(half, 9);
  });

  it('is over after 512 buckets', () => {
    const features = { experts: { history: historyOf(new Array<number>(512).fill(1)) }, line: new Line() };
    const quantiles = new Float64Array(Q).fill(3);
    expect(make(null).mix(features as never, quantiles, scratch)).toBe(false);
    expect([...quantiles]).toEqual(new Array(Q).fill(3));
  });
});

describe('units', () => {
  it.each([
    // Name, group, and the value of 10 in it, told in the unit of the group.
    ['C', '°C', 10],
    ['°F', '°C', -12.2222],
    ['K', '°C', -263.15],
    ['%RH', '%', 10],
    ['kW', 'W', 10_000],
    ['mbar', 'hPa', 10],
    ['Pa', 'hPa', 0.1],
    ['kPa', 'hPa', 100],
    ['mmHg', 'hPa', 13.3322],
    ['ppb', 'µg/m³', 10],
    ['W/m²', 'lx', 10],
    ['km/h', 'm/s', 2.7778],
    ['mV', 'V', 0.01],
  ])('%s is told in %s', (name, group, ten) => {
    const unit = priorUnit(name)!;
    expect(PRIOR_GROUPS[priorGroup(unit.group)]).toBe(group);
    expect(unit.scale * (10 - unit.zero)).toBeCloseTo(ten, 4);
  });

  it('of another kind, or none, have no prior', () => {
    expect([priorUnit('rpm'), priorUnit(null)]).toEqual([null, null]);
  });
});

describe('limited', () => {
  const spec = { min: null, max: null } as const;
  const features = (floorShare: number, observations: number, min: number) => ({
    floorShare,
    observations,
    observedRange: { min, max: 9 },
    line: new Line(),
  });
  const never = features(0, 1000, 0);
  it('holds a value within the limits of the config; directions have none', () => {
    const bounded = { min: -2, max: 5 };
    expect([-3, -2, 0, 5, 6].map((value) => limited(value, bounded, never))).toEqual([-2, -2, 0, 5, 5]);
    expect(limited(6, { ...bounded, aggregate: 'circular-mean' }, never)).toBe(6);
    expect(limited(-7, spec, never)).toBe(-7);
  });
  it('has a floor at 0 where the stream has stood there often enough', () => {
    expect(limited(-1, spec, features(0.03, 33, 0))).toBe(0);
    expect(limited(1, spec, features(0.03, 33, 0))).toBe(1);
    expect(limited(-1, spec, features(0.02, 33, 0))).toBe(-1);
    expect(limited(-1, spec, features(0.03, 32, 0))).toBe(-1);
    expect(limited(-1, spec, features(0.03, 33, 0.5))).toBe(-1);
  });
});
