/**
 * The training worker: a process that runs a training, a fine-tuning or a search trial at low priority, so that the agent can
 * forecast. An error, or a lack of memory, ends this process only. It ends with the process that started it.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { errorText, GatecastError } from '../errors.ts';
import { ModelRegistry } from '../model/registry.ts';
import { samplesIn } from '../store/reading.ts';
import { refuseTelemetry } from '../system/telemetry.ts';
import { jobFingerprint, readCheckpoint, writeCheckpoint } from './checkpoint.ts';
import { type CycleReport, fineTune } from './cycle.ts';
import { collectHistory } from './history.ts';
import { type JobHooks, type JobResult, type JobSeries, runJob } from './job.ts';
import type { TuningInput, WorkerCommand, WorkerMessage, WorkerTask, WorkResult } from './protocol.ts';
import { runTrials } from './trials.ts';

/** Minimum time between progress messages, ms. */
const PROGRESS_EVERY_MS = 200;
/** Minimum time between two looks at the messages from the agent, ms. */
const LOOK_EVERY_MS = 20;

/** What the agent asked for meanwhile. */
class Orders {
  stopped = false;
  private paused = false;
  private lookedMs = 0;
  private wake: () => void = () => {};

  take({ type }: WorkerCommand): void {
    if (type === 'stop') this.stopped = true;
    if (type === 'pause' || type === 'resume') this.paused = type === 'pause';
    this.wake();
  }

  /** Call between two steps of the work: lets messages come in, and waits while the work is paused. */
  async look(): Promise<void> {
    const nowMs = performance.now();
    if (nowMs - this.lookedMs >= LOOK_EVERY_MS) {
      this.lookedMs = nowMs;
      await setImmediate();
    }
    while (this.paused && !this.stopped)
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
  }
}

/** Makes the kernel end this process before the agent if memory is short. Linux; ignored where it is not allowed. */
function offerMemory(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '1000');
  } catch {
    // Not Linux, or not allowed: the kernel chooses by size.
  }
}

async function main(
  task: WorkerTask,
  orders: Orders,
  post: (message: WorkerMessage) => void,
): Promise<WorkResult> {
  let last = Number.NEGATIVE_INFINITY;
  const hooks: JobHooks = {
    now: () => performance.now(),
    stop: () => orders.stopped,
    brake: () => orders.look(),
    onProgress: (progress) => {
      const now = performance.now();
      if (now - last < PROGRESS_EVERY_MS && progress.done < 1) return;
      last = now;
      post({ type: 'progress', progress });
    },
  };
  if (task.kind === 'train') return train(task, hooks);
  if (task.kind === 'cycle')
    return cycle(task, hooks, () => post({ type: 'progress', progress: { phase: 'comparing', done: 0 } }));
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
  trained: () => void,
): Promise<CycleReport> {
  const { brake } = hooks;
  const evaluation = { ...options.evaluation, brake };
  const report = await fineTune(
    'database' in input ? { ...input, series: await storedSeries(input, brake) } : input,
    {
      train: async (job) => {
        const result = await runJob(job, hooks);
        trained();
        return result;
      },
    },
    { ...options, evaluation },
  );
  // Written here, because a sync to an SD card is slow and must not block the agent's thread.
  if (report.candidate) new ModelRegistry(input.models, null).save(report.candidate);
  return { ...report, candidate: null };
}

async function storedSeries(
  { streams, database, group, nowMs }: TuningInput,
  brake: JobHooks['brake'],
): Promise<JobSeries[]> {
  const fromMs = Math.min(...streams.map((one) => one.fromMs));
  return collectHistory(streams, samplesIn(database, fromMs), group, nowMs, brake);
}

function failure(error: unknown): WorkerMessage {
  const known = error instanceof GatecastError;
  return {
    type: 'failed',
    code: known ? error.code : 'TRAINING_FAILED',
    message: errorText(error),
    hint: known ? error.hint : '',
  };
}

/** Starts at the first message, which is the task. */
function serve(): void {
  const orders = new Orders();
  const post = (message: WorkerMessage): void => void process.send?.(message, undefined, undefined, () => {});
  const end = (message: WorkerMessage): void =>
    void process.send?.(message, undefined, undefined, () => process.exit());
  process.on('message', (command: WorkerCommand) => {
    if (command.type !== 'task') orders.take(command);
    else
      main(command.task, orders, post).then(
        (result) => end({ type: 'result', result }),
        (error: unknown) => end(failure(error)),
      );
  });
  // The process that started this one has ended, or has no use for the result.
  process.on('disconnect', () => process.exit());
  // A terminal and systemd signal the whole group: the agent decides when the work ends.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
}

if (process.send !== undefined) {
  refuseTelemetry();
  serve();
  offerMemory();
}
