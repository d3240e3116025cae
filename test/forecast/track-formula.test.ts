/** Scores, weights, widening and calibration compared with their formulas, worked out from the list of all past forecasts. */
import { describe, expect, it } from 'vitest';
import { ADAPTER, C, GRU, NAIVE, RECURRENCE, SEASONAL } from '../../src/forecast/candidates.ts';
import { Situations } from '../../src/forecast/situations.ts';
import { Track } from '../../src/forecast/track.ts';
import { TrackScratch } from '../../src/forecast/track-scratch.ts';
import { Weights } from '../../src/forecast/weights.ts';
import { Widening } from '../../src/forecast/widening.ts';
import { MEDIAN, Q } from '../../src/quantiles.ts';
import { ArrayBlock } from '../../src/series/array-block.ts';
import { Bounds } from '../../src/series/bounds.ts';
import { LeadKnots } from '../../src/series/lead-knots.ts';
import { normal, uniform } from '../support/random.ts';

const LEADS = 6;
const KNOTS = [1, 2, 4, 6];
/** Intervals of candidates are kept in 16 bits, which is about three digits. */
const BFLOAT = 2 ** -8;

const pinball = (level: number, y: number, quantile: number): number =>
  Math.max(level * (y - quantile), (level - 1) * (y - quantile));
const loss = (y: number, [low, median, high]: readonly number[]): number =>
  pinball(0.1, y, low!) + pinball(0.5, y, median!) + pinball(0.9, y, high!);
const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
/** Low, median and high of the lead `k`, counted from 1. */
const interval = (quantiles: Float64Array, k: number): number[] =>
  [0, MEDIAN, Q - 1].map((q) => quantiles[(k - 1) * Q + q]!);
/** Between knots, linear in the logarithm of the lead. */
function atLead(values: readonly number[], lead: number): number {
  const j = KNOTS.findLastIndex((knot) => knot <= lead);
  if (KNOTS[j] === lead) return values[j]!;
  const part = Math.log(lead / KNOTS[j]!) / Math.log(KNOTS[j + 1]! / KNOTS[j]!);
  return values[j]! + part * (values[j + 1]! - values[j]!);
}

/** Candidates with normal quantiles about a centre. */
function candidate(centre: number, width: number): Float64Array {
  return Float64Array.from({ length: LEADS * Q }, (_, i) => {
    const k = Math.floor(i / Q);
    return centre + 0.1 * k + width * (1 + 0.2 * k) * ((i % Q) - MEDIAN);
  });
}

describe('Track', () => {
  it('has the scores of the published forecasts and of the naives at each lead', () => {
    const track = new Track(LEADS);
    const noise = normal(1);
    const published: Float64Array[] = [];
    const naives: Record<number, Float64Array>[] = [];
    const readings: number[] = [];
    const missing = (t: number): boolean => t % 11 === 5;
    for (let t = 0; t < 300; t++) {
      const y = 20 + noise();
      readings.push(missing(t) ? Number.NaN : y);
      track.observe(missing(t) ? 1e9 : y, !missing(t));
      const candidates: (Float64Array | null)[] = Array.from({ length: C }, (_, c) =>
        candidate(20 + 0.3 * c + 0.2 * noise(), 0.2 + 0.02 * c),
      );
      candidates[RECURRENCE] = null;
      const out = new Float64Array(LEADS * Q);
      track.combine(
        candidates,
        (all) =>
          all.forEach((value, i) => {
            all[i] = Math.min(value, 21.5);
          }),
        out,
      );
      published.push(out);
      naives.push({ [SEASONAL]: candidates[SEASONAL]!, [NAIVE]: candidates[NAIVE]! });
    }
    const scores = track.scores();
    expect(scores.map(({ lead }) => lead)).toEqual(KNOTS);
    let covered = 0;
    for (const score of scores) {
      const { lead } = score;
      const met = readings.flatMap((y, t) => (Number.isNaN(y) || t < lead ? [] : [t]));
      const of = (
        made: (t: number) => Float64Array,
        what: (y: number, interval: number[]) => number,
      ): number => mean(met.map((t) => what(readings[t]!, interval(made(t - lead), lead))));
      const own = (t: number): Float64Array => published[t]!;
      const named = (c: number) => (t: number) => naives[t]![c]!;
      const missed = (y: number, [, median]: number[]): number => Math.abs(y - median!);
      expect(score.n).toBe(met.length);
      expect(score.mae).toBeCloseTo(of(own, missed), 6);
      expect(score.bias).toBeCloseTo(
        of(own, (y, [, median]) => median! - y),
        6,
      );
      const inside = of(own, (y, [low, , high]) => (y >= low! && y <= high! ? 1 : 0));
      expect(score.coverage).toBeCloseTo(inside, 9);
      expect(score.loss).toBeCloseTo(of(own, loss), 6);
      for (const [got, c, what] of [
        [score.lossSeasonal, SEASONAL, loss],
        [score.lossNaive, NAIVE, loss],
        [score.maeSeasonal, SEASONAL, missed],
        [score.maeNaive, NAIVE, missed],
      ] as const)
        expect(Math.abs(got - of(named(c), what))).toBeLessThan(BFLOAT);
      covered += inside * met.length;
      expect(track.scored(lead - 1)).toBe(met.length);
    }
    const n = scores.reduce((sum, score) => sum + score.n, 0);
    expect(track.coverage()).toEqual({ observed: expect.closeTo(covered / n, 9), n });
    // A lead between knots has the count of the next knot.
    expect(track.scored(2)).toBe(scores[2]!.n);
    expect(new Track(LEADS).coverage()).toEqual({ observed: null, n: 0 });
  });

  it('takes weight from networks as far as their medians are beyond what the stream has shown', () => {
    const candidates = Array.from({ length: C }, (_, c) => (c === RECURRENCE ? null : candidate(20, 0.2)));
    const heldTo = (held: number): Bounds => {
      const bounds = new Bounds();
      bounds.hold = (value) => Math.min(value, held);
      return bounds;
    };
    const weightsWith = (held: number): number[] => {
      const track = new Track(LEADS, { bounds: heldTo(held) });
      track.combine(candidates, () => {}, new Float64Array(LEADS * Q));
      return [...track.weights];
    };
    const median = candidates[GRU]![2 * Q + MEDIAN]!;
    const [within, beyond, far] = [weightsWith(1e6), weightsWith(median - 0.8 * 1.4), weightsWith(-1e6)];
    const networks = (weights: number[], k: number): number =>
      weights[k * C + GRU]! + weights[k * C + ADAPTER]!;
    // At lead 3 as far beyond as half the interval: a quarter.
    const before = networks(within, 2);
    expect(networks(beyond, 2)).toBeCloseTo(before / 4 / (before / 4 + 1 - before), 9);
    for (let k = 0; k < LEADS; k++) {
      expect(networks(within, k)).toBeGreaterThan(0.1);
      expect(networks(far, k)).toBeCloseTo(0, 9);
      for (const weights of [beyond, far])
        expect(weights.slice(k * C, (k + 1) * C).reduce((sum, weight) => sum + weight)).toBeCloseTo(1, 12);
    }
    // The own network's forecast moves to the blend.
    const [own, out] = [candidate(20, 0.2), new Float64Array(LEADS * Q)];
    new Track(LEADS, { bounds: heldTo(-1e6) }).combine(candidates, () => {}, out, undefined, own);
    expect([...own]).toEqual([...out].map((value) => expect.closeTo(value, 6)));
  });

  it('publishes the blend with each half times its factor, which grows with every miss and falls with every hit', () => {
    const track = new Track(LEADS, { coverage: 0.8 });
    const [noise, chance] = [normal(2), uniform(3)];
    /** Logarithms of the factors [lower, upper], of usual and of narrow intervals, and the sum and size of the widening. */
    const state = KNOTS.map(() => ({
      n: 0,
      mae: 0,
      usual: [0, 0],
      narrow: [0, 0],
      counts: { usual: 0, narrow: 0 },
      sum: 0,
      wider: 0,
    }));
    // Their own formulas are tested by themselves.
    const situations = new Situations(
      new LeadKnots([1, 2, 4, 8], LEADS),
      new ArrayBlock(),
      (j) => state[j]!.mae,
    );
    const past: { blend: Float64Array; out: Float64Array }[] = [];
    for (let t = 0; t < 900; t++) {
      const y = 20 + noise() * (t > 600 && t < 640 ? 9 : 1);
      const observed = chance() > 0.05;
      track.observe(y, observed);
      if (observed) {
        for (const [j, k] of KNOTS.entries()) {
          const made = past.at(-k);
          const s = state[j]!;
          if (made === undefined) continue;
          // Kept as a difference from the published median, in 16 bits.
          const [low, median, high] = interval(made.blend, k) as [number, number, number];
          const [, , outHigh] = interval(made.out, k);
          const [outLow, outMedian] = interval(made.out, k) as [number, number];
          const halves = [median - low, high - median];
          const factors = (side: number): number[] => (halves[side]! < 0.35 * s.mae ? s.narrow : s.usual);
          const side = y < median ? 0 : 1;
          const factor = (one: number): number =>
            factors(one)[one]! + s.wider + situations.at(j, t - k, median, one);
          const edge = (one: number): number => {
            if (t >= 512 + k) return one === 0 ? outLow : outHigh!;
            const half = halves[one]! * Math.exp(factor(one));
            return median + (one === 0 ? -1 : 1) * Math.max(half, situations.leastAt(j, t - k, median, one));
          };
          const edges = [edge(0), edge(1)];
          if (j === 0) situations.note(Math.abs(y - median) / Math.abs(edges[side]! - median));
          // Widening: misses in halves of the interval as it would be published now.
          const half = halves[side]! * Math.exp(factor(side));
          const more = Math.min(2, Math.abs(y - median) / half) - 1;
          const breadth = more > 0 ? Math.min(1, half / (1.6 * s.mae)) : 1;
          const sum = s.sum + (0.4 * breadth ** 2 * more) / k ** 0.75;
          if (Number.isFinite(sum)) s.sum = Math.max(0, Math.min(3.5, sum));
          // The widening has learnt, but not yet widened; edges are as before.
          const missed = [y < edges[0]!, y > edges[1]!];
          for (const one of [0, 1]) {
            const list = factors(one);
            const name = list === s.narrow ? 'narrow' : 'usual';
            s.counts[name] = Math.min(1000, s.counts[name] + 0.5);
            const situation = Math.min(0, situations.at(j, t - k, median, one));
            const rate =
              (Math.max(0.04, 0.25 / Math.sqrt(s.counts[name])) / Math.sqrt(k)) * Math.exp(2 * situation);
            const by = rate * ((missed[one] ? 1 : 0) - 0.1);
            list[one] = Math.max(-1.6, Math.min(1.6, list[one]! + by));
            if (list === s.narrow) {
              const share = halves[one]! / (0.35 * s.mae);
              s.usual[one] = Math.max(-1.6, Math.min(1.6, s.usual[one]! + by * share ** 3));
            }
          }
          const [toLower, toUpper] = missed.map((one, i) => {
            const share = Math.min(1, halves[i]! / (0.35 * s.mae));
            return share ** 2 * ((one ? 1 : 0) - 0.1);
          });
          situations.learn(j, t - k, median, y - median, toLower!, toUpper!);
          s.n = Math.min(1000, s.n + 1);
          s.mae += (Math.abs(y - outMedian) - s.mae) / s.n;
        }
        let asked = 0;
        for (const [j, k] of KNOTS.entries()) {
          const s = state[j]!;
          asked = Math.max(asked, s.sum - 0.5);
          s.wider += asked > s.wider ? (asked - s.wider) / (1 + 0.5 * k) : asked - s.wider;
        }
      }
      // Powers of two keep their value in 16 bits; the interval is narrow for a while.
      const width = t % 200 > 150 ? 2 ** -6 : 2 ** -2;
      const blend = Float64Array.from({ length: LEADS * Q }, (_, i) => 20 + width * ((i % Q) - MEDIAN));
      const candidates = Array.from({ length: C }, (_, c) => (c === NAIVE ? blend : null));
      const out = new Float64Array(LEADS * Q);
      track.combine(candidates, () => {}, out);
      past.push({ blend, out });
      const wider = state.map((one) => one.wider);
      situations.begin(t, -0.1 * state[0]!.mae, 0.1 * state[0]!.mae);
      for (let k = 1; k <= LEADS; k++) {
        const narrow =
          4 * width <
          0.35 *
            atLead(
              state.map(({ mae }) => mae),
              k,
            );
        const factor = (side: number): number =>
          Math.exp(
            atLead(
              state.map((one) => (narrow ? one.narrow : one.usual)[side]!),
              k,
            ) +
              atLead(wider, k) +
              situations.atLead(k - 1, 20, side),
          );
        const least = (side: number): number => situations.least(k - 1, 20, side) / (4 * width);
        const [low, median, high] = interval(out, k) as [number, number, number];
        expect(median).toBeCloseTo(20, 12);
        expect((20 - low) / (4 * width), `lower at ${t}, lead ${k}`).toBeCloseTo(
          Math.max(least(0), factor(0)),
          4,
        );
        expect((high - 20) / (4 * width), `upper at ${t}, lead ${k}`).toBeCloseTo(
          Math.max(least(1), factor(1)),
          4,
        );
      }
    }
    expect(state[0]!.narrow).not.toEqual([0, 0]);
  });

  it('blends every quantile with the weights, and keeps the mean weight of each candidate', () => {
    const track = new Track(LEADS);
    const noise = normal(4);
    const centres = [20, 20.4, 19.5, 21, 20.1, 19.9];
    const out = new Float64Array(LEADS * Q);
    const blends: Float64Array[] = [];
    for (let t = 0; t < 60; t++) {
      track.observe(20 + noise(), true);
      const candidates = centres.map((centre) => candidate(centre, 0.3));
      // The factors are seen before: here only the median, which they do not touch.
      track.combine(candidates, () => {}, out);
      for (let k = 0; k < LEADS; k++) {
        const weights = [...track.weights.subarray(k * C, (k + 1) * C)];
        expect(mean(weights) * C).toBeCloseTo(1, 9);
        const wanted = candidates.reduce((sum, one, c) => sum + weights[c]! * one[k * Q + MEDIAN]!, 0);
        expect(out[k * Q + MEDIAN]).toBeCloseTo(wanted, 9);
      }
      blends.push(out.slice());
    }
    const means = track.meanWeights();
    for (let c = 0; c < C; c++)
      expect(means[c]).toBeCloseTo(
        mean(Array.from({ length: LEADS }, (_, k) => track.weights[k * C + c]!)),
        9,
      );
    expect(Math.max(...means)).toBeGreaterThan(1.5 / C);
  });

  it('has the mean losses of network and naives from the forecasts since the trial began', () => {
    const track = new Track(LEADS);
    const noise = normal(5);
    const from = 50;
    const lists = KNOTS.map(() => ({
      network: [] as number[],
      seasonal: [] as number[],
      naive: [] as number[],
    }));
    const past: (Float64Array | null)[][] = [];
    for (let t = 0; t < 160; t++) {
      if (t === from) track.beginTrial();
      const y = 20 + noise();
      track.observe(y, true);
      for (const [j, k] of KNOTS.entries()) {
        if (t - k < from) continue;
        const made = past[t - k]!;
        const [seasonal, naive] = [SEASONAL, NAIVE].map((c) => loss(y, interval(made[c]!, k))) as [
          number,
          number,
        ];
        const network = made[GRU];
        const list = lists[j]!;
        list.network.push(network ? loss(y, interval(network, k)) : 10 * Math.min(seasonal, naive));
        list.seasonal.push(seasonal);
        list.naive.push(naive);
      }
      const silent = t % 4 === 1;
      const candidates = Array.from({ length: C }, (_, c) =>
        (c === GRU || c === ADAPTER) && silent ? null : candidate(20 + 0.5 * c, 0.25),
      );
      track.combine(candidates, () => {}, new Float64Array(LEADS * Q));
      past.push(candidates);
    }
    for (const [j, score] of track.networkScores().entries()) {
      const { network, seasonal, naive } = lists[j]!;
      expect(score.n).toBe(network.length);
      for (const [got, list] of [
        [score.loss, network],
        [score.lossSeasonal, seasonal],
        [score.lossNaive, naive],
      ] as const)
        expect(Math.abs(got - mean(list))).toBeLessThan(10 * BFLOAT);
    }
  });
});

describe('Weights', () => {
  it('are powers of the ratio to the least loss, after what sets a candidate back', () => {
    const scratch = new TrackScratch(LEADS);
    const weights = new Weights(scratch.knots, 4, new ArrayBlock());
    const chance = uniform(6);
    const state = KNOTS.map(() => ({
      n: 0,
      usual: new Array<number>(C).fill(0),
      recent: new Array<number>(C).fill(0),
      jumps: 0,
      afterJump: new Array<number>(C).fill(0),
    }));
    const out = new Float64Array(LEADS * C);
    for (let t = 0; t < 400; t++) {
      const hasJumped = t % 7 < 2;
      for (const j of KNOTS.keys()) {
        const far = t % 90 > 80 ? 12 : 1;
        const lost = Float64Array.from(
          { length: C },
          (_, c) =>
            (c === NAIVE ? 1 : far) * (hasJumped && c === SEASONAL ? 0.3 : 1) * (1 + 0.1 * c + chance()),
        );
        weights.learn(j, lost, Infinity, hasJumped);
        const s = state[j]!;
        s.n++;
        for (let c = 0; c < C; c++) {
          s.usual[c]! += (lost[c]! - s.usual[c]!) / s.n;
          s.recent[c]! += (lost[c]! - s.recent[c]!) * Math.max(0.2, 1 / s.n);
        }
        if (hasJumped) s.jumps++;
        for (let c = 0; c < C && hasJumped; c++) s.afterJump[c]! += (lost[c]! - s.afterJump[c]!) / s.jumps;
      }
      if (t % 5 !== 0 && t % 90 < 78) continue;
      const has = (c: number): boolean => (t % 3 === 0 ? c !== GRU && c !== ADAPTER : c !== RECURRENCE);
      weights.weigh(
        Array.from({ length: C }, (_, c) => (has(c) ? {} : null)),
        scratch.atKnots,
        out,
        Infinity,
        hasJumped,
      );
      const set = new Array<number>(C).fill(1);
      const rows: number[][] = [];
      for (const [j, k] of KNOTS.entries()) {
        const { n, usual, recent, jumps, afterJump } = state[j]!;
        const known = hasJumped ? jumps / (jumps + 160) : 0;
        const trust = Math.min(1, n / 96);
        const least = Math.min(...recent.filter((_, c) => has(c)));
        for (let c = 0; c < C; c++)
          set[c] = Math.max(set[c]!, Math.min(recent[c]! / (8 * usual[c]!), recent[c]! / (2 * least)));
        set[ADAPTER] = Math.max(set[ADAPTER]!, set[GRU]!);
        const leastAfterJump = Math.min(...afterJump.filter((_, c) => has(c)));
        const losses = usual.map(
          (one, c) =>
            one *
            Math.max(1, afterJump[c]! / (2 * leastAfterJump)) ** known *
            set[c]! *
            (c === RECURRENCE ? 1.05 : 1),
        );
        const best = Math.min(...losses.filter((_, c) => has(c)));
        const prior = (c: number): number => {
          if (!has(GRU)) return 1;
          if (c === GRU) return 1.5;
          if (c !== ADAPTER) return 0.02 + 0.1 * trust;
          return 0.7 * trust * Math.min(4, (losses[GRU]! / losses[ADAPTER]!) ** (32 * trust));
        };
        const raw = losses.map((one, c) => (has(c) ? prior(c) * (best / one) ** (16 * trust) : 0));
        const row = raw.map((one) => one / raw.reduce((sum, each) => sum + each, 0));
        const below = rows[j - 1];
        if (below && k % 4 === 0) {
          const both = row[SEASONAL]! + row[NAIVE]!;
          const share = below[SEASONAL]! / (below[SEASONAL]! + below[NAIVE]!);
          row[SEASONAL] = both * share;
          row[NAIVE] = both * (1 - share);
        }
        rows.push(row);
      }
      for (let k = 1; k <= LEADS; k++)
        for (let c = 0; c < C; c++)
          expect(out[(k - 1) * C + c], `step ${t}, lead ${k}, candidate ${c}`).toBeCloseTo(
            atLead(
              rows.map((row) => row[c]!),
              k,
            ),
            3,
          );
    }
  });

  it('of losses of 0 go to the candidates without loss', () => {
    const scratch = new TrackScratch(LEADS);
    const weights = new Weights(scratch.knots, 0, new ArrayBlock());
    const lost = Float64Array.from({ length: C }, (_, c) => (c === NAIVE || c === SEASONAL ? 0 : 1));
    const all = new Array<object>(C).fill({});
    const out = new Float64Array(LEADS * C);
    for (let t = 0; t < 96; t++) for (const j of KNOTS.keys()) weights.learn(j, lost);
    weights.weigh(all, scratch.atKnots, out);
    expect([...out.subarray(0, C)]).toEqual([0, 0.5, 0.5, 0, 0, 0]);
  });
});

describe('Widening', () => {
  it('counts misses in widths of a nominal interval of 80 %, whatever the coverage', () => {
    const { knots } = new TrackScratch(LEADS);
    const widening = new Widening(knots, 0.95, new ArrayBlock());
    const nominal = Math.atanh(0.8) / Math.atanh(0.95);
    let sum = 0;
    let wider = 0;
    for (let t = 0; t < 40; t++) {
      const [missed, half, usual] = [t % 5 === 0 ? 0.2 : 3, 2, 0.9];
      widening.learn(1, missed, half, usual);
      widening.follow();
      const more = Math.min(2, missed / (half * nominal)) - 1;
      const breadth = more > 0 ? Math.min(1, (half * nominal) / (1.6 * usual)) : 1;
      sum = Math.max(0, Math.min(3.5, sum + (0.4 * breadth ** 2 * more) / 2 ** 0.75));
      const asked = Math.max(0, sum - 0.5);
      wider += asked > wider ? (asked - wider) / 2 : asked - wider;
      expect(widening.at(1)).toBeCloseTo(wider, 5);
      // A longer lead follows more slowly, a shorter one not at all.
      expect(widening.at(0)).toBe(0);
      expect(widening.atLead(1)).toBeCloseTo(wider, 5);
    }
    expect(widening.at(3)).toBeGreaterThan(0.5);
    expect(widening.at(3)).toBeLessThan(widening.at(1));
  });
});
