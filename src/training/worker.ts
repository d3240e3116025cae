/**
 * The training worker: runs a training, a fine-tuning or a search trial in its own thread at low priority, so that the
 * agent's thread can forecast. An error ends this thread only.
 */
import { existsSync, readlinkSync, rmSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { errorText, GatecastError } from '../errors.ts';
import { ModelRegistry } from '../model/registry.ts';
import { openReader } from '../store/reading.ts';
import { jobFingerprint, readCheckpoint, writeCheckpoint } from './checkpoint.ts';
import { type CycleReport, fineTune } from './cycle.ts';
import { collectHistory } from './history.ts';
import { type JobHooks, type JobResult, type JobSeries, runJob } from './job.ts';
import {
  FLAG_PAUSE,
  FLAG_STOP,
  KILLED,
  type WorkerInput,
  type WorkerMessage,
  type WorkerTask,
  type WorkResult,
} from './protocol.ts';
import { runTrials } from './trials.ts';

/** Minimum time between progress messages, ms. */
const PROGRESS_EVERY_MS = 200;
/** Time between two checks of the stop flag while paused, ms. */
const PAUSE_LOOK_MS = 500;

/** Linux has a priority per thread; `/proc/thread-self` names the calling one. No effect on other systems. */
function lowerPriority(): void {
  try {
    const thread = Number(readlinkSync('/proc/thread-self').split('/').pop());
    if (Number.isInteger(thread) && thread > 0) setPriority(thread, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // Not Linux, or not allowed: the training competes with the agent's thread.
  }
}

async function main(
  { task, flags: shared }: WorkerInput,
  post: (message: WorkerMessage) => void,
): Promise<void> {
  const flags = new Int32Array(shared);
  let last = Number.NEGATIVE_INFINITY;
  const leaveIfKilled = () => {
    // Exits between two runs of the network: the runtime may abort the process if the thread is terminated during one.
    if (Atomics.load(flags, FLAG_STOP) === KILLED) process.exit();
  };
  const brake = async () => {
    while (Atomics.load(flags, FLAG_PAUSE) !== 0 && Atomics.load(flags, FLAG_STOP) === 0) {
      Atomics.wait(flags, FLAG_PAUSE, 1, PAUSE_LOOK_MS);
    }
    leaveIfKilled();
  };
  const hooks: JobHooks = {
    now: () => performance.now(),
    stop: () => {
      leaveIfKilled();
      return Atomics.load(flags, FLAG_STOP) !== 0;
    },
    brake,
    onProgress: (progress) => {
      const now = performance.now();
      if (now - last < PROGRESS_EVERY_MS && progress.done < 1) return;
      last = now;
      post({ type: 'progress', progress });
    },
  };
  post({ type: 'result', result: await work(task, hooks, brake, post) });
}

async function work(
  task: WorkerTask,
  hooks: JobHooks,
  brake: () => Promise<void>,
  post: (message: WorkerMessage) => void,
): Promise<WorkResult> {
  if (task.kind === 'train') return train(task, hooks);
  if (task.kind === 'cycle') return cycle(task, hooks, brake);
  return runTrials(task.job, task.networks, hooks, (index, losses) => post({ type: 'trial', index, losses }));
}

async function train(task: WorkerTask & { kind: 'train' }, hooks: JobHooks): Promise<JobResult> {
  const { job, checkpoint, resume } = task;
  const fingerprint = jobFingerprint(job);
  const from =
    resume && checkpoint && existsSync(checkpoint) ? readCheckpoint(checkpoint, fingerprint) : null;
  const result = await runJob(job, {
    ...hooks,
    ...(checkpoint && { onCheckpoint: (state) => writeCheckpoint(checkpoint, state, fingerprint) }),
    resume: from,
  });
  // kept if stopped, for --resume
  if (checkpoint && result.reason !== 'stopped') rmSync(checkpoint, { force: true });
  return result;
}

async function cycle(
  { input, options }: WorkerTask & { kind: 'cycle' },
  hooks: JobHooks,
  brake: () => Promise<void>,
): Promise<CycleReport> {
  const evaluation = { ...options.evaluation, brake };
  const { streams, database, models, ...rest } = input;
  const reader = openReader(database);
  let series: JobSeries[];
  try {
    const fromMs = Math.min(...streams.map((one) => one.fromMs));
    series = await collectHistory(streams, reader.since(fromMs), input.group, input.nowMs, brake);
  } finally {
    reader.close();
  }
  const report = await fineTune(
    { ...rest, series },
    { train: (job) => runJob(job, hooks) },
    { ...options, evaluation },
  );
  // Written here, because a sync to an SD card is slow and must not block the agent's thread.
  if (report.candidate) new ModelRegistry(models, null).save(report.candidate);
  return { ...report, candidate: null };
}

if (parentPort) {
  const port = parentPort;
  lowerPriority();
  try {
    await main(workerData as WorkerInput, (message) => port.postMessage(message));
  } catch (error) {
    const known = error instanceof GatecastError;
    port.postMessage({
      type: 'failed',
      code: known ? error.code : 'TRAINING_FAILED',
      message: errorText(error),
      hint: known ? error.hint : '',
    } satisfies WorkerMessage);
  }
}
