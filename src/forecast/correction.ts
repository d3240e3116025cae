/**
 * Predicts the error of the network's median on one stream from a few numbers about the stream: a regression at each
 * of a few leads (knots), in units of the lead's scale, learnt as the buckets arrive. Its usefulness is measured by its
 * running error compared with the network's.
 */
import { MEDIAN, Q } from '../quantiles.ts';
import { ArrayBlock } from '../series/array-block.ts';
import type { LeadKnots } from '../series/lead-knots.ts';
import type { StateIo } from '../series/state-io.ts';
import { Regression } from './regression.ts';

const MEMORY = 500;
/** Inputs, corrections and residuals are clipped to this many scales. */
const MOST = 4;
/** Resolution of stored inputs, far finer than their accuracy. */
const UNIT = 2 ** -12;
/** Errors are clipped to this when they are compared, in scales. */
const MOST_COUNTED = 8;
/** Number of compared errors before the correction may change the width. */
const ENOUGH = 16;
/** Row size: median, scale and correction of one forecast at one knot. */
const ROW = 3;
/** Indices of the current correction, the newest error and the remaining share among the numbers of a knot. */
const VALUE = 3;
const RESIDUAL = 4;
const SHARE = 5;
const KNOT = 6;

/** Scratch rows for inputs, by number of inputs: shared by all corrections. */
const rows = new Map<number, Float32Array>();

const within = (x: number): number => Math.max(-MOST, Math.min(MOST, x));

export class Correction {
  private readonly leads: number;
  private readonly regression: Regression;
  /** [leads, inputs] inputs of the last steps, in units of UNIT. */
  private readonly past: Int16Array;
  /** [inputs] of the current step. */
  private readonly x: Float32Array;
  /** For each knot k a ring of k rows [ROW]. */
  private readonly pending: Float32Array;
  /**
   * [knots, KNOT]: number of errors; mean absolute errors of the network's and of the corrected median; the current correction;
   * the network's error for the bucket that has just arrived, 0 if there is none, all in scales; and the error that the
   * correction leaves, as a share of the network's.
   */
  private readonly state: Float64Array;
  private step = 0;

  /** @param inputs number of inputs per step */
  constructor(
    private readonly knots: LeadKnots,
    inputs: number,
    memory = new ArrayBlock(),
  ) {
    const n = knots.knots.length;
    this.leads = knots.lower.length;
    this.regression = new Regression(inputs, n, memory);
    this.past = memory.int16(this.leads * inputs);
    this.x = rows.get(inputs) ?? new Float32Array(inputs);
    rows.set(inputs, this.x);
    this.pending = memory.float32(knots.rows * ROW).fill(Number.NaN);
    this.state = memory.float64(n * KNOT);
    this.resetScores();
  }

  /** Learns from the bucket that has just closed. Call once per step, before `keep`. */
  observe(y: number, observed: boolean): void {
    const { state, pending, regression, x } = this;
    const { knots } = this.knots;
    for (let j = 0; j < knots.length; j++) {
      const k = knots[j];
      const own = j * KNOT;
      state[own + RESIDUAL] = 0;
      if (!observed) continue;
      const at = ROW * this.knots.row(j, this.step);
      // NaN without a forecast from k steps ago
      const target = (y - pending[at]) / pending[at + 1];
      if (!Number.isFinite(target)) continue;
      state[own + RESIDUAL] = within(target);
      const n = Math.min(MEMORY, state[own] + 1);
      state[own] = n;
      state[own + 1] += (Math.min(MOST_COUNTED, Math.abs(target)) - state[own + 1]) / n;
      const after = Math.min(MOST_COUNTED, Math.abs(target - pending[at + 2]));
      state[own + 2] += (after - state[own + 2]) / n;
      const from = ((this.step - k) % this.leads) * regression.inputs;
      for (let i = 0; i < x.length; i++) x[i] = UNIT * this.past[from + i];
      regression.learn(j, x, target);
    }
  }

  /**
   * Computes this step's corrections and stores the data needed to score them later.
   * @param inputs of the regression, [inputs]; clipped to +-4
   * @param network the network's quantiles [leads, 9]; null if it gave none
   * @param scale [leads]
   * @param learns whether the step's inputs come from observed values
   */
  keep(inputs: Float32Array, network: Float64Array | null, scale: Float32Array, learns: boolean): void {
    const { regression, pending, state, x } = this;
    const { knots } = this.knots;
    const at = (this.step % this.leads) * x.length;
    for (let i = 0; i < x.length; i++) {
      // The rounded value is also used now, so that prediction and learning see the same input. NaN counts as 0.
      this.past[at + i] = Math.round(within(inputs[i]) / UNIT);
      x[i] = UNIT * this.past[at + i];
    }
    if (learns && network !== null) regression.see(x);
    for (let j = 0; j < knots.length; j++) {
      const k = knots[j];
      const row = ROW * this.knots.row(j, this.step);
      const value = within(regression.predict(j, x));
      state[j * KNOT + VALUE] = value;
      state[j * KNOT + SHARE] = this.shareAt(j);
      pending[row] = network === null ? Number.NaN : network[(k - 1) * Q + MEDIAN];
      pending[row + 1] = scale[k - 1];
      pending[row + 2] = value;
    }
    this.step++;
  }

  /** Current correction at knot `j`, in scales. */
  value(j: number): number {
    return this.state[j * KNOT + VALUE];
  }

  /** Current correction at lead k + 1, in scales. */
  move(k: number): number {
    return this.knots.interpolate(this.state, KNOT, VALUE, k);
  }

  /** Error after the correction at lead k + 1, as a share of the network's error. */
  share(k: number): number {
    return this.knots.interpolate(this.state, KNOT, SHARE, k);
  }

  /** The network's error for the bucket that has just arrived, in scales; 0 if there is none, or no knot `j`. */
  residual(j: number): number {
    return this.state[j * KNOT + RESIDUAL] ?? 0;
  }

  /** Number of compared errors at the last knot, at most 500. */
  get compared(): number {
    return this.state[this.state.length - KNOT];
  }

  /** Regression weight of an input at knot `j`. */
  weight(j: number, input: number): number {
    return this.regression.weight(j, input);
  }

  /** `share` at knot `j`; 1 before enough errors have been compared. */
  private shareAt(j: number): number {
    const [n, before, after] = [this.state[j * KNOT], this.state[j * KNOT + 1], this.state[j * KNOT + 2]];
    return n < ENOUGH || before <= 0 ? 1 : after / before;
  }

  /** Resets the regression, the pending forecasts and the scores. */
  reset(): void {
    this.regression.reset();
    this.pending.fill(Number.NaN);
    this.resetScores();
  }

  private resetScores(): void {
    this.state.fill(0);
    for (let at = SHARE; at < this.state.length; at += KNOT) this.state[at] = 1;
  }

  persist(io: StateIo): void {
    this.regression.persist(io);
    io.array(this.past);
    io.array(this.pending);
    io.array(this.state);
    this.step = io.number(this.step);
  }
}
