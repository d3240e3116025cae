import { describe, expect, it } from 'vitest';
import { C, NAIVE } from '../../src/forecast/candidates.ts';
import { LevelChange } from '../../src/forecast/level-change.ts';
import { Track } from '../../src/forecast/track.ts';
import { Q, quantileLoss } from '../../src/quantiles.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';
import { normal } from '../support/random.ts';

const LEADS = 48;
const Z = [-1.2815516, -0.8416212, -0.5244005, -0.2533471, 0, 0.2533471, 0.5244005, 0.8416212, 1.2815516];
const START = 500;

type Level = (step: number) => number;

/** Noise of 1 about a level. */
function series(level: Level, length: number, seed = 1): Float64Array {
  const noise = normal(seed);
  return Float64Array.from({ length }, (_, t) => level(t) + noise());
}

/** Steps in which a change is detected. The usual error of a forecast of the noise is 0.8. */
function detected(values: Float64Array, change = new LevelChange()): number[] {
  return [...values.keys()].filter((t) => change.observe(values[t]!, t, 0.8));
}

describe('a change of level', () => {
  it('is detected with the second reading at a level never seen, and dated back to the first', () => {
    const change = new LevelChange();
    expect(
      detected(
        series((t) => (t < START ? 0 : 50), 700),
        change,
      ),
    ).toEqual([START + 1]);
    expect(change.since).toBe(START);
    expect(detected(series((t) => (t < START ? 0 : -50), 700))).toEqual([START + 1]);
  });

  it('is detected again when the old level returns soon', () => {
    expect(detected(series((t) => (t >= START && t < START + 30 ? 50 : 0), 700))).toEqual([
      START + 1,
      START + 30,
    ]);
  });

  it('is detected again when the old level returns after it has been forgotten', () => {
    const values = series((t) => (t >= START && t < START + 1000 ? 50 : 0), 2000);
    expect(detected(values)).toEqual([START + 1, START + 1001]);
  });

  it.each([
    ['up again', 100],
    ['back', 0],
    ['part of the way back', 20],
    ['below both', -30],
  ])('is detected a second time, %s, once the new level has been the usual one for some days', (_, third) => {
    const change = new LevelChange();
    const values = series((t) => (t < START ? 0 : t < START + 240 ? 50 : third), START + 300);
    expect(detected(values.subarray(0, START + 60), change)).toEqual([START + 1]);
    expect(change.isFirm).toBe(false);
    const rest = [...values.keys()].slice(START + 60).filter((t) => change.observe(values[t]!, t, 0.8));
    expect(rest).toEqual([START + 241]);
    expect(change.isFirm).toBe(true);
  });

  it('is detected when the old level returns after 140 readings, when a shorter one has become usual', () => {
    const values = series((t) => (t >= START && t < START + 140 ? 50 : 0), 800);
    expect(detected(values)).toEqual([START + 1, START + 141]);
  });

  it('is detected where the new level is 8 times the noise away', () => {
    const values = series((t) => (t < START ? 0 : 8), 700);
    const [first = Infinity, ...others] = detected(values);
    expect(first).toBeLessThanOrEqual(START + 8);
    expect(others).toEqual([]);
  });

  it.each([1, 2, 3, 4])('is not detected in noise with heavy tails (seed %d)', (seed) => {
    const noise = normal(seed);
    const values = Float64Array.from(
      { length: 3000 },
      () => noise() / Math.sqrt((noise() ** 2 + noise() ** 2 + noise() ** 2) / 3),
    );
    expect(detected(values)).toEqual([]);
  });

  it('is not expected to last by a stream whose newest excursion was a spike', () => {
    const change = new LevelChange();
    detected(
      series((t) => (t < START ? 0 : t === START + 300 ? 100 : 50), START + 400),
      change,
    );
    expect(change.isFirm).toBe(false);
    expect(change.doubt).toBe(0);
  });

  it('began with the forecast that knew only its first reading, also when the new level has become usual', () => {
    const change = new LevelChange();
    const values = series((t) => (t < START ? 0 : 50), 700);
    for (const [t, y] of values.entries()) {
      change.observe(y, t, 0.8);
      expect(change.beganWith(START)).toBe(t > START);
      expect(change.beganWith(START + 1)).toBe(false);
    }
  });

  it('back to the old level is known at once: no forecast knew only its first reading', () => {
    const change = new LevelChange();
    detected(
      series((t) => (t >= START && t < START + 30 ? 50 : 0), 700),
      change,
    );
    expect(change.since).toBe(START + 30);
    expect(change.beganWith(START + 30)).toBe(false);
  });

  it('is not a spike, a small step, a wave, a drift or heavy noise', () => {
    expect(detected(series((t) => (t % 97 === 0 && t >= START ? 50 : 0), 3000))).toEqual([]);
    expect(detected(series((t) => (t < START ? 0 : 5), 2000))).toEqual([]);
    expect(detected(series((t) => 30 * Math.sin(t / 40), 3000))).toEqual([]);
    expect(detected(series((t) => 0.05 * t, 3000))).toEqual([]);
    expect(detected(series((t) => 20 * (t % 7 === 0 ? 1 : 0), 3000))).toEqual([]);
  });

  it('is accepted later by a stream that has had bursts: after as many readings as the longest of them', () => {
    const burst = (t: number): boolean => t >= 300 && t < 305;
    const values = series((t) => (burst(t) ? 50 : t < START ? 0 : 150), 700);
    const found = detected(values).filter((t) => t >= START);
    expect(found).toHaveLength(1);
    expect(found[0]! - START).toBeGreaterThan(3);
    expect(found[0]! - START).toBeLessThan(7);
  });

  it('is doubted after the first reading only, and not by a stream that has had a spike', () => {
    const doubts = (level: Level): number[] => {
      const change = new LevelChange();
      const values = series(level, 700);
      return [...values.keys()].filter((t) => {
        change.observe(values[t]!, t, 0.8);
        return change.doubt !== 0;
      });
    };
    expect(doubts((t) => (t < START ? 0 : 50))).toEqual([START]);
    expect(doubts((t) => (t === 300 ? 50 : t < START ? 0 : 200))).toEqual([300]);
  });

  it('is not looked for before the range of the stream is known', () => {
    expect(detected(series((t) => (t < 100 ? 0 : 50), 180))).toEqual([]);
  });
});

/** Plays noise about a level through a track: the naive follows the level at once, all others after `slow` steps. */
function play(level: Level, length: number, slow: number, track = new Track(LEADS)) {
  const values = series(level, length + LEADS, 3);
  const said = (centre: number, width: number): Float64Array =>
    Float64Array.from({ length: LEADS * Q }, (_, i) => centre + width * Z[i % Q]!);
  const outs: Float64Array[] = [];
  let [published, naive] = [0, 0];
  for (let t = 0; t < length; t++) {
    track.observe(values[t]!, true);
    const old = said(level(Math.max(0, t - slow)), 1);
    const last = said(values[t]!, Math.SQRT2);
    const out = new Float64Array(LEADS * Q);
    track.combine(
      Array.from({ length: C }, (_, c) => (c === NAIVE ? last : old)),
      () => {},
      out,
    );
    outs.push(out);
    if (t < START - 2 * LEADS) continue;
    for (let k = 0; k < LEADS; k++) {
      published += quantileLoss(values[t + k + 1]!, out, k * Q);
      naive += quantileLoss(values[t + k + 1]!, last, k * Q);
    }
  }
  return { outs, ratio: published / naive };
}

describe('the forecasts after a change of level', () => {
  const moved: Level = (t) => (t < START ? 0 : 50);

  it('reach the new level with their upper part after one reading, and follow it after two, at all leads', () => {
    const { outs } = play(moved, 560, 60);
    const medians = (t: number): number[] => Array.from({ length: LEADS }, (_, k) => outs[t]![k * Q + 4]!);
    for (let k = 0; k < LEADS; k++) {
      expect(outs[START]![k * Q + 8], `lead ${k + 1}`).toBeGreaterThan(45);
      expect(outs[START]![k * Q], `lead ${k + 1}`).toBeLessThan(5);
    }
    for (let t = START + 1; t < 560; t++) expect(Math.min(...medians(t)), `step ${t}`).toBeGreaterThan(40);
  });

  it('are over the 27 days around it no more than 3 % worse than the naive forecasts', () => {
    expect(play(moved, START + 552, 60).ratio).toBeLessThan(1.03);
  });

  it('follow the old level again when it returns', () => {
    const { outs } = play((t) => (t >= START && t < START + 12 ? 50 : 0), START + 40, 30);
    // Two steps after the return.
    for (let k = 0; k < LEADS; k++)
      expect(Math.abs(outs[START + 14]![k * Q + 4]!), `lead ${k + 1}`).toBeLessThan(10);
  });

  it.each([100, 0])('follow a second change, to %d, after its first reading, at all leads', (third) => {
    const second = START + 240;
    const { outs } = play((t) => (t < START ? 0 : t < second ? 50 : third), second + 40, 30);
    for (let t = second; t < second + 40; t++)
      for (let k = 0; k < LEADS; k++)
        expect(Math.abs(outs[t]![k * Q + 4]! - third), `step ${t}, lead ${k + 1}`).toBeLessThan(10);
  });

  it('follow a second change after its first reading also when the naive forecast has lost its weight', () => {
    const second = START + 1500;
    const { outs } = play((t) => (t < START ? 0 : t < second ? 50 : 100), second + 2, 3);
    for (let k = 0; k < LEADS; k++) expect(outs[second]![k * Q + 4]!, `lead ${k + 1}`).toBeGreaterThan(95);
  });

  it('are the same after a restart in the middle of the change', () => {
    const track = new Track(LEADS);
    play(moved, START + 2, 60, track);
    const writer = new StateWriter();
    track.persist(writer);
    const other = new Track(LEADS);
    const reader = new StateReader(writer.finish());
    other.persist(reader);
    reader.finish();
    const after: Level = () => 50;
    expect(play(after, 60, 0, other).outs).toEqual(play(after, 60, 0, track).outs);
  });
});
