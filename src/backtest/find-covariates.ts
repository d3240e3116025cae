/**
 * `backtest --covariates auto`: finds the series of a file that help to forecast each other. Candidates are screened on the
 * buckets before --start by a linear regression with and without them. The best of each series are then its covariates in a
 * second run of the live pipeline, and are kept where the forecasts of the second half of those buckets are better than without.
 * The figures are of the buckets from --start on, which the choice has not seen.
 */
import { GatecastError } from '../errors.ts';
import { Engine } from '../forecast/engine.ts';
import { Regression } from '../forecast/regression.ts';
import type { CovariateInputs } from './covariate-columns.ts';
import { type Grid, type Played, play } from './play.ts';
import { type BacktestRequest, playOptions, readSeries } from './request.ts';
import { firstScored, openModel } from './run.ts';
import { type SeriesScore, scoreSeries } from './score.ts';

/** Covariates per series: each costs memory and time with every step. */
const MOST_PER_SERIES = 3;
/** Largest ratio of the errors with and without a candidate in the screening ... */
const SCREENED = 0.99;
/** ... and of the losses of the forecasts. */
const KEPT = 0.995;
/** The screening reads this many buckets, and this many candidates per series. */
const MOST_BUCKETS = 6000;
const MOST_CANDIDATES = 64;
const LEAST_BUCKETS = 200;
const LAGS = [1, 2, 4, 8];
const INPUTS = 1 + LAGS.length;

export interface FoundCovariates {
  readonly series: string;
  /** Chosen covariates, the best first. */
  readonly covariates: readonly string[];
  /** Those of the screening; chosen or not. */
  readonly tried: readonly string[];
  /** SQL from --start on, without and with `tried`. */
  readonly without: number;
  readonly with: number;
}

/** Throws as `runBacktest`. */
export async function findCovariates(
  files: readonly string[],
  request: BacktestRequest,
): Promise<FoundCovariates[]> {
  const [file, ...more] = files;
  if (file === undefined || more.length > 0) {
    throw new GatecastError('USAGE', '--covariates auto needs one file.', {
      hint: 'Only series of the same file can help each other.',
    });
  }
  const { known, series, covariateInputs } = readSeries(file, request);
  const first = firstScored(series[0], request);
  const tried = series.map((_, s) => screen(series, s, first));
  const names = (list: readonly number[]): string[] => list.map((s) => series[s].name);
  // Forecasts are also recorded on the second half of the buckets before --start, on which the choice is made.
  const options = playOptions({ ...request, start: request.start / 2 });
  const run = async (inputs: CovariateInputs, part: number): Promise<Played[]> => {
    const engine = new Engine(openModel(request).model);
    try {
      const hooks = {
        progress: (done: number, total: number) =>
          request.progress?.((part + done / total) / 2, 1, part === 0 ? 'without' : 'with covariates'),
      };
      return await play(engine, series, known, options, hooks, inputs);
    } finally {
      await engine.release();
    }
  };
  const without = await run(covariateInputs, 0);
  const joined = covariateInputs.covariates.map((tables, s) => [
    ...tried[s].map((other) => ({ kind: 'stream' as const, name: `s${other}` })),
    ...tables,
  ]);
  const together = await run({ ...covariateInputs, covariates: joined }, 1);
  return series.map((grid, s) => {
    const score = (played: readonly Played[], chosen: boolean): SeriesScore => {
      const of = played.filter((one) => one.series === s && one.origin < first - 1 === chosen);
      return scoreSeries(grid, of, request.horizon, first);
    };
    const gain = score(together, true).sql / score(without, true).sql;
    return {
      series: grid.name,
      covariates: gain < KEPT ? names(tried[s]) : [],
      tried: names(tried[s]),
      without: score(without, false).sql,
      with: score(together, false).sql,
    };
  });
}

/** The series that help a linear forecast of series `target` on the buckets before `until`, the best first. */
function screen(series: readonly Grid[], target: number, until: number): number[] {
  const from = Math.max(0, until - MOST_BUCKETS);
  const parts = series.map(({ actual }) => standardised(actual.subarray(from, until)));
  const own = parts[target];
  if (own === null || own.length < LEAST_BUCKETS) return [];
  const alone = linearError(own, []);
  return parts
    .flatMap((other, s) => (s === target || other === null ? [] : [{ s, other }]))
    .slice(0, MOST_CANDIDATES)
    .map(({ s, other }) => ({ s, ratio: linearError(own, [other]) / alone }))
    .filter(({ ratio }) => ratio < SCREENED)
    .sort((a, b) => a.ratio - b.ratio)
    .slice(0, MOST_PER_SERIES)
    .map(({ s }) => s);
}

/** Values with mean 0 and deviation 1, gaps filled with the last value; null for a constant or empty series. */
function standardised(values: Float64Array): Float64Array | null {
  const known = values.filter(Number.isFinite);
  const mean = known.reduce((sum, one) => sum + one, 0) / known.length;
  const deviation = Math.sqrt(known.reduce((sum, one) => sum + (one - mean) ** 2, 0) / known.length);
  if (!(deviation > 0)) return null;
  let last = 0;
  return values.map((value) => {
    if (Number.isFinite(value)) last = Math.max(-4, Math.min(4, (value - mean) / deviation));
    return last;
  });
}

const LEADS = [1, 4, 16];

/** Mean absolute error of a regression that is learnt step by step, on the second half; mean over the leads. */
function linearError(own: Float64Array, helpers: readonly Float64Array[]): number {
  const all = [own, ...helpers];
  const regression = new Regression(INPUTS * all.length, LEADS.length);
  const past: Float32Array[] = [];
  let sum = 0;
  const start = LAGS[LAGS.length - 1];
  for (let t = start; t < own.length; t++) {
    for (const [output, lead] of LEADS.entries()) {
      const inputs = past[t - lead - start];
      if (inputs === undefined) continue;
      const change = own[t] - own[t - lead];
      if (t > own.length / 2) sum += Math.abs(change - regression.predict(output, inputs)) / LEADS.length;
      regression.learn(output, inputs, change);
    }
    const x = new Float32Array(regression.inputs);
    for (const [i, values] of all.entries()) {
      x[i * INPUTS] = values[t];
      for (const [j, lag] of LAGS.entries()) x[i * INPUTS + 1 + j] = values[t] - values[t - lag];
    }
    regression.see(x);
    past.push(x);
  }
  return sum;
}

export function foundText(found: readonly FoundCovariates[]): string {
  const cell = (text: string): string => text.padStart(10);
  const lines = [`${'series'.padEnd(32)}${['without', 'with', 'change'].map(cell).join('')}  covariates`];
  for (const one of found) {
    const change = `${(100 * (one.with / one.without - 1)).toFixed(1)} %`;
    const what =
      one.covariates.length > 0
        ? one.covariates.join(', ')
        : one.tried.length > 0
          ? `none (tried: ${one.tried.join(', ')})`
          : 'none';
    const figures =
      one.tried.length > 0
        ? [one.without.toFixed(3), one.with.toFixed(3), change]
        : [one.without.toFixed(3), '-', '-'];
    lines.push(`${one.series.slice(0, 32).padEnd(32)}${figures.map(cell).join('')}  ${what}`);
  }
  lines.push(
    '',
    'SQL from --start on, without and with the covariates. They were chosen on the buckets before --start.',
    'To use them, name them as `covariates` of the stream: docs/covariates.md.',
  );
  return `${lines.join('\n')}\n`;
}
