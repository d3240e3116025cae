/**
 * Probation of a new model: compares its live scores with the naive forecasts' and with the champion's scores on the same
 * streams. Every stream counts equally, so that fast streams do not outweigh slow ones. Pure.
 */
import type { NetworkScore } from '../forecast/track.ts';
import { mean } from './gate.ts';

/** Live figures of a model at one lead of one stream, since the switch. */
export interface LiveScore extends NetworkScore {
  readonly stream: string;
}

/** Loss divided by the better naive's loss, by stream. */
export type LiveRatios = Readonly<Record<string, number>>;

export interface ProbationOptions {
  /** Minimum number of matched forecasts, at some lead, for a stream to count. */
  readonly least: number;
  /** Share of the streams that must count before a decision. */
  readonly share: number;
  /** Acceptable ratio to the better naive's loss at any time. */
  readonly tolerance: number;
  /** Acceptable ratio to the loss without the own network at any time, while its shares are being learnt ... */
  readonly harm: number;
  /** ... and at the end. */
  readonly harmAtEnd: number;
  /** Time after which the model is confirmed, ms. */
  readonly lengthMs: number;
  /** At the end, acceptable ratio to the champion's loss; above 1, because days differ. */
  readonly slack: number;
  /** `liveRatios` before the switch; null: unknown. */
  readonly champion: LiveRatios | null;
}

export const PROBATION_DEFAULTS: ProbationOptions = {
  least: 24,
  share: 0.5,
  tolerance: 1.05,
  harm: 1.05,
  harmAtEnd: 1.01,
  lengthMs: 24 * 3_600_000,
  slack: 1.15,
  champion: null,
};

export type ProbationVerdict = { readonly type: 'wait' | 'confirm' | 'rollback'; readonly reason: string };

/** Maximum ratio that a stream contributes. */
const MOST_RATIO = 4;
/** Maximum length of a probation, in multiples of `lengthMs`: silent streams must not extend it for ever. */
const PATIENCE = 3;

/** Ratios of the streams with enough forecasts. */
export function liveRatios(scores: readonly LiveScore[], least = PROBATION_DEFAULTS.least): LiveRatios {
  const leads = new Map<string, LiveScore[]>();
  for (const one of scores) leads.set(one.stream, [...(leads.get(one.stream) ?? []), one]);
  const judged = [...leads].filter(([, rows]) => rows.some(({ n }) => n >= least));
  return Object.fromEntries(judged.map(([stream, rows]) => [stream, ratioOf(rows)]));
}

function ratioOf(rows: readonly LiveScore[]): number {
  let n = 0;
  let sum = 0;
  for (const one of rows) {
    if (!(one.n > 0)) continue;
    const simple = Math.min(one.lossSeasonal, one.lossNaive);
    const loss = Number.isFinite(one.loss) ? one.loss : Number.POSITIVE_INFINITY;
    const ratio = simple > 0 ? loss / simple : loss > 0 ? MOST_RATIO : 1;
    n += one.n;
    sum += one.n * Math.min(MOST_RATIO, ratio);
  }
  return sum / n;
}

/** Mean ratio over the streams of the loss to that without the own network. */
function harmOf(scores: readonly LiveScore[], judged: readonly string[]): number {
  const ratios = judged.map((stream) => {
    const rows = scores.filter((one) => one.stream === stream && one.n > 0);
    const [loss, without] = [weighted(rows, 'loss'), weighted(rows, 'lossWithout')];
    return without > 0 ? Math.min(MOST_RATIO, loss / without) : 1;
  });
  return mean(ratios);
}

const weighted = (rows: readonly LiveScore[], key: 'loss' | 'lossWithout'): number =>
  rows.reduce((sum, one) => sum + one.n * one[key], 0);

/** Minimum number of forecasts if a stream cannot have more within the probation. */
const FEW_FORECASTS = 3;
/** Assumed ratio of the former model's loss to the better naive's where its score is unknown. */
const ASSUMED_RATIO = 1.9;

/**
 * Live score of a model that was given from outside, compared with the naives and the former model. Undecided until enough forecasts
 * are compared with readings, at most `PATIENCE` times the length; then few forecasts count too, and only a model that is much worse
 * than the former one fails. A newly started network is worse than the naives for a while: if the score of the former model is not
 * known, only a loss of twice theirs counts.
 * @param before ratios of the former model; null: unknown
 */
export function judgeGiven(
  scores: readonly LiveScore[],
  before: LiveRatios | null,
  elapsedMs: number,
  lengthMs: number,
  defaults: ProbationOptions = PROBATION_DEFAULTS,
): ProbationVerdict {
  const known = before ?? {};
  const assumed = Object.fromEntries(scores.map(({ stream }) => [stream, ASSUMED_RATIO]));
  const options = { ...defaults, lengthMs, champion: { ...assumed, ...known } };
  const verdict = watch(scores, 0, elapsedMs, options);
  if (verdict.type !== 'wait' || elapsedMs < PATIENCE * lengthMs) return verdict;
  const comparable = scores.filter(({ stream }) => known[stream] !== undefined);
  // A doubled loss may be chance if both models beat the naives, so it must also be worse than the naives.
  const champion = Object.fromEntries(
    Object.entries(options.champion).map(([stream, ratio]) => [stream, Math.max(0.5, ratio)]),
  );
  const doubled = { ...options, champion, least: FEW_FORECASTS, tolerance: 2, slack: 2 };
  const few = watch(comparable, 0, elapsedMs, doubled);
  return few.type === 'rollback' ? few : { type: 'confirm', reason: verdict.reason };
}

export function watch(
  scores: readonly LiveScore[],
  sinceMs: number,
  nowMs: number,
  options: ProbationOptions = PROBATION_DEFAULTS,
): ProbationVerdict {
  const { least, share, tolerance, harm, harmAtEnd, lengthMs, slack, champion } = options;
  const ratios = liveRatios(scores, least);
  const judged = Object.keys(ratios);
  const streams = new Set(scores.map(({ stream }) => stream)).size;
  const late = nowMs - sinceMs >= PATIENCE * lengthMs;
  if (judged.length === 0 || (judged.length < share * streams && !late))
    return { type: 'wait', reason: `${judged.length} of ${streams} streams have matched ${least} forecasts` };
  const now = mean(judged.map((stream) => ratios[stream]));
  const found = `live loss is ${now.toFixed(2)} times the better naive's on ${judged.length} streams`;
  // Where the champion did not beat the naives either, the new model need only be no worse than the champion.
  const fair = mean(judged.map((stream) => Math.max(1, champion?.[stream] ?? 1)));
  if (now > tolerance * fair) return { type: 'rollback', reason: found };
  const ratio = harmOf(scores, judged);
  const harmful = `with the gateway's own network the live loss is ${(100 * (ratio - 1)).toFixed(1)} % higher than without on ${judged.length} streams`;
  if (ratio > harm) return { type: 'rollback', reason: harmful };
  // A clock that jumped back must not keep a model on probation.
  if (nowMs - sinceMs < lengthMs && nowMs >= sinceMs) return { type: 'wait', reason: `${found} so far` };
  if (ratio > harmAtEnd) return { type: 'rollback', reason: harmful };
  const both = judged.filter((stream) => champion?.[stream] !== undefined);
  const before = mean(both.map((stream) => champion![stream]));
  const after = mean(both.map((stream) => ratios[stream]));
  if (after > slack * before)
    return {
      type: 'rollback',
      reason: `${found}, and was ${before.toFixed(2)} times with the previous model`,
    };
  return { type: 'confirm', reason: found };
}
