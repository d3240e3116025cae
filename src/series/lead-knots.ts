/**
 * A few leads (knots), spaced by ratio, at which values are stored or learnt. Leads between knots are interpolated
 * linearly in the logarithm of the lead. The knots depend on the horizon alone, so that streams share them.
 */
export class LeadKnots {
  /** Ascending; the horizon itself is always the last. */
  readonly knots: readonly number[];
  /** [leads] index of the last knot at or before the lead. */
  readonly lower: Int32Array;
  /** [leads] interpolation weight of the next knot. */
  readonly upperWeight: Float64Array;
  /** [knots] first row of each knot's ring; the rings, of k rows for knot k, are stored one after the other. */
  readonly firstRow: readonly number[];
  /** Number of rows of all rings. */
  readonly rows: number;

  constructor(candidates: readonly number[], leads: number) {
    const knots = [...candidates.filter((k) => k < leads), leads];
    this.knots = knots;
    this.lower = new Int32Array(leads);
    this.upperWeight = new Float64Array(leads);
    for (let k = 1; k <= leads; k++) {
      let j = 0;
      while (j + 1 < knots.length && knots[j + 1] <= k) j++;
      this.lower[k - 1] = j;
      if (j + 1 < knots.length)
        this.upperWeight[k - 1] = Math.log(k / knots[j]) / Math.log(knots[j + 1] / knots[j]);
    }
    let rows = 0;
    this.firstRow = knots.map((k) => {
      const first = rows;
      rows += k;
      return first;
    });
    this.rows = rows;
  }

  /** Row of a step in the ring of a knot: it contains what was written `knots[knot]` steps ago. */
  row(knot: number, step: number): number {
    return this.firstRow[knot] + (step % this.knots[knot]);
  }

  /**
   * Interpolates a quantity at lead k + 1 from its values at the knots.
   * @param values [knots, width]
   */
  interpolate(values: Float64Array | Float32Array, width: number, column: number, k: number): number {
    const j = this.lower[k];
    const w = this.upperWeight[k];
    const a = values[j * width + column];
    return w === 0 ? a : a + w * (values[(j + 1) * width + column] - a);
  }

  /**
   * Interpolates all columns at all leads.
   * @param values [knots, width]
   * @param out [leads, width]
   */
  interpolateAll(values: Float64Array, width: number, out: Float64Array): void {
    const { lower, upperWeight } = this;
    for (let k = 0; k < lower.length; k++) {
      const from = lower[k] * width;
      const w = upperWeight[k];
      for (let c = 0; c < width; c++) {
        const a = values[from + c];
        out[k * width + c] = w === 0 ? a : a + w * (values[from + width + c] - a);
      }
    }
  }

  /** Interpolates a quantity that is computed at the knots by `at`. */
  between(k: number, at: (knot: number) => number): number {
    const j = this.lower[k];
    const w = this.upperWeight[k];
    const a = at(j);
    return w === 0 ? a : a + w * (at(j + 1) - a);
  }
}
