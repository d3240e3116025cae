/** `gatecast backtest`: reads the files, plays them, writes forecasts and a report, and returns the score table. */
import { existsSync, realpathSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { GatecastError } from '../errors.ts';
import { Engine } from '../forecast/engine.ts';
import type { Model } from '../forecast/model.ts';
import { loadModel } from '../model/pack.ts';
import type { StoredModel } from '../model/registry.ts';
import { FEATURES } from '../series/features.ts';
import { MAX_LEADS } from '../series/spec.ts';
import { prepareOutput, writeOutput } from '../system/output-file.ts';
import { type ColdPoint, coldReport, coldText, playCold } from './cold.ts';
import { writeForecasts } from './forecasts-csv.ts';
import { type PeriodScore, periodText, scoreByPeriod } from './periods.ts';
import { type Grid, grids, type Played, type PlayHooks, type PlayOptions, play } from './play.ts';
import type { ReportSeries } from './report/input.ts';
import { spanText } from './report/leads.ts';
import { buildReport } from './report/report.ts';
import { scoreText } from './report/text.ts';
import type { ReportedRun } from './report/tuning.ts';
import { type BacktestRequest, playOptions, readSeries } from './request.ts';
import { overall, scoreSeries } from './score.ts';
import { Tuner, type TunerRun } from './tuner.ts';

/** Past inputs kept to warm up a fine-tuned model. */
const WARM_UP_STEPS = 96;
/** As `finetune.window` by default, ms. */
const TUNE_WINDOW_MS = 28 * 86_400_000;

/** @returns the text to print. Throws USAGE, FILE_UNREADABLE, FILE_UNWRITABLE, CSV_INVALID, MODEL_UNKNOWN, MODEL_INVALID, NOT_ENOUGH_DATA */
export async function runBacktest(files: readonly string[], request: BacktestRequest): Promise<string> {
  refuseOverwrite(files, request);
  const { stored, model } = openModel(request);
  const champion = request.finetune === null ? null : championOf(stored);
  // Checked first: a long run must not fail at its end because a file cannot be written.
  for (const path of [request.out, request.report]) if (path !== undefined) prepareOutput(path);
  const options = playOptions(request);
  const series: ReportSeries[] = [];
  const refused: Record<string, number> = {};
  const kinds: Record<string, number> = {};
  const runs: ReportedRun[] = [];
  const periods: PeriodScore[] = [];
  for (const [at, file] of files.entries()) {
    const progress = (done: number): void => request.progress?.(at + done, files.length, basename(file));
    const part = await playFile(file, request, options, model, champion, refused, progress);
    for (const run of part.runs) runs.push(reported(run, file, part.grids[0]));
    for (const { kind } of part.played) kinds[kind] = (kinds[kind] ?? 0) + 1;
    // To compare by period, the file is played once more without fine-tuning; its refused readings are the same.
    const untuned =
      request.by === undefined || champion === null
        ? null
        : await playFile(file, request, options, model, null, {}, progress);
    part.grids.forEach((unnamed, s) => {
      const grid = { ...unnamed, name: seriesName(files, file, unnamed.name) };
      const first = firstScored(grid, request);
      const ofSeries = (one: Played): boolean => one.series === s;
      const played = part.played.filter(ofSeries);
      if (request.by !== undefined) {
        const other = untuned === null ? null : untuned.played.filter(ofSeries);
        periods.push(...scoreByPeriod(grid, played, other, request.horizon, first, request.by));
      }
      series.push({ grid, first, played, score: scoreSeries(grid, played, request.horizon, first) });
    });
  }
  const scores = series.map(({ score }) => score);
  if (scores.every(({ n }) => n === 0)) {
    throw new GatecastError('NOT_ENOUGH_DATA', 'No forecast could be scored.', {
      hint: `After --start ${request.start} the file needs at least ${request.horizon} buckets (the horizon) with readings.`,
    });
  }
  if (request.out !== undefined) {
    const numbered = series.flatMap(({ played }, s) => played.map((one) => ({ ...one, series: s })));
    writeForecasts(
      request.out,
      series.map(({ grid }) => grid),
      numbered,
    );
  }
  const { horizon } = request;
  if (request.report !== undefined) {
    const tuned = champion !== null;
    const about = settings(request, stored);
    const names = files.map((file) => basename(file));
    writeOutput(
      request.report,
      buildReport({ files: names, series, horizon, settings: about, kinds, refused, runs, tuned }),
    );
  }
  if (request.json === true)
    return `${JSON.stringify({ overall: overall(scores), series: scores, kinds, refused, finetune: runs, ...(request.by === undefined ? {} : { periods }) }, null, 2)}\n`;
  const written = {
    ...(request.out === undefined ? {} : { forecasts: request.out }),
    ...(request.report === undefined ? {} : { report: request.report }),
  };
  const text = scoreText({ scores, horizon, kinds, refused, runs, written });
  return request.by === undefined ? text : `${text}\n${periodText(periods, request.by)}\n`;
}

/** Scores the forecasts of new streams (see `cold.ts`). @returns the text to print. Throws as `runBacktest` */
export async function runCold(files: readonly string[], request: BacktestRequest): Promise<string> {
  const { model } = openModel(request);
  const engine = new Engine(model);
  const points: ColdPoint[] = [];
  const names: string[] = [];
  for (const file of files) {
    const { series, hints } = readSeries(file, request);
    for (const hint of hints) request.warn?.(hint);
    const before = names.length;
    const add = (point: ColdPoint): void => void points.push({ ...point, series: before + point.series });
    await playCold(engine, series, playOptions(request), add);
    names.push(...series.map(({ name }) => name));
  }
  await engine.release();
  const report = coldReport(points, names);
  return request.json === true ? `${JSON.stringify(report, null, 2)}\n` : coldText(report);
}

/** Throws USAGE if an output path is an input file or the other output. */
function refuseOverwrite(files: readonly string[], { out, report }: BacktestRequest): void {
  const real = (path: string): string => (existsSync(path) ? realpathSync(path) : resolve(path));
  const taken = new Set(files.map(real));
  for (const [flag, path] of [
    ['--out', out],
    ['--report', report],
  ] as const) {
    if (path === undefined) continue;
    if (taken.has(real(path)))
      throw new GatecastError('USAGE', `${flag} would overwrite ${path}.`, { hint: 'Name another file.' });
    taken.add(real(path));
  }
}

/** Throws USAGE, MODEL_UNKNOWN, MODEL_INVALID. */
export function openModel(request: BacktestRequest): { stored: StoredModel | null; model: Model | null } {
  if (request.horizon > MAX_LEADS) {
    throw new GatecastError(
      'USAGE',
      `--horizon is ${request.horizon}; the maximum is ${MAX_LEADS} buckets.`,
      { hint: 'Use a longer --interval to forecast further ahead.' },
    );
  }
  const stored = request.model === 'none' ? null : request.registry.open(request.model);
  return { stored, model: stored === null ? null : loadModel(stored, FEATURES, request.float32 !== true) };
}

/** Name of a series; with several files, prefixed with the name of its file. */
export function seriesName(files: readonly string[], file: string, name: string): string {
  if (files.length < 2) return name;
  const bare = (path: string): string => path.replace(/\.csv(\.gz)?$/, '');
  const short = basename(bare(file));
  const alone = files.every((other) => other === file || basename(bare(other)) !== short);
  return `${alone ? short : bare(file)}:${name}`;
}

/** Index of the first scored bucket. */
export function firstScored(grid: Grid, { start }: Pick<BacktestRequest, 'start'>): number {
  return Math.floor(start * grid.actual.length + 1e-9);
}

function reported(run: TunerRun, file: string, { startMs, intervalMs }: Grid): ReportedRun {
  return { ...run, file: basename(file), timeMs: startMs + (run.bucket + 1) * intervalMs };
}

function settings(request: BacktestRequest, stored: StoredModel | null): [string, string][] {
  const precision = request.float32 === true ? 'float32' : 'int8';
  const model = stored === null ? 'none' : `${stored.manifest.name} ${stored.manifest.version}, ${precision}`;
  const { interval, horizon, stride, finetune } = request;
  return [
    ['model', model],
    ['interval', spanText(interval)],
    ['horizon', `${horizon} (${spanText(horizon * interval)})`],
    ['a forecast every', spanText(stride * interval)],
    ['gaps', request.fill],
    ['fine-tuning', finetune === null ? 'off' : `every ${spanText(finetune)} at most`],
  ];
}

async function playFile(
  file: string,
  request: BacktestRequest,
  options: PlayOptions,
  model: Model | null,
  champion: StoredModel | null,
  refused: Record<string, number>,
  progress: (done: number) => void,
): Promise<{ grids: Grid[]; played: Played[]; runs: readonly TunerRun[] }> {
  const { known, series, covariateInputs, refused: leftOut, hints } = readSeries(file, request);
  for (const hint of hints) request.warn?.(hint);
  for (const [reason, n] of Object.entries(leftOut)) refused[reason] = (refused[reason] ?? 0) + n;
  const helping = known.filter((one) => one.series >= series.length);
  const helpers = grids(
    covariateInputs.helpers,
    helping.map((one) => ({ ...one, series: one.series - series.length })),
    options.intervalMs,
    options,
  );
  const engine = new Engine(model, champion === null ? {} : { warmUpSteps: WARM_UP_STEPS });
  const tuner =
    champion === null || request.finetune === null
      ? null
      : new Tuner(engine, series, champion, {
          everyMs: request.finetune,
          play: options,
          covariateInputs,
          helpers,
          firstScored: firstScored(series[0], request),
          windowMs: request.finetuneWindow ?? TUNE_WINDOW_MS,
          now: () => performance.now(),
        });
  try {
    const hooks: PlayHooks = {
      bucket: (index, endMs) => tuner?.bucket(index, endMs),
      marked: (s, index, marks) => tuner?.marked(s, index, marks),
      progress: (done, total) => progress(done / total),
      refused: (outcome) => {
        refused[outcome] = (refused[outcome] ?? 0) + 1;
      },
    };
    const played = await play(engine, series, known, options, hooks, covariateInputs);
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
