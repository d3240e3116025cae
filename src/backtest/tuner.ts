/**
 * Fine-tuning during a backtest: the same features, training, gate and switch as live, on the file's clock. A run reads
 * only the buckets known at that time.
 *
 * Schedule: the first run as soon as there is enough history and half of the unscored part has passed; then whenever the
 * history has grown by half, because the model of a young sensor ages fast; once a window is full, every `everyMs` if at
 * least a fifth of the window is new.
 */
import type { Engine } from '../forecast/engine.ts';
import { loadModel } from '../model/pack.ts';
import { type StoredModel, verifyModel } from '../model/registry.ts';
import { FEATURES } from '../series/features.ts';
import { MASKED } from '../series/quality.ts';
import { fineTune } from '../training/cycle.ts';
import { historyBuckets, recordedSettings } from '../training/history.ts';
import { type JobSeries, runJob } from '../training/job.ts';
import type { CovariateInputs } from './covariate-columns.ts';
import { type Grid, type PlayOptions, specOf } from './play.ts';

interface TunerOptions {
  /** Minimum time between scheduled runs, ms of the file's clock. */
  readonly everyMs: number;
  readonly play: PlayOptions;
  readonly covariateInputs?: CovariateInputs;
  /** The helpers on their grid. */
  readonly helpers?: readonly Grid[];
  /** First scored bucket: models that would be replaced long before it are not trained. */
  readonly firstScored: number;
  /** Maximum age of the history that a run reads, ms. */
  readonly windowMs: number;
  /** Monotonic ms. */
  readonly now: () => number;
}

export interface TunerRun {
  readonly bucket: number;
  readonly promoted: boolean;
  readonly reason: string;
  readonly seconds: number;
}

/** Buckets a series needs before the first run. */
const LEAST = 512;
const GROWTH = 1.5;
const NEW_SHARE = 0.2;
export class Tuner {
  readonly runs: TunerRun[] = [];
  /** By series, then helper: indices of the masked buckets, on the grid of the series. */
  private readonly masked: (Set<number> | undefined)[] = [];
  private lastBucket = 0;
  private lastMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly engine: Engine,
    private readonly grids: readonly Grid[],
    private champion: StoredModel,
    private readonly options: TunerOptions,
  ) {}

  /** Records a bucket's quality marks; masked buckets are not used for training, as live. */
  marked(series: number, index: number, marks: number): void {
    if ((marks & MASKED) === 0) return;
    this.masked[series] ??= new Set();
    this.masked[series].add(index);
  }

  /** To call after bucket `index` has closed. */
  async bucket(index: number, endMs: number): Promise<void> {
    if (!this.due(index + 1, endMs)) return;
    this.lastBucket = index + 1;
    this.lastMs = endMs;
    const started = this.options.now();
    const { promoted, reason } = await this.run(index + 1, endMs);
    this.runs.push({ bucket: index, promoted, reason, seconds: (this.options.now() - started) / 1000 });
  }

  /** Maximum number of buckets of each series that a run reads. */
  private get window(): number {
    const { grids, options } = this;
    return Math.floor(historyBuckets(grids[0].intervalMs, grids.length, options.windowMs));
  }

  private due(known: number, endMs: number): boolean {
    if (known < Math.max(LEAST, 6 * this.options.play.horizon)) return false;
    if (this.lastBucket === 0) return known >= this.options.firstScored / 2;
    if (known < this.window) return known >= GROWTH * this.lastBucket;
    return endMs - this.lastMs >= this.options.everyMs && known - this.lastBucket >= NEW_SHARE * this.window;
  }

  private async run(known: number, nowMs: number): Promise<{ promoted: boolean; reason: string }> {
    const report = await fineTune(
      {
        group: 'backtest',
        name: this.champion.manifest.name,
        champion: this.champion,
        series: this.history(known),
        helpers: this.helpers(known),
        tables: this.options.covariateInputs?.tables ?? [],
        nowMs,
      },
      { train: (job) => runJob(job, { now: this.options.now }) },
    );
    if (report.candidate === null) return { promoted: false, reason: report.reason };
    const promoted = verifyModel(report.candidate, 'the candidate');
    await this.engine.adopt(loadModel(promoted, FEATURES));
    this.champion = promoted;
    return { promoted: true, reason: report.reason };
  }

  private nameOf(s: number): string {
    const { grids, options } = this;
    return (grids[s] ?? options.helpers?.[s - grids.length])?.name ?? `s${s}`;
  }

  /** The newest window of every series up to, and not including, bucket `known`. */
  history(known: number): JobSeries[] {
    const from = Math.max(0, known - this.window);
    return this.grids.map((grid, s) => this.recorded(s, grid, from, known));
  }

  private helpers(known: number): JobSeries[] {
    const { grids } = this;
    const { helpers = [] } = this.options;
    return helpers.map((grid, i) => {
      // A helper begins when its own readings do.
      const later = Math.round((grid.startMs - grids[0].startMs) / grid.intervalMs);
      const from = Math.max(0, known - this.window - later);
      return this.recorded(grids.length + i, grid, from, Math.max(from, known - later), later);
    });
  }

  private recorded(
    s: number,
    { actual, intervalMs, startMs }: Grid,
    from: number,
    to: number,
    later = 0,
  ): JobSeries {
    const { play, covariateInputs } = this.options;
    const covariates = (covariateInputs?.covariates[s] ?? []).map((one) =>
      // `play` names streams by their number.
      one.kind === 'stream' ? { ...one, name: this.nameOf(Number(one.name.slice(1))) } : one,
    );
    const name = this.nameOf(s);
    const values = actual.slice(from, to);
    const masked = new Map<number, number>();
    for (const [i, value] of values.entries()) {
      if (this.masked[s]?.has(later + from + i) !== true) continue;
      masked.set(i, value);
      values[i] = Number.NaN;
    }
    return {
      name,
      group: 'backtest',
      intervalMs,
      startMs: startMs + from * intervalMs,
      values,
      masked,
      leads: play.horizon,
      settings: recordedSettings({ ...specOf(name, play), covariates }),
    };
  }
}
