import { describe, expect, it } from 'vitest';
import { judge, normalCdf, pairedTest, type StreamLosses } from '../../src/training/gate.ts';
import { HOLDOUT_DEFAULTS } from '../../src/training/holdout.ts';
import { Random } from '../../src/training/random.ts';

const OVERLAP = 6;

/** Losses around a level with autocorrelated noise that all forecasters share, as on a real holdout. */
function losses(
  stream: string,
  seed: number,
  candidate: number,
  more: Partial<Record<'champion' | 'naive' | 'seasonal', number>> = {},
  n = 120,
): StreamLosses {
  const rng = new Random(seed);
  let shared = 0;
  const common = Array.from({ length: n }, () => {
    shared = 0.9 * shared + 0.1 * rng.normal();
    return Math.exp(shared);
  });
  let own = 0;
  const of = (level: number) =>
    Float64Array.from(common, (c) => {
      own = 0.8 * own + 0.02 * rng.normal();
      return level * c + own;
    });
  return {
    stream,
    candidate: of(candidate),
    champion: of(more.champion ?? 1),
    naive: of(more.naive ?? 1.5),
    seasonal: of(more.seasonal ?? 1.4),
  };
}

describe('judge', () => {
  it('promotes a clearly better candidate, and states the gain', () => {
    const verdict = judge([losses('a', 1, 0.85), losses('b', 2, 0.8)], OVERLAP);
    expect(verdict.promote).toBe(true);
    expect(verdict.gain).toBeGreaterThan(0.1);
    expect(verdict.reason).toMatch(/better by 1\d\.\d % than the champion on 120 held-out origins/);
  });

  it('refuses a candidate that is worse or equal, and asks for no least gain', () => {
    expect(judge([losses('a', 1, 1.1)], OVERLAP)).toMatchObject({
      promote: false,
      reason: expect.stringMatching(/worse by/),
    });
    const same = losses('a', 1, 1);
    expect(judge([{ ...same, candidate: same.champion }], OVERLAP)).toMatchObject({
      promote: false,
      reason: expect.stringMatching(/no better than the champion/),
    });
    const marginal = { ...same, candidate: same.champion.map((x) => x * 0.999) };
    expect(judge([marginal], OVERLAP)).toMatchObject({
      promote: true,
      reason: expect.stringMatching(/better by 0\.1 %/),
    });
  });

  it('promotes a gain that may be chance, because the share of a network that does not help falls to 0', () => {
    const rng = new Random(5);
    const champion = Float64Array.from({ length: 60 }, () => 1 + Math.abs(rng.normal()));
    const candidate = champion.map((x, t) => x + (t < 6 ? -1.2 : 0.09));
    const double = champion.map((x) => 2 * x);
    const verdict = judge([{ stream: 'a', champion, candidate, naive: double, seasonal: double }], OVERLAP);
    expect(verdict.pValue).toBeGreaterThan(0.25);
    expect(verdict.promote).toBe(true);
  });

  it('needs no more origins than the shortest holdout has', () => {
    expect(judge([losses('a', 1, 0.9, {}, 3 * HOLDOUT_DEFAULTS.originsPerHorizon)], OVERLAP).promote).toBe(
      true,
    );
  });

  it('does not ask a candidate to beat the naive forecasts where the champion does not', () => {
    expect(judge([losses('a', 1, 1.6, { champion: 2, naive: 1.2 })], OVERLAP).promote).toBe(true);
  });

  it('is not decided by one stream whose naive forecast has almost no error', () => {
    // A panel at night: in units of its naive loss, its losses are 60 times those of the others.
    const gains = [losses('a', 1, 0.9), losses('b', 2, 0.92), losses('c', 3, 0.95)];
    const night = losses('night', 4, 1.05);
    const units = [1, 60, 1e9].map((unit) => ({
      ...night,
      candidate: night.candidate.map((x) => x * unit),
      champion: night.champion.map((x) => x * unit),
    }));
    const verdicts = units.map((one) => judge([...gains, one], OVERLAP));
    for (const { promote, gain, pValue } of verdicts) {
      expect(promote).toBe(true);
      expect(gain).toBeCloseTo(verdicts[0].gain, 9);
      expect(pValue).toBeCloseTo(verdicts[0].pValue, 9);
    }
    // The same holds for a stream whose loss is several times the champion's, as long as it is small beside the naive forecast's.
    const many = [...gains, ...gains, ...gains, ...gains];
    const still = { ...night, champion: night.champion.map((x) => x / 100) };
    const worse = { ...still, candidate: still.champion.map((x) => x * 5) };
    expect(judge([...many, worse], OVERLAP)).toMatchObject({ promote: true, harmed: ['night'] });
    expect(judge([losses('a', 1, 0.9), worse], OVERLAP).promote).toBe(false);
  });

  it('refuses what makes one stream much worse, although many others gain', () => {
    const many = Array.from({ length: 12 }, (_, i) => losses(`gain${i}`, i, 0.5));
    const worse = losses('worse', 20, 2.5);
    const refused = {
      promote: false,
      reason: expect.stringMatching(/better by 4\d\.\d % overall, but much worse for worse$/),
    };
    expect(judge([...many, worse], OVERLAP)).toMatchObject(refused);
    const exact = { ...worse, champion: new Float64Array(120) };
    expect(judge([...many, exact], OVERLAP)).toMatchObject(refused);
    expect(judge([...many, losses('worse', 20, 1.9)], OVERLAP).promote).toBe(true);
    expect(judge([...many, losses('worse', 20, 2.5, { naive: 5 })], OVERLAP).promote).toBe(true);
  });

  it('refuses if the holdout is too short', () => {
    expect(judge([losses('a', 1, 0.5, {}, 10)], OVERLAP).reason).toMatch(/only 10 origins/);
    expect(judge([], OVERLAP)).toMatchObject({ promote: false, origins: 0 });
    const unseen = losses('a', 1, 0.5);
    unseen.champion.fill(Number.NaN);
    expect(judge([unseen], OVERLAP)).toMatchObject({ promote: false, origins: 0 });
  });

  it('refuses a candidate that diverged once', () => {
    const diverged = losses('a', 1, 0.5);
    diverged.candidate[7] = Number.POSITIVE_INFINITY;
    expect(judge([diverged], OVERLAP)).toMatchObject({
      promote: false,
      reason: expect.stringMatching(/not finite/),
    });
  });

  it('refuses if too many streams become worse', () => {
    const streams = [losses('a', 1, 0.2), losses('b', 2, 1.3), losses('c', 3, 1.3)];
    expect(judge(streams, OVERLAP)).toMatchObject({
      promote: false,
      harmed: ['b', 'c'],
      reason: expect.stringMatching(/worse for 2 of 3 streams: b, c/),
    });
  });

  it('does not count a stream as worse that the champion forecasts without error: there is no ratio', () => {
    const still = {
      ...losses('still', 4, 0),
      champion: new Float64Array(120),
      candidate: new Float64Array(120).fill(1e-9),
    };
    const verdict = judge([losses('a', 1, 0.5), losses('b', 2, 0.5), still], OVERLAP);
    expect(verdict).toMatchObject({ promote: true, harmed: [] });
  });

  it('scores an origin over the streams that have it', () => {
    const short = losses('b', 2, 0.8, {}, 60);
    expect(judge([losses('a', 1, 0.8), short], OVERLAP).origins).toBe(120);
  });
});

describe('pairedTest', () => {
  it('has the nominal false-positive rate for autocorrelated data', () => {
    const rng = new Random(11);
    let rejected = 0;
    let naively = 0;
    const runs = 800;
    for (let run = 0; run < runs; run++) {
      const noise = Array.from({ length: 206 }, () => rng.normal());
      const d = Array.from({ length: 200 }, (_, t) => noise.slice(t, t + 6).reduce((a, b) => a + b, 0));
      if (pairedTest(d, 6) < 0.1) rejected++;
      if (pairedTest(d, 1) < 0.1) naively++;
    }
    expect(rejected / runs).toBeGreaterThan(0.04);
    expect(rejected / runs).toBeLessThan(0.16);
    expect(naively).toBeGreaterThan(rejected);
  });

  it('detects a true difference', () => {
    const rng = new Random(3);
    expect(
      pairedTest(
        Array.from({ length: 100 }, () => 0.5 + rng.normal()),
        1,
      ),
    ).toBeLessThan(0.001);
    expect(
      pairedTest(
        Array.from({ length: 100 }, () => -0.5 + rng.normal()),
        1,
      ),
    ).toBeGreaterThan(0.99);
  });

  it('has the small-sample factor of Harvey, Leybourne and Newbold (1997)', () => {
    // Computed apart: z = mean / sqrt(variance / n) * sqrt((n + 1 - 2 h + h (h - 1) / n) / n), variance with Bartlett's weights.
    const difference = [3, -2, 2, 0, 1, -3, 2, 1];
    expect(pairedTest(difference, 1)).toBeCloseTo(0.13318996, 6);
    expect(pairedTest(difference, 3)).toBeCloseTo(0.20796881, 6);
    expect(pairedTest(difference, 5)).toBeCloseTo(0.27504866, 6);
  });

  it('handles extreme inputs', () => {
    expect(pairedTest([], 3)).toBe(1);
    expect(pairedTest([1], 3)).toBe(1);
    expect(pairedTest([0, 0, 0], 3)).toBe(1);
    expect(pairedTest([1, 1, 1], 1)).toBe(0);
  });
});

describe('normalCdf', () => {
  it('has the textbook values', () => {
    expect(normalCdf(0)).toBeCloseTo(0.5, 6);
    expect(normalCdf(1.6448536)).toBeCloseTo(0.95, 6);
    expect(normalCdf(-1.959964)).toBeCloseTo(0.025, 6);
  });
});
