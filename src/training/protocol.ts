/** What a training worker and the thread that started it say to each other. */
import type { ErrorCode } from '../errors.ts';
import type { JobProgress, JobResult, TrainingJob } from './job.ts';

/** Given to the worker when it starts. */
export interface WorkerInput {
  readonly job: TrainingJob;
  /** File to write checkpoints to; null: none. */
  readonly checkpoint: string | null;
  /** Go on from the checkpoint if it is there. */
  readonly resume: boolean;
  /** Two shared 32-bit flags, see FLAG_STOP and FLAG_PAUSE: a busy worker reads no messages. */
  readonly flags: SharedArrayBuffer;
}

/** Not 0: end with what is best so far. */
export const FLAG_STOP = 0;
/** Not 0: hold before the next step. */
export const FLAG_PAUSE = 1;
export const FLAGS_BYTES = 8;

export type WorkerMessage =
  | { readonly type: 'progress'; readonly progress: JobProgress }
  | { readonly type: 'result'; readonly result: JobResult }
  | { readonly type: 'failed'; readonly code: ErrorCode; readonly message: string; readonly hint: string };
