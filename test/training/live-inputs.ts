/** Training sees the inputs that the live engine gave the network, number by number, before they are kept in 8 bits. */
import { expect } from 'vitest';
import { Engine } from '../../src/forecast/engine.ts';
import type { StreamStep } from '../../src/forecast/stream-step.ts';
import { createRandom } from '../../src/network/random.ts';
import { initialWeights } from '../../src/network/weights.ts';
import { AHEAD, I } from '../../src/series/features.ts';
import { OUT_OF_RANGE, TOO_FAST } from '../../src/series/quality.ts';
import type { Sample } from '../../src/series/sample.ts';
import type { StreamSpec } from '../../src/series/spec.ts';
import { collectHistory } from '../../src/training/history.ts';
import { forecastSpec } from '../../src/training/job.ts';
import { eachStep } from '../../src/training/prepare.ts';
import { Random } from '../../src/training/random.ts';
import { bucketStart, networkModel } from '../../src/training/replay.ts';
import { testSpec } from '../support/specs.ts';

const START = Date.UTC(2024, 0, 1);
const MINUTE = 60_000;
const LEADS = 5;
const network = forecastSpec({ cell: 'gru', layers: 1, hidden: 8, width: 8 });
const weights = initialWeights(network, createRandom(3));
const inputs = I + LEADS * AHEAD;

const mostlyNoise = (rng: Random, t: number): number =>
  20 + 4 * Math.sin((2 * Math.PI * t) / 37) + 0.3 * rng.normal();

/** Readings with short and long gaps, spikes, readings out of range and readings that are too fast. */
function readings(name: string, offset: number, minutes: number, gap: number, seed: number): Sample[] {
  const rng = new Random(seed);
  const samples: Sample[] = [];
  const add = (t: number, ms: number, value: number) =>
    samples.push({
      stream: name,
      timeMs: START + t * MINUTE + ms,
      value,
      arrivalMs: START + t * MINUTE + ms,
    });
  for (let t = 0; t < minutes; t++) {
    const value = mostlyNoise(rng, t);
    if ((t > 90 && t < 95) || (t > 150 && t < 190) || t % 31 === 0 || (t > 230 && t < 230 + gap)) continue;
    if (t % 83 === 17) add(t, 1000, offset + 1000);
    if (t % 67 === 5) add(t, 2000, offset + 75);
    add(t, 30_000, offset + (t % 71 === 70 ? value + 30 : value));
  }
  return samples;
}

const specOf = (offset: number, fill: StreamSpec['fill']): StreamSpec =>
  testSpec('a', {
    fill,
    intervalMs: MINUTE,
    horizonMs: LEADS * MINUTE,
    maxGapMs: 20 * MINUTE,
    timeZone: 'Europe/Berlin',
    min: offset - 50,
    max: offset + 100,
    maxRatePerMs: 45 / 60_000,
    coverageTarget: 0.7,
    covariates: [
      { kind: 'stream', name: 'b' },
      { kind: 'table', name: 'tariff' },
    ],
  });

interface Step {
  readonly startMs: number;
  readonly x: Float32Array;
}

const tariff = Array.from({ length: 400 }, (_, i) => ({ timeMs: START + i * 10 * MINUTE, value: i % 3 }));

export async function both(offset: number, fill: StreamSpec['fill'], minutes = 330, gap = 0, alone = false) {
  const own = specOf(offset, fill);
  const specs = [
    alone ? { ...own, covariates: [] } : own,
    { ...specOf(offset, fill), name: 'b', covariates: [] },
  ];
  const samples = [...readings('a', offset, minutes, gap, 1), ...readings('b', offset, minutes, 0, 2)].sort(
    (p, q) => p.timeMs - q.timeMs,
  );
  const marks = new Map<string, number>();
  const mark = (stream: string, timeMs: number, bits: number) =>
    marks.set(`${stream} ${timeMs}`, (marks.get(`${stream} ${timeMs}`) ?? 0) | bits);
  const live: Step[] = [];
  const engine = new Engine(networkModel({ spec: network, weights }), {
    watch: {
      stepped: (stream, _step, startMs, x, at) => {
        if (stream === 'a' && x !== null) live.push({ startMs, x: x.slice(at, at + inputs) });
      },
    },
  });
  for (const spec of specs) engine.add(spec);
  engine.know('tariff', tariff);
  let next = 0;
  for (let minute = 1; minute <= minutes; minute++) {
    const nowMs = START + minute * MINUTE;
    for (
      let sample = samples[next];
      sample !== undefined && sample.timeMs < nowMs;
      sample = samples[++next]
    ) {
      if (engine.push(sample) === 'out-of-range') mark(sample.stream, sample.timeMs, OUT_OF_RANGE);
    }
    await engine.tick(nowMs);
    for (const one of engine.marked()) {
      for (const timeMs of one.timesMs) mark(one.stream, timeMs, one.marks);
      for (const timeMs of one.tooFastMs) mark(one.stream, timeMs, TOO_FAST);
    }
  }
  await engine.release();
  const streams = specs.map((spec) => ({ spec, intervalMs: MINUTE, leads: LEADS, fromMs: START }));
  const stored = samples.map((sample) => ({
    ...sample,
    mark: marks.get(`${sample.stream} ${sample.timeMs}`) ?? 0,
  }));
  const series = await collectHistory(streams, stored, 'g', START + minutes * MINUTE);
  const trained: Step[] = [];
  const [a] = series;
  await eachStep(
    [a!],
    {
      live: {
        network: { spec: network, weights },
        helpers: series,
        tables: [{ name: 'tariff', points: tariff }],
      },
    },
    {},
    (one, step: StreamStep, bucket) => {
      const x = new Float32Array(inputs);
      step.writeInputs(x, 0);
      trained.push({ startMs: bucketStart(one, bucket), x });
    },
  );
  return { live, trained, series: a!, marks: [...marks.values()] };
}

/** Both are the same steps with the same numbers. */
export function expectEqual(live: readonly Step[], trained: readonly Step[]): void {
  // The newest bucket is closed by the clock live, and by the next reading in the history.
  const closed = live.slice(0, trained.length);
  expect(live.length - closed.length).toBeLessThanOrEqual(1);
  expect(trained.map((one) => one.startMs)).toEqual(closed.map((one) => one.startMs));
  for (const [i, { x }] of closed.entries()) expect(trained[i]!.x, `step ${i}`).toEqual(x);
}

/** The inputs that training sees equal those of the live engine, number by number. */
export async function inputsAreTheLiveOnes(offset: number, fill: StreamSpec['fill']): Promise<void> {
  const { live, trained, series, marks } = await both(offset, fill);
  // There is something to be wrong about: gaps, masked buckets, refused readings.
  expect(live.length).toBeGreaterThan(200);
  expect(series.masked!.size).toBeGreaterThan(0);
  expect(marks.some((bits) => (bits & OUT_OF_RANGE) !== 0)).toBe(true);
  expect(marks.some((bits) => (bits & TOO_FAST) !== 0)).toBe(true);
  expectEqual(live, trained);
}

/** The same with a gap that live shortens. Without covariates: what live remembers of them then depends on when the stream spoke again. */
export async function inputsAfterALongGap(fill: StreamSpec['fill']): Promise<void> {
  const { live, trained, series } = await both(0, fill, 4200, 3800, true);
  expect(series.jumps).toHaveLength(1);
  expectEqual(live, trained);
}
