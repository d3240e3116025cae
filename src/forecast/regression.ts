/**
 * Linear regressions of several outputs on the same inputs, learnt one step at a time: recursive least squares with
 * exponential forgetting (Haykin, Adaptive Filter Theory, ch. 10). All outputs share one inverse covariance.
 *
 * Two measures keep the regression stable for years. The ridge is not forgotten: every step adds a little of it along one
 * coordinate in turn, as if that weight had been observed to be 0, so that a direction no longer present in the
 * inputs neither winds the covariance up nor keeps its weight. And a step never moves an output by more than a
 * bounded error.
 */
import { ArrayBlock } from '../series/array-block.ts';
import type { StateIo } from '../series/state-io.ts';

/** Time constant of the forgetting, in steps: weight 1/e. */
const SPAN = 4000;
/** Strength of the ridge, in squares of the inputs: equals this many typical steps with a weight of 0. */
const RIDGE = 5;
/** Errors are clipped to this, so that the fit approaches the median and is robust against outliers. */
const MOST_ERROR = 1;

/** Scratch arrays for gains, by number of inputs: shared by all regressions. */
const gains = new Map<number, Float64Array>();

export class Regression {
  /**
   * Lower triangle by rows, [inputs * (inputs + 1) / 2], of the inverse of the weighted sum of squares of the inputs; then the
   * weights, [outputs, inputs].
   */
  private readonly state: Float64Array;
  /** Index of the first weight. */
  private readonly first: number;
  private readonly gain: Float64Array;
  /** Coordinate that receives the ridge next. */
  private turn = 0;

  constructor(
    readonly inputs: number,
    readonly outputs: number,
    memory = new ArrayBlock(),
  ) {
    this.first = (inputs * (inputs + 1)) / 2;
    this.state = memory.float64(this.first + outputs * inputs);
    this.gain = gains.get(inputs) ?? new Float64Array(inputs);
    gains.set(inputs, this.gain);
    this.reset();
  }

  /** Forgets everything. */
  reset(): void {
    this.state.fill(0);
    for (let i = 0; i < this.inputs; i++) this.state[(i * (i + 3)) / 2] = 1 / RIDGE;
  }

  /** Updates the covariance with a step's inputs; `learn` follows when the outputs are known. @param x [inputs], bounded */
  see(x: Float32Array): void {
    const { inputs, state, gain } = this;
    const keep = 1 - 1 / SPAN;
    this.subtract(1 / (keep + this.multiply(x)), keep);
    // Equals (1 - keep) * RIDGE per step for every coordinate, added to one coordinate at a time.
    const i = this.turn;
    this.turn = (i + 1) % inputs;
    const share = inputs * (1 - keep) * RIDGE;
    for (let m = 0; m < inputs; m++) gain[m] = state[m <= i ? (i * (i + 1)) / 2 + m : (m * (m + 1)) / 2 + i];
    const pull = share / (1 + share * gain[i]);
    for (let j = 0; j < this.outputs; j++) {
      const from = this.first + j * inputs;
      const back = pull * state[from + i];
      for (let m = 0; m < inputs; m++) state[from + m] -= back * gain[m];
    }
    this.subtract(pull, 1);
  }

  /** gain = inverse * x. @returns x' * inverse * x */
  private multiply(x: Float32Array): number {
    const { inputs, state, gain } = this;
    gain.fill(0);
    let at = 0;
    for (let i = 0; i < inputs; i++) {
      const xi = x[i];
      let sum = 0;
      for (let m = 0; m < i; m++) {
        const p = state[at++];
        sum += p * x[m];
        gain[m] += p * xi;
      }
      gain[i] += sum + state[at++] * xi;
    }
    let square = 0;
    for (let i = 0; i < inputs; i++) square += gain[i] * x[i];
    return square;
  }

  /** inverse = (inverse - factor * gain * gain') / keep */
  private subtract(factor: number, keep: number): void {
    const { inputs, state, gain } = this;
    let at = 0;
    for (let i = 0; i < inputs; i++) {
      const g = factor * gain[i];
      for (let m = 0; m <= i; m++, at++) state[at] = (state[at] - g * gain[m]) / keep;
    }
  }

  /** Learns one output for inputs passed to `see` before. @param x [inputs] */
  learn(output: number, x: Float32Array, value: number): void {
    const { inputs, state, gain } = this;
    const from = this.first + output * inputs;
    const error = value - this.predict(output, x);
    const bounded = Math.max(-MOST_ERROR, Math.min(MOST_ERROR, error));
    this.multiply(x);
    for (let i = 0; i < inputs; i++) state[from + i] += gain[i] * bounded;
  }

  predict(output: number, x: Float32Array): number {
    const { inputs, state } = this;
    const from = this.first + output * inputs;
    let sum = 0;
    for (let i = 0; i < inputs; i++) sum += state[from + i] * x[i];
    return sum;
  }

  weight(output: number, input: number): number {
    return this.state[this.first + output * this.inputs + input];
  }

  persist(io: StateIo): void {
    io.array(this.state);
    this.turn = io.number(this.turn);
  }
}
