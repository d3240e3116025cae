/** Types of the training loop: sources of batches and gradients, options, progress, result. */
import type { AdamOptions, AdamState } from './optimiser.ts';
import type { TrainingBatch } from './sampler.ts';
import type { Schedule } from './schedule.ts';

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
export interface BatchStream {
  next(): TrainingBatch;
  /** Moves on as `next` does, without the batch. */
  skip(): void;
  carry(hT: Float32Array): void;
}

/** One pass over fixed batches; repeatable. */
export interface BatchPass {
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

export type StopReason = 'steps' | 'time' | 'patience' | 'stopped' | 'diverged';

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
