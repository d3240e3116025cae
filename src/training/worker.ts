/**
 * The training worker: one job in a thread of its own at low priority, so that the agent's thread goes on forecasting.
 * Whatever goes wrong here ends this thread only.
 */
import { existsSync, readlinkSync, rmSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { GatecastError } from '../errors.ts';
import { jobFingerprint, readCheckpoint, writeCheckpoint } from './checkpoint.ts';
import { runJob } from './job.ts';
import { FLAG_PAUSE, FLAG_STOP, type WorkerInput, type WorkerMessage } from './protocol.ts';

/** Messages more often than this would only keep the other thread busy, ms. */
const PROGRESS_EVERY_MS = 200;
/** How long a paused worker sleeps before it looks for a stop, ms. */
const PAUSE_LOOK_MS = 500;

/** Linux counts priority by thread, and `/proc/thread-self` is the one that asks. Elsewhere the priority stays. */
function lowerPriority(): void {
  try {
    const thread = Number(readlinkSync('/proc/thread-self').split('/').pop());
    if (Number.isInteger(thread) && thread > 0) setPriority(thread, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // Not Linux, or not allowed: training only competes a little more.
  }
}

async function main(input: WorkerInput, post: (message: WorkerMessage) => void): Promise<void> {
  const { job, checkpoint, resume } = input;
  const flags = new Int32Array(input.flags);
  const fingerprint = jobFingerprint(job);
  const from =
    resume && checkpoint && existsSync(checkpoint) ? readCheckpoint(checkpoint, fingerprint) : null;
  let last = Number.NEGATIVE_INFINITY;
  const result = await runJob(job, {
    now: () => performance.now(),
    stop: () => Atomics.load(flags, FLAG_STOP) !== 0,
    brake: async () => {
      while (Atomics.load(flags, FLAG_PAUSE) !== 0 && Atomics.load(flags, FLAG_STOP) === 0) {
        Atomics.wait(flags, FLAG_PAUSE, 1, PAUSE_LOOK_MS);
      }
    },
    onProgress: (progress) => {
      const now = performance.now();
      if (now - last < PROGRESS_EVERY_MS && progress.done < 1) return;
      last = now;
      post({ type: 'progress', progress });
    },
    ...(checkpoint && {
      onCheckpoint: (state) => writeCheckpoint(checkpoint, state, fingerprint),
    }),
    resume: from,
  });
  // A training that was stopped may be taken up again.
  if (checkpoint && result.reason !== 'stopped') rmSync(checkpoint, { force: true });
  post({ type: 'result', result });
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
      message: error instanceof Error ? error.message : String(error),
      hint: known ? error.hint : '',
    } satisfies WorkerMessage);
  }
}
