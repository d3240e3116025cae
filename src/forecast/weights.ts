/**
 * The weight of each candidate at each lead: it falls with the candidate's running pinball loss, as a power of its
 * ratio to the best loss.
 *
 * A running loss over hundreds of steps reacts slowly when the stream changes permanently (a new set-point, another
 * machine): forecasts of its old level would be published for days. So the losses of the last few steps are tracked
 * too. A candidate that loses far more than it used to, and clearly more than another candidate does now, loses
 * weight at once, also at all longer leads: their own losses are known only when those leads have passed.
 *
 * Just after a jump (a tank has been filled) another candidate may be best, and such steps are few. So the losses of forecasts made
 * then are averaged separately too. In such forecasts a candidate that lost clearly more than another then loses weight.
 */

import type { ArrayBlock } from '../series/array-block.ts';
import type { LeadKnots } from '../series/lead-knots.ts';
import type { StateIo } from '../series/state-io.ts';
import { ADAPTER, C, GRU, RECURRENCE, shareAsBelow } from './candidates.ts';
import { CLEARLY_ABOVE_OTHERS, recentRate, setbackOf } from './setback.ts';

const MEMORY = 1000;
/** Exponent of the loss ratio, once a candidate has enough losses. */
const SHARPNESS = 16;
/** Prior weight of the network: high, because it adapts to the stream. */
const NETWORK_PRIOR = 1.5;
const ENOUGH = 96;
/** Prior weight of the adapter. Adapter and network have almost the same errors, so smaller differences decide sooner. */
const ADAPTER_PRIOR = 0.7;
const ADAPTER_SHARPNESS = 32;
const ADAPTER_MOST = 4;
/** The losses of the recurrence are multiplied by this: it must be clearly better, because a season may be found by chance. */
const HANDICAP = 1.05;

/** After this many forecasts that were made after a jump, half of what they take from a candidate (as a power) counts. */
const HALF_KNOWN = 160;

/** Indices of the recent losses and of the count in a row; the running losses come first. */
const RECENT = C;
const COUNT = 2 * C;
const AFTER_JUMP = COUNT + 1;
const COUNT_AFTER_JUMP = AFTER_JUMP + C;
const ROW = COUNT_AFTER_JUMP + 1;

/** Scratch buffers for the weights of one step; streams may share them. */
interface WeightsScratch {
  /** [C] */
  readonly setback: Float64Array;
  readonly losses: Float64Array;
}

export class Weights {
  /**
   * [knots, ROW]: running loss of each candidate, the same over the last few steps, and how many went into it; then that of
   * forecasts made after a jump, and how many.
   */
  private readonly state: Float32Array;
  /** [C] largest setback of each candidate since the newest lasting change, at any lead. */
  private readonly held: Float32Array;

  /** @param season steps of the seasonal naive's season; 0 if there is none */
  constructor(
    private readonly knots: LeadKnots,
    private readonly season: number,
    memory: ArrayBlock,
    private readonly scratch: WeightsScratch = { setback: new Float64Array(C), losses: new Float64Array(C) },
  ) {
    const n = knots.knots.length;
    this.state = memory.float32(n * ROW);
    this.held = memory.float32(C).fill(1);
  }

  /** Call when the stream has changed for good. */
  beginLevel(): void {
    this.held.fill(1);
  }

  /**
   * @param missed [C] losses of the candidates' forecasts for the newest reading, at a knot
   * @param since how many of these forecasts have been made since the newest lasting change
   * @param afterJump whether they were made just after a jump
   */
  learn(knot: number, missed: Float64Array, since = Infinity, afterJump = false): void {
    const { state } = this;
    const base = knot * ROW;
    state[base + COUNT] = Math.min(MEMORY, state[base + COUNT] + 1);
    const rate = 1 / state[base + COUNT];
    const newest = recentRate(Math.min(since, state[base + COUNT]));
    for (let c = 0; c < C; c++) {
      const at = base + c;
      state[at] += (missed[c] - state[at]) * rate;
      state[at + RECENT] += (missed[c] - state[at + RECENT]) * newest;
    }
    if (!afterJump) return;
    const count = Math.min(MEMORY, state[base + COUNT_AFTER_JUMP] + 1);
    state[base + COUNT_AFTER_JUMP] = count;
    for (let c = 0; c < C; c++) {
      const at = base + AFTER_JUMP + c;
      state[at] += (missed[c] - state[at]) / count;
    }
  }

  /**
   * @param candidates [C] null for one without a forecast: its weight is 0
   * @param atKnots [knots, C] scratch
   * @param out [leads, C]; those of a lead sum to 1
   * @param known longest lead whose forecasts since the newest lasting change have met a reading
   * @param afterJump whether the stream has just jumped
   */
  weigh(
    candidates: readonly (object | null)[],
    atKnots: Float64Array,
    out: Float64Array,
    known = Infinity,
    afterJump = false,
  ): void {
    const { knots } = this.knots;
    const hasNetwork = candidates[GRU] !== null;
    this.scratch.setback.fill(1);
    for (let j = 0; j < knots.length; j++) {
      const best = this.rate(j, candidates, knots[j] <= known, afterJump);
      const trust = Math.min(1, this.state[j * ROW + COUNT] / ENOUGH);
      let sum = 0;
      for (let c = 0; c < C; c++) {
        let w = candidates[c] === null ? 0 : this.prior(c, trust, hasNetwork);
        if (w > 0 && this.scratch.losses[c] > 0 && best > 0)
          w *= (best / this.scratch.losses[c]) ** (SHARPNESS * trust);
        else if (w > 0 && this.scratch.losses[c] > 0) w *= trust < 1 ? 1 : 0;
        atKnots[j * C + c] = w;
        sum += w;
      }
      for (let c = 0; c < C; c++) atKnots[j * C + c] /= sum;
      if (j > 0 && knots[j] % this.season === 0) shareAsBelow(atKnots, j);
    }
    this.knots.interpolateAll(atKnots, C, out);
  }

  /**
   * Writes `losses` at a knot, including penalties from this or a shorter lead.
   * @param known whether forecasts of this lead have met a reading since the newest lasting change
   * @returns the lowest loss
   */
  private rate(
    knot: number,
    candidates: readonly (object | null)[],
    known: boolean,
    afterJump: boolean,
  ): number {
    const { state, held } = this;
    const base = knot * ROW;
    const jumps = afterJump ? state[base + COUNT_AFTER_JUMP] : 0;
    let [leastRecent, leastAfterJump] = [Infinity, Infinity];
    for (let c = 0; c < C; c++) {
      if (candidates[c] === null) continue;
      leastRecent = Math.min(leastRecent, state[base + RECENT + c]);
      leastAfterJump = Math.min(leastAfterJump, state[base + AFTER_JUMP + c]);
    }
    let best = Infinity;
    for (let c = 0; c < C; c++) {
      const usual = state[base + c];
      const now = state[base + RECENT + c];
      if (!known) this.scratch.setback[c] = Math.max(this.scratch.setback[c], held[c]);
      else if (usual > 0 && leastRecent > 0)
        this.scratch.setback[c] = Math.max(this.scratch.setback[c], setbackOf(now, usual, leastRecent));
      // The adapter is the network's forecast, corrected by its past errors at this lead.
      if (c === ADAPTER)
        this.scratch.setback[c] = Math.max(this.scratch.setback[c], this.scratch.setback[GRU]);
      held[c] = Math.max(held[c], this.scratch.setback[c]);
      this.scratch.losses[c] = usual * this.scratch.setback[c] * (c === RECURRENCE ? HANDICAP : 1);
      if (jumps > 0) {
        const ratio = state[base + AFTER_JUMP + c] / (CLEARLY_ABOVE_OTHERS * leastAfterJump);
        if (ratio > 1 && leastAfterJump > 0)
          this.scratch.losses[c] *= ratio ** (jumps / (jumps + HALF_KNOWN));
      }
      if (candidates[c] !== null) best = Math.min(best, this.scratch.losses[c]);
    }
    return best;
  }

  /** Prior weight of a candidate relative to the others, before losses are compared. */
  private prior(c: number, trust: number, hasNetwork: boolean): number {
    if (!hasNetwork) return 1;
    if (c === GRU) return NETWORK_PRIOR;
    if (c !== ADAPTER) return 0.02 + 0.1 * trust;
    const own = this.scratch.losses[ADAPTER];
    const ratio = own > 0 ? (this.scratch.losses[GRU] / own) ** (ADAPTER_SHARPNESS * trust) : 1;
    return ADAPTER_PRIOR * trust * Math.min(ADAPTER_MOST, ratio);
  }

  persist(io: StateIo): void {
    io.array(this.state);
    io.array(this.held);
  }
}
