/**
 * `backtest --compare gaps`: runs every fill method on the same gaps and scores all of them on the same readings. Readings
 * in injected gaps are hidden from the pipeline but still scored.
 */
import { GatecastError } from '../../errors.ts';
import { Engine } from '../../forecast/engine.ts';
import { FILLS, type Fill } from '../../series/spec.ts';
import { Random } from '../../training/random.ts';
import { type Grid, type Played, play, type Reading } from '../play.ts';
import { type BacktestRequest, playOptions, readSeries } from '../request.ts';
import { firstScored, openModel, seriesName } from '../run.ts';
import { overall, type Score, type SeriesScore, scoreSeries } from '../score.ts';
import { drawGaps, missingShare, withoutLost } from './gaps.ts';

export interface CompareRequest extends BacktestRequest {
  /** Shares of the observed buckets to hide; empty: only the gaps of the file. */
  readonly inject: readonly number[];
  readonly seed: number;
  /** Called before each run. */
  readonly progress?: (done: number, total: number, what: string) => void;
}

export type FillScore = Pick<Score, 'n' | 'mase' | 'sql' | 'coverage'>;

export interface FillRow {
  /** Share of the observed buckets that were hidden; null: none. */
  readonly injected: number | null;
  /** Share of buckets in which the pipeline had no reading, mean over the series. */
  readonly missing: number;
  readonly fill: Fill;
  /** Over all forecasts, mean over the series. */
  readonly all: FillScore;
  /** Over the forecasts made in a bucket without a reading; null if there were none. */
  readonly inGap: FillScore | null;
  /** Whether it has the lowest SQL for this share of gaps. */
  readonly best: boolean;
}

/** One file with some of its readings hidden. */
interface GappedFile {
  readonly file: string;
  readonly series: readonly Grid[];
  readonly readings: readonly Reading[];
  /** [series][buckets] 1 where the pipeline has no reading. */
  readonly empty: readonly Uint8Array[];
}

/** Throws USAGE, NOT_ENOUGH_DATA if the file has no gaps and none are injected, and the errors of `runBacktest`. */
export async function compareGaps(files: readonly string[], request: CompareRequest): Promise<FillRow[]> {
  refuseOtherOutputs(request);
  openModel(request);
  const read = files.map((file) => ({ file, ...readSeries(file, request) }));
  const shares: (number | null)[] = request.inject.length > 0 ? [...request.inject] : [null];
  const rows: FillRow[] = [];
  for (const [s, share] of shares.entries()) {
    // the seed depends on the share alone, so the gaps of one share do not depend on the rest of the list
    const rng = new Random(request.seed + Math.round(1e6 * (share ?? 0)));
    const gapped = read.map(({ file, known, series }) =>
      injectGaps(file, known, series, share, request.horizon, rng),
    );
    const missing = missingOf(gapped);
    if (missing === 0) {
      throw new GatecastError('NOT_ENOUGH_DATA', 'There are no gaps to compare fills on.', {
        hint: 'Inject gaps with --inject 0.05,0.2 (shares of the buckets).',
      });
    }
    const scored: Omit<FillRow, 'best'>[] = [];
    for (const [f, fill] of FILLS.entries()) {
      const what = `${share === null ? 'as recorded' : `${100 * share} % hidden`}, ${fill}`;
      request.progress?.(s * FILLS.length + f, shares.length * FILLS.length, what);
      scored.push({ injected: share, missing, fill, ...(await scoreFill(gapped, files, fill, request)) });
    }
    const least = Math.min(...scored.map(({ all }) => all.sql));
    rows.push(...scored.map((row) => ({ ...row, best: row.all.sql === least })));
  }
  return rows;
}

function refuseOtherOutputs({ finetune, out, report }: CompareRequest): void {
  const other =
    finetune !== null ? '--finetune' : out !== undefined ? '--out' : report !== undefined ? '--report' : null;
  if (other === null) return;
  throw new GatecastError('USAGE', `--compare gaps runs many backtests: it does not accept ${other}.`, {
    hint: 'Run one backtest with the fill that you choose: --fill NAME.',
  });
}

function injectGaps(
  file: string,
  known: readonly Reading[],
  series: readonly Grid[],
  share: number | null,
  horizon: number,
  rng: Random,
): GappedFile {
  // blocks as long as the horizon: in shorter ones the fill hardly matters, in longer ones no fill helps
  const lost = series.map((grid) => drawGaps(grid, share ?? 0, Math.max(4, horizon), rng));
  const empty = series.map(({ actual }, s) =>
    lost[s].map((hidden, i) => (hidden || Number.isNaN(actual[i]) ? 1 : 0)),
  );
  return { file, series, readings: withoutLost(known, series, lost), empty };
}

function missingOf(gapped: readonly GappedFile[]): number {
  const shares = gapped.flatMap(({ series, empty }) =>
    series.map((grid, s) =>
      missingShare({ ...grid, actual: grid.actual.map((value, i) => (empty[s][i] ? Number.NaN : value)) }),
    ),
  );
  return shares.reduce((sum, share) => sum + share, 0) / Math.max(1, shares.length);
}

async function scoreFill(
  gapped: readonly GappedFile[],
  files: readonly string[],
  fill: Fill,
  request: CompareRequest,
): Promise<{ all: FillScore; inGap: FillScore | null }> {
  const all: SeriesScore[] = [];
  const inGap: SeriesScore[] = [];
  for (const { file, series, readings, empty } of gapped) {
    const engine = new Engine(openModel(request).model);
    let played: Played[];
    try {
      played = await play(engine, series, readings, playOptions({ ...request, fill }));
    } finally {
      await engine.release();
    }
    series.forEach((grid, s) => {
      const named = { ...grid, name: seriesName(files, file, grid.name) };
      const own = played.filter((one) => one.series === s);
      const score = (some: readonly Played[]): SeriesScore =>
        scoreSeries(named, some, request.horizon, firstScored(grid, request));
      all.push(score(own));
      inGap.push(score(own.filter(({ origin }) => empty[s][origin] === 1)));
    });
  }
  const total = meanScore(all);
  if (total === null) {
    throw new GatecastError('NOT_ENOUGH_DATA', 'No forecast could be scored.', {
      hint: `After --start ${request.start} the file needs at least ${request.horizon} buckets (the horizon) with readings.`,
    });
  }
  return { all: total, inGap: meanScore(inGap) };
}

/** Mean over the series that have scored readings; null if there are none. */
function meanScore(scores: readonly SeriesScore[]): FillScore | null {
  const counted = scores.filter(({ n }) => n > 0);
  if (counted.length === 0) return null;
  const { mase, sql, coverage } = overall(counted);
  return { n: counted.reduce((sum, { n }) => sum + n, 0), mase, sql, coverage };
}
