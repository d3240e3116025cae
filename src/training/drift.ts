/**
 * Drift detection: Page-Hinkley test on the scaled error of a stream's forecasts (Page 1954; Hinkley 1971; as in Gama et
 * al., "A survey on concept drift adaptation", 2014). The statistic is the sum of the errors' excess over their running
 * mean, minus its minimum. Pure.
 */

/** Tolerated excess of an error over the running mean, in running means. */
const TOLERANCE = 0.15;
/** Sum of excesses that counts as drift, in running means. */
const THRESHOLD = 40;
/** Number of errors before the first decision. */
const LEAST = 100;
/** An error counts for at most this many running means, because a spike is not a drift. */
const MOST = 6;

export class DriftDetector {
  private count = 0;
  private mean = 0;
  private sum = 0;
  private minimum = 0;

  /**
   * @param error absolute error of a forecast over its scale, at least 0; other values are ignored
   * @returns true if drift is detected; the detector is then reset
   */
  add(error: number): boolean {
    if (!Number.isFinite(error) || error < 0) return false;
    this.count++;
    const held = this.count > LEAST ? Math.min(error, MOST * Math.max(this.mean, 1e-12)) : error;
    this.mean += (held - this.mean) / this.count;
    if (this.count <= LEAST) return false;
    const unit = Math.max(this.mean, 1e-12);
    this.sum += (held - this.mean) / unit - TOLERANCE;
    this.minimum = Math.min(this.minimum, this.sum);
    if (this.sum - this.minimum <= THRESHOLD) return false;
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
