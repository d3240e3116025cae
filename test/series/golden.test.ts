/**
 * What a network is fed, over whole series, as numbers on file: models depend on it, so a change needs a new FEATURE_FORMAT.
 * `GATECAST_WRITE_GOLDEN=1 npx vitest run -c test/vitest.config.ts --project main test/series/golden.test.ts` writes the file.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { zoneOffset } from '../../src/series/calendar.ts';
import { AHEAD, FEATURE_FORMAT, Features, I } from '../../src/series/features.ts';
import { SHAPES } from '../support/series.ts';

const FILE = new URL(`fixtures/features-${FEATURE_FORMAT}.json`, import.meta.url);
const LEADS = 4;
const WIDTH = I + LEADS * AHEAD;
const START = Date.UTC(2025, 2, 20);
const NAMES = ['ordinary', 'gappy', 'spiky', 'on and off', 'constant, then alive'] as const;

/** For every input its mean over the steps, and the mean of its changes from one to the next. */
function summary(name: (typeof NAMES)[number], intervalMs: number): number[] {
  const values = SHAPES[name](500);
  const features = new Features(intervalMs, LEADS, zoneOffset('Europe/Berlin'));
  const means = new Float64Array(WIDTH);
  const changes = new Float64Array(WIDTH);
  let before = new Float32Array(WIDTH);
  for (const [t, value] of [...values].entries()) {
    const observed = !Number.isNaN(value);
    features.update(
      START + t * intervalMs,
      observed ? value : features.steps > 0 ? (features.anchor[0] ?? 0) : 0,
      observed,
    );
    const now = new Float32Array(WIDTH);
    features.past(now, 0);
    for (let k = 0; k < LEADS; k++) features.ahead(k, now, I + k * AHEAD);
    for (let i = 0; i < WIDTH; i++) {
      means[i] = (means[i] ?? 0) + (now[i] ?? 0) / values.length;
      changes[i] = (changes[i] ?? 0) + Math.abs((now[i] ?? 0) - (before[i] ?? 0)) / values.length;
    }
    before = now;
  }
  return [...means, ...changes].map((value) => Number(value.toPrecision(6)));
}

describe('the inputs of a network', () => {
  const made = Object.fromEntries(
    NAMES.flatMap((name) => [1_800_000, 21_600_000].map((ms) => [`${name}, ${ms} ms`, summary(name, ms)])),
  );
  if (process.env.GATECAST_WRITE_GOLDEN)
    writeFileSync(FILE, `${JSON.stringify(made).replaceAll('],', '],\n')}\n`);
  const golden = JSON.parse(readFileSync(FILE, 'utf8')) as Record<string, number[]>;

  it.each(Object.keys(made))('are those on file: %s', (name) => {
    const [found = [], wanted = []] = [made[name], golden[name]];
    expect(found.length).toBe(wanted.length);
    // Another processor's sine and logarithm may differ in the last bit.
    const wrong = found.flatMap((value, i) => {
      const other = wanted[i] ?? Number.NaN;
      return Math.abs(value - other) <= 1e-4 + 1e-4 * Math.abs(other)
        ? []
        : [`input ${i}: ${value}, not ${other}`];
    });
    expect(wrong).toEqual([]);
  });
});
