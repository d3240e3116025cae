/** Runs work in a training worker: progress, pause, stop, and all ways in which a worker can end. */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { GatecastError } from '../errors.ts';
import type { CycleOptions, CycleReport } from './cycle.ts';
import type { JobProgress, JobResult, TrainingJob } from './job.ts';
import {
  FLAG_PAUSE,
  FLAG_STOP,
  FLAGS_BYTES,
  KILLED,
  STOPPED,
  type TuningInput,
  type WorkerInput,
  type WorkerMessage,
  type WorkerTask,
  type WorkResult,
} from './protocol.ts';
import type { TrialNetwork, WindowLosses } from './trials.ts';

/** Time for a killed worker to exit between two steps before it is terminated, ms. */
const GRACE_MS = 2000;

export interface WorkerOptions {
  readonly onProgress?: (progress: JobProgress) => void;
  /** Maximum heap of the worker, MB. The task limits arrays outside the heap. */
  readonly heapMb?: number;
}

export interface TrainingOptions extends WorkerOptions {
  /** File to write checkpoints to; null: none. */
  readonly checkpoint?: string | null;
  readonly resume?: boolean;
}

export interface RunningWork<T> {
  /** Rejects with GatecastError TRAINING_FAILED (or the task's own code); the process is unharmed. */
  readonly result: Promise<T>;
  /** Ends the training after the current step, with the best weights so far. */
  stop(): void;
  pause(): void;
  resume(): void;
  /** Ends the work without a result: before its next step, or by force after GRACE_MS. */
  kill(): Promise<void>;
}

export function startTraining(job: TrainingJob, options: TrainingOptions = {}): RunningWork<JobResult> {
  const { checkpoint = null, resume = false } = options;
  return startWorker({ kind: 'train', job, checkpoint, resume }, options);
}

/** Runs a complete fine-tuning off the agent's thread, from stored samples to the comparison on the holdout. */
export function startCycle(
  input: TuningInput,
  cycle: CycleOptions,
  options: WorkerOptions = {},
): RunningWork<CycleReport> {
  return startWorker({ kind: 'cycle', input, options: cycle }, options);
}

/** Trains networks one after the other on the same data; calls `onTrial` after each. */
export function startTrials(
  job: TrainingJob,
  networks: readonly TrialNetwork[],
  options: WorkerOptions & { readonly onTrial?: (index: number, losses: WindowLosses | null) => void } = {},
): RunningWork<readonly (WindowLosses | null)[]> {
  return startWorker({ kind: 'trials', job, networks }, options);
}

function startWorker<T extends WorkResult>(
  task: WorkerTask,
  options: WorkerOptions & { readonly onTrial?: (index: number, losses: WindowLosses | null) => void },
): RunningWork<T> {
  const flags = new Int32Array(new SharedArrayBuffer(FLAGS_BYTES));
  const input: WorkerInput = { task, flags: flags.buffer as SharedArrayBuffer };
  const { path, isScript } = workerFile();
  const worker = new Worker(path, {
    workerData: input,
    eval: isScript,
    // A small young generation: reading history allocates many short-lived objects, and V8 never shrinks that space.
    resourceLimits: { maxOldGenerationSizeMb: options.heapMb ?? 512, maxYoungGenerationSizeMb: 4 },
  });
  const set = (flag: number, value: number) => {
    Atomics.store(flags, flag, value);
    Atomics.notify(flags, flag);
  };
  const exited = new Promise<void>((resolve) => {
    worker.once('exit', () => resolve());
  });
  return {
    result: outcome<T>(worker, options),
    stop: () => {
      set(FLAG_STOP, STOPPED);
      Atomics.notify(flags, FLAG_PAUSE);
    },
    pause: () => set(FLAG_PAUSE, 1),
    resume: () => set(FLAG_PAUSE, 0),
    kill: async () => {
      set(FLAG_STOP, KILLED);
      Atomics.notify(flags, FLAG_PAUSE);
      await Promise.race([exited, sleep(GRACE_MS, undefined, { ref: false })]);
      await worker.terminate();
    },
  };
}

function outcome<T>(worker: Worker, { onProgress, onTrial }: Parameters<typeof startWorker>[1]): Promise<T> {
  return new Promise((resolve, reject) => {
    worker.on('message', (message: WorkerMessage) => {
      if (message.type === 'progress') onProgress?.(message.progress);
      else if (message.type === 'trial') onTrial?.(message.index, message.losses);
      // The worker answers with the result of the task it was given.
      else if (message.type === 'result') resolve(message.result as T);
      else reject(new GatecastError(message.code, message.message, { hint: message.hint }));
    });
    worker.on('error', (cause: Error & { code?: string }) => {
      const memory = cause.code === 'ERR_WORKER_OUT_OF_MEMORY';
      reject(
        new GatecastError(
          'TRAINING_FAILED',
          memory ? 'The training worker ran out of memory.' : `The training worker failed: ${cause.message}`,
          { hint: memory ? 'Use a smaller batch, fewer series, or a shorter window of time.' : '', cause },
        ),
      );
    });
    // No effect after a result, because a promise settles only once.
    worker.on('exit', (code) => {
      reject(
        new GatecastError(
          'TRAINING_FAILED',
          `The training worker exited with code ${code} before it finished.`,
        ),
      );
    });
  });
}

/** The bundle's worker script; when run from the sources, a script that registers tsx first. */
function workerFile(): { path: string; isScript: boolean } {
  for (const beside of ['./training-worker.js', '../training-worker.js']) {
    const path = fileURLToPath(new URL(beside, import.meta.url));
    if (existsSync(path)) return { path, isScript: false };
  }
  const source = JSON.stringify(new URL('./worker.ts', import.meta.url).href);
  const script = `import('tsx/esm/api').then((tsx) => { tsx.register(); return import(${source}); })`;
  return { path: script, isScript: true };
}
