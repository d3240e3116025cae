/** Learning rate over a run: linear warm-up, then half a cosine down to a floor (Loshchilov and Hutter, SGDR, 2017). Pure. */

export interface Schedule {
  /** Highest learning rate. */
  readonly peak: number;
  /** Share of the run that warms up, 0..1. */
  readonly warmUp: number;
  /** Last learning rate, as a share of the peak. */
  readonly floor: number;
}

/**
 * @param progress 0..1, by steps or by time, whichever ends the run
 */
export function learningRate(schedule: Schedule, progress: number): number {
  const { peak, warmUp, floor } = schedule;
  const at = Math.min(1, Math.max(0, progress));
  if (at < warmUp) return peak * Math.max(0.01, at / warmUp);
  const rest = warmUp < 1 ? (at - warmUp) / (1 - warmUp) : 1;
  return peak * (floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * rest)));
}
