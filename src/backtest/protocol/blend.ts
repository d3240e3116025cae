/**
 * Weights for averaging several forecasts, from their errors on the validation part: halfway between the best weights
 * there (non-negative, summing to 1) and equal weights, because estimated weights rarely beat equal ones on new data
 * (Stock and Watson 2004, combination with shrinkage). Pure.
 */

/** Iterations of the search; far more than the few networks of a recipe need. */
const TURNS = 2000;

export class BlendErrors {
  /** [n, n] sums of products of errors. */
  private readonly products: Float64Array;

  /** @param n number of forecasts */
  constructor(private readonly n: number) {
    this.products = new Float64Array(n * n);
  }

  /** @param errors [n] of one target */
  add(errors: ArrayLike<number>): void {
    const { n, products } = this;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) products[i * n + j] += errors[i] * errors[j];
    }
  }

  /** [n] non-negative, summing to 1; equal if no errors were added. */
  get weights(): Float64Array {
    const best = this.best();
    return best.map((weight) => (weight + 1 / this.n) / 2);
  }

  /** Least squared error on the simplex, by exponentiated gradient (Kivinen and Warmuth 1997). */
  private best(): Float64Array {
    const { n, products } = this;
    let weights = new Float64Array(n).fill(1 / n);
    for (let turn = 0; turn < TURNS; turn++) {
      const slopes = weights.map((_, i) => {
        let slope = 0;
        for (let j = 0; j < n; j++) slope += products[i * n + j] * weights[j];
        return slope;
      });
      const loss = slopes.reduce((sum, slope, i) => sum + slope * weights[i], 0);
      if (!(loss > 0)) return weights;
      const raised = weights.map((weight, i) => weight * Math.exp(-slopes[i] / loss));
      const total = raised.reduce((sum, one) => sum + one, 0);
      weights = raised.map((one) => one / total);
    }
    return weights;
  }
}
