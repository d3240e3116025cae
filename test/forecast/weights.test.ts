import { describe, expect, it } from 'vitest';
import { ADAPTER, C, GRU, NAIVE } from '../../src/forecast/candidates.ts';
import { TrackScratch } from '../../src/forecast/track-scratch.ts';
import { Weights } from '../../src/forecast/weights.ts';
import { ArrayBlock } from '../../src/series/array-block.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';

const LEADS = 48;
/** Of gru, seasonal naive, naive, climate and adapter on noise about a level: the last value is the worst of all. */
const USUAL = [1, 1.4, 1.4, 1.05, 1, 2];

/** Plays losses into weights: what a forecast of a lead lost is known when the lead has passed. */
class Rig {
  readonly scratch = new TrackScratch(LEADS);
  readonly weights = new Weights(this.scratch.knots, 24, new ArrayBlock());
  private step = 0;
  private readonly past: ((lead: number) => readonly number[])[] = [];

  /** @param lost losses of the forecasts made in this step, by lead */
  pass(steps: number, lost: (lead: number) => readonly number[]): this {
    for (let i = 0; i < steps; i++) {
      for (const [j, k] of this.scratch.knots.knots.entries()) {
        const made = this.past[this.step - k];
        if (made !== undefined) this.weights.learn(j, Float64Array.from(made(k)));
      }
      this.past[this.step++] = lost;
    }
    return this;
  }

  /** Weights at a lead, [C]. */
  at(lead: number): number[] {
    const out = new Float64Array(LEADS * C);
    this.weights.weigh(new Array(C).fill(out), this.scratch.atKnots, out);
    return [...out.subarray((lead - 1) * C, lead * C)];
  }
}

const usual = (): readonly number[] => USUAL;
/** The level moves by 50 and stays: known to the last value from then on, long unknown to all others. */
const moved = (): readonly number[] => [40, 50, 1.4, 50, 38, 50];

describe('weights', () => {
  it('prefer what has lost least, and sum to 1', () => {
    const rig = new Rig().pass(500, usual);
    for (const lead of [1, 5, 24, 48]) {
      const weights = rig.at(lead);
      expect(weights[GRU]! + weights[ADAPTER]!).toBeGreaterThan(0.8);
      expect(weights.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    }
  });

  it('turn to what follows a change for good within a few steps, at the leads too whose losses are not known yet', () => {
    // Forecasts of before the change are all as wrong, whoever made them.
    const rig = new Rig().pass(460, usual);
    for (let i = 48; i > 0; i--) rig.pass(1, (lead) => (lead >= i ? [50, 50, 50, 50, 50, 50] : USUAL));
    expect(rig.at(1)[NAIVE]).toBeLessThan(0.1);
    rig.pass(5, moved);
    for (const lead of [1, 5, 24, 48]) expect(rig.at(lead)[NAIVE], `lead ${lead}`).toBeGreaterThan(0.95);
  });

  it('stay with the best of before where all are as wrong for a while', () => {
    const rig = new Rig()
      .pass(500, usual)
      .pass(5, () => [50, 50, 50, 50, 50, 50])
      .pass(1, usual);
    for (const lead of [1, 5, 24, 48]) expect(rig.at(lead)[NAIVE], `lead ${lead}`).toBeLessThan(0.1);
  });

  it('do not mind that the last value is exact for a while, as long as the network loses no more than it does', () => {
    const rig = new Rig().pass(500, usual).pass(30, () => [1.2, 1.4, 0, 1.05, 1.2, 2]);
    expect(rig.at(24)[NAIVE]).toBeLessThan(0.1);
  });

  it('are the same after a restart', () => {
    const rig = new Rig().pass(300, usual).pass(7, moved);
    const writer = new StateWriter();
    rig.weights.persist(writer);
    const other = new Rig();
    other.weights.persist(new StateReader(writer.finish()));
    for (const lead of [1, 7, 48]) expect(other.at(lead)).toEqual(rig.at(lead));
  });
});
