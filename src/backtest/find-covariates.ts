/**
 * `backtest --covariates auto`: finds the series of a file that help to forecast each other. Candidates are screened on the
 * buckets before --start by a linear regression with and without them. The best of each series are then its covariates in a
 * second run of the live pipeline, and are kept where the forecasts of the second half of those buckets are better than without.
 * The figures are of the buckets from --start on, which the choice has not seen.
 */
import { GatecastError } from '../errors.ts';
import { CovariateScreen, MOST_COVARIATES, SCREENED } from '../forecast/covariate-screen.ts';
import { Engine } from '../forecast/engine.ts';
import type { CovariateInputs } from './covariate-columns.ts';
import { type Grid, type Played, play } from './play.ts';
import { type BacktestRequest, playOptions, readSeries } from './request.ts';
import { firstScored, openModel } from './run.ts';
import { type SeriesScore, scoreSeries } from './score.ts';

/** Largest ratio of the losses with and without covariates. */
const KEPT = 0.995;
/** The screening reads this many buckets, and this many candidates per series. */
const MOST_BUCKETS = 6000;
const MOST_CANDIDATES = 64;

interface FoundCovariates {
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
  const values = ({ actual }: Grid): Float64Array =>
    actual.subarray(Math.max(0, until - MOST_BUCKETS), until);
  const own = new CovariateScreen(values(series[target]));
  if (!own.isUsable) return [];
  return series
    .flatMap((other, s) => (s === target ? [] : [{ s, other }]))
    .slice(0, MOST_CANDIDATES)
    .map(({ s, other }) => ({ s, ratio: own.compare(values(other)).ratio }))
    .filter(({ ratio }) => ratio < SCREENED)
    .sort((a, b) => a.ratio - b.ratio)
    .slice(0, MOST_COVARIATES)
    .map(({ s }) => s);
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
