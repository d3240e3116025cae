/**
 * Fine-tuning on the way through a backtest: the same features, training, gate and switch as live, on the file's clock.
 * At any bucket only what had arrived by then is read.
 *
 * When: first as soon as there is enough; then whenever the history has grown by half, because a model of a young sensor
 * ages fast; and, once a whole window is full, on the schedule, where at least a tenth of the window is new.
 */
import type { Engine } from '../forecast/engine.ts';
import type { Model } from '../forecast/model.ts';
import { networkModel } from '../model/network-model.ts';
import type { NetworkSpec } from '../network/spec.ts';
import type { Weights } from '../network/weights.ts';
import { GATE_DEFAULTS, judge } from '../training/gate.ts';
import { HOLDOUT_DEFAULTS, type HoldoutSeries, holdoutLosses } from '../training/holdout.ts';
import { runJob, TRAINING_DEFAULTS } from '../training/job.ts';
import { screen } from '../training/screen.ts';
import type { Grid } from './play.ts';

export interface TunerOptions {
  /** Least time between scheduled runs, ms of the file. */
  readonly everyMs: number;
  readonly horizon: number;
  readonly timeZone: string;
  /** Buckets of all series together that a run reads at most. */
  readonly budget: number;
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
const NEW_SHARE = 0.1;
/** Newest share of a window that is held out. */
const HOLDOUT = 0.15;
const MOST_STEPS = 500;
const LEAST_STEPS = 120;

export interface Champion {
  readonly model: Model;
  readonly spec: NetworkSpec;
  readonly weights: Weights;
}

export class Tuner {
  readonly runs: TunerRun[] = [];
  private champion: Champion;
  private lastBucket = 0;
  private lastMs = Number.NEGATIVE_INFINITY;
  private version = 1;

  constructor(
    private readonly engine: Engine,
    private readonly grids: readonly Grid[],
    champion: Champion,
    private readonly options: TunerOptions,
  ) {
    this.champion = champion;
  }

  /** After bucket `index` has closed. */
  async bucket(index: number, endMs: number): Promise<void> {
    if (!this.due(index + 1, endMs)) return;
    this.lastBucket = index + 1;
    this.lastMs = endMs;
    const started = this.options.now();
    const { promoted, reason } = await this.run(index + 1);
    this.runs.push({ bucket: index, promoted, reason, seconds: (this.options.now() - started) / 1000 });
  }

  /** Buckets of each series that a run reads at most. */
  private get window(): number {
    return Math.max(LEAST, Math.floor(this.options.budget / this.grids.length));
  }

  private due(known: number, endMs: number): boolean {
    if (known < Math.max(LEAST, 6 * this.options.horizon)) return false;
    if (this.lastBucket === 0) return true;
    if (known < this.window) return known >= GROWTH * this.lastBucket;
    return endMs - this.lastMs >= this.options.everyMs && known - this.lastBucket >= NEW_SHARE * this.window;
  }

  private async run(known: number): Promise<{ promoted: boolean; reason: string }> {
    const series = this.series(known);
    if (series.length === 0) return { promoted: false, reason: 'no series has enough to learn from' };
    const { champion } = this;
    const buckets = series.reduce((sum, one) => sum + one.holdoutFrom, 0);
    const settings = TRAINING_DEFAULTS;
    const perPass = buckets / (settings.steps * settings.batch);
    const result = await runJob(
      {
        spec: champion.spec,
        weights: champion.weights,
        generated: null,
        // What is held out is not even there while the candidate is trained.
        series: series.map((one) => ({ ...one, values: one.values.subarray(0, one.holdoutFrom) })),
        settings: {
          ...settings,
          validation: 0,
          maxSteps: Math.round(Math.max(LEAST_STEPS, Math.min(MOST_STEPS, 12 * perPass))),
          rate: 1.5e-3,
          seed: known,
        },
      },
      { now: this.options.now },
    );
    const model = networkModel({
      id: champion.model.id,
      version: String(this.version + 1),
      hash: `${champion.model.hash}+${known}`,
      spec: champion.spec,
      weights: result.weights,
      quantized: true,
    });
    const losses = await holdoutLosses(series, champion.model, model, HOLDOUT_DEFAULTS);
    const verdict = judge(losses, { ...GATE_DEFAULTS, overlap: HOLDOUT_DEFAULTS.originsPerHorizon });
    if (verdict.promote) {
      await this.engine.adopt(model);
      this.champion = { model, spec: champion.spec, weights: result.weights };
      this.version++;
    }
    return { promoted: verdict.promote, reason: verdict.reason };
  }

  /** What may be learnt from the newest window up to, and not including, bucket `known`. */
  private series(known: number): HoldoutSeries[] {
    const from = Math.max(0, known - this.window);
    const holdout = Math.max(2 * this.options.horizon, Math.floor(HOLDOUT * (known - from)));
    return this.grids.flatMap((grid) => {
      const screened = screen(grid.actual.subarray(from, known));
      if (screened.problem !== null) return [];
      return [
        {
          name: grid.name,
          group: 'file',
          intervalMs: grid.intervalMs,
          startMs: grid.startMs + from * grid.intervalMs,
          values: screened.values,
          leads: this.options.horizon,
          timeZone: this.options.timeZone,
          holdoutFrom: known - from - holdout,
        },
      ];
    });
  }
}
