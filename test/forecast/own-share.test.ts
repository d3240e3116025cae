import { describe, expect, it } from 'vitest';
import { Track } from '../../src/forecast/track.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';
import { type Forecaster, LEADS, noise, play, right } from './own-share.ts';

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

  it('begins with what the one before had learnt, and grows where the new one helps', () => {
    expect(first(() => -1, true)).toBeGreaterThan(0.35);
    expect(first(() => 6, true)).toBeLessThan(0.01);
    const { track } = play(
      noise(9, 1500),
      () => 1,
      () => 6,
    );
    track.beginOwn(true);
    const { shares } = play(noise(10, 1000), () => 1, right, track);
    expect(mean(shares.slice(-100))).toBeGreaterThan(0.5);
  });

  it('begins anew with another base network', () => {
    expect(first(() => -1, false)).toBeCloseTo(0.2, 6);
  });
});
