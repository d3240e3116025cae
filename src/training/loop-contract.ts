/** What the training loop is given and gives back: where numbers come from, its settings, its progress, its result. */
import type { AdamOptions, AdamState } from './optimiser.ts';
import type { TrainingBatch } from './sampler.ts';
import type { Schedule } from './schedule.ts';

export interface GradientSource {
  /**
   * Loss (weighted mean) and gradients at the parameters' present values, and the states the chunk ended in. The arrays
   * may be overwritten by the next run. `gradients` in the order of the parameters.
   * @param learning false: only the loss and the states are wanted, without dropout
   */
  run(
    batch: TrainingBatch,
    learning: boolean,
  ): Promise<{
    loss: number;
    gradients: readonly Float32Array[];
    hT: Float32Array;
    /** [P, B, M], weighted; only from a source that was made to tell them, and not while learning. */
    losses?: Float32Array;
  }>;
  /** Draws what is random in a run, without the run. */
  skip?(): void;
}

/** Batches to learn from; `carry` is told the states each ended in. */
export interface BatchStream {
  next(): TrainingBatch;
  carry(hT: Float32Array): void;
}

/** One pass over fixed batches; repeatable. */
export interface BatchPass {
  batches(): Iterable<TrainingBatch>;
  carry(hT: Float32Array): void;
}

export interface LoopOptions {
  /** Most optimiser steps. */
  readonly maxSteps: number;
  /** Most time, ms of `now`; null: none. */
  readonly maxTimeMs: number | null;
  readonly schedule: Schedule;
  readonly adam: Partial<AdamOptions>;
  /** Gradients are scaled to at most this norm. */
  readonly clipNorm: number;
  /** Then each is held within +-this. */
  readonly clipValue: number;
  /** Steps between validations. */
  readonly validateEvery: number;
  /** Validations without a better one before the loop stops; Infinity: never. */
  readonly patience: number;
  /** Decay of the averaged weights that are validated and kept; 0: the weights themselves. */
  readonly averaging: number;
  /** Share of the way from a parameter's anchor to what was trained that is validated and kept, over 0 to 1; 1 where left out. */
  readonly reach?: number;
  /** Monotonic ms. */
  readonly now: () => number;
  /** Asked before each step: true stops the loop with what is best so far. */
  readonly stop?: () => boolean;
  /** Awaited before each step: the place where load, heat and a pause hold the loop back. */
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
  /** Share of the run that is done, by steps or by time, 0..1. */
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
  /** Steps that were left out because a number was not finite. */
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
  /** [S, B, H] states that the last batch ended in. */
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
