import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { getPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { jobFingerprint, readCheckpoint, writeCheckpoint } from '../../src/training/checkpoint.ts';
import { startTraining as startInBackground } from '../../src/training/client.ts';
import {
  forecastSpec,
  type JobProgress,
  type JobSeries,
  runJob,
  TRAINING_DEFAULTS,
  type TrainingJob,
  type TrainingSettings,
} from '../../src/training/job.ts';
import type { Checkpoint } from '../../src/training/loop.ts';
import { FILE_SETTINGS } from '../../src/training/replay.ts';
import { sleep, waitFor } from '../support/wait.ts';

const HOUR = 3_600_000;
/** A day season with a level that wanders a little. */
function daily(name: string, n = 24 * 25): JobSeries {
  const values = Float64Array.from(
    { length: n },
    (_, t) => 20 + 5 * Math.sin((2 * Math.PI * t) / 24) + Math.sin(t * 12.9898) * 0.3,
  );
  return {
    name,
    group: 'test',
    intervalMs: HOUR,
    startMs: Date.UTC(2024, 0, 1),
    values,
    leads: 24,
    settings: FILE_SETTINGS,
  };
}

function job(more: Partial<TrainingSettings> = {}, rest: Partial<TrainingJob> = {}): TrainingJob {
  return {
    spec: forecastSpec({ cell: 'gru', layers: 1, hidden: 16, width: 16 }),
    weights: null,
    series: [daily('a'), daily('b')],
    live: null,
    generated: null,
    settings: {
      ...TRAINING_DEFAULTS,
      steps: 24,
      batch: 8,
      maxSteps: 60,
      validateEvery: 20,
      averaging: 0,
      ...more,
    },
    ...rest,
  };
}

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatecast-training-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('runJob', () => {
  it('learns from the live features and reports what it trained on', async () => {
    const phases = new Set<string>();
    const result = await runJob(job(), {
      now: () => performance.now(),
      onProgress: (p) => phases.add(p.phase),
    });
    expect(result.bestLoss!).toBeLessThan(0.9 * result.baseLoss!);
    expect(result.groups).toEqual([{ name: 'test', series: 2, steps: 1200 }]);
    expect([...phases]).toEqual(['features', 'training']);
    expect([...result.weights.keys()]).toContain('head.gate.weight');
  });

  it('trains on generated series alone', async () => {
    const result = await runJob(
      job({ maxSteps: 20 }, { series: [], generated: { count: 6, steps: 400, seed: 3 } }),
      { now: () => performance.now() },
    );
    expect(result.groups).toEqual([expect.objectContaining({ name: 'generated', series: 6 })]);
    expect([...result.weights.values()].every(({ data }) => data.every(Number.isFinite))).toBe(true);
  });

  it('starts from given weights and does not return worse ones', async () => {
    const first = await runJob(job(), { now: () => performance.now() });
    const again = await runJob(job({ rate: 1e-4, anchorPull: 1, maxSteps: 20 }, { weights: first.weights }), {
      now: () => 0,
    });
    expect(again.baseLoss!).toBeCloseTo(first.bestLoss!, 5);
    expect(again.bestLoss!).toBeLessThanOrEqual(again.baseLoss!);
  });

  it('reports missing training data', async () => {
    await expect(runJob(job({}, { series: [] }), { now: () => 0 })).rejects.toMatchObject({
      code: 'NOT_ENOUGH_DATA',
    });
  });
});

describe('checkpoints', () => {
  it('resume a training bit for bit, with states and dropout', async () => {
    const spec = forecastSpec({ cell: 'gru', layers: 2, hidden: 8, width: 8, dropout: 0.2 });
    const one = job({ averaging: 0.9, maxSteps: 30, validateEvery: 10, coldShare: 0.3 }, { spec });
    const kept: Checkpoint[] = [];
    let time = 0;
    const now = () => {
      time += 2000;
      return time;
    };
    const whole = await runJob(one, { now, onCheckpoint: (c) => kept.push(c) });
    const half = kept.find((c) => c.step >= 10 && c.step <= 25)!;
    expect(half.states.some((x) => x !== 0)).toBe(true);
    const path = join(folder, 'half.safetensors');
    writeCheckpoint(path, half, jobFingerprint(one));
    const last: Checkpoint[] = [];
    const resumed = await runJob(one, {
      now,
      onCheckpoint: (c) => last.push(c),
      resume: readCheckpoint(path, jobFingerprint(one)),
    });
    expect(resumed.steps).toBe(30);
    expect(resumed.loss).toBe(whole.loss);
    expect(resumed.bestLoss).toBe(whole.bestLoss);
    expect(resumed.weights).toEqual(whole.weights);
  });

  it('are restored exactly, and only for the same training', async () => {
    let kept: Checkpoint | undefined;
    let time = 0;
    await runJob(job({ averaging: 0.9, maxSteps: 30 }), {
      now: () => {
        time += 2000;
        return time;
      },
      onCheckpoint: (c) => {
        kept = c;
      },
    });
    const path = join(folder, 'c.safetensors');
    const print = jobFingerprint(job());
    writeCheckpoint(path, kept!, print);
    expect(readCheckpoint(path, print)).toEqual(kept);
    expect(readdirSync(folder)).toEqual(['c.safetensors']);
    expect(() => readCheckpoint(path, jobFingerprint(job({ rate: 5 })))).toThrow(/other settings/);
    expect(jobFingerprint(job({ maxSteps: 9999 }))).toBe(print);
    writeFileSync(path, 'junk');
    expect(() => readCheckpoint(path, print)).toThrow(/cannot be read/);
  });
});

/** With the priority of the test: a background job would wait for all other tests. */
const startTraining: typeof startInBackground = (given, options) =>
  startInBackground(given, { niceness: getPriority(), ...options });

describe('the training worker', () => {
  it('gives the same result as in this thread', async () => {
    const seen: JobProgress[] = [];
    const here = await runJob(job(), { now: () => performance.now() });
    const there = await startTraining(job(), { onProgress: (p) => seen.push(p) }).result;
    expect(there.bestLoss).toBe(here.bestLoss);
    expect([...there.weights]).toEqual([...here.weights]);
    expect(seen.at(-1)).toMatchObject({ phase: 'training', step: 60 });
  });

  it('stops on request with its current result, writes a checkpoint, and resumes from it', async () => {
    const checkpoint = join(folder, 'c.safetensors');
    const long = job({ maxSteps: 1_000_000, validateEvery: 50 });
    const first = startTraining(long, {
      onProgress: (p) => p.phase === 'training' && p.step > 100 && first.stop(),
    });
    const result = await first.result;
    expect(result.reason).toBe('stopped');
    expect(result.bestLoss!).toBeLessThan(result.baseLoss!);

    let kept: Checkpoint | undefined;
    await runJob(job({ maxSteps: 40, validateEvery: 20 }), {
      now: (() => {
        let time = 0;
        return () => (time += 1000);
      })(),
      onCheckpoint: (c) => {
        kept ??= c;
      },
    });
    const short = job({ maxSteps: 40, validateEvery: 20 });
    writeCheckpoint(checkpoint, kept!, jobFingerprint(short));
    const again = await startTraining(short, { checkpoint, resume: true }).result;
    expect(again.steps).toBe(40);
    expect(again.baseLoss).toBe(kept!.baseLoss);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('pauses and continues', async () => {
    let steps = 0;
    const running = startTraining(job({ maxSteps: 1_000_000 }), {
      onProgress: (p) => {
        if (p.phase === 'training') steps = p.step;
      },
    });
    await waitFor('a step', () => steps > 0);
    running.pause();
    // A busy worker hears of it late. Without the pause it never stands still: it has a million steps to do.
    let held = Number.NaN;
    await waitFor('the worker to stand still', async () => {
      held = steps;
      await sleep(3000);
      return steps === held;
    });
    running.resume();
    await waitFor('further steps', () => steps > held);
    running.stop();
    expect((await running.result).reason).toBe('stopped');
  });

  it('reports a killed worker and one out of memory, without other effects', async () => {
    const killed = startTraining(job({ maxSteps: 1_000_000 }));
    setTimeout(() => void killed.kill(), 300);
    await expect(killed.result).rejects.toMatchObject({ code: 'TRAINING_FAILED' });
    const starved = startTraining(job({}, { series: [], generated: { count: 3000, steps: 3000, seed: 1 } }), {
      heapMb: 8,
    });
    await expect(starved.result).rejects.toMatchObject({ code: 'TRAINING_FAILED' });
  });

  it('passes on a typed error', async () => {
    await expect(startTraining(job({}, { series: [] })).result).rejects.toMatchObject({
      code: 'NOT_ENOUGH_DATA',
      hint: expect.stringContaining('--data'),
    });
  });
});
