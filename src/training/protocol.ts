/** What a training worker and the thread that started it say to each other. */
import type { ErrorCode } from '../errors.ts';
import type { CycleInput, CycleOptions, CycleReport } from './cycle.ts';
import type { HistoryStream } from './history.ts';
import type { JobProgress, JobResult, TrainingJob } from './job.ts';
import type { TrialNetwork, WindowLosses } from './trials.ts';

/** A fine-tuning whose history the worker reads by itself: the agent's thread has forecasts to make. */
export interface TuningInput extends Omit<CycleInput, 'series'> {
  readonly streams: readonly HistoryStream[];
  /** The store's file; everything wanted must be settled in it. */
  readonly database: string;
  /** The registry's folder: a candidate that passed is written there, under `name`. */
  readonly models: string;
}

export type WorkerTask =
  | {
      readonly kind: 'train';
      readonly job: TrainingJob;
      /** File to write checkpoints to; null: none. */
      readonly checkpoint: string | null;
      /** Go on from the checkpoint if it is there. */
      readonly resume: boolean;
    }
  | { readonly kind: 'cycle'; readonly input: TuningInput; readonly options: CycleOptions }
  | { readonly kind: 'trials'; readonly job: TrainingJob; readonly networks: readonly TrialNetwork[] };

/** What a task answers. */
export type WorkResult = JobResult | CycleReport | readonly (WindowLosses | null)[];

/** Given to the worker when it starts. */
export interface WorkerInput {
  readonly task: WorkerTask;
  /** Two shared 32-bit flags, see FLAG_STOP and FLAG_PAUSE: a busy worker reads no messages. */
  readonly flags: SharedArrayBuffer;
}

/** Not 0: end with what is best so far. */
export const FLAG_STOP = 0;
/** What FLAG_STOP is set to: end with what there is; end at once, without a result. */
export const STOPPED = 1;
export const KILLED = 2;
/** Not 0: hold before the next step. */
export const FLAG_PAUSE = 1;
export const FLAGS_BYTES = 8;

export type WorkerMessage =
  | { readonly type: 'progress'; readonly progress: JobProgress }
  | { readonly type: 'trial'; readonly index: number; readonly losses: WindowLosses | null }
  | { readonly type: 'result'; readonly result: WorkResult }
  | { readonly type: 'failed'; readonly code: ErrorCode; readonly message: string; readonly hint: string };
