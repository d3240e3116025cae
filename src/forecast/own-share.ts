/**
 * The share of the gateway's own network in the published forecast. The blend B of all other candidates is moved towards the
 * own network's forecast O by a share w of the distance, quantile by quantile: B + w (O - B). The share of each lead is learnt
 * by gradient descent on the pinball loss of the result, so that it grows if both together are better than the blend alone,
 * and falls to zero if they are not (online gradient descent, Zinkevich 2003; averages of quantiles, Lichtendahl, Grushka-
 * Cockayne and Winkler 2013).
 *
 * Gradient descent takes some steps to leave a network that has suddenly gone wrong. So, as in `weights.ts`, the losses of the
 * last few steps are tracked too: if they are far above the usual ones and clearly above the blend's, the share falls at once, at
 * this lead and at all longer ones.
 */
import { MEDIAN, pinball3, Q } from '../quantiles.ts';
import type { ArrayBlock } from '../series/array-block.ts';
import type { LeadKnots } from '../series/lead-knots.ts';
import type { StateIo } from '../series/state-io.ts';

/** Initial share of a new network. */
const FIRST = 0.2;
const RATE = 0.01;
/** A single reading changes the share by at most this many rates. */
const STEEPEST = 4;
const MEMORY = 1000;
/** Weight of the newest loss in the recent mean: about the last five steps count. */
const RECENT_RATE = 0.2;
const FAR_ABOVE_USUAL = 8;
const CLEARLY_ABOVE_BLEND = 2;
/** Exponent with which the penalty reduces the share. */
const SETBACK = 4;
/** Levels of a stored interval: low, median, high. */
const LEVELS = [1 / (Q + 1), (MEDIAN + 1) / (Q + 1), Q / (Q + 1)] as const;
/**
 * Indices of the numbers of a knot: learnt share and used share; number of compared forecasts; usual and recent losses of the
 * blend and of the own network.
 */
const [LEARNT, USED, COUNT, USUAL_BLEND, USUAL_OWN, RECENT_BLEND, RECENT_OWN] = [
  0, 1, 2, 3, 4, 5, 6,
] as const;
const KNOT = 7;

export class OwnShare {
  private readonly knots: LeadKnots;
  /** [knots, KNOT] */
  private readonly state: Float32Array;

  constructor(knots: LeadKnots, memory: ArrayBlock) {
    this.knots = knots;
    this.state = memory.float32(knots.knots.length * KNOT);
    this.reset();
  }

  /** Resets the share for another network. */
  reset(): void {
    this.state.fill(0);
    for (let base = 0; base < this.state.length; base += KNOT) this.state.fill(FIRST, base, base + COUNT);
  }

  /**
   * @param row intervals (low, median, high) for the newest reading
   * @param blend index of the blend's interval
   * @param own index of the own network's interval; learns nothing if it is NaN
   */
  learn(knot: number, row: Float64Array, blend: number, own: number, y: number): void {
    if (Number.isNaN(row[own])) return;
    const { state } = this;
    const base = knot * KNOT;
    const count = Math.min(MEMORY, state[base + COUNT] + 1);
    const lost = pinball3(y, row[blend], row[blend + 1], row[blend + 2]);
    const lostOwn = pinball3(y, row[own], row[own + 1], row[own + 2]);
    state[base + COUNT] = count;
    const recentRate = Math.max(RECENT_RATE, 1 / count);
    state[base + USUAL_BLEND] += (lost - state[base + USUAL_BLEND]) / count;
    state[base + USUAL_OWN] += (lostOwn - state[base + USUAL_OWN]) / count;
    state[base + RECENT_BLEND] += (lost - state[base + RECENT_BLEND]) * recentRate;
    state[base + RECENT_OWN] += (lostOwn - state[base + RECENT_OWN]) * recentRate;

    const share = state[base + LEARNT];
    let slope = 0;
    for (let i = 0; i < LEVELS.length; i++) {
      const distance = row[own + i] - row[blend + i];
      const pooled = row[blend + i] + share * distance;
      slope += ((y < pooled ? 1 : 0) - LEVELS[i]) * distance;
    }
    const steepness = slope / state[base + USUAL_BLEND];
    if (!Number.isFinite(steepness)) return;
    // Errors at lead k overlap for k steps: a longer lead learns more slowly.
    const rate = RATE / Math.sqrt(this.knots.knots[knot]);
    const moved = share - rate * Math.max(-STEEPEST, Math.min(STEEPEST, steepness));
    state[base + LEARNT] = Math.max(0, Math.min(1, moved));
  }

  /** Call once per step, after `learn` for all knots. */
  follow(): void {
    const { state } = this;
    let setback = 1;
    for (let base = 0; base < state.length; base += KNOT) {
      const now = state[base + RECENT_OWN];
      const usual = Math.min(state[base + USUAL_BLEND], state[base + USUAL_OWN]);
      const above = Math.min(
        now / (FAR_ABOVE_USUAL * usual),
        now / (CLEARLY_ABOVE_BLEND * state[base + RECENT_BLEND]),
      );
      // NaN if both losses are 0: the comparison is then false.
      if (above > setback) setback = above;
      state[base + USED] = state[base + LEARNT] / setback ** SETBACK;
    }
  }

  /** The used share at a knot. */
  at(knot: number): number {
    return this.state[knot * KNOT + USED];
  }

  /** The used share at lead k + 1. */
  atLead(k: number): number {
    return this.knots.interpolate(this.state, KNOT, USED, k);
  }

  persist(io: StateIo): void {
    io.array(this.state);
  }
}
