import { describe, expect, it } from 'vitest';
import { naiveQuantiles, networkQuantiles } from '../../src/forecast/candidates.ts';
import { MEDIAN, Q } from '../../src/quantiles.ts';
import { UTC } from '../../src/series/calendar.ts';
import { EXPERTS } from '../../src/series/experts.ts';
import { Features } from '../../src/series/features.ts';
import { normal } from '../support/random.ts';
import { SHAPES } from '../support/series.ts';

const LEADS = 12;

function features(values: ArrayLike<number>): Features {
  const made = new Features(1_800_000, LEADS, UTC);
  for (let t = 0; t < values.length; t++) made.update(t * 1_800_000, values[t], true);
  return made;
}

const walk = (() => {
  const noise = normal(41);
  let level = 0;
  return Float64Array.from({ length: 600 }, () => (level += noise()));
})();

describe('naiveQuantiles', () => {
  it('repeat the last value, as wide as a random walk wants it at each lead', () => {
    const out = new Float64Array(LEADS * Q);
    naiveQuantiles(features(walk), EXPERTS.last, out);
    for (const k of [0, 3, LEADS - 1]) {
      expect(out[k * Q + MEDIAN]).toBeCloseTo(walk[599], 4);
      const sigma = (out[k * Q + Q - 1] - out[k * Q]) / (2 * 1.2816);
      expect(sigma / Math.sqrt(k + 1)).toBeGreaterThan(0.75);
      expect(sigma / Math.sqrt(k + 1)).toBeLessThan(1.3);
    }
  });

  it('do not cross and are finite on every kind of series', () => {
    for (const shape of Object.values(SHAPES)) {
      const out = new Float64Array(LEADS * Q);
      naiveQuantiles(features(shape(80).map((y) => (Number.isNaN(y) ? 0 : y))), EXPERTS.seasonalNaive, out);
      for (let i = 0; i < out.length; i++) {
        expect(Number.isFinite(out[i])).toBe(true);
        if (i % Q > 0) expect(out[i]).toBeGreaterThanOrEqual(out[i - 1]);
      }
    }
  });
});

describe('networkQuantiles', () => {
  const known = features(walk);
  const raw = (value: (i: number) => number) => Float32Array.from({ length: LEADS * Q }, (_, i) => value(i));
  const out = new Float64Array(LEADS * Q);

  it('are anchor + scale * answer', () => {
    expect(
      networkQuantiles(
        known,
        raw((i) => (i % Q) - 4),
        0,
        out,
      ),
    ).toBe(true);
    for (let k = 0; k < LEADS; k++) {
      for (let q = 0; q < Q; q++) {
        expect(out[k * Q + q]).toBeCloseTo(known.anchor[k] + known.scale[k] * (q - 4), 6);
      }
    }
  });

  it('read their row of the batch', () => {
    const batch = new Float32Array(3 * LEADS * Q).fill(Number.NaN);
    batch.set(
      raw(() => 2),
      LEADS * Q,
    );
    expect(networkQuantiles(known, batch, LEADS * Q, out)).toBe(true);
    expect(networkQuantiles(known, batch, 0, out)).toBe(false);
  });

  it('refuse a network that has diverged', () => {
    for (const wild of [Number.NaN, Infinity, -Infinity, 2001, -5000]) {
      expect(
        networkQuantiles(
          known,
          raw((i) => (i === 50 ? wild : 0)),
          0,
          out,
        ),
        String(wild),
      ).toBe(false);
    }
  });

  it('put crossing quantiles in order around the median', () => {
    networkQuantiles(
      known,
      raw((i) => [0, -1, 1, 0, 0, -2, 3, 1, 2][i % Q]),
      0,
      out,
    );
    for (let i = 1; i < out.length; i++) if (i % Q > 0) expect(out[i]).toBeGreaterThanOrEqual(out[i - 1]);
    expect(out[MEDIAN]).toBeCloseTo(known.anchor[0], 6);
  });
});
