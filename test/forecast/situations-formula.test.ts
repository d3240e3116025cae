/** Factors and least widths by situation, compared with what they should be after known misses. */
import { describe, expect, it } from 'vitest';
import { Situations } from '../../src/forecast/situations.ts';
import { ArrayBlock } from '../../src/series/array-block.ts';
import { LeadKnots } from '../../src/series/lead-knots.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';

const knots = new LeadKnots([1, 2, 4], 4);
/** Mean size of all errors is 1 unless told otherwise. */
const make = (usual = 1): Situations => new Situations(knots, new ArrayBlock(), () => usual);
/** What a hit and a miss are worth where one of ten readings is to be below the interval, and one above. */
const [HIT, MISS] = [-0.1, 0.9];
const [LOW, MEDIUM, HIGH] = [-5, 0, 5];

/** Forecasts at lead 1 of the median, one a step, that are missed above or held. */
function play(situations: Situations, medians: readonly number[], missed: (median: number) => boolean): void {
  for (let step = 0; step < medians.length; step++) {
    if (step > 0) {
      const before = medians[step - 1]!;
      situations.learn(0, step - 1, before, missed(before) ? 2 : 0.1, HIT, missed(before) ? MISS : HIT);
    }
    situations.begin(step, -1, 1);
  }
}

describe('a situation', () => {
  it('widens the half that is missed at its level, and no other level', () => {
    const situations = make();
    const medians = Array.from({ length: 120 }, (_, i) => [LOW, MEDIUM, HIGH][i % 3]!);
    play(situations, medians, (median) => median === HIGH);
    expect(situations.atLead(0, HIGH, 1)).toBeGreaterThan(0.7);
    expect(situations.atLead(0, HIGH, 0)).toBeLessThan(0.1);
    // The class of the origin, which all levels share here, has learnt a part of the misses.
    for (const level of [LOW, MEDIUM])
      expect(situations.atLead(0, level, 1)).toBeLessThan(situations.atLead(0, HIGH, 1) - 1);
  });

  it('does not count what may be chance', () => {
    const situations = make();
    play(situations, [HIGH, HIGH, HIGH], () => false);
    situations.learn(0, 2, HIGH, 2, HIT, MISS);
    expect(Math.abs(situations.atLead(0, HIGH, 1))).toBeLessThan(0.45);
    expect(situations.atLead(0, HIGH, 0)).toBe(0);
  });

  it('is how long ago the stream jumped', () => {
    const situations = make();
    for (let step = 0; step < 200; step++) {
      // A jump every tenth step; only the forecast just after it is missed.
      if (step > 0) {
        const missed = (step - 1) % 10 === 0;
        situations.note(step % 10 === 0 ? 9 : 0.5);
        situations.learn(0, step - 1, MEDIUM, missed ? 4 : 0.2, missed ? MISS : HIT, HIT);
      }
      situations.begin(step, -1, 1);
      if (step === 190) expect(situations.atLead(0, MEDIUM, 0)).toBeGreaterThan(0.3);
      if (step === 199) expect(situations.atLead(0, MEDIUM, 0)).toBeLessThanOrEqual(0);
    }
    expect(situations.at(0, 199, MEDIUM, 0)).toBe(situations.atLead(0, MEDIUM, 0));
  });

  it('has factor and least width of each knot at the lead of the knot', () => {
    const situations = make();
    for (let step = 0; step < 30; step++) {
      for (const [knot, lead] of [1, 2, 4].entries())
        if (step >= lead) situations.learn(knot, step - lead, MEDIUM, 1 + knot, (MISS * (1 + knot)) / 3, HIT);
      situations.begin(step, -1, 1);
    }
    const factors = [1, 2, 4].map((lead, knot) => {
      expect(situations.at(knot, 29, MEDIUM, 0)).toBeCloseTo(situations.atLead(lead - 1, MEDIUM, 0), 9);
      expect(situations.leastAt(knot, 29, MEDIUM, 0)).toBeCloseTo(situations.least(lead - 1, MEDIUM, 0), 9);
      return situations.at(knot, 29, MEDIUM, 0);
    });
    expect(new Set(factors).size, factors.join()).toBe(3);
  });

  it('leaves the interval no narrower than a share of its usual error', () => {
    const situations = make(4);
    play(situations, new Array<number>(300).fill(HIGH), () => false);
    // Every error is 0.1: their quantile at 0.6 swings about that.
    expect(situations.least(0, HIGH, 0)).toBeGreaterThan(0.35 * 0.1 * 0.8);
    expect(situations.least(0, HIGH, 0)).toBeLessThan(0.35 * 0.1 * 1.25);
    expect(situations.leastAt(0, 299, HIGH, 0)).toBe(situations.least(0, HIGH, 0));
  });

  it('leaves the half that is missed no narrower than the interval of its own errors', () => {
    const situations = make(4);
    play(situations, new Array<number>(300).fill(HIGH), () => true);
    // Every error is 2, and above.
    expect(situations.least(0, HIGH, 1)).toBeGreaterThan(1.5 * 2 * 0.8);
    expect(situations.least(0, HIGH, 1)).toBeLessThan(1.5 * 2 * 1.25);
    expect(situations.least(0, HIGH, 0)).toBeLessThan(0.35 * 2 * 1.25);
  });

  it.each([1, 4, 12])(
    'with errors far larger than those of all steps has its least half after %i readings, as far as they tell',
    (count) => {
      const [distinct, usual] = [make(0.2), make(2)];
      for (const one of [distinct, usual]) {
        for (let step = 0; step < count; step++) {
          one.begin(step, -1, 1);
          // The geometric mean of errors is lower than the size that two of five exceed.
          one.learn(0, step, HIGH, step === 0 ? 2 : 2 * Math.exp(-0.46), 0, 0);
        }
        one.begin(count, -1, 1);
      }
      const known = Math.min(1, count / 2);
      expect(distinct.least(0, HIGH, 1)).toBeCloseTo(known * 1.5 * 2, 5);
      expect(usual.least(0, HIGH, 1)).toBeCloseTo(known * 0.35 * 2, 5);
      // Of another level nothing is known but what the class of the origin has seen.
      expect(distinct.least(0, LOW, 1)).toBe(distinct.least(0, HIGH, 1));
    },
  );

  it.each([0, 0.01])(
    'after a jump has its least half at once, by errors that are far larger than those of %d in calm stretches',
    (calm) => {
      // The jumps themselves are missed by so much that the mean of all errors is larger than those after them.
      const situations = make(4);
      for (let step = 0; step <= 100; step++) {
        const sinceJump = step % 50;
        if (step > 0) situations.note(sinceJump === 0 ? 9 : 0);
        situations.begin(step, -1, 1);
        if (step === 99) expect(situations.least(0, MEDIUM, 0)).toBeLessThan(0.35 * 0.5);
        if (step < 100) situations.learn(0, step, MEDIUM, step < 8 || sinceJump >= 8 ? calm : 0.5, 0, 0);
      }
      for (const side of [0, 1]) {
        expect(situations.least(0, MEDIUM, side)).toBeGreaterThan(1.5 * 0.5 * 0.8);
        expect(situations.leastAt(0, 100, MEDIUM, side)).toBe(situations.least(0, MEDIUM, side));
      }
    },
  );

  it('knows the usual size of few errors by their geometric mean, so that a first large one does not last', () => {
    const situations = make(1);
    situations.begin(0, -1, 1);
    for (const error of [50, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0]) situations.learn(0, 0, HIGH, error, 0, 0);
    situations.begin(1000, -1, 1);
    expect(situations.least(0, HIGH, 1)).toBeLessThan(0.35 * 0.5);
    expect(situations.least(0, HIGH, 1)).toBeGreaterThan(0.35 * 0.05);
  });

  it('keeps a usual size over thousands of exact forecasts: one error does not replace it, lasting errors do', () => {
    const situations = make(1);
    let step = 0;
    const leastAfter = (count: number, error: number): number => {
      for (const end = step + count; step < end; step++) {
        situations.begin(step, -1, 1);
        situations.learn(0, step, HIGH, error, 0, 0);
      }
      situations.begin(step, -1, 1);
      return situations.least(0, HIGH, 1);
    };
    expect(leastAfter(1, 2)).toBeGreaterThan(0);
    // Steps down of 4 % come to less than the smallest number of single precision.
    expect(leastAfter(4000, 0)).toBeGreaterThan(0);
    expect(leastAfter(1, 2)).toBeLessThan(1e-5);
    expect(leastAfter(300, 2)).toBeGreaterThan(0.35 * 2 * 0.8);
  });

  it('counts forecasts of one stretch once at a long lead', () => {
    const [near, far] = [make(), make()];
    for (const [situations, knot] of [
      [near, 0],
      [far, 2],
    ] as const) {
      for (let step = 0; step < 12; step++) {
        situations.begin(step, -1, 1);
        situations.learn(knot, step, HIGH, 2, HIT, MISS);
      }
    }
    expect(far.at(2, 11, HIGH, 1)).toBeLessThan(0.6 * near.at(0, 11, HIGH, 1));
  });

  it('is the same after a restart', () => {
    const situations = make();
    play(situations, [LOW, HIGH, HIGH, LOW, HIGH, HIGH, HIGH, HIGH, HIGH], (median) => median === HIGH);
    situations.note(9);
    const writer = new StateWriter();
    situations.persist(writer);
    const again = make();
    again.persist(new StateReader(writer.finish()));
    for (const one of [situations, again]) one.begin(9, -1, 1);
    expect(again.atLead(1, HIGH, 1)).toBe(situations.atLead(1, HIGH, 1));
    expect(again.least(1, HIGH, 0)).toBe(situations.least(1, HIGH, 0));
  });
});
