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
  /** Forecasts matched, and buckets that some stream has matched them in, before anything is decided. */
  readonly least: number;
  readonly leastBuckets: number;
  /** Loss over the better naive's that is still fine at any time. */
  readonly tolerance: number;
  /** Time after which a model that was not refuted has proved itself, ms. */
  readonly lengthMs: number;
  /** What the champion's `liveRatio` was before the switch; null: not known. */
  readonly champion: number | null;
  /** After all of the time the loss may be this many times the champion's: no two days are alike. */
  readonly slack: number;
}

export const PROBATION_DEFAULTS: ProbationOptions = {
  least: 200,
  leastBuckets: 12,
  tolerance: 1.05,
  lengthMs: 24 * 3_600_000,
  champion: null,
  slack: 1.15,
};

export type ProbationVerdict = { readonly type: 'wait' | 'confirm' | 'rollback'; readonly reason: string };

/** No single stream or lead counts more than so many times the better naive's loss. */
const MOST_RATIO = 10;

/** Mean loss over the better naive's, and how many forecasts it is made of; NaN without any. */
export function liveRatio(scores: readonly LiveScore[]): { readonly n: number; readonly ratio: number } {
  let n = 0;
  let sum = 0;
  for (const one of scores) {
    const simple = Math.min(one.lossSeasonal, one.lossNaive);
    if (!(one.n > 0)) continue;
    n += one.n;
    if (simple > 0)
      sum += one.n * (Number.isFinite(one.loss) ? Math.min(MOST_RATIO, one.loss / simple) : MOST_RATIO);
    else sum += one.n * (one.loss > 0 ? MOST_RATIO : 1);
  }
  return { n, ratio: sum / n };
}

export function watch(
  scores: readonly LiveScore[],
  sinceMs: number,
  nowMs: number,
  options: ProbationOptions = PROBATION_DEFAULTS,
): ProbationVerdict {
  const { least, leastBuckets, tolerance, lengthMs, champion, slack } = options;
  const { n, ratio } = liveRatio(scores);
  const buckets = Math.max(0, ...scores.map((one) => one.n));
  if (n < least || buckets < leastBuckets)
    return { type: 'wait', reason: `${n} of ${least} forecasts have been matched` };
  const found = `live loss is ${ratio.toFixed(2)} times the better naive's over ${n} forecasts`;
  // Where no network beats the naives live, the new one need only be no worse than the one before.
  if (ratio > tolerance * Math.max(1, champion ?? 1)) return { type: 'rollback', reason: found };
  // A clock that jumped back must not keep a model on probation.
  if (nowMs - sinceMs < lengthMs && nowMs >= sinceMs) return { type: 'wait', reason: `${found} so far` };
  if (champion !== null && ratio > slack * champion)
    return { type: 'rollback', reason: `${found}, the model before it had ${champion.toFixed(2)}` };
  return { type: 'confirm', reason: found };
}
