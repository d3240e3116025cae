/**
 * The gate: refuses a candidate that is worse than the champion on data that neither was trained on. Paired by origin, with a
 * variance that accounts for the correlation of neighbouring origins (Diebold and Mariano 1995; Newey and West 1987;
 * small-sample factor of Harvey, Leybourne and Newbold 1997). Pure: losses in, verdict out.
 */

/** Losses of one stream on the holdout, in a unit of its own; NaN at origins without a score. */
export interface StreamLosses {
  readonly stream: string;
  /** [origins] each; the same origins for all four, in time order. */
  readonly candidate: Float64Array;
  readonly champion: Float64Array;
  readonly naive: Float64Array;
  readonly seasonal: Float64Array;
}

/** Minimum number of scored origins. The shortest holdout has 18: three horizons with six origins each. */
const LEAST_ORIGINS = 12;
/** A stream is harmed if its loss grows by more than this share ... */
const HARM = 0.1;
/** ... and the candidate is refused if more than this share of the streams is harmed. */
const MOST_HARMED = 0.25;

/**
 * A stream's loss counts as changed by at most this factor. Otherwise one stream that the champion forecasts almost without error, such
 * as a panel at night, would outweigh all others.
 */
const MOST_CHANGE = 2;
/**
 * That bound hides how much worse one stream gets, and a champion without error has no ratio. So no stream's loss may change by more than
 * MOST_CHANGE and also grow by more than this share of its naive forecast's loss.
 */
const MOST_GROWTH = 0.5;

export interface Verdict {
  readonly promote: boolean;
  /** Shown to the owner. */
  readonly reason: string;
  /** Mean losses over streams and origins. */
  readonly losses: Readonly<Record<'candidate' | 'champion' | 'naive' | 'seasonal', number>>;
  /** Reduction of the loss, as a share of the champion's; geometric mean over the streams, so that no stream's unit matters. */
  readonly gain: number;
  /** One-sided: probability of such a gain if there is none. */
  readonly pValue: number;
  /** Number of scored origins. */
  readonly origins: number;
  readonly harmed: readonly string[];
}

/**
 * A candidate that is let in by chance costs little: its share falls to 0 where it does not help (`forecast/own-share.ts`). So any
 * gain counts, and the naive forecasts are no bound: where both are worse than those, the candidate is no less worth than before.
 * @param overlap number of origins whose targets overlap: horizon / stride, at least 1
 */
export function judge(streams: readonly StreamLosses[], overlap: number): Verdict {
  const series = meansByOrigin(streams);
  const losses = {
    candidate: mean(series.candidate),
    champion: mean(series.champion),
    naive: mean(series.naive),
    seasonal: mean(series.seasonal),
  };
  const compared = streams.flatMap(inLogarithms);
  const { candidate, champion } = meansByOrigin(compared);
  const difference = champion.map((loss, t) => loss - candidate[t]);
  const origins = series.champion.length;
  const gain = compared.length > 0 ? 1 - Math.exp(mean(compared.map((one) => one.change))) : 0;
  const pValue = pairedTest(difference, overlap);
  const harmed = harmedStreams(streams);
  const verdict = (promote: boolean, reason: string): Verdict => ({
    promote,
    reason,
    losses,
    gain,
    pValue,
    origins,
    harmed,
  });

  if (origins < LEAST_ORIGINS)
    return verdict(
      false,
      `only ${origins} origins of the holdout could be scored, ${LEAST_ORIGINS} are needed`,
    );
  if (!Number.isFinite(losses.candidate))
    return verdict(false, 'the candidate produced values that are not finite');
  if (!(gain > 0)) {
    const by = gain < 0 ? `worse by ${percent(-gain)}` : 'no better';
    return verdict(false, `${by} than the champion`);
  }
  if (harmed.length > MOST_HARMED * streams.length) {
    return verdict(
      false,
      `better by ${percent(gain)} overall, but worse for ${harmed.length} of ${streams.length} streams: ${some(harmed)}`,
    );
  }
  const spoilt = spoiltStreams(streams);
  if (spoilt.length > 0)
    return verdict(false, `better by ${percent(gain)} overall, but much worse for ${some(spoilt)}`);
  return verdict(
    true,
    `better by ${percent(gain)} than the champion on ${origins} held-out origins (p = ${pValue.toFixed(3)})`,
  );
}

/**
 * One-sided p-value of the mean of `difference` being above 0.
 * @param overlap differences fewer origins apart than this share targets
 */
export function pairedTest(difference: ArrayLike<number>, overlap: number): number {
  const n = difference.length;
  if (n < 2) return 1;
  const centre = mean(difference);
  const automatic = Math.floor(4 * (n / 100) ** (2 / 9));
  const lags = Math.min(n - 1, Math.max(overlap - 1, automatic));
  let variance = covariance(difference, centre, 0);
  for (let lag = 1; lag <= lags; lag++)
    variance += 2 * (1 - lag / (lags + 1)) * covariance(difference, centre, lag);
  if (!(variance > 0)) return centre > 0 && variance === 0 ? 0 : 1;
  const h = Math.min(n - 1, Math.max(1, overlap));
  const small = Math.sqrt(Math.max(0.05, (n + 1 - 2 * h + (h * (h - 1)) / n) / n));
  return 1 - normalCdf((centre / Math.sqrt(variance / n)) * small);
}

function covariance(x: ArrayLike<number>, centre: number, lag: number): number {
  let sum = 0;
  for (let t = lag; t < x.length; t++) sum += (x[t] - centre) * (x[t - lag] - centre);
  return sum / x.length;
}

/** Standard normal distribution function (Zelen and Severo, Abramowitz and Stegun 26.2.17; error below 7.5e-8). */
export function normalCdf(x: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(x));
  const series =
    t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const tail = Math.exp((-x * x) / 2) * 0.3989422804014327 * series;
  return x >= 0 ? 1 - tail : tail;
}

/**
 * A stream's losses in the unit in which candidate minus champion is the logarithm of their ratio, `change`, if every origin is scored.
 * Empty where the champion has no loss: there is no ratio.
 */
function inLogarithms(one: StreamLosses): (StreamLosses & { readonly change: number })[] {
  const [before, after] = [finiteMean(one.champion), finiteMean(one.candidate)];
  if (!(before > 0)) return [];
  const most = Math.log(MOST_CHANGE);
  const change = Math.max(-most, Math.min(most, Math.log(after / before)));
  const unit = change === 0 ? before : (after - before) / change;
  const scaled = (losses: Float64Array): Float64Array => losses.map((loss) => loss / unit);
  return [{ ...one, candidate: scaled(one.candidate), champion: scaled(one.champion), change }];
}

/** Mean over the streams scored at an origin; origins without a score are skipped. */
function meansByOrigin(streams: readonly StreamLosses[]) {
  const out = {
    candidate: [] as number[],
    champion: [] as number[],
    naive: [] as number[],
    seasonal: [] as number[],
  };
  const most = Math.max(0, ...streams.map((one) => one.champion.length));
  for (let t = 0; t < most; t++) {
    const scored = streams.filter(
      (one) => Number.isFinite(one.champion[t]) && !Number.isNaN(one.candidate[t]),
    );
    if (scored.length === 0) continue;
    for (const key of ['candidate', 'champion', 'naive', 'seasonal'] as const) {
      out[key].push(scored.reduce((sum, one) => sum + one[key][t], 0) / scored.length);
    }
  }
  return out;
}

function harmedStreams(streams: readonly StreamLosses[]): string[] {
  return streams
    .filter(({ candidate, champion }) => {
      const before = finiteMean(champion);
      return before > 0 && finiteMean(candidate) > before * (1 + HARM);
    })
    .map((one) => one.stream);
}

function spoiltStreams(streams: readonly StreamLosses[]): string[] {
  return streams
    .filter(({ candidate, champion, naive }) => {
      const [before, after] = [finiteMean(champion), finiteMean(candidate)];
      return after > MOST_CHANGE * before && after - before > MOST_GROWTH * finiteMean(naive);
    })
    .map((one) => one.stream);
}

/** NaN for an empty list, so that every comparison with it is false. */
export function mean(x: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i];
  return x.length > 0 ? sum / x.length : Number.NaN;
}

/** Includes infinite losses (a diverged network), skips unscored origins. */
function finiteMean(x: Float64Array): number {
  return mean(x.filter((value) => !Number.isNaN(value)));
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
const some = (names: readonly string[]) =>
  `${names.slice(0, 3).join(', ')}${names.length > 3 ? ', ...' : ''}`;
