/** MSE and MAE of point forecasts by horizon, over all windows and columns. Pure. */
import type { Range } from '../../training/dataset.ts';

export interface HorizonScore {
  readonly horizon: number;
  /** Scored targets of all windows and columns. */
  readonly n: number;
  readonly mse: number;
  readonly mae: number;
}

/** A window counts for a horizon if all its targets lie in `range`; missing targets are skipped. */
export class ProtocolScore {
  private readonly sums: { n: number; squares: number; sizes: number }[];

  /** @param horizons ascending */
  constructor(
    private readonly range: Range,
    private readonly horizons: readonly number[],
  ) {
    this.sums = horizons.map(() => ({ n: 0, squares: 0, sizes: 0 }));
  }

  /**
   * @param values the column, z-scored, NaN where missing
   * @param origin last known bucket
   * @param point [leads] forecasts, at least as many as the longest horizon
   */
  add(values: ArrayLike<number>, origin: number, point: ArrayLike<number>): void {
    if (origin + 1 < this.range.from) return;
    let n = 0;
    let squares = 0;
    let sizes = 0;
    let lead = 0;
    for (let i = 0; i < this.horizons.length; i++) {
      if (origin + this.horizons[i] >= this.range.to) return;
      for (; lead < this.horizons[i]; lead++) {
        const error = values[origin + 1 + lead] - point[lead];
        if (Number.isNaN(error)) continue;
        n++;
        squares += error * error;
        sizes += Math.abs(error);
      }
      const sum = this.sums[i];
      sum.n += n;
      sum.squares += squares;
      sum.sizes += sizes;
    }
  }

  get scores(): HorizonScore[] {
    return this.horizons.map((horizon, i) => {
      const { n, squares, sizes } = this.sums[i];
      return { horizon, n, mse: squares / n, mae: sizes / n };
    });
  }
}
