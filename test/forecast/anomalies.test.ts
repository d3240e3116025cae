import { describe, expect, test } from 'vitest';
import { Anomalies, type Anomaly, alarmScore, MOST_SCORE } from '../../src/forecast/anomalies.ts';
import { Engine } from '../../src/forecast/engine.ts';
import type { Fill } from '../../src/series/spec.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';
import { fakeModel } from '../support/fake-model.ts';
import { normal, uniform } from '../support/random.ts';
import { testSpec } from '../support/specs.ts';

/** Quantiles of a distribution, by many draws. */
function intervalOf(draw: () => number) {
  const sorted = Array.from({ length: 200_001 }, draw).sort((a, b) => a - b);
  const at = (p: number) => sorted[Math.floor(p * sorted.length)]!;
  return { low: at(0.1), p50: at(0.5), high: at(0.9) };
}

const next = uniform(7);
const gauss = normal(8);
const NOISE: Readonly<Record<string, () => number>> = {
  normal: gauss,
  Laplace: () => {
    const x = next() - 0.5;
    return -Math.sign(x) * Math.log(1 - 2 * Math.abs(x));
  },
  "Student's t with 3 degrees of freedom": () =>
    gauss() / Math.sqrt((gauss() ** 2 + gauss() ** 2 + gauss() ** 2) / 3),
  exponential: () => -Math.log(1 - next()),
};

describe('the false alarm rate', () => {
  test.each(Object.entries(NOISE))('of %s noise is what the score says', (_, draw) => {
    const expected = intervalOf(draw);
    const anomalies = new Anomalies();
    const buckets = 400_000;
    const alarms = [2, 3, 4].map((score) => ({ score, count: 0 }));
    for (let i = 0; i < buckets; i++) {
      const value = draw();
      const score = anomalies.score(value, expected);
      for (const alarm of alarms) if (score >= alarm.score) alarm.count++;
      anomalies.learn(value, expected);
    }
    for (const { score, count } of alarms) {
      const nominal = buckets * 10 ** -score;
      expect(count).toBeLessThan(2 * nominal);
      expect(count).toBeGreaterThan(nominal / 5);
    }
  });

  test('is no higher while the stream is young', () => {
    let alarms = 0;
    const expected = intervalOf(gauss);
    for (let stream = 0; stream < 200; stream++) {
      const anomalies = new Anomalies();
      for (let i = 0; i < 300; i++) {
        const value = gauss();
        if (anomalies.score(value, expected) >= 3) alarms++;
        anomalies.learn(value, expected);
      }
    }
    expect(alarms).toBeLessThan((2 * 200 * 300) / 1000);
  });

  test.each([null, fakeModel()])('holds behind the whole engine (network: %s)', async (model) => {
    const noise = normal(11);
    let walk = 0;
    const values = Float64Array.from({ length: 12_000 }, (_, t) => {
      walk = 0.9 * walk + 0.4 * noise();
      return 20 + 5 * Math.sin((2 * Math.PI * t) / 96) + walk;
    });
    const found = await play(values, model);
    const rate = found.filter(({ score }) => score >= 3).length / values.length;
    expect(rate).toBeLessThan(2e-3);
  });
});

/** Plays one value a second and gives back every anomaly. */
async function play(
  values: ArrayLike<number>,
  model: ReturnType<typeof fakeModel> | null = null,
  fill: Fill = 'model',
) {
  const engine = new Engine(model);
  engine.add(testSpec('s', { latenessMs: 0, fill }));
  const found: (Anomaly & { readonly t: number })[] = [];
  const startMs = Date.UTC(2025, 0, 1);
  for (let t = 0; t < values.length; t++) {
    if (!Number.isNaN(values[t]))
      engine.push({ stream: 's', timeMs: startMs + t * 1000, value: values[t]!, arrivalMs: Number.NaN });
    if (t % 50 < 49 && t < values.length - 1) continue;
    for (const { anomalies = [] } of await engine.tick(null))
      for (const one of anomalies) found.push({ ...one, t: (one.timeMs - startMs) / 1000 });
  }
  return found;
}

/** A day of 96 buckets with noise. */
function ordinary(steps: number, change: (t: number, value: number) => number): Float64Array {
  const noise = normal(3);
  return Float64Array.from({ length: steps }, (_, t) =>
    change(t, 20 + 5 * Math.sin((2 * Math.PI * t) / 96) + 0.3 * noise()),
  );
}

describe('is found', () => {
  test('a spike, when it comes', async () => {
    const found = await play(ordinary(1200, (t, y) => (t === 1000 ? y + 15 : y)));
    const spike = found.find(({ t }) => t === 1000)!;
    expect(spike.score).toBeGreaterThan(5);
    expect(spike.observed).toBeGreaterThan(spike.high);
    expect(spike.low).toBeLessThan(spike.p50);
  });

  test('a spike and a stuck sensor, also where buckets that are kept out are dropped', async () => {
    const values = ordinary(1400, (t, y) => (t === 1000 ? y + 60 : y));
    values.fill(values[1200]!, 1200, 1300);
    const found = await play(values, null, 'drop');
    expect(found.filter(({ t }) => t === 1000).map(({ observed }) => observed)).toEqual([values[1000]]);
    expect(found.filter(({ t, score }) => t > 1205 && t < 1300 && score >= 4)).toHaveLength(1);
  });

  test('a level shift, once, until the forecasts have followed', async () => {
    const found = await play(ordinary(1400, (t, y) => (t >= 1000 ? y + 12 : y)));
    const after = found.filter(({ t, score }) => t >= 1000 && score >= 4).map(({ t }) => t);
    expect(after[0]).toBe(1000);
    expect(after.length).toBeLessThan(6);
    expect(Math.max(...after)).toBeLessThan(1010);
  });

  test('a sensor that is stuck, once', async () => {
    const values = ordinary(1400, (_, y) => y);
    values.fill(values[1000]!, 1000, 1100);
    const stuck = (await play(values)).filter(({ t, score }) => t > 1005 && t < 1100 && score >= 4);
    expect(stuck.length).toBe(1);
    expect(stuck[0]?.t).toBeLessThan(1040);
    expect(stuck[0]?.observed).toBe(values[1000]);
  });

  test('also in the middle of a backlog, where only the newest forecast is handed out', async () => {
    const found = await play(ordinary(1200, (t, y) => (t === 1010 ? y + 15 : t === 1030 ? y - 60 : y)));
    const times = found.filter(({ score }) => score >= 5).map(({ t }) => t);
    expect(times).toContain(1010);
    expect(times).toContain(1030);
  });
});

describe('is no anomaly', () => {
  test('a machine that goes on and off now and then, after its first times', async () => {
    const next = uniform(2);
    const values = new Float64Array(6000);
    for (let t = 0; t < values.length; ) {
      t += 40 + Math.floor(next() * 120);
      for (let on = 0; on < 12 && t < values.length; on++) values[t++] = 1000 + 5 * next();
    }
    const late = (await play(values)).filter(({ t, score }) => t > 2000 && score >= 4);
    expect(late).toEqual([]);
  });

  test('a value within what rounding makes of a constant stream; but the first other one is rare', () => {
    const anomalies = new Anomalies();
    const still = { low: 21.5, p50: 21.5, high: 21.5 };
    for (let i = 0; i < 1000; i++) anomalies.learn(21.5, still);
    expect(anomalies.score(21.500_001, still)).toBe(0);
    expect(anomalies.score(22, still)).toBeCloseTo(3, 0);
  });

  test('anything before the stream is known', () => {
    const anomalies = new Anomalies();
    expect(anomalies.score(1e9, { low: -1, p50: 0, high: 1 })).toBe(0);
  });
});

test('the score is finite and bounded, whatever comes', () => {
  const anomalies = new Anomalies();
  const expected = { low: -1, p50: 0, high: 1 };
  for (let i = 0; i < 500; i++) anomalies.learn(gauss(), expected);
  for (const value of [1e300, -1e300, 5e-324, 0, Number.MAX_VALUE]) {
    const score = anomalies.score(value, expected);
    expect(score).toBeGreaterThanOrEqual(0);
    expect(score).toBeLessThanOrEqual(MOST_SCORE);
    anomalies.learn(value, expected);
  }
  // A gap before it makes the same value less improbable.
  expect(anomalies.score(4, expected, 8)).toBeLessThan(anomalies.score(4, expected));
});

test('what was learnt survives', () => {
  const one = new Anomalies();
  const expected = { low: -1, p50: 0, high: 1 };
  for (let i = 0; i < 500; i++) one.learn(gauss(), expected);
  const writer = new StateWriter();
  one.persist(writer);
  const other = new Anomalies();
  other.persist(new StateReader(writer.finish()));
  for (const value of [-5, 1.5, 3, 30]) expect(other.score(value, expected)).toBe(one.score(value, expected));
});

test('the threshold follows from the interval and the time between false alarms, within what can be told', () => {
  expect(alarmScore(300_000, 7 * 86_400_000)).toBeCloseTo(3.3, 1);
  expect(alarmScore(86_400_000, 3_600_000)).toBe(2);
  expect(alarmScore(100, 3650 * 86_400_000)).toBe(5);
});
