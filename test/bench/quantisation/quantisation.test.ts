import { describe, expect, it } from 'vitest';
import type { Grid } from '../../../src/backtest/play.ts';
import { type StoredModel, verifyModel } from '../../../src/model/registry.ts';
import type { Stepper } from '../../../src/model/stepper.ts';
import { countWeights } from '../../../src/network/weights.ts';
import { AHEAD, I } from '../../../src/series/features.ts';
import { forecastSpec } from '../../../src/training/job.ts';
import { untrainedModel } from '../../support/models.ts';
import { ordinary } from '../../support/series.ts';
import { stateDrift } from './drift.ts';
import { type QuantisationData, quantisationReport } from './quantisation.ts';
import { quantisationText } from './text.ts';

const HOUR = 3_600_000;
const spec = forecastSpec({ cell: 'gru', layers: 1, hidden: 32, width: 16 });

const untrained = (): StoredModel => verifyModel(untrainedModel(spec, { seed: 4, leads: 6 }), 'a test');

function data(buckets = 260): QuantisationData {
  const actual = ordinary(1, 24)(buckets);
  const startMs = Date.UTC(2024, 0, 1);
  const grid: Grid = { name: 'a', startMs, intervalMs: HOUR, actual };
  const readings = Array.from(actual, (value, i) => ({ series: 0, timeMs: startMs + i * HOUR, value }));
  const options = {
    intervalMs: HOUR,
    horizon: 6,
    start: 0.5,
    stride: 4,
    fill: 'model' as const,
    aggregate: 'mean' as const,
    maxGapMs: 20 * HOUR,
    timeZone: 'UTC',
    min: null,
    max: null,
  };
  return { series: [grid], readings, options };
}

/** A stepper whose state is `keep` times what it was, plus 1; no network. */
function drifting(keep: number, offset = 0): Stepper {
  let turn = 0;
  const states = [new Float32Array(2), new Float32Array(2)] as const;
  return {
    inputs: I + AHEAD,
    layers: 1,
    hidden: 2,
    leads: 1,
    run: (_n, _x, h) => {
      const next = states[turn++ % 2]!;
      next.forEach((_, i) => {
        next[i] = keep * h[i]! + 1 + offset;
      });
      return Promise.resolve({ quantiles: new Float32Array(9), h: next });
    },
    release: () => Promise.resolve(),
  };
}

describe('quantisationReport', () => {
  it('weighs, scores and walks both graphs of a real network', async () => {
    const stored = untrained();
    const report = await quantisationReport(stored, [data()], 3000);
    expect(report.parameters).toBe(countWeights(spec));
    // the recurrent matrix and the head's are a byte a weight in place of four
    const quantised = 3 * 32 * 32 + 32 * 16;
    expect(report.bytes.float32 - report.bytes.int8).toBeGreaterThan(2 * quantised);
    expect(report.scores.n).toBeGreaterThan(150);
    expect(report.scores.int8).not.toEqual(report.scores.float32);
    expect(Math.abs(report.scores.difference.sql)).toBeLessThan(0.02);
    expect(report.drift.map(({ steps }) => steps)).toEqual([100, 1000, 3000]);
    for (const { max, mean } of report.drift) {
      expect(mean).toBeGreaterThan(1e-5);
      expect(max).toBeGreaterThan(mean);
      expect(max).toBeLessThan(0.1);
    }
    const text = quantisationText(report);
    expect(text).toContain(`${countWeights(spec)} parameters`);
    expect(text).toContain(report.scores.int8.mase.toFixed(4));
    expect(text).toMatch(/101 - 1000 +\d/);
  });

  it('refuses a model without weights, and data that cannot be scored', async () => {
    const stored = untrained();
    const bare = { ...stored, weights: null };
    await expect(quantisationReport(bare, [data()], 10)).rejects.toMatchObject({ code: 'USAGE' });
    const constant = data();
    constant.series[0]!.actual.fill(1);
    const flat = { ...constant, readings: constant.readings.map((one) => ({ ...one, value: 1 })) };
    await expect(quantisationReport(stored, [flat], 10)).rejects.toMatchObject({ code: 'NOT_ENOUGH_DATA' });
  });
});

describe('stateDrift', () => {
  const series = data(50).series;

  it('shows an error that grows as growing and one that is damped as bounded', async () => {
    const damped = await stateDrift([drifting(0.5), drifting(0.5, 0.01)], 1, series, 1000);
    expect(damped.map(({ steps }) => steps)).toEqual([100, 1000]);
    for (const { max } of damped) expect(max).toBeCloseTo(0.02, 4);
    const growing = await stateDrift([drifting(1), drifting(1, 0.01)], 1, series, 1000);
    expect(growing[0]!.max).toBeCloseTo(1, 2);
    expect(growing[1]!.max).toBeCloseTo(10, 1);
  });

  it('is 0 between two equal steppers, and empty for an empty series', async () => {
    const same = await stateDrift([drifting(0.9), drifting(0.9)], 1, series, 120);
    expect(same).toEqual([
      { steps: 100, max: 0, mean: 0 },
      { steps: 120, max: 0, mean: 0 },
    ]);
    const empty = [{ ...series[0]!, actual: new Float64Array(50).fill(Number.NaN) }];
    expect(await stateDrift([drifting(0.9), drifting(0.9)], 1, empty, 120)).toEqual([]);
  });
});
