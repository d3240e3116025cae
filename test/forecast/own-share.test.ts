import { describe, expect, it } from 'vitest';
import { C } from '../../src/forecast/candidates.ts';
import { Track } from '../../src/forecast/track.ts';
import { Q, quantileLoss } from '../../src/quantiles.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';
import { normal } from '../support/random.ts';

const LEADS = 12;
/** Standard normal quantiles at 0.1 ... 0.9. */
const Z = [-1.2815516, -0.8416212, -0.5244005, -0.2533471, 0, 0.2533471, 0.5244005, 0.8416212, 1.2815516];
/** Thirty days of fifteen minutes. */
const MONTH = 2880;

/** What a forecaster says at every step of the bucket `lead` steps ahead: the centre of a standard normal variable. */
type Forecaster = (step: number, lead: number) => number;

function quantiles(said: Forecaster, step: number): Float64Array {
  return Float64Array.from({ length: LEADS * Q }, (_, i) => said(step, Math.floor(i / Q) + 1) + Z[i % Q]!);
}

interface Run {
  readonly track: Track;
  /** Mean loss over all steps and leads. */
  readonly loss: number;
  /** The own network's share in the medians, by step, at the last lead. */
  readonly shares: number[];
}

/** Plays values through a track whose candidates all say `blend`, with the own network saying `own`. */
function play(
  values: Float64Array,
  blend: Forecaster,
  own: Forecaster | null,
  track = new Track(LEADS),
): Run {
  const out = new Float64Array(LEADS * Q);
  const shares: number[] = [];
  let sum = 0;
  let n = 0;
  for (let t = 0; t < values.length - LEADS; t++) {
    track.observe(values[t]!, true);
    const said = quantiles(blend, t);
    track.combine(
      new Array<Float64Array>(C).fill(said),
      () => {},
      out,
      undefined,
      own === null ? null : quantiles(own, t),
    );
    shares.push(1 - track.meanWeights().reduce((a, b) => a + b));
    for (let k = 0; k < LEADS; k++, n++) sum += quantileLoss(values[t + k + 1]!, out, k * Q);
  }
  return { track, loss: sum / n, shares };
}

const noise = (seed: number, n = MONTH): Float64Array => {
  const draw = normal(seed);
  return Float64Array.from({ length: n }, () => draw());
};
const right: Forecaster = () => 0;
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

describe('the share of the own network', () => {
  it('begins small, grows where the network is right and the blend is not, and is not taken from the blend otherwise', () => {
    const values = noise(1);
    const better = play(values, () => 1.5, right);
    expect(better.shares[0]).toBeCloseTo(0.2, 6);
    expect(mean(better.shares.slice(-200))).toBeGreaterThan(0.9);
    const worse = play(values, right, () => 1.5);
    expect(mean(worse.shares.slice(-200))).toBeLessThan(0.05);
  });

  it('finds that two forecasts which are wrong in opposite ways are best together', () => {
    const values = noise(2);
    const both = play(
      values,
      () => 1,
      () => -1,
    );
    expect(mean(both.shares.slice(-500))).toBeGreaterThan(0.4);
    expect(mean(both.shares.slice(-500))).toBeLessThan(0.6);
    const alone = play(values, () => 1, null);
    expect(both.loss).toBeLessThan(0.9 * alone.loss);
  });

  it('publishes the same as before where there is no own network', () => {
    const values = noise(3, 600);
    const track = new Track(LEADS);
    play(values, () => 0.3, null, track);
    const other = new Track(LEADS);
    // A network that says what the blend says changes nothing either.
    play(
      values,
      () => 0.3,
      () => 0.3,
      other,
    );
    expect(other.scores()).toEqual(track.scores());
  });

  it('is given up within a few steps by a network that has gone far wrong, at the long leads too, and is not by a burst', () => {
    const values = noise(4);
    const gone = 2000;
    const wrong = play(
      values,
      () => 1.5,
      (step, lead) => (step + lead >= gone ? 40 : 0),
    );
    expect(wrong.shares[gone - 2]).toBeGreaterThan(0.85);
    // The first three forecasts that miss have met their readings at lead 1 alone.
    expect(wrong.shares[gone + 3]).toBeLessThan(0.02);
    const burst = Float64Array.from(values, (value, t) => (t >= gone && t < gone + 4 ? 40 : value));
    expect(play(burst, () => 1.5, right).shares[gone + 3]).toBeGreaterThan(0.8);
  });

  it('is the same after a restart', () => {
    const values = noise(5, 500);
    const { track } = play(
      values,
      () => 1,
      () => -0.5,
    );
    const writer = new StateWriter();
    track.persist(writer);
    const other = new Track(LEADS);
    const reader = new StateReader(writer.finish());
    other.persist(reader);
    reader.finish();
    const more = noise(6, 200);
    expect(
      play(
        more,
        () => 1,
        () => -0.5,
        other,
      ).shares,
    ).toEqual(
      play(
        more,
        () => 1,
        () => -0.5,
        track,
      ).shares,
    );
  });

  it('begins anew with another network, which is not judged by the forecasts of the one before', () => {
    const values = noise(7, 1000);
    const { track } = play(values, right, () => 5);
    track.beginOwn();
    const { shares } = play(noise(8, 40), right, right, track);
    expect(shares.slice(0, 20).every((share) => Math.abs(share - 0.2) < 1e-6)).toBe(true);
  });
});

describe('the share of the next own network', () => {
  const first = (own: Forecaster, keep: boolean): number => {
    const { track } = play(noise(9, 1500), () => 1, own);
    track.beginOwn(keep);
    return play(noise(10, LEADS + 1), () => 1, own, track).shares[0]!;
  };

  it('begins with what the one before had learnt, but gives every network a chance', () => {
    expect(first(() => -1, true)).toBeGreaterThan(0.35);
    expect(first(() => 6, true)).toBeCloseTo(0.1, 6);
  });

  it('begins anew with another base network', () => {
    expect(first(() => -1, false)).toBeCloseTo(0.2, 6);
  });
});

describe('a month of changing regimes', () => {
  /** Which of the two is right changes at random times, after hours or days; the other is off by as much as the regime says. */
  function regimes(seed: number): {
    readonly values: Float64Array;
    readonly a: Forecaster;
    readonly b: Forecaster;
  } {
    const draw = normal(seed);
    const offsets = new Float64Array(MONTH + LEADS);
    const favoursA: boolean[] = [];
    let left = 0;
    let offset = 0;
    let first = true;
    for (let t = 0; t < offsets.length; t++) {
      if (left-- <= 0) {
        left = Math.round(20 + Math.abs(draw()) * 300);
        offset = draw() * 10 ** (1 + 0.5 * draw());
        first = draw() > 0;
      }
      offsets[t] = offset;
      favoursA[t] = first;
    }
    const off = (t: number, mine: boolean): number => (favoursA[t] === mine ? 0 : offsets[t]!);
    return {
      values: noise(seed + 1000),
      a: (step, lead) => off(step + lead, true),
      b: (step, lead) => off(step + lead, false),
    };
  }

  it.each([1, 2, 3, 4, 5, 6])(
    'publishes no worse than the better of two networks, by more than 1 %% (%d)',
    (seed) => {
      const { values, a, b } = regimes(seed);
      const better = Math.min(play(values, a, null).loss, play(values, b, null).loss);
      expect(play(values, a, b).loss).toBeLessThan(1.01 * better);
      expect(play(values, b, a).loss).toBeLessThan(1.01 * better);
    },
  );

  it.each([1, 2, 3])(
    'nor where one of them is right all the time, and the other hardly ever (%d)',
    (seed) => {
      const { values, a } = regimes(seed);
      const better = play(values, right, null).loss;
      expect(play(values, right, a).loss).toBeLessThan(1.01 * better);
    },
  );
});
