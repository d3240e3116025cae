/** Runs work in a training worker, a process of its own: progress, pause, stop, and all ways in which a worker can end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { resolve } from 'node:path';
import { GatecastError } from '../errors.ts';
import { lowerPriority, scriptArguments } from '../system/child.ts';
import { residentMb } from '../system/facts.ts';
import type { CycleOptions, CycleReport } from './cycle.ts';
import type { JobProgress, JobResult, TrainingJob } from './job.ts';
import type {
  RecordedTuningInput,
  TuningInput,
  WorkerCommand,
  WorkerMessage,
  WorkerTask,
  WorkResult,
} from './protocol.ts';
import type { TrialNetwork, WindowLosses } from './trials.ts';

const LOOK_MS = 250;
/** How much of the worker's error output is kept, characters. */
const MOST_ERRORS = 4000;

interface WorkerOptions {
  readonly onProgress?: (progress: JobProgress) => void;
  /** Maximum heap of the worker, MB. */
  readonly heapMb?: number;
  /** Maximum resident memory of the worker, MB: heap, arrays, and the runtime. */
  readonly memoryMb?: number;
  /** Default: that of a background job; 19, the lowest priority: only the processor time that nothing else wants. */
  readonly niceness?: number;
}

interface TrainingOptions extends WorkerOptions {
  /** File to write checkpoints to; null: none. */
  readonly checkpoint?: string | null;
  readonly resume?: boolean;
}

export interface RunningWork<T> {
  /** Rejects with GatecastError TRAINING_FAILED (or the task's own code). */
  readonly result: Promise<T>;
  /** Ends the training after the current step, with the best weights so far. */
  stop(): void;
  pause(): void;
  resume(): void;
  /** Ends the work at once, without a result. */
  kill(): Promise<void>;
}

export function startTraining(job: TrainingJob, options: TrainingOptions = {}): RunningWork<JobResult> {
  const { checkpoint = null, resume = false } = options;
  return startWorker({ kind: 'train', job, checkpoint: checkpoint && resolve(checkpoint), resume }, options);
}

/** Runs a complete fine-tuning outside of the agent's process, from stored samples to the comparison on the holdout. */
export function startCycle(
  input: TuningInput | RecordedTuningInput,
  cycle: CycleOptions,
  options: WorkerOptions = {},
): RunningWork<CycleReport> {
  // The worker runs in another folder.
  const models = resolve(input.models);
  const own =
    'database' in input ? { ...input, models, database: resolve(input.database) } : { ...input, models };
  return startWorker({ kind: 'cycle', input: own, options: cycle }, options);
}

/** Trains networks one after the other on the same data; calls `onTrial` after each. */
export function startTrials(
  job: TrainingJob,
  networks: readonly TrialNetwork[],
  options: Hooks = {},
): RunningWork<readonly (WindowLosses | null)[]> {
  return startWorker({ kind: 'trials', job, networks }, options);
}

type Hooks = WorkerOptions & {
  readonly onTrial?: (index: number, losses: WindowLosses | null) => void;
};

function startWorker<T extends WorkResult>(task: WorkerTask, options: Hooks): RunningWork<T> {
  const { heapMb = 512, niceness = constants.priority.PRIORITY_BELOW_NORMAL } = options;
  const { args, cwd } = scriptArguments(import.meta.url, 'training-worker.js', './worker.ts');
  const worker = spawn(
    process.execPath,
    // A small young generation: reading history allocates many short-lived objects, and V8 never shrinks that space.
    [`--max-old-space-size=${heapMb}`, '--max-semi-space-size=2', ...args],
    { cwd, stdio: ['ignore', 'ignore', 'pipe', 'ipc'], serialization: 'advanced' },
  );
  lowerPriority(worker.pid, niceness);
  const exited = new Promise<void>((done) => {
    worker.once('exit', () => done());
    worker.once('error', () => done());
  });
  // A worker that has ended takes no message: how it ended is the result.
  const send = (command: WorkerCommand): void => {
    if (worker.connected) worker.send(command, () => {});
  };
  const result = outcome<T>(worker, options);
  send({ type: 'task', task });
  return {
    result,
    stop: () => send({ type: 'stop' }),
    pause: () => send({ type: 'pause' }),
    resume: () => send({ type: 'resume' }),
    kill: async () => {
      worker.kill('SIGKILL');
      await exited;
    },
  };
}

const MEMORY_HINT = 'Use a smaller batch, fewer series, or a shorter window of time.';

function outcome<T>(worker: ChildProcess, { onProgress, onTrial, memoryMb }: Hooks): Promise<T> {
  let errors = '';
  let tooLarge = false;
  worker.stderr?.on('data', (data) => {
    errors = `${errors}${data}`.slice(-MOST_ERRORS);
  });
  const looks =
    memoryMb === undefined
      ? undefined
      : setInterval(() => {
          if ((residentMb(worker.pid) ?? 0) <= memoryMb) return;
          tooLarge = true;
          worker.kill('SIGKILL');
        }, LOOK_MS);
  return new Promise<T>((done, failed) => {
    const fail = (message: string, hint = ''): void =>
      failed(new GatecastError('TRAINING_FAILED', message, { hint }));
    worker.on('message', (message: WorkerMessage) => {
      if (message.type === 'progress') onProgress?.(message.progress);
      else if (message.type === 'trial') onTrial?.(message.index, message.losses);
      // The worker answers with the result of the task it was given.
      else if (message.type === 'result') done(message.result as T);
      else failed(new GatecastError(message.code, message.message, { hint: message.hint }));
    });
    worker.on('error', (cause) => fail(`The training worker could not be started: ${cause.message}`));
    // After the end of the error output. No effect after a result, because a promise settles only once.
    worker.on('close', (code, signal) => {
      if (tooLarge) fail(`The training worker needs more than ${memoryMb} MB of memory.`, MEMORY_HINT);
      else if (/out of memory|bad_alloc|Cannot allocate|allocation failed/i.test(errors))
        fail('The training worker ran out of memory.', MEMORY_HINT);
      else if (signal === 'SIGKILL')
        fail('The training worker was killed; the system does this when memory is short.', MEMORY_HINT);
      else fail(`The training worker ended with ${signal ?? `code ${code}`} before it finished.`);
    });
  }).finally(() => clearInterval(looks));
}
