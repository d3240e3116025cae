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
import { recentRate, setbackOf } from './setback.ts';

/** Initial share of a new network. */
const FIRST = 0.2;
const RATE = 0.01;
/** A single reading changes the share by at most this many rates. */
const STEEPEST = 4;
const MEMORY = 1000;
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
  /** [knots, KNOT] */
  private readonly state: Float32Array;
  /** [1] largest setback since the newest lasting change, at any lead. */
  private readonly held: Float32Array;

  constructor(
    private readonly knots: LeadKnots,
    memory: ArrayBlock,
  ) {
    this.held = memory.float32(1);
    this.state = memory.float32(knots.knots.length * KNOT);
    this.begin();
  }

  /** Prepares for the first own network beside another base network. */
  begin(): void {
    const { state } = this;
    for (let base = 0; base < state.length; base += KNOT) {
      state.fill(0, base, base + KNOT);
      state.fill(FIRST, base, base + COUNT);
    }
    this.held[0] = 1;
  }

  /**
   * @param row intervals (low, median, high) for the newest reading
   * @param blend index of the blend's interval
   * @param own index of the own network's interval; learns nothing if it is NaN
   * @param since how many of these forecasts have been made since the newest lasting change
   */
  learn(knot: number, row: Float64Array, blend: number, own: number, y: number, since: number): void {
    if (Number.isNaN(row[own])) return;
    const { state } = this;
    const base = knot * KNOT;
    const count = Math.min(MEMORY, state[base + COUNT] + 1);
    const lost = pinball3(y, row[blend], row[blend + 1], row[blend + 2]);
    const lostOwn = pinball3(y, row[own], row[own + 1], row[own + 2]);
    state[base + COUNT] = count;
    const newest = recentRate(Math.min(since, count));
    state[base + USUAL_BLEND] += (lost - state[base + USUAL_BLEND]) / count;
    state[base + USUAL_OWN] += (lostOwn - state[base + USUAL_OWN]) / count;
    state[base + RECENT_BLEND] += (lost - state[base + RECENT_BLEND]) * newest;
    state[base + RECENT_OWN] += (lostOwn - state[base + RECENT_OWN]) * newest;

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

  /**
   * Call once per step, after `learn` for all knots.
   * @param known longest lead whose forecasts since the newest lasting change have met a reading
   */
  follow(known: number): void {
    const { state } = this;
    const { knots } = this.knots;
    let setback = 1;
    for (let base = 0, j = 0; base < state.length; base += KNOT, j++) {
      const usual = Math.min(state[base + USUAL_BLEND], state[base + USUAL_OWN]);
      const above =
        knots[j] <= known
          ? setbackOf(state[base + RECENT_OWN], usual, state[base + RECENT_BLEND])
          : this.held[0];
      // NaN if both losses are 0: the comparison is then false.
      if (above > setback) setback = above;
      state[base + USED] = state[base + LEARNT] / setback ** SETBACK;
    }
    this.held[0] = Math.max(this.held[0], setback);
  }

  /** Call when the stream has changed for good. */
  beginLevel(): void {
    this.held[0] = 1;
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
    io.array(this.held);
  }
}
