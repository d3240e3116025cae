/** Streams that have just begun: what is said of them rests on what sensors in general do, and then on what they show. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Engine } from '../../src/forecast/engine.ts';
import { quantityOf } from '../../src/forecast/prior-unit.ts';
import { GROWN, LAGS, Young } from '../../src/forecast/young.ts';
import { MEDIAN, Q } from '../../src/quantiles.ts';
import { Line } from '../../src/series/line.ts';
import { uniform } from '../support/random.ts';
import { testSpec } from '../support/specs.ts';

const START = Date.UTC(2025, 0, 1);
const STEP = 600_000;

/** The forecast after the last of these readings. */
async function forecastAfter(
  values: readonly number[],
  unit: string | null = null,
  leads = 24,
): Promise<Float64Array> {
  const engine = new Engine(null);
  engine.add(testSpec('s', { unit, intervalMs: STEP, horizonMs: leads * STEP, maxGapMs: 5 * STEP }));
  let quantiles = new Float64Array();
  for (const [i, value] of values.entries()) {
    const timeMs = START + i * STEP;
    engine.push({ stream: 's', timeMs, value, arrivalMs: timeMs });
    for (const forecast of await engine.tick(START + (i + 1) * STEP)) quantiles = forecast.quantiles.slice();
  }
  return quantiles;
}

const width = (quantiles: Float64Array, lead: number): number =>
  quantiles[lead * Q - 1]! - quantiles[(lead - 1) * Q]!;

/** Logarithm of the usual change after these readings, at each lag. */
function changes(values: readonly number[], unit: string | null = null, name = ''): Float64Array {
  const out = new Float64Array(LAGS.length);
  const steps = values.length;
  const history = { steps, reach: steps - 1, at: (lag: number) => values[steps - 1 - lag]! };
  new Young(STEP, { unit, name }, false).usualChanges(history, new Line(), out);
  return out;
}

describe('after a single reading', () => {
  it('the interval is as wide as sensors of the unit change, and widens with the lead', async () => {
    const room = await forecastAfter([21.4], '°C');
    expect(room[MEDIAN]).toBeCloseTo(21.4, 6);
    expect(width(room, 1)).toBeGreaterThan(0.05);
    expect(width(room, 1)).toBeLessThan(4);
    expect(width(room, 24)).toBeGreaterThan(1.5 * width(room, 1));
    expect(width(room, 24)).toBeLessThan(30);
  });

  it('a unit of the same quantity gives the same interval', async () => {
    const celsius = await forecastAfter([21.4], '°C');
    const fahrenheit = await forecastAfter([21.4 * 1.8 + 32], '°F');
    expect(width(fahrenheit, 1) / 1.8).toBeCloseTo(width(celsius, 1), 6);
    expect(width(await forecastAfter([1.25], 'kW'), 4) * 1000).toBeCloseTo(
      width(await forecastAfter([1250], 'W'), 4),
      3,
    );
  });

  it('the interval is in proportion where no unit is known', async () => {
    expect(width(await forecastAfter([700]), 3) / width(await forecastAfter([7]), 3)).toBeCloseTo(100, 3);
  });
});

describe('without a unit the name of a stream', () => {
  it.each([
    ['kitchen/temperature', '°C'],
    ['zigbee2mqtt/hall/battery', 'V'],
    ['temp_cC', '°C'],
    ['Bat V', 'V'],
    ['outdoorHumidity', '%'],
    ['meter/power/total', 'W'],
    ['RH_1', '%'],
    ['PM2.5', 'µg/m³'],
    ['linkquality', null],
    ['attempts', null],
    ['', null],
  ])('tells the quantity: %s', (name, quantity) => {
    expect(quantityOf(name)).toBe(quantity);
  });

  it('narrows the interval of what varies little, in proportion to the level', () => {
    expect(changes([3460], null, 'battery_mV')[0]).toBeLessThan(changes([3460])[0]! - 1);
    const ratio = changes([3460], null, 'battery')[0]! - changes([3.46], null, 'battery')[0]!;
    expect(ratio).toBeCloseTo(Math.log(1000), 6);
  });
});

interface Beside {
  readonly unit?: string;
  readonly intervalMs?: number;
  /** What becomes of each of the others before the new stream begins. */
  readonly end?: (engine: Engine, stream: string) => void;
}

describe('similar sensors of the same gateway', () => {
  /** The first forecast of a new stream, beside others that have been there for 100 buckets and change by `size`. */
  async function firstBeside(
    others: readonly string[],
    size: number,
    { unit = '°C', intervalMs = STEP, end = () => {} }: Beside = {},
  ): Promise<Float64Array> {
    const engine = new Engine(null);
    const next = uniform(5);
    for (const stream of others)
      engine.add(testSpec(stream, { unit, intervalMs, horizonMs: 24 * intervalMs }));
    for (let i = 0; i < 100; i++) {
      const timeMs = START + i * intervalMs;
      for (const stream of others) {
        const value = 20 + size * (2 * next() - 1);
        engine.push({ stream, timeMs, value, arrivalMs: timeMs });
      }
      await engine.tick(timeMs + intervalMs);
    }
    for (const stream of others) end(engine, stream);
    engine.add(testSpec('new', { unit: '°C', intervalMs: STEP, horizonMs: 24 * STEP }));
    const timeMs = START + 100 * intervalMs;
    engine.push({ stream: 'new', timeMs, value: 20, arrivalMs: timeMs });
    const forecasts = await engine.tick(timeMs + STEP);
    const quantiles = forecasts.find(({ stream }) => stream === 'new')?.quantiles ?? new Float64Array(24 * Q);
    return quantiles.slice();
  }

  it('tell a new one how large its changes are', async () => {
    const alone = width(await firstBeside([], 0), 4);
    expect(width(await firstBeside(['a', 'b', 'c'], 0.01), 4)).toBeLessThan(0.6 * alone);
    expect(width(await firstBeside(['a', 'b', 'c'], 5), 4)).toBeGreaterThan(1.5 * alone);
    // The more there are, the more they say.
    const one = width(await firstBeside(['a'], 0.01), 4);
    expect(one).toBeLessThan(alone);
    expect(width(await firstBeside(['a', 'b', 'c', 'd', 'e', 'f'], 0.01), 4)).toBeLessThan(one);
  });

  it('of another quantity or step, or gone, reset or begun again, tell it nothing', async () => {
    const alone = await firstBeside([], 0);
    expect(await firstBeside(['a', 'b'], 0.01, { unit: '%' })).toEqual(alone);
    expect(await firstBeside(['a', 'b'], 0.01, { intervalMs: STEP / 2 })).toEqual(alone);
    const ends: readonly Beside['end'][] = [
      (engine, stream) => engine.remove(stream),
      (engine, stream) => engine.reset(stream),
      (engine, stream) => engine.add(testSpec(stream, { unit: '%', intervalMs: STEP })),
    ];
    for (const end of ends) expect(await firstBeside(['a', 'b'], 0.01, { end })).toEqual(alone);
  });
});

it('beyond the levels that were learnt from, changes grow with the root of the level', () => {
  const city = changes([4e7], 'kW')[4]! - changes([4e5], 'kW')[4]!;
  expect(city).toBeLessThan(0.6 * Math.log(100));
  expect(city).toBeGreaterThan(0.4 * Math.log(100));
});

it('one large change does not stand for all that come', () => {
  // A kettle: the level, and a change of a hundred times what is usual.
  const calm = changes([300, 301, 300], 'W')[0]!;
  const switched = changes([300, 301, 2300], 'W')[0]!;
  expect(switched).toBeGreaterThan(calm);
  expect(switched).toBeLessThan(Math.log(2000 / 2));
});

describe('the changes that a stream shows', () => {
  it('outweigh the prior after some buckets', () => {
    const next = uniform(3);
    const quiet = Array.from({ length: 33 }, () => 21 + 0.001 * next());
    const lively = Array.from({ length: 33 }, () => 21 + 10 * next());
    const ratio = changes(lively, '°C')[0]! - changes(quiet, '°C')[0]!;
    expect(ratio).toBeGreaterThan(0.9 * Math.log(10_000));
    expect(ratio).toBeLessThan(1.02 * Math.log(10_000));
  });

  it('tell of a level that says nothing of them: small changes of a large number', () => {
    const next = uniform(4);
    const small = Array.from({ length: 9 }, () => next());
    const lifted = small.map((value) => value + 1e7);
    const [large, usual] = [changes(lifted), changes(small.map((value) => value + 10))];
    expect(large[0]).toBeCloseTo(usual[0]!, 1);
    // Nor at lags that have not been seen yet: the level, a million times higher, may widen them by a factor of three.
    for (const [j, one] of large.entries()) expect(Math.abs(one - usual[j]!)).toBeLessThan(Math.log(3));
  });

  it('that is still make the interval narrower with every bucket, and never nothing', () => {
    let before = Infinity;
    for (const count of [2, 8, 32, 128]) {
      const [change] = changes(new Array<number>(count).fill(5));
      expect(change).toBeLessThan(before);
      expect(change).toBeGreaterThan(-20);
      before = change!;
    }
  });
});

it('quantiles are in order, finite and smooth over the leads, whatever a young stream sends', async () => {
  const any = fc.double({ min: -1e6, max: 1e6, noNaN: true }).map((value) => Number(value.toFixed(6)));
  const value = fc.oneof(any, fc.constantFrom(0, 1, 0.001, 21.5));
  await fc.assert(
    fc.asyncProperty(fc.array(value, { minLength: 1, maxLength: 20 }), async (values) => {
      const quantiles = await forecastAfter(values, null, 12);
      for (let k = 0; k < 12; k++) {
        for (let q = 0; q < Q; q++) expect(Number.isFinite(quantiles[k * Q + q])).toBe(true);
        for (let q = 1; q < Q; q++)
          expect(quantiles[k * Q + q]!).toBeGreaterThanOrEqual(quantiles[k * Q + q - 1]!);
      }
      // No cliff: from one lead to the next the interval grows by no more than from the first to the second.
      for (let k = 2; k < 12; k++)
        expect(width(quantiles, k + 1)).toBeLessThan(4 * width(quantiles, k) + 1e-9);
    }),
    { numRuns: 40 },
  );
});

it('a stream that is old enough is left unchanged', () => {
  const young = new Young(STEP, { unit: null }, false);
  const features = { experts: { history: { steps: GROWN } } };
  expect(young.mix(features as never, new Float64Array(Q), {} as never)).toBe(false);
});
