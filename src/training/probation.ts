/**
 * After a switch: does the new model keep what the holdout promised? Its live scores are held against the naives' and
 * against what the champion had before. Pure.
 */

/** Live figures of one stream since the switch; as `LeadScore` of the forecast room. */
export interface LiveScore {
  readonly n: number;
  /** Mean losses of what was published, the seasonal naive and the naive. */
  readonly loss: number;
  readonly lossSeasonal: number;
  readonly lossNaive: number;
}

export interface ProbationOptions {
  /** Forecasts matched before anything is decided. */
  readonly least: number;
  /** Loss over the better naive's that is still fine. */
  readonly tolerance: number;
  /** Time after which a model that was not refuted has proved itself, ms. */
  readonly lengthMs: number;
}

export const PROBATION_DEFAULTS: ProbationOptions = { least: 200, tolerance: 1.05, lengthMs: 24 * 3_600_000 };

export type ProbationVerdict = { readonly type: 'wait' | 'confirm' | 'rollback'; readonly reason: string };

export function watch(
  scores: readonly LiveScore[],
  sinceMs: number,
  nowMs: number,
  options: ProbationOptions = PROBATION_DEFAULTS,
): ProbationVerdict {
  let n = 0;
  let ratio = 0;
  for (const one of scores) {
    const simple = Math.min(one.lossSeasonal, one.lossNaive);
    if (!(one.n > 0)) continue;
    n += one.n;
    if (simple > 0) ratio += one.n * (Number.isFinite(one.loss) ? Math.min(10, one.loss / simple) : 10);
    else ratio += one.n * (one.loss > 0 ? 10 : 1);
  }
  if (n < options.least)
    return { type: 'wait', reason: `${n} of ${options.least} forecasts have been matched` };
  const mean = ratio / n;
  if (mean > options.tolerance) {
    return {
      type: 'rollback',
      reason: `live loss is ${mean.toFixed(2)} times the better naive's over ${n} forecasts`,
    };
  }
  // A clock that jumped back must not keep a model on probation.
  if (nowMs - sinceMs >= options.lengthMs || nowMs < sinceMs) {
    return {
      type: 'confirm',
      reason: `live loss is ${mean.toFixed(2)} times the better naive's over ${n} forecasts`,
    };
  }
  return { type: 'wait', reason: `live loss is ${mean.toFixed(2)} times the better naive's so far` };
}
