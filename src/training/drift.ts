/**
 * Has a stream changed? Page-Hinkley test on the scaled error of its forecasts (Page 1954; Hinkley 1971; as in Gama et al.,
 * "A survey on concept drift adaptation", 2014): the sum of what errors exceed their running mean by, minus its minimum.
 * Pure.
 */

export interface DriftOptions {
  /** Excess of an error over the running mean that is still normal, in running means. */
  readonly tolerance: number;
  /** Sum of excesses that means drift, in running means. */
  readonly threshold: number;
  /** Errors before anything is decided. */
  readonly least: number;
  /** Single errors count at most this many running means: a spike is not a drift. */
  readonly most: number;
}

const DRIFT_DEFAULTS: DriftOptions = { tolerance: 0.15, threshold: 40, least: 100, most: 6 };

export class DriftDetector {
  private count = 0;
  private mean = 0;
  private sum = 0;
  private minimum = 0;
  private readonly options: DriftOptions;

  constructor(options: Partial<DriftOptions> | null = null) {
    // One for all streams, mostly.
    this.options = options === null ? DRIFT_DEFAULTS : { ...DRIFT_DEFAULTS, ...options };
  }

  /**
   * @param error absolute error of a forecast over its scale, at least 0; values that are not finite are left out
   * @returns true when drift has been found; the detector then begins anew
   */
  add(error: number): boolean {
    if (!Number.isFinite(error) || error < 0) return false;
    const { tolerance, threshold, least, most } = this.options;
    this.count++;
    const held = this.count > least ? Math.min(error, most * Math.max(this.mean, 1e-12)) : error;
    this.mean += (held - this.mean) / this.count;
    if (this.count <= least) return false;
    const unit = Math.max(this.mean, 1e-12);
    this.sum += (held - this.mean) / unit - tolerance;
    this.minimum = Math.min(this.minimum, this.sum);
    if (this.sum - this.minimum <= threshold) return false;
    this.reset();
    return true;
  }

  reset(): void {
    this.count = 0;
    this.mean = 0;
    this.sum = 0;
    this.minimum = 0;
  }
}
