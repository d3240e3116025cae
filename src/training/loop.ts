/**
 * The training loop: batch, gradients, clipped AdamW step, periodic validation; keeps the best weights. It ends after its
 * steps, its time, its patience or on request. The gradient source, the clock and the brake are passed in, so that the
 * loop can be tested without a runtime.
 */
import { GatecastError } from '../errors.ts';
import {
  type AdamOptions,
  type AdamState,
  AdamW,
  AverageWeights,
  clipFactor,
  globalNorm,
  type Parameter,
} from './optimiser.ts';
import type { TrainingBatch } from './sampler.ts';
import { learningRate, type Schedule } from './schedule.ts';

export interface GradientSource {
  /**
   * Returns the loss (weighted mean), the gradients at the parameters' current values in the order of the parameters, and
   * the final states of the chunk. The next run may overwrite the arrays.
   * @param learning false: returns only the loss and the states, without dropout
   */
  run(
    batch: TrainingBatch,
    learning: boolean,
  ): Promise<{
    loss: number;
    gradients: readonly Float32Array[];
    hT: Float32Array;
    /** [P, B, M], weighted; only from a source created with `perTarget`, and not while learning. */
    losses?: Float32Array;
  }>;
  /** Advances the random generator as a run would, without the run. */
  skip?(): void;
}

/** Training batches; `carry` receives the final states of each. */
interface BatchStream {
  next(): TrainingBatch;
  /** Moves on as `next` does, without the batch. */
  skip(): void;
  carry(hT: Float32Array): void;
}

/** One pass over fixed batches; repeatable. */
interface BatchPass {
  batches(): Iterable<TrainingBatch>;
  carry(hT: Float32Array): void;
}

export interface LoopOptions {
  /** Maximum number of optimiser steps. */
  readonly maxSteps: number;
  /** Time limit, ms of `now`; null: none. */
  readonly maxTimeMs: number | null;
  readonly schedule: Schedule;
  readonly adam: Partial<AdamOptions>;
  /** Gradients are scaled to at most this norm. */
  readonly clipNorm: number;
  /** Then each value is clipped to +-this. */
  readonly clipValue: number;
  /** Steps between validations. */
  readonly validateEvery: number;
  /** Number of validations without improvement after which the loop stops; Infinity: never. */
  readonly patience: number;
  /** Decay of the averaged weights that are validated and kept; 0: the weights themselves. */
  readonly averaging: number;
  /** Monotonic ms. */
  readonly now: () => number;
  /** Called before each step; true stops the loop with the best weights so far. */
  readonly stop?: () => boolean;
  /** Awaited before each step: delays the loop under load, heat or a pause. */
  readonly brake?: () => Promise<void>;
  readonly onProgress?: (progress: Progress) => void;
  readonly onCheckpoint?: (checkpoint: Checkpoint) => void;
  /** ms between checkpoints. */
  readonly checkpointEveryMs?: number;
  readonly resume?: Checkpoint;
}

export interface Progress {
  readonly step: number;
  readonly maxSteps: number;
  /** Progress by steps or by time, 0..1. */
  readonly done: number;
  readonly elapsedMs: number;
  /** Training loss, smoothed. */
  readonly loss: number;
  readonly rate: number;
  /** Gradient norm before clipping. */
  readonly norm: number;
  /** Newest and best validation loss; null before the first or without a validation set. */
  readonly validation: number | null;
  readonly best: number | null;
  /** Steps skipped because of a number that is not finite. */
  readonly skipped: number;
}

export interface Checkpoint {
  readonly step: number;
  readonly elapsedMs: number;
  readonly loss: number;
  readonly bestLoss: number | null;
  readonly baseLoss: number | null;
  readonly stale: number;
  readonly skipped: number;
  readonly weights: readonly Float32Array[];
  readonly best: readonly Float32Array[];
  readonly average: { readonly count: number; readonly average: readonly Float32Array[] } | null;
  readonly adam: AdamState;
  /** [S, B, H] final states of the last batch. */
  readonly states: Float32Array;
}

type StopReason = 'steps' | 'time' | 'patience' | 'stopped' | 'diverged';

export interface LoopResult {
  /** Best weights by validation; the last without a validation set. In the order of the parameters. */
  readonly best: readonly Float32Array[];
  /** Validation loss of `best`; null without a validation set. */
  readonly bestLoss: number | null;
  /** Validation loss before the first step. */
  readonly baseLoss: number | null;
  readonly loss: number;
  readonly steps: number;
  readonly elapsedMs: number;
  readonly reason: StopReason;
  readonly skipped: number;
}

/** After this many skipped steps in a row, the weights have diverged: one bad batch is not the cause. */
const MOST_SKIPPED = 20;

/**
 * Trains `parameters` in place. @throws GatecastError TRAINING_FAILED if the training diverges
 * @param validation null: none, the last weights are kept
 */
export async function trainLoop(
  parameters: readonly Parameter[],
  source: GradientSource,
  stream: BatchStream,
  validation: BatchPass | null,
  options: LoopOptions,
): Promise<LoopResult> {
  const loop = new Loop(parameters, source, validation, options);
  return loop.run(stream);
}

class Loop {
  private readonly adam: AdamW;
  private readonly mean: AverageWeights | null;
  private best: Float32Array[];
  private bestLoss: number | null = null;
  private baseLoss: number | null = null;
  private lastValidation: number | null = null;
  private step = 0;
  private loss = Number.NaN;
  private norm = 0;
  private rate = 0;
  private stale = 0;
  private skipped = 0;
  private skippedInARow = 0;
  private readonly started: number;

  /** [S, B, H] final states of the last batch. */
  private states: Float32Array = new Float32Array(0);

  constructor(
    private readonly parameters: readonly Parameter[],
    private readonly source: GradientSource,
    private readonly validation: BatchPass | null,
    private readonly options: LoopOptions,
  ) {
    this.adam = new AdamW(parameters, options.adam);
    this.mean = options.averaging > 0 ? new AverageWeights(parameters, options.averaging) : null;
    this.best = parameters.map((one) => one.data.slice());
    this.started = options.now() - (options.resume?.elapsedMs ?? 0);
    if (options.resume) this.restore(options.resume);
  }

  async run(stream: BatchStream): Promise<LoopResult> {
    const { options } = this;
    if (this.validation && !options.resume) {
      this.baseLoss = await this.validate(this.validation);
      this.bestLoss = this.lastValidation = this.baseLoss;
    }
    if (options.resume) this.catchUp(stream, options.resume);
    let saved = options.now();
    let reason: StopReason;
    for (;;) {
      const ended = this.ended();
      if (ended) {
        reason = ended;
        break;
      }
      await options.brake?.();
      await this.train(stream);
      if (this.skippedInARow >= MOST_SKIPPED) {
        reason = 'diverged';
        break;
      }
      if (this.validation && this.step % options.validateEvery === 0) await this.judge(this.validation);
      options.onProgress?.(this.progress());
      if (options.onCheckpoint && options.now() - saved >= (options.checkpointEveryMs ?? 30_000)) {
        options.onCheckpoint(this.checkpoint());
        saved = options.now();
      }
    }
    return this.finish(reason);
  }

  /** Skips the batches of the steps before the checkpoint, so that the rest equals an uninterrupted run. */
  private catchUp(stream: BatchStream, { step, states }: Checkpoint): void {
    for (let i = 0; i < step; i++) {
      stream.skip();
      this.source.skip?.();
    }
    this.carry(stream, states);
  }

  private carry(stream: BatchStream, hT: Float32Array): void {
    stream.carry(hT);
    // Copied, because the next run of the network overwrites its output.
    if (this.states.length !== hT.length) this.states = new Float32Array(hT.length);
    this.states.set(hT);
  }

  private ended(): StopReason | null {
    const { options } = this;
    if (options.stop?.()) return 'stopped';
    if (this.step >= options.maxSteps) return 'steps';
    if (options.maxTimeMs !== null && this.elapsed() >= options.maxTimeMs) return 'time';
    return this.stale >= options.patience ? 'patience' : null;
  }

  private async train(stream: BatchStream): Promise<void> {
    const { options } = this;
    const batch = stream.next();
    const { loss, gradients, hT } = await this.source.run(batch, true);
    const norm = globalNorm(gradients);
    this.step++;
    if (!Number.isFinite(loss) || !Number.isFinite(norm)) {
      this.skipped++;
      this.skippedInARow++;
      // A state that is not finite would spoil all later chunks.
      this.carry(stream, new Float32Array(hT.length));
      return;
    }
    this.skippedInARow = 0;
    this.carry(stream, hT.every(Number.isFinite) ? hT : new Float32Array(hT.length));
    this.norm = norm;
    this.rate = learningRate(options.schedule, this.done());
    this.adam.step(gradients, this.rate, {
      scale: clipFactor(norm, options.clipNorm),
      value: options.clipValue,
    });
    this.mean?.update();
    this.loss = Number.isNaN(this.loss)
      ? loss
      : this.loss + (loss - this.loss) * Math.max(0.02, 1 / this.step);
  }

  /** Validates the weights that `keep` would store, and stores them if they are the best. */
  private async judge(pass: BatchPass): Promise<void> {
    const loss = await this.withKept(() => this.validate(pass));
    this.lastValidation = loss;
    if (Number.isFinite(loss) && (this.bestLoss === null || !(loss >= this.bestLoss))) {
      this.bestLoss = loss;
      this.keep();
      this.stale = 0;
    } else this.stale++;
  }

  private keep(): void {
    this.parameters.forEach((parameter, k) => {
      this.best[k].set(this.keptOf(parameter, k));
    });
  }

  /** The value of a parameter that would be kept: its average if weights are averaged. */
  private keptOf({ data }: Parameter, k: number): Float32Array {
    return this.mean?.average[k] ?? data;
  }

  /** Runs `work` with the weights that would be kept. */
  private async withKept<T>(work: () => Promise<T>): Promise<T> {
    if (!this.mean) return work();
    const own = this.parameters.map((one) => one.data.slice());
    this.parameters.forEach((one, k) => {
      one.data.set(this.keptOf(one, k));
    });
    try {
      return await work();
    } finally {
      this.parameters.forEach((one, k) => {
        one.data.set(own[k]);
      });
    }
  }

  private async validate(pass: BatchPass): Promise<number> {
    return meanLoss(this.source, pass, this.options.brake);
  }

  private async finish(reason: StopReason): Promise<LoopResult> {
    const { step, skipped } = this;
    // the weights since the last validation may be the best
    const unseen = this.step % this.options.validateEvery !== 0;
    if (this.validation && unseen && reason !== 'diverged') await this.judge(this.validation);
    if (!this.validation && reason !== 'diverged') this.keep();
    const usable = this.best.every((data) => data.every(Number.isFinite));
    if (!usable || (reason === 'diverged' && this.bestLoss === null)) {
      throw new GatecastError('TRAINING_FAILED', `Training diverged after ${step} steps.`, {
        hint: 'Lower the learning rate or the clipping norm, and look at the data for values far outside its range.',
      });
    }
    const { bestLoss, baseLoss, loss } = this;
    return {
      best: this.best,
      bestLoss,
      baseLoss,
      loss,
      steps: step,
      elapsedMs: this.elapsed(),
      reason,
      skipped,
    };
  }

  private elapsed(): number {
    return this.options.now() - this.started;
  }

  private done(): number {
    const { maxSteps, maxTimeMs } = this.options;
    const bySteps = this.step / maxSteps;
    return Math.min(1, maxTimeMs === null ? bySteps : Math.max(bySteps, this.elapsed() / maxTimeMs));
  }

  private progress(): Progress {
    return {
      step: this.step,
      maxSteps: this.options.maxSteps,
      done: this.done(),
      elapsedMs: this.elapsed(),
      loss: this.loss,
      rate: this.rate,
      norm: this.norm,
      validation: this.lastValidation,
      best: this.bestLoss,
      skipped: this.skipped,
    };
  }

  private checkpoint(): Checkpoint {
    return {
      step: this.step,
      elapsedMs: this.elapsed(),
      loss: this.loss,
      bestLoss: this.bestLoss,
      baseLoss: this.baseLoss,
      stale: this.stale,
      skipped: this.skipped,
      weights: this.parameters.map((one) => one.data.slice()),
      best: this.best.map((data) => data.slice()),
      average: this.mean?.save() ?? null,
      adam: this.adam.save(),
      states: this.states.slice(),
    };
  }

  private restore(from: Checkpoint): void {
    const fits = from.weights.every((data, k) => data.length === this.parameters[k]?.data.length);
    if (from.weights.length !== this.parameters.length || !fits) {
      throw new GatecastError('TRAINING_FAILED', 'The checkpoint belongs to another network.', {
        hint: 'Use the same cell, layers and hidden size, or remove the checkpoint.',
      });
    }
    from.weights.forEach((data, k) => {
      this.parameters[k].data.set(data);
    });
    this.best = from.best.map((data) => data.slice());
    this.adam.restore(from.adam);
    if (from.average) this.mean?.restore(from.average);
    this.step = from.step;
    this.loss = from.loss;
    this.bestLoss = this.lastValidation = from.bestLoss;
    this.baseLoss = from.baseLoss;
    this.stale = from.stale;
    this.skipped = from.skipped;
  }
}

/** Weighted mean loss over a pass with carried state; NaN without targets or if a loss is not finite. */
async function meanLoss(
  source: GradientSource,
  pass: BatchPass,
  brake?: () => Promise<void>,
): Promise<number> {
  let sum = 0;
  let weights = 0;
  for (const batch of pass.batches()) {
    await brake?.();
    const { loss, hT } = await source.run(batch, false);
    pass.carry(hT);
    let weight = 0;
    for (let c = 0; c < batch.weight.length; c++) weight += batch.weight[c];
    if (weight > 0) sum += loss * weight;
    weights += weight;
  }
  return weights > 0 ? sum / weights : Number.NaN;
}
