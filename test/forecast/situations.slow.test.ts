/** Any stream of the kinds of `situations.test.ts`: other periods, levels, sizes and noise. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  baseModel,
  dutyCycle,
  excursions,
  impulses,
  MINUTE,
  meter,
  noiseByLevel,
  play,
  sawtooth,
  steps,
} from './situations.ts';

const seed = fc.nat(999);
/** Any stream of these kinds: other periods, levels, sizes and noise than above. */
const anyShape = fc.oneof(
  fc
    .record({ seed, period: fc.integer({ min: 2, max: 30 }), size: fc.constantFrom(0.01, 1, 300) })
    .map((of) => impulses(of.seed, of.period, 0.05 * of.size, of.size, STEPS)),
  fc
    .record({ seed, period: fc.integer({ min: 5, max: 20 }), curve: fc.integer({ min: 100, max: 400 }) })
    .map((of) => meter(of.seed, of.period, of.curve, 0.6, STEPS)),
  fc
    .record({
      seed,
      top: fc.double({ min: 20, max: 3000, noNaN: true }),
      falls: fc.integer({ min: 30, max: 90 }),
    })
    .map(({ seed, top, falls }) => sawtooth(seed, top, 0.1 * top, (0.9 * top) / falls, STEPS)),
  fc
    .record({ seed, period: fc.integer({ min: 2, max: 60 }), high: fc.constantFrom(2, 1800) })
    .map((of) => dutyCycle(of.seed, of.period, Math.ceil(of.period / 4), 0.01 * of.high, of.high, STEPS)),
  fc
    .record({ seed, count: fc.integer({ min: 8, max: 20 }), noise: fc.constantFrom(0.02, 0.2, 1) })
    .map((of) => steps(of.seed, of.count, of.noise, STEPS)),
  fc
    .record({
      seed,
      curve: fc.integer({ min: 60, max: 300 }),
      share: fc.double({ min: 0.1, max: 0.4, noNaN: true }),
    })
    .map((of) => noiseByLevel(of.seed, of.curve, of.share, STEPS)),
  fc
    .record({ seed, length: fc.integer({ min: 4, max: 15 }) })
    .map((of) => excursions(of.seed, 0.01, of.length, STEPS)),
);
const STEPS = 1200;
/** A stream that never moves has no largest step: shrinking does not end there. */
const movingShape = anyShape.filter(({ values }) => values.some((value) => value !== values[0]));
const ENOUGH = 300;
/** No interval of 80 % can hold these: they begin at random, and rarer than one time in ten. */
const UNFORESEEN = ['away'];
/** Without noise, so that a right interval holds all of them. */
const EXACT = ['zero', 'constant'];

it('no median leaves the range seen by more than the largest step seen, and each situation is held', async () => {
  const model = baseModel();
  await fc.assert(
    fc.asyncProperty(movingShape, async (shape) => {
      const outcome = await play(model, shape, 5 * MINUTE);
      expect(outcome.beyond).toBeLessThan(1);
      for (const [situation, { n, inside }] of outcome.held) {
        if (n <= ENOUGH || UNFORESEEN.includes(situation)) continue;
        expect(inside / n, situation).toBeGreaterThanOrEqual(0.6);
        if (!EXACT.includes(situation)) expect(inside / n, situation).toBeLessThan(1);
      }
    }),
    { numRuns: 12, seed: 7 },
  );
}, 600_000);
