import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { C, GRU, NAIVE, SEASONAL } from '../../src/forecast/candidates.ts';
import { Track } from '../../src/forecast/track.ts';
import { MEDIAN, Q } from '../../src/quantiles.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';
import { normal } from '../support/random.ts';

/** Standard normal quantiles at 0.1 ... 0.9. */
const Z = [-1.2815516, -0.8416212, -0.5244005, -0.2533471, 0, 0.2533471, 0.5244005, 0.8416212, 1.2815516];
const LEADS = 12;
/** The leads that are scored. */
const KNOTS = [1, 2, 4, 8, 12];
const free = (): void => {};

/** Quantiles for every lead, [LEADS, 9]: a normal variable with a spread of its own below and above. */
const spread = (center: number, below: number, above = below): Float64Array =>
  Float64Array.from({ length: LEADS * Q }, (_, i) => center + (i % Q < MEDIAN ? below : above) * Z[i % Q]);

type Said = readonly (Float64Array | null)[];

/** Plays `steps` buckets of standard noise, and returns the last published quantiles. */
function play(
  track: Track,
  steps: number,
  seed: number,
  said: Said | ((step: number) => Said),
): Float64Array {
  const noise = normal(seed);
  const out = new Float64Array(LEADS * Q);
  for (let t = 0; t < steps; t++) {
    track.observe(noise(), true);
    track.combine(typeof said === 'function' ? said(t) : said, free, out);
  }
  return out;
}

/** All candidates say the same, or all but the network do. */
const all = (quantiles: Float64Array, network: Float64Array | null = quantiles): Said =>
  Array.from({ length: C }, (_, c) => (c === GRU ? network : quantiles));

/** The scores of every lead that is scored: a loop over them can never be empty. */
function scoresOf(track: Track): ReturnType<Track['scores']> {
  const scores = track.scores();
  expect(scores.map(({ lead }) => lead)).toEqual(KNOTS);
  return scores;
}

function save(track: Track): Uint8Array {
  const writer = new StateWriter();
  track.persist(writer);
  return writer.finish();
}

describe('a forecast in a gap', () => {
  it('is as wide as that of the last reading was for the same buckets', () => {
    const noise = normal(4);
    const track = new Track(LEADS);
    const out = new Float64Array(LEADS * Q);
    const width = (k: number): number => out[k * Q + Q - 1]! - out[k * Q]!;
    let value = 0;
    let said: Said = [];
    for (let t = 0; t < 600; t++) {
      value += noise();
      track.observe(value, true);
      // A random walk: the error grows with the root of the lead.
      said = all(Float64Array.from(out, (_, i) => value + Math.sqrt(1 + Math.floor(i / Q)) * Z[i % Q]!));
      track.combine(said, free, out);
    }
    const [first, , , fourth] = [0, 1, 2, 3].map(width) as [number, number, number, number];
    track.observe(Number.NaN, false);
    track.combine(said, free, out, undefined, null, 3);
    expect(width(0)).toBeGreaterThan(1.7 * first);
    expect(width(0) / fourth).toBeGreaterThan(0.8);
    expect(width(0) / fourth).toBeLessThan(1.25);
    // In a longer gap, no lead is wider than the longest.
    track.combine(said, free, out, undefined, null, 3 * LEADS);
    expect(width(LEADS - 1)).toBeLessThan(1.25 * width(0));
  });
});

describe('a lead of a whole season', () => {
  /** One naive is right, the other is off by 5 but for lead 12, where both say the same; nobody else speaks. */
  const better = (good: number, bad: number): Said => {
    const off = spread(5, 1);
    off.set(spread(0, 1).subarray((LEADS - 1) * Q), (LEADS - 1) * Q);
    return Array.from({ length: C }, (_, c) => {
      if (c === good) return spread(0, 1);
      return c === bad ? off : null;
    });
  };
  for (const [name, good, bad] of [
    ['seasonal naive', SEASONAL, NAIVE],
    ['naive', NAIVE, SEASONAL],
  ] as const) {
    it(`does not let the worse one into the leads before it: ${name} is better`, () => {
      const out = play(new Track(LEADS, { season: LEADS }), 1000, 5, better(good, bad));
      for (let k = 0; k < LEADS; k++)
        expect(Math.abs(out[k * Q + MEDIAN]), `lead ${k + 1}`).toBeLessThan(0.01);
    });
  }
});

describe('calibration', () => {
  for (const [name, burst, least, most] of [
    ['is wide again within some steps where the noise has grown for good', 100, 3, 15],
    ['is narrow again some steps after a burst of noise', 6, 0.8, 1.5],
  ] as const) {
    it(name, () => {
      const noise = normal(4);
      const track = new Track(LEADS);
      const out = new Float64Array(LEADS * Q);
      for (let t = 0; t < 1100; t++) {
        track.observe(noise() * (t >= 1000 && t < 1000 + burst ? 10 : 1), true);
        track.combine(all(spread(0, 1)), free, out);
      }
      for (const k of [0, 3, LEADS - 1]) {
        const width = (out[k * Q + Q - 1] - out[k * Q]) / (2 * Z[8]);
        expect(width, `lead ${k + 1}`).toBeGreaterThan(least);
        expect(width, `lead ${k + 1}`).toBeLessThan(most);
      }
    });
  }

  for (const wanted of [0.5, 0.9, 0.95]) {
    it(`reaches the ${100 * wanted} % that are asked for`, () => {
      const track = new Track(LEADS, { coverage: wanted });
      play(track, 4000, 21, all(spread(0, 1)));
      for (const { lead, coverage } of scoresOf(track))
        expect(Math.abs(coverage - wanted), `lead ${lead}`).toBeLessThan(0.03);
    });
  }

  for (const [name, below, above] of [
    ['half as wide as they should be', 0.5, 0.5],
    ['right', 1, 1],
    ['twice as wide as they should be', 2, 2],
    ['too narrow below and too wide above', 0.5, 2],
  ] as const) {
    it(`reaches 80 % where the candidates' intervals are ${name}`, () => {
      const track = new Track(LEADS);
      const out = play(track, 4000, 21, all(spread(0, below, above)));
      // The scores remember the last thousand.
      for (const { lead, coverage } of scoresOf(track)) {
        expect(coverage, `lead ${lead}`).toBeGreaterThan(0.77);
        expect(coverage, `lead ${lead}`).toBeLessThan(0.83);
      }
      for (let k = 0; k < LEADS; k++) {
        // The true 10th and 90th percentile.
        expect(-out[k * Q], `lead ${k + 1}`).toBeGreaterThan(1.28 * 0.8);
        expect(-out[k * Q], `lead ${k + 1}`).toBeLessThan(1.28 * 1.25);
        expect(out[k * Q + Q - 1], `lead ${k + 1}`).toBeGreaterThan(1.28 * 0.8);
        expect(out[k * Q + Q - 1], `lead ${k + 1}`).toBeLessThan(1.28 * 1.25);
      }
    });
  }

  it('follows when the noise doubles', () => {
    const track = new Track(LEADS);
    const noise = normal(23);
    const out = new Float64Array(LEADS * Q);
    for (let t = 0; t < 5000; t++) {
      track.observe(noise() * (t < 2500 ? 1 : 2), true);
      track.combine(all(spread(0, 1)), free, out);
    }
    for (const { coverage } of scoresOf(track)) {
      expect(coverage).toBeGreaterThan(0.76);
      expect(coverage).toBeLessThan(0.84);
    }
  });

  it('learns nothing from a bucket that was not observed', () => {
    const track = new Track(LEADS);
    play(track, 50, 24, all(spread(0, 1)));
    const before = scoresOf(track);
    track.observe(1e9, false);
    expect(track.scores()).toEqual(before);
  });
});

describe('blending', () => {
  it('goes to the candidate with the smaller loss, whichever it is', () => {
    for (const good of [GRU, SEASONAL, NAIVE]) {
      const track = new Track(LEADS);
      const said = Array.from({ length: C }, (_, c) => (c === good ? spread(0, 1) : spread(3, 1)));
      const out = play(track, 600, 25 + good, said);
      expect(track.meanWeights()[good]).toBeGreaterThan(0.95);
      expect(Math.abs(out[MEDIAN])).toBeLessThan(0.2);
    }
  });

  it('turns away from a network that fails, and returns to it', () => {
    const track = new Track(LEADS);
    const naive = spread(1, 1.5);
    play(track, 500, 28, all(naive, spread(0, 1)));
    expect(track.meanWeights()[GRU]).toBeGreaterThan(0.6);
    play(track, 300, 29, all(naive, spread(6, 1)));
    expect(track.meanWeights()[GRU]).toBeLessThan(0.05);
    play(track, 4000, 30, all(naive, spread(0, 1)));
    expect(track.meanWeights()[GRU]).toBeGreaterThan(0.6);
  });

  it('weighs every lead for itself', () => {
    const track = new Track(LEADS);
    const early = Float64Array.from({ length: LEADS * Q }, (_, i) => (i < 4 * Q ? 0 : 4) + Z[i % Q]);
    const late = Float64Array.from({ length: LEADS * Q }, (_, i) => (i < 4 * Q ? 4 : 0) + Z[i % Q]);
    play(track, 600, 31, all(late, early));
    expect(track.weights[GRU]).toBeGreaterThan(0.9);
    expect(track.weights[(LEADS - 1) * C + GRU]).toBeLessThan(0.1);
  });

  it('serves without the network and gives it no weight', () => {
    const track = new Track(LEADS);
    const out = play(track, 100, 32, all(spread(0, 1), null));
    expect(track.meanWeights()[GRU]).toBe(0);
    expect(out.every(Number.isFinite)).toBe(true);
  });

  it('has weights that sum to one at every lead', () => {
    const track = new Track(LEADS);
    play(track, 77, 33, all(spread(1, 1), spread(0, 1)));
    for (let k = 0; k < LEADS; k++) {
      let sum = 0;
      for (let c = 0; c < C; c++) sum += track.weights[k * C + c];
      expect(sum).toBeCloseTo(1, 12);
    }
  });
});

describe('track', () => {
  it('never publishes NaN or quantiles that cross, whatever happens', () => {
    const size = fc.constantFrom(0, 1e-12, 1, 1e6, 1e28);
    const step = fc.record({
      y: fc.oneof(fc.constant(0), size, fc.double({ min: -1e28, max: 1e28, noNaN: true })),
      observed: fc.boolean(),
      network: fc.boolean(),
      center: fc.oneof(fc.constant(0), fc.double({ min: -1e28, max: 1e28, noNaN: true })),
      width: size,
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 80 }), (steps) => {
        const track = new Track(LEADS);
        const out = new Float64Array(LEADS * Q);
        for (const { y, observed, network, center, width } of steps) {
          track.observe(observed ? y : Number.NaN, observed);
          const quantiles = spread(center, width);
          track.combine(all(quantiles, network ? spread(0, width) : null), free, out);
          for (let i = 0; i < out.length; i++) {
            if (!Number.isFinite(out[i])) return false;
            if (i % Q > 0 && out[i] < out[i - 1]) return false;
          }
        }
        return track.scores().every((score) => Object.values(score).every(Number.isFinite));
      }),
      { numRuns: 200 },
    );
  });

  it('serves a constant stream, whose losses are zero', () => {
    const track = new Track(LEADS);
    const out = new Float64Array(LEADS * Q);
    for (let t = 0; t < 200; t++) {
      track.observe(5, true);
      track.combine(all(spread(5, 0)), free, out);
    }
    for (const value of out) expect(value).toBeCloseTo(5, 12);
    // Not a rounding error above or below what was forecast.
    expect(track.coverage().observed).toBe(1);
  });

  it('clamps what it publishes and scores what it published', () => {
    const track = new Track(LEADS);
    const out = new Float64Array(LEADS * Q);
    for (let t = 0; t < 100; t++) {
      track.observe(0, true);
      track.combine(
        all(spread(-3, 1)),
        (all) =>
          all.forEach((value, i) => {
            all[i] = Math.max(0, value);
          }),
        out,
      );
    }
    expect(out.every((value) => value >= 0)).toBe(true);
    expect(track.scores()[0]).toMatchObject({ mae: 0, bias: 0, coverage: 1 });
  });

  it('has no score of a lead at which no forecast has met its bucket', () => {
    const track = new Track(LEADS);
    const out = new Float64Array(LEADS * Q);
    expect(track.scores()).toEqual([]);
    for (let t = 0; t < 3; t++) {
      track.observe(t, true);
      track.combine(all(spread(t, 0)), free, out);
    }
    expect(track.scores().map(({ lead, n }) => [lead, n])).toEqual([
      [1, 2],
      [2, 1],
    ]);
  });

  it('scores each lead against the bucket it was made for', () => {
    // A forecast that is right for lead 1 alone: the next value of a ramp.
    const track = new Track(LEADS);
    const out = new Float64Array(LEADS * Q);
    for (let t = 0; t < 300; t++) {
      track.observe(t, true);
      track.combine(all(spread(t + 1, 0)), free, out);
    }
    for (const { lead, mae, bias, n } of scoresOf(track)) {
      expect(mae).toBeCloseTo(lead - 1, 9);
      expect(bias).toBeCloseTo(1 - lead, 9);
      expect(n).toBe(300 - lead);
    }
  });

  it('goes on from a restored state as if it had never stopped', () => {
    const said = Array.from({ length: C }, (_, c) => spread(c / 2, 1 + c));
    for (const cut of [0, 1, 5, 12, 13, 300]) {
      const one = new Track(LEADS);
      const two = new Track(LEADS);
      play(one, cut, 34, said);
      const reader = new StateReader(save(one));
      two.persist(reader);
      reader.finish();
      expect(play(two, 60, 35, said)).toEqual(play(one, 60, 35, said));
      expect(save(two)).toEqual(save(one));
    }
  });
});

describe('the trial of a network', () => {
  it('judges the network itself, whatever is published, from its own first forecast on', () => {
    const track = new Track(LEADS);
    play(track, 300, 5, all(spread(0, 1), spread(40, 1)));
    expect(track.networkScores()[0].loss).toBeGreaterThan(10 * track.networkScores()[0].lossNaive);
    track.beginTrial();
    expect(track.networkScores().map(({ n }) => n)).toEqual(KNOTS.map(() => 0));
    play(track, 100, 6, all(spread(0, 1)));
    const scores = track.networkScores();
    // The first 1, 2, 4 ... buckets still belong to forecasts of the network before.
    expect(scores.map(({ n }) => n)).toEqual(KNOTS.map((k) => 100 - k));
    for (const { loss, lossNaive, lossSeasonal } of scores) {
      expect(loss).toBeCloseTo(lossNaive, 9);
      expect(loss).toBeCloseTo(lossSeasonal, 9);
    }
  });

  it('judges the blend that an own network has a share in, and the same without it', () => {
    const track = new Track(LEADS);
    const noise = normal(8);
    const out = new Float64Array(LEADS * Q);
    for (let t = 0; t < 600; t++) {
      track.observe(noise(), true);
      // Each alone is off by 1; together they are right.
      track.combine(all(spread(1, 1)), free, out, undefined, spread(-1, 1));
    }
    for (const { loss, lossWithout, lossNaive } of track.networkScores()) {
      expect(lossWithout).toBeCloseTo(lossNaive, 9);
      expect(loss).toBeLessThan(0.95 * lossWithout);
    }
  });

  it('counts no answer as a bad one', () => {
    const track = new Track(LEADS);
    play(track, 50, 7, all(spread(0, 1), null));
    const { loss, lossNaive } = track.networkScores()[0];
    expect(loss).toBeCloseTo(10 * lossNaive, 9);
  });
});
