/**
 * Finds series that help a linear forecast of another one: the error of a regression that is learnt step by step, with
 * them and without. Fast, so that many pairs can be compared before the best are tried as covariates. Pure.
 */
import { Regression } from './regression.ts';

/** Largest ratio of the errors with and without a series that is worth trying. */
export const SCREENED = 0.99;
/** Covariates per stream: each costs memory and time with every step. */
export const MOST_COVARIATES = 3;
/** Fewer buckets show nothing. */
export const LEAST_BUCKETS = 200;

const LAGS = [1, 2, 4, 8];
const START = LAGS[LAGS.length - 1];
const INPUTS = 1 + LAGS.length;
const LEADS = [1, 4, 16];
/** Blocks of the second half whose gains are compared, so that chance can be told from use. */
const BLOCKS = 8;
/** Standard errors between the ratio and its bound. */
const DOUBT = 2;

interface Comparison {
  /** Error with another series, as a ratio to that without; 1 if it says nothing. */
  readonly ratio: number;
  /** The ratio is hardly larger than this. */
  readonly bound: number;
}
const NOTHING: Comparison = { ratio: 1, bound: 1 };

/** Values with mean 0 and deviation 1, gaps filled with the last value; null for a constant or empty series. */
function standardised(values: Float64Array): Float64Array | null {
  const known = values.filter(Number.isFinite);
  const mean = known.reduce((sum, one) => sum + one, 0) / known.length;
  const deviation = Math.sqrt(known.reduce((sum, one) => sum + (one - mean) ** 2, 0) / known.length);
  if (!(deviation > 0)) return null;
  let last = 0;
  return values.map((value) => {
    if (Number.isFinite(value)) last = Math.max(-4, Math.min(4, (value - mean) / deviation));
    return last;
  });
}

/** Writes the inputs that step `t` of a series has. */
function write(values: Float64Array, t: number, out: Float32Array, offset: number): void {
  out[offset] = values[t];
  for (const [j, lag] of LAGS.entries()) out[offset + 1 + j] = values[t] - values[t - lag];
}

export class CovariateScreen {
  private readonly own: Float64Array | null;
  /** Errors of the regression without other series, [leads][steps]; 0 in the first half. */
  private readonly left: readonly Float64Array[];
  private readonly alone: number;

  /** @param values of the series that is forecast, on its grid; NaN: unknown */
  constructor(values: Float64Array) {
    const own = values.length < LEAST_BUCKETS ? null : standardised(values);
    this.own = own;
    this.left = LEADS.map(() => new Float64Array(values.length));
    this.alone = own === null ? 0 : this.error([own], this.left);
  }

  /** Whether the series is long enough and not constant. */
  get isUsable(): boolean {
    return this.alone > 0;
  }

  /** @param values of another series on the same grid */
  compare(values: Float64Array): Comparison {
    const other = standardised(values);
    if (this.own === null || other === null || !this.isUsable) return NOTHING;
    const errors = LEADS.map(() => new Float64Array(values.length));
    const ratio = this.error([this.own, other], errors) / this.alone;
    const changes = new Float64Array(BLOCKS);
    const half = values.length >> 1;
    for (const [output, list] of errors.entries()) {
      for (let t = half; t < list.length; t++) {
        const block = Math.floor(((t - half) * BLOCKS) / (list.length - half));
        changes[block] += (Math.abs(list[t]) - Math.abs(this.left[output][t])) / LEADS.length;
      }
    }
    const mean = changes.reduce((sum, one) => sum + one, 0) / BLOCKS;
    const variance = changes.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (BLOCKS - 1);
    return { ratio, bound: ratio + (DOUBT * Math.sqrt(BLOCKS * variance)) / this.alone };
  }

  /** Largest correlation of an input from another series with the residuals of the series' own regression. Faster than `compare`. */
  relation(values: Float64Array): number {
    const other = standardised(values);
    if (other === null) return 0;
    const x = new Float32Array(INPUTS);
    let largest = 0;
    for (const [output, lead] of LEADS.entries()) {
      const errors = this.left[output];
      const products = new Float64Array(INPUTS);
      const squares = new Float64Array(INPUTS);
      let square = 0;
      for (let t = Math.max(START + lead, (errors.length >> 1) + 1); t < errors.length; t++) {
        write(other, t - lead, x, 0);
        square += errors[t] ** 2;
        for (let i = 0; i < INPUTS; i++) {
          products[i] += errors[t] * x[i];
          squares[i] += x[i] ** 2;
        }
      }
      for (let i = 0; i < INPUTS; i++) {
        const correlation = Math.abs(products[i]) / Math.sqrt(square * squares[i]);
        if (correlation > largest) largest = correlation;
      }
    }
    return largest;
  }

  /** Mean absolute error of the regression on the second half; mean over the leads. @param errors are written here */
  private error(
    [own, ...helpers]: readonly [Float64Array, ...Float64Array[]],
    errors: readonly Float64Array[],
  ): number {
    const all = [own, ...helpers];
    const regression = new Regression(INPUTS * all.length, LEADS.length);
    const past: Float32Array[] = [];
    let sum = 0;
    for (let t = START; t < own.length; t++) {
      for (const [output, lead] of LEADS.entries()) {
        const inputs = past[t - lead - START];
        if (inputs === undefined) continue;
        const change = own[t] - own[t - lead];
        if (t > own.length / 2) {
          const error = change - regression.predict(output, inputs);
          sum += Math.abs(error) / LEADS.length;
          errors[output][t] = error;
        }
        regression.learn(output, inputs, change);
      }
      const x = new Float32Array(regression.inputs);
      for (const [i, values] of all.entries()) write(values, t, x, i * INPUTS);
      regression.see(x);
      past.push(x);
    }
    return sum;
  }
}
