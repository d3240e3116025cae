/**
 * `backtest --compare gaps`: every way to stand in for a missing bucket, on the same holes, scored on the same readings.
 * What was injected is hidden from the pipeline, not from the score: targets are all that was really observed.
 */
import { GatecastError } from '../../errors.ts';
import { Engine } from '../../forecast/engine.ts';
import { FILLS, type Fill } from '../../series/spec.ts';
import { Random } from '../../training/random.ts';
import { type Grid, type Played, play, type Reading } from '../play.ts';
import { type BacktestRequest, playOptions, readSeries } from '../request.ts';
import { firstScored, openModel, seriesName } from '../run.ts';
import { overall, type SeriesScore, scoreSeries } from '../score.ts';
import { drawGaps, missingShare, withoutLost } from './gaps.ts';

export interface CompareRequest extends BacktestRequest {
  /** Shares of the observed buckets to hide; empty: only the gaps the file has. */
  readonly inject: readonly number[];
  readonly seed: number;
  /** Told before each run. */
  readonly progress?: (done: number, total: number, what: string) => void;
}

export interface FillScore {
  /** Readings scored. */
  readonly n: number;
  readonly mase: number;
  readonly sql: number;
  readonly coverage: number;
}

export interface FillRow {
  /** Share of observed buckets that was hidden; null: the file as it is. */
  readonly injected: number | null;
  /** Share of buckets without a reading that the pipeline met, mean over the series. */
  readonly missing: number;
  readonly fill: Fill;
  /** Over all forecasts, mean over the series. */
  readonly all: FillScore;
  /** Over the forecasts made in a bucket without a reading; null where there were none. */
  readonly inGap: FillScore | null;
  /** Lowest SQL of its share. */
  readonly best: boolean;
}

/** One file with some of its readings hidden. */
interface Holed {
  readonly file: string;
  readonly series: readonly Grid[];
  readonly readings: readonly Reading[];
  /** [series][buckets] whether the pipeline had no reading. */
  readonly empty: readonly Uint8Array[];
}

/** Throws USAGE, NOT_ENOUGH_DATA where the file has no gaps and none are injected, and as `runBacktest`. */
export async function compareGaps(files: readonly string[], request: CompareRequest): Promise<FillRow[]> {
  refuseOthers(request);
  openModel(request);
  const read = files.map((file) => ({ file, ...readSeries(file, request) }));
  const shares: (number | null)[] = request.inject.length > 0 ? [...request.inject] : [null];
  const rows: FillRow[] = [];
  for (const [s, share] of shares.entries()) {
    // every share has numbers of its own: adding one to the list changes none of the others
    const rng = new Random(request.seed + Math.round(1e6 * (share ?? 0)));
    const holed = read.map(({ file, known, series }) =>
      hole(file, known, series, share, request.horizon, rng),
    );
    const missing = missingOf(holed);
    if (missing === 0) {
      throw new GatecastError('NOT_ENOUGH_DATA', 'There are no gaps to compare fills on.', {
        hint: 'Make some with --inject 0.05,0.2 (shares of the buckets).',
      });
    }
    const scored: Omit<FillRow, 'best'>[] = [];
    for (const [f, fill] of FILLS.entries()) {
      const what = `${share === null ? 'as recorded' : `${100 * share} % hidden`}, ${fill}`;
      request.progress?.(s * FILLS.length + f, shares.length * FILLS.length, what);
      scored.push({ injected: share, missing, fill, ...(await scoreFill(holed, files, fill, request)) });
    }
    const least = Math.min(...scored.map(({ all }) => all.sql));
    rows.push(...scored.map((row) => ({ ...row, best: row.all.sql === least })));
  }
  return rows;
}

function refuseOthers({ finetune, out, report }: CompareRequest): void {
  const other =
    finetune !== null ? '--finetune' : out !== undefined ? '--out' : report !== undefined ? '--report' : null;
  if (other === null) return;
  throw new GatecastError('USAGE', `--compare gaps makes many backtests: ${other} cannot go with it.`, {
    hint: 'Run the fill that you choose by itself: --fill NAME.',
  });
}

function hole(
  file: string,
  known: readonly Reading[],
  series: readonly Grid[],
  share: number | null,
  horizon: number,
  rng: Random,
): Holed {
  // blocks as long as what is forecast: shorter ones are no test of a fill, longer ones of anything
  const lost = series.map((grid) => drawGaps(grid, share ?? 0, Math.max(4, horizon), rng));
  const empty = series.map(({ actual }, s) =>
    lost[s].map((hidden, i) => (hidden || Number.isNaN(actual[i]) ? 1 : 0)),
  );
  return { file, series, readings: withoutLost(known, series, lost), empty };
}

function missingOf(holed: readonly Holed[]): number {
  const shares = holed.flatMap(({ series, empty }) =>
    series.map((grid, s) =>
      missingShare({ ...grid, actual: grid.actual.map((value, i) => (empty[s][i] ? Number.NaN : value)) }),
    ),
  );
  return shares.reduce((sum, share) => sum + share, 0) / Math.max(1, shares.length);
}

async function scoreFill(
  holed: readonly Holed[],
  files: readonly string[],
  fill: Fill,
  request: CompareRequest,
): Promise<{ all: FillScore; inGap: FillScore | null }> {
  const all: SeriesScore[] = [];
  const inGap: SeriesScore[] = [];
  for (const { file, series, readings, empty } of holed) {
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
  const total = summed(all);
  if (total === null) {
    throw new GatecastError('NOT_ENOUGH_DATA', 'No forecast could be scored.', {
      hint: `Behind --start ${request.start} there must be room for a horizon of ${request.horizon} buckets with readings in them.`,
    });
  }
  return { all: total, inGap: summed(inGap) };
}

/** Mean over the series of which anything could be scored. */
function summed(scores: readonly SeriesScore[]): FillScore | null {
  const counted = scores.filter(({ n }) => n > 0);
  if (counted.length === 0) return null;
  const { mase, sql, coverage } = overall(counted);
  return { n: counted.reduce((sum, { n }) => sum + n, 0), mase, sql, coverage };
}
