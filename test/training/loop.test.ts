import { describe, expect, it } from 'vitest';
import {
  type Checkpoint,
  type GradientSource,
  type LoopOptions,
  trainLoop,
} from '../../src/training/loop.ts';
import type { Parameter } from '../../src/training/optimiser.ts';
import { Random } from '../../src/training/random.ts';
import { type TrainingBatch, WindowSampler } from '../../src/training/sampler.ts';
import { ValidationPass } from '../../src/training/validation.ts';
import { plainSeries } from './synthetic.ts';

/** Forecast = w0 z0 + w1 z1 with squared loss: small enough to differentiate by hand. */
class Linear implements GradientSource {
  runs = 0;
  constructor(
    readonly weights: Float32Array,
    private readonly spoil: (run: number) => boolean = () => false,
  ) {}
  async run({ z, target, weight, h0 }: TrainingBatch) {
    const gradient = new Float32Array(2);
    let loss = 0;
    let total = 0;
    for (let c = 0; c < target.length; c++) {
      const error = this.weights[0]! * z[2 * c]! + this.weights[1]! * z[2 * c + 1]! - target[c]!;
      loss += weight[c]! * error * error;
      gradient[0]! += weight[c]! * 2 * error * z[2 * c]!;
      gradient[1]! += weight[c]! * 2 * error * z[2 * c + 1]!;
      total += weight[c]!;
    }
    for (let i = 0; i < 2; i++) gradient[i]! /= Math.max(1, total);
    if (this.spoil(this.runs++)) gradient[0] = Number.NaN;
    return { loss: loss / Math.max(1, total), gradients: [gradient], hT: h0 };
  }
}

const shape = { steps: 8, stride: 4, leads: 2, batch: 4, stateLayers: 1, hidden: 2 };
const rng = new Random(1);
const wave = Array.from({ length: 400 }, (_, t) => Math.sin(t / 9) + 0.05 * rng.normal());
const series = [plainSeries('a', wave)];

function set(spoil?: (run: number) => boolean) {
  const parameter: Parameter = { name: 'w', data: new Float32Array(2), decay: false, anchor: null };
  const stream = new WindowSampler(
    series,
    [{ from: 0, to: 300 }],
    { ...shape, chunks: 4, burnIn: 0 },
    new Random(2),
  );
  const pass = new ValidationPass(series, [{ from: 310, to: 400 }], { ...shape, warmUp: 8 });
  return { parameter, stream, pass, source: new Linear(parameter.data, spoil) };
}

function options(more: Partial<LoopOptions> = {}): LoopOptions {
  let time = 0;
  return {
    maxSteps: 300,
    maxTimeMs: null,
    schedule: { peak: 0.05, warmUp: 0.05, floor: 0.02 },
    adam: { weightDecay: 0 },
    clipNorm: 1,
    clipValue: Number.POSITIVE_INFINITY,
    validateEvery: 20,
    patience: Number.POSITIVE_INFINITY,
    averaging: 0,
    now: () => time++,
    ...more,
  };
}

describe('trainLoop', () => {
  it('learns, and stops after the given steps', async () => {
    const { parameter, stream, pass, source } = set();
    const result = await trainLoop([parameter], source, stream, pass, options());
    expect(result.reason).toBe('steps');
    expect(result.baseLoss).toBeGreaterThan(0.3);
    expect(result.bestLoss!).toBeLessThan(0.15 * result.baseLoss!);
    // The next value of a slow wave is near the last one.
    expect(result.best[0]![0]).toBeGreaterThan(0.8);
  });

  it('is the same for the same seed', async () => {
    const once = async () => {
      const { parameter, stream, pass, source } = set();
      return (await trainLoop([parameter], source, stream, pass, options({ maxSteps: 50 }))).best[0];
    };
    expect(await once()).toEqual(await once());
  });

  it('keeps the best weights, not the last, and stops when patience ends', async () => {
    const { parameter, stream, pass, source } = set();
    const seen: number[] = [];
    const result = await trainLoop(
      [parameter],
      source,
      stream,
      pass,
      options({
        schedule: { peak: 0.6, warmUp: 0, floor: 1 },
        patience: 3,
        validateEvery: 5,
        maxSteps: 5000,
        onProgress: (p) => seen.push(p.validation!),
      }),
    );
    expect(result.reason).toBe('patience');
    expect(result.bestLoss).toBe(Math.min(result.baseLoss!, ...seen));
    parameter.data.set(result.best[0]!);
    let sum = 0;
    let n = 0;
    for (const batch of pass.batches()) {
      const weight = batch.weight.reduce((a, b) => a + b, 0);
      sum += (await source.run(batch)).loss * weight;
      n += weight;
    }
    expect(sum / n).toBeCloseTo(result.bestLoss!, 6);
  });

  it('never returns weights worse than the initial ones', async () => {
    const { parameter, stream, pass, source } = set();
    parameter.data.set([0.97, 0]);
    const result = await trainLoop(
      [parameter],
      source,
      stream,
      pass,
      options({ schedule: { peak: 50, warmUp: 0, floor: 1 }, maxSteps: 40 }),
    );
    expect(result.bestLoss!).toBeLessThanOrEqual(result.baseLoss!);
    expect(result.best[0]![0]).toBeCloseTo(0.97, 5);
  });

  it('stops within its time, and on request', async () => {
    const timed = set();
    const result = await trainLoop(
      [timed.parameter],
      timed.source,
      timed.stream,
      timed.pass,
      options({ maxTimeMs: 60 }),
    );
    expect(result.reason).toBe('time');
    expect(result.steps).toBeLessThan(300);
    const stopped = set();
    let asked = 0;
    const other = await trainLoop(
      [stopped.parameter],
      stopped.source,
      stopped.stream,
      stopped.pass,
      options({ stop: () => asked++ >= 7 }),
    );
    expect(other.reason).toBe('stopped');
    expect(other.steps).toBe(7);
  });

  it('waits while paused, before every run', async () => {
    const { parameter, stream, pass, source } = set();
    let braked = 0;
    await trainLoop(
      [parameter],
      source,
      stream,
      pass,
      options({ maxSteps: 10, brake: async () => void braked++ }),
    );
    expect(braked).toBe(source.runs);
  });

  it('skips a step whose loss is not finite', async () => {
    const { parameter, stream, pass, source } = set((run) => run % 3 === 0);
    const result = await trainLoop([parameter], source, stream, pass, options());
    expect(result.skipped).toBeGreaterThan(50);
    expect(result.bestLoss!).toBeLessThan(0.15 * result.baseLoss!);
  });

  it('aborts if no step is finite, and returns the initial weights', async () => {
    const { parameter, stream, pass, source } = set((run) => run > 8);
    const result = await trainLoop([parameter], source, stream, pass, options());
    expect(result.reason).toBe('diverged');
    expect(result.best[0]!.every(Number.isFinite)).toBe(true);
    const bare = set(() => true);
    await expect(trainLoop([bare.parameter], bare.source, bare.stream, null, options())).rejects.toThrow(
      /diverged/,
    );
  });

  it('resumes from a checkpoint', async () => {
    const { parameter, stream, pass, source } = set();
    let saved: Checkpoint | undefined;
    const whole = await trainLoop(
      [parameter],
      source,
      stream,
      pass,
      options({
        maxSteps: 40,
        averaging: 0.9,
        checkpointEveryMs: 0,
        onCheckpoint: (c) => {
          if (c.step === 20) saved = c;
        },
      }),
    );
    const fresh = set();
    const steps: number[] = [];
    const result = await trainLoop(
      [fresh.parameter],
      fresh.source,
      fresh.stream,
      fresh.pass,
      options({ maxSteps: 40, averaging: 0.9, resume: saved!, onProgress: (p) => steps.push(p.step) }),
    );
    expect(steps[0]).toBe(21);
    expect(steps.at(-1)).toBe(40);
    // Bit for bit what a run without a break gives.
    expect(fresh.parameter.data).toEqual(parameter.data);
    expect(result.best).toEqual(whole.best);
    expect(result.bestLoss).toBe(whole.bestLoss);
    expect(result.loss).toBe(whole.loss);
    expect(fresh.stream.batch).toEqual(stream.batch);
    const wrong = { ...saved!, weights: [new Float32Array(3)] };
    await expect(
      trainLoop([fresh.parameter], fresh.source, fresh.stream, fresh.pass, options({ resume: wrong })),
    ).rejects.toThrow(/another network/);
  });

  it('validates and keeps the averaged weights', async () => {
    const { parameter, stream, pass, source } = set();
    const result = await trainLoop([parameter], source, stream, pass, options({ averaging: 0.95 }));
    expect(result.bestLoss!).toBeLessThan(0.15 * result.baseLoss!);
    expect(result.best[0]).not.toEqual(parameter.data);
  });
});
