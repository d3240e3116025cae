/** What `gatecast backtest` does: reads the files, plays them, writes forecasts, and prints the score table. */
import { basename } from 'node:path';
import { GatecastError } from '../errors.ts';
import { Engine } from '../forecast/engine.ts';
import type { Model } from '../forecast/model.ts';
import { loadModel } from '../model/pack.ts';
import type { ModelRegistry, StoredModel } from '../model/registry.ts';
import { FEATURES } from '../series/features.ts';
import type { Aggregate, Fill } from '../series/spec.ts';
import { readTable, type TableOptions } from './csv.ts';
import { prepareForecasts, writeForecasts } from './forecasts-csv.ts';
import { type Grid, grids, type Played, type PlayOptions, play, readings } from './play.ts';
import { overall, type Score, type SeriesScore, scoreSeries } from './score.ts';
import { Tuner, type TunerRun } from './tuner.ts';

export interface BacktestRequest {
  readonly time?: string[];
  readonly timeFormat?: string;
  readonly columns: 'all' | string[];
  readonly id?: string[];
  /** ms */
  readonly interval: number;
  readonly horizon: number;
  readonly start: number;
  readonly stride: number;
  readonly out?: string;
  /** Name in the registry, or `none`. */
  readonly model: string;
  readonly float32?: boolean;
  readonly fill: Fill;
  readonly aggregate: Aggregate;
  /** ms */
  readonly clockStart?: number;
  readonly missing?: string[];
  readonly delimiter?: string;
  readonly decimal?: '.' | ',';
  readonly timezone: string;
  readonly min?: number;
  readonly max?: number;
  /** Least time between fine-tunes, ms of the file; null: none. */
  readonly finetune: number | null;
  readonly json?: boolean;
  readonly registry: ModelRegistry;
}

const MAX_HORIZON = 336;
/** Past inputs kept for the switch to a fine-tuned model. */
const WARM_UP_STEPS = 96;
/** Buckets that one fine-tune reads at most, of all series together. */
const TUNE_BUDGET = 60_000;

/** @returns what is printed. Throws USAGE, FILE_UNREADABLE, CSV_INVALID, MODEL_UNKNOWN, MODEL_INVALID, NOT_ENOUGH_DATA */
export async function runBacktest(files: readonly string[], request: BacktestRequest): Promise<string> {
  if (request.horizon > MAX_HORIZON) {
    throw new GatecastError(
      'USAGE',
      `--horizon is ${request.horizon}; at most ${MAX_HORIZON} buckets ahead are forecast.`,
      {
        hint: 'A longer --interval reaches further.',
      },
    );
  }
  const stored = request.model === 'none' ? null : request.registry.open(request.model);
  const model = stored === null ? null : loadModel(stored, FEATURES, request.float32 !== true);
  const champion = request.finetune === null ? null : championOf(stored);
  // A long run must not end with a file that cannot be written.
  if (request.out !== undefined) prepareForecasts(request.out);
  const options = playOptions(request);
  const all: Grid[] = [];
  const played: Played[] = [];
  const scores: SeriesScore[] = [];
  const refused: Record<string, number> = {};
  const kinds: Record<string, number> = {};
  const tuned: TunerRun[] = [];
  for (const file of files) {
    const part = await playFile(file, request, options, model, champion, refused);
    tuned.push(...part.runs);
    const prefix = files.length > 1 ? `${basename(file).replace(/\.csv(\.gz)?$/, '')}:` : '';
    for (const one of part.played) {
      kinds[one.kind] = (kinds[one.kind] ?? 0) + 1;
      played.push({ ...one, series: one.series + all.length });
    }
    part.grids.forEach((grid, s) => {
      const named = { ...grid, name: prefix + grid.name };
      const first = Math.floor(request.start * grid.actual.length + 1e-9);
      scores.push(
        scoreSeries(
          named,
          part.played.filter((one) => one.series === s),
          request.horizon,
          first,
        ),
      );
      all.push(named);
    });
  }
  if (request.out !== undefined) writeForecasts(request.out, all, played);
  if (request.json === true)
    return `${JSON.stringify({ overall: overall(scores), series: scores, kinds, refused, finetune: tuned }, null, 2)}\n`;
  return describe(scores, kinds, refused, tuned, request);
}

async function playFile(
  file: string,
  request: BacktestRequest,
  options: PlayOptions,
  model: Model | null,
  champion: StoredModel | null,
  refused: Record<string, number>,
): Promise<{ grids: Grid[]; played: Played[]; runs: readonly TunerRun[] }> {
  const table = readTable(file, tableOptions(request));
  const { names, readings: known } = readings(table);
  if (known.length === 0)
    throw new GatecastError('NOT_ENOUGH_DATA', `${file} has no numbers in the columns asked for.`);
  const series = grids(names, known, request.interval);
  if (series[0].actual.length <= request.horizon + 1) {
    throw new GatecastError(
      'NOT_ENOUGH_DATA',
      `${file} has ${series[0].actual.length} buckets, too few for a horizon of ${request.horizon}.`,
    );
  }
  const engine = new Engine(model, champion === null ? {} : { warmUpSteps: WARM_UP_STEPS });
  const tuner =
    champion === null || request.finetune === null
      ? null
      : new Tuner(engine, series, champion, {
          everyMs: request.finetune,
          horizon: request.horizon,
          timeZone: request.timezone,
          firstScored: Math.floor(request.start * series[0].actual.length),
          budget: TUNE_BUDGET,
          now: () => performance.now(),
        });
  try {
    const played = await play(engine, series, known, options, {
      bucket: (index, endMs) => tuner?.bucket(index, endMs),
      refused: (outcome) => {
        refused[outcome] = (refused[outcome] ?? 0) + 1;
      },
    });
    return { grids: series, played, runs: tuner?.runs ?? [] };
  } finally {
    await engine.release();
  }
}

/** Throws USAGE for a model that cannot be trained further. */
function championOf(stored: StoredModel | null): StoredModel {
  if (stored === null || stored.weights === null) {
    throw new GatecastError('USAGE', '--finetune needs a model with weights.', {
      hint: 'Leave --model out to start from the base model.',
    });
  }
  return stored;
}

function playOptions(request: BacktestRequest): PlayOptions {
  return {
    intervalMs: request.interval,
    horizon: request.horizon,
    start: request.start,
    stride: request.stride,
    fill: request.fill,
    aggregate: request.aggregate,
    maxGapMs: Math.max(20 * request.interval, 7_200_000),
    timeZone: request.timezone,
    min: request.min ?? null,
    max: request.max ?? null,
  };
}

function tableOptions(request: BacktestRequest): TableOptions {
  return {
    columns: request.columns,
    ...(request.time === undefined ? {} : { time: request.time }),
    ...(request.timeFormat === undefined ? {} : { timeFormat: request.timeFormat }),
    ...(request.id === undefined ? {} : { id: request.id }),
    ...(request.missing === undefined ? {} : { missing: request.missing }),
    ...(request.delimiter === undefined ? {} : { delimiter: request.delimiter }),
    ...(request.decimal === undefined ? {} : { decimal: request.decimal }),
    ...(request.clockStart === undefined
      ? {}
      : { clockStartMs: request.clockStart, intervalMs: request.interval }),
  };
}

const cell = (text: string, width: number): string => text.padStart(width);
const row = (name: string, score: Omit<Score, 'n' | 'mae' | 'bias'>, n: string): string =>
  `${name.slice(0, 32).padEnd(32)}${cell(n, 8)}${cell(score.mase.toFixed(3), 9)}${cell(score.sql.toFixed(3), 9)}${cell(`${(100 * score.coverage).toFixed(1)} %`, 10)}${cell(score.skillNaive.toFixed(3), 11)}${cell(score.skillSeasonal.toFixed(3), 14)}`;

function describe(
  scores: readonly SeriesScore[],
  kinds: Record<string, number>,
  refused: Record<string, number>,
  tuned: readonly TunerRun[],
  request: BacktestRequest,
): string {
  const head = `${cell('n', 8)}${cell('MASE', 9)}${cell('SQL', 9)}${cell('coverage', 10)}${cell('vs naive', 11)}${cell('vs seasonal', 14)}`;
  const lines = [`${'series'.padEnd(32)}${head}`];
  for (const score of scores) lines.push(row(score.series, score, String(score.n)));
  if (scores.length > 1)
    lines.push(row('overall', overall(scores), String(scores.reduce((sum, one) => sum + one.n, 0))));
  lines.push('', `${'lead'.padEnd(32)}${head}`);
  for (const lead of shownLeads(request.horizon)) {
    const at = scores.map((score) => ({ ...score, ...score.byLead[lead - 1] }));
    lines.push(row(String(lead), overall(at), String(at.reduce((sum, one) => sum + one.n, 0))));
  }
  const counted = (counts: Record<string, number>): string =>
    Object.entries(counts)
      .map(([name, n]) => `${name} ${n}`)
      .join(', ');
  lines.push('', `published: ${counted(kinds) || 'nothing'}`);
  if (Object.keys(refused).length > 0) lines.push(`readings refused: ${counted(refused)}`);
  for (const run of tuned) {
    const what = run.promoted ? 'promoted' : 'refused';
    lines.push(`fine-tune at bucket ${run.bucket}: ${what}, ${run.reason} (${run.seconds.toFixed(1)} s)`);
  }
  if (request.out !== undefined) lines.push(`forecasts: ${request.out}`);
  lines.push(
    'coverage: share of actuals between p10 and p90 (80 % wanted). vs: skill of SQL, 1 is perfect, 0 is equal.',
  );
  return `${lines.join('\n')}\n`;
}

/** 1, 2, 4, ... and the last. */
function shownLeads(horizon: number): number[] {
  const leads: number[] = [];
  for (let lead = 1; lead < horizon; lead *= 2) leads.push(lead);
  return [...leads, horizon];
}
