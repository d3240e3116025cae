/** Messages between a training worker and the process that started it. */
import type { ErrorCode } from '../errors.ts';
import type { CycleInput, CycleOptions, CycleReport } from './cycle.ts';
import type { HistoryStream } from './history.ts';
import type { JobProgress, JobResult, TrainingJob } from './job.ts';
import type { TrialNetwork, WindowLosses } from './trials.ts';

interface CandidateFolder {
  /** Folder of the registry: a promoted candidate is written there, under `name`. */
  readonly models: string;
}

/** Name of the model that a run makes, such as `default-20250102-031700`. */
export function candidateName(group: string, nowMs: number): string {
  const stamp = new Date(nowMs).toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-');
  return `${group}-${stamp}`;
}

/** Input of a fine-tuning. The worker reads the history itself, to keep the agent free. */
export interface TuningInput extends Omit<CycleInput, 'series'>, CandidateFolder {
  readonly streams: readonly HistoryStream[];
  /** Path of the database; all samples must have been written to it. */
  readonly database: string;
}

/** Input of a fine-tuning whose history is not in a database. */
export type RecordedTuningInput = CycleInput & CandidateFolder;

export type WorkerTask =
  | {
      readonly kind: 'train';
      readonly job: TrainingJob;
      /** File to write checkpoints to; null: none. */
      readonly checkpoint: string | null;
      /** Resume from the checkpoint if it exists. */
      readonly resume: boolean;
    }
  | {
      readonly kind: 'cycle';
      readonly input: TuningInput | RecordedTuningInput;
      readonly options: CycleOptions;
    }
  | { readonly kind: 'trials'; readonly job: TrainingJob; readonly networks: readonly TrialNetwork[] };

export type WorkResult = JobResult | CycleReport | readonly (WindowLosses | null)[];

/** Messages to the worker: its task first. `stop`: end with the best weights so far. */
export type WorkerCommand =
  | { readonly type: 'task'; readonly task: WorkerTask }
  | { readonly type: 'stop' | 'pause' | 'resume' };

export type WorkerMessage =
  | { readonly type: 'progress'; readonly progress: JobProgress }
  | { readonly type: 'trial'; readonly index: number; readonly losses: WindowLosses | null }
  | { readonly type: 'result'; readonly result: WorkResult }
  | { readonly type: 'failed'; readonly code: ErrorCode; readonly message: string; readonly hint: string };
