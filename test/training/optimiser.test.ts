import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  AdamW,
  AverageWeights,
  clipFactor,
  globalNorm,
  isBias,
  type Parameter,
} from '../../src/training/optimiser.ts';
import { learningRate } from '../../src/training/schedule.ts';

interface Golden {
  weight: number[];
  bias: number[];
  steps: { gradients: [number[], number[]]; norm: number; weight: number[]; bias: number[] }[];
}
const golden = JSON.parse(readFileSync(new URL('./fixtures/adamw.json', import.meta.url), 'utf8')) as Golden;

const parameter = (values: readonly number[], more: Partial<Parameter> = {}): Parameter => ({
  name: 'w',
  data: Float32Array.from(values),
  decay: true,
  anchor: null,
  ...more,
});
const close = (got: Float32Array, want: readonly number[]) =>
  want.forEach((value, i) => {
    expect(Math.abs(got[i]! - value)).toBeLessThan(2e-6);
  });

describe('AdamW', () => {
  it("follows PyTorch's AdamW and clip_grad_norm_ step by step", () => {
    const weight = parameter(golden.weight);
    const bias = parameter(golden.bias, { decay: false });
    const adam = new AdamW([weight, bias], { beta2: 0.95, weightDecay: 0.05 });
    for (const step of golden.steps) {
      const gradients = step.gradients.map((g) => Float32Array.from(g));
      const norm = globalNorm(gradients);
      expect(norm).toBeCloseTo(step.norm, 4);
      adam.step(gradients, 0.01, { scale: clipFactor(norm, 1), value: Number.POSITIVE_INFINITY });
      close(weight.data, step.weight);
      close(bias.data, step.bias);
    }
  });

  it('takes a first step of the learning rate against the sign of the gradient', () => {
    const w = parameter([1, 1, 1], { decay: false });
    new AdamW([w]).step([Float32Array.of(1e-2, -300, 0)], 0.1);
    close(w.data, [0.9, 1.1, 1]);
  });

  it('clips by value', () => {
    const a = parameter([0, 0]);
    const b = parameter([0, 0]);
    const clip = { scale: 1, value: 0.5 };
    const first = new AdamW([a]);
    const second = new AdamW([b]);
    for (const g of [5, 0.2]) {
      first.step([Float32Array.of(g, -g)], 0.1, clip);
      second.step([Float32Array.of(Math.min(g, 0.5), -Math.min(g, 0.5))], 0.1);
    }
    expect(a.data).toEqual(b.data);
  });

  it('pulls towards the anchor', () => {
    const far = parameter([4], { anchor: Float32Array.of(1), decay: false });
    new AdamW([far], { anchorPull: 2 }).step([Float32Array.of(0)], 0.1);
    close(far.data, [4 - 0.1 * 2 * 3]);
  });

  it('continues from a saved state as without a stop', () => {
    const gradient = (t: number) => [Float32Array.of(Math.sin(t), 1 / (t + 1))];
    const a = parameter([1, -1]);
    const whole = new AdamW([a]);
    for (let t = 0; t < 6; t++) whole.step(gradient(t), 0.01);

    const b = parameter([1, -1]);
    const before = new AdamW([b]);
    for (let t = 0; t < 3; t++) before.step(gradient(t), 0.01);
    const c = parameter(Array.from(b.data));
    const after = new AdamW([c]);
    after.restore(before.save());
    for (let t = 3; t < 6; t++) after.step(gradient(t), 0.01);
    expect(c.data).toEqual(a.data);
  });

  it('refuses the state of another network', () => {
    const adam = new AdamW([parameter([1, 2])]);
    const other = new AdamW([parameter([1])]).save();
    expect(() => adam.restore(other)).toThrow(/another network/);
  });
});

describe('globalNorm', () => {
  it('is not finite if a gradient is not', () => {
    expect(globalNorm([Float32Array.of(3), Float32Array.of(4)])).toBe(5);
    expect(globalNorm([Float32Array.of(3, Number.NaN)])).toBeNaN();
    expect(globalNorm([Float32Array.of(Number.NEGATIVE_INFINITY)])).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('isBias', () => {
  it('recognises biases by name or by shape', () => {
    expect(isBias('rnn.bias_hh_l0', [3, 4])).toBe(true);
    expect(isBias('head.bias', [1, 9])).toBe(true);
    expect(isBias('gain', [9])).toBe(true);
    expect(isBias('rnn.weight_hh_l0', [3, 4])).toBe(false);
  });
});

describe('AverageWeights', () => {
  it('starts fast, then follows slowly', () => {
    const w = parameter([0]);
    const mean = new AverageWeights([w], 0.99);
    w.data[0] = 1;
    mean.update();
    expect(mean.average[0]![0]).toBeCloseTo(1 - 2 / 11, 6);
    for (let i = 0; i < 2000; i++) mean.update();
    expect(mean.average[0]![0]).toBeCloseTo(1, 4);
  });
});

describe('learningRate', () => {
  const schedule = { peak: 1, warmUp: 0.1, floor: 0.05 };
  it('warms up linearly, peaks, and falls along a cosine to the floor', () => {
    expect(learningRate(schedule, 0.05)).toBeCloseTo(0.5);
    expect(learningRate(schedule, 0.1)).toBeCloseTo(1);
    expect(learningRate(schedule, 0.55)).toBeCloseTo(0.525);
    expect(learningRate(schedule, 1)).toBeCloseTo(0.05);
    expect(learningRate(schedule, 7)).toBeCloseTo(0.05);
    expect(learningRate(schedule, 0)).toBeGreaterThan(0);
  });
});
