/** Checkpoints of a training, as one safetensors file: weights, best weights, optimiser moments, counters. */
import { readFileSync } from 'node:fs';
import { errorText, GatecastError } from '../errors.ts';
import { readSafetensors, writeSafetensors } from '../network/safetensors.ts';
import type { Tensor } from '../network/weights.ts';
import { sha256, writeFileAtomic } from '../system/files.ts';
import type { TrainingJob } from './job.ts';
import type { Checkpoint } from './loop.ts';

const COUNTERS = ['step', 'elapsedMs', 'loss', 'bestLoss', 'baseLoss', 'stale', 'skipped'] as const;

/** Hash of everything that determines a training, except when it ends. */
export function jobFingerprint(job: TrainingJob): string {
  const { maxSteps, maxTimeMs, ...settings } = job.settings;
  const data = job.series.map((one) => [
    one.name,
    one.values.length,
    one.intervalMs,
    one.startMs,
    one.leads,
    one.settings,
  ]);
  return sha256(JSON.stringify([job.spec, settings, data, job.generated])).slice(0, 16);
}

export function writeCheckpoint(path: string, checkpoint: Checkpoint, fingerprint: string): void {
  const tensors = new Map<string, Tensor>();
  const put = (prefix: string, arrays: readonly Float32Array[]) => {
    arrays.forEach((data, k) => {
      tensors.set(`${prefix}.${k}`, { shape: [data.length], data });
    });
  };
  put('weights', checkpoint.weights);
  put('best', checkpoint.best);
  put('first', checkpoint.adam.first);
  put('second', checkpoint.adam.second);
  put('states', [checkpoint.states]);
  if (checkpoint.average) put('average', checkpoint.average.average);
  const counters = Object.fromEntries(COUNTERS.map((name) => [name, checkpoint[name]]));
  const state = JSON.stringify({
    ...counters,
    adam: checkpoint.adam.count,
    average: checkpoint.average?.count ?? null,
  });
  writeFileAtomic(path, writeSafetensors(tensors, { fingerprint, state }));
}

/** @throws GatecastError TRAINING_FAILED if it is damaged or belongs to another training */
export function readCheckpoint(path: string, fingerprint: string): Checkpoint {
  try {
    const { weights: tensors, metadata } = readSafetensors(readFileSync(path));
    if (metadata.fingerprint !== fingerprint) {
      throw new GatecastError(
        'TRAINING_FAILED',
        `${path} belongs to a training with other settings or data.`,
        { hint: 'Repeat the original command, or remove the checkpoint to start again.' },
      );
    }
    const state = JSON.parse(metadata.state ?? '') as Record<string, number | null>;
    const take = (prefix: string): Float32Array[] => {
      const arrays: Float32Array[] = [];
      for (let k = 0; tensors.has(`${prefix}.${k}`); k++) arrays.push(tensors.get(`${prefix}.${k}`)!.data);
      return arrays;
    };
    const number = (name: string) => state[name] ?? Number.NaN;
    return {
      step: number('step'),
      elapsedMs: number('elapsedMs'),
      loss: number('loss'),
      bestLoss: state.bestLoss ?? null,
      baseLoss: state.baseLoss ?? null,
      stale: number('stale'),
      skipped: number('skipped'),
      weights: take('weights'),
      best: take('best'),
      average: typeof state.average === 'number' ? { count: state.average, average: take('average') } : null,
      states: take('states')[0] ?? new Float32Array(0),
      adam: { count: number('adam'), first: take('first'), second: take('second') },
    };
  } catch (cause) {
    if (cause instanceof GatecastError && cause.code === 'TRAINING_FAILED') throw cause;
    const reason = errorText(cause);
    throw new GatecastError('TRAINING_FAILED', `The checkpoint ${path} cannot be read: ${reason}`, {
      hint: 'Remove it to start again.',
      cause,
    });
  }
}
