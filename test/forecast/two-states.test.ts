import { describe, expect, it } from 'vitest';
import { TwoStates } from '../../src/forecast/two-states.ts';
import { ArrayBlock } from '../../src/series/array-block.ts';
import { History } from '../../src/series/history.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';
import { Random } from '../../src/training/random.ts';

const rng = new Random(1);
const machine = (t: number): number => (t % 40 < 10 ? 1800 + 40 * rng.normal() : 8 + rng.normal());

function shown(
  steps: number,
  at: (t: number) => number,
  states = new TwoStates(new ArrayBlock()),
): TwoStates {
  for (let t = 0; t < steps; t++) states.add(at(t));
  return states;
}

describe('two states', () => {
  it('are those of a machine that is on or off', () => {
    const states = shown(400, machine);
    expect(states.areDistinct).toBe(true);
    expect(states.distance).toBeGreaterThan(1700);
    expect(states.distance).toBeLessThan(1900);
    expect(states.low).toBeGreaterThan(100);
    expect(states.low).toBeLessThan(states.high);
    expect(states.high).toBeLessThan(1700);
  });

  it('are found though the machine was off at first, or after a wild reading', () => {
    expect(shown(600, (t) => (t < 200 ? 8 + rng.normal() : machine(t))).areDistinct).toBe(true);
    expect(shown(1500, (t) => (t === 0 ? 65_535 : machine(t))).areDistinct).toBe(true);
    const found = shown(1500, (t) => (t === 700 ? 65_535 : machine(t)));
    expect(found.areDistinct).toBe(true);
    expect(found.distance).toBeLessThan(1900);
  });

  it.each([
    ['a daily curve', (t: number) => 20 + 5 * Math.sin(t / 20) + 0.2 * rng.normal()],
    ['noise', () => rng.normal()],
    ['even noise', () => rng.range(0, 1)],
    ['a constant', () => 5],
    ['a change of level', (t: number) => (t < 300 ? 10 : 30) + 0.1 * rng.normal()],
    ['three levels', (t: number) => [0, 5, 9][Math.floor(t / 10) % 3]! + 0.1 * rng.normal()],
    ['impulses of any size', (t: number) => (t % 6 === 0 ? rng.range(0.1, 1) : 0)],
    ['slow ways between two levels', (t: number) => Math.max(0, Math.min(1, 0.5 + Math.sin(t / 20)))],
  ] as const)('are none of %s', (_, at) => {
    expect(shown(600, at).areDistinct).toBe(false);
  });

  it('are forgotten when the stream stays at one of them', () => {
    const states = shown(400, machine);
    shown(600, () => 8 + rng.normal(), states);
    expect(states.areDistinct).toBe(false);
    shown(200, machine, states);
    expect(states.areDistinct).toBe(true);
  });

  describe('with a gap between them', () => {
    const rare = (t: number): number => (t % 100 < 6 ? 1900 + 40 * rng.normal() : 4 + rng.normal());
    const last = (values: readonly number[]): History => {
      const history = new History(600);
      for (const value of values) history.push(value);
      return history;
    };
    const past = (newest: number) => last([...Array.from({ length: 600 }, (_, t) => rare(t)), newest]);
    const fan = (median: number, step = 2) =>
      Float64Array.from({ length: 9 }, (_, q) => median + step * (q - 4));
    const settled = (values: Float64Array, history = past(1900)) => {
      const out = values.slice();
      shown(600, rare).leaveGap(out, history);
      return [...out];
    };

    it('have no forecast between them: it stands for the probability of either', () => {
      const third = settled(fan(700));
      for (const value of third.slice(0, 6)) expect(Math.abs(value - 4)).toBeLessThan(4);
      for (const value of third.slice(6)) expect(Math.abs(value - 1900)).toBeLessThan(120);
      for (const value of settled(fan(60))) expect(Math.abs(value - 4)).toBeLessThan(4);
      for (const value of settled(fan(1750))) expect(Math.abs(value - 1900)).toBeLessThan(120);
      for (const out of [third, settled(fan(900, 300)), settled(fan(12, 3))])
        expect(out).toEqual([...out].sort((a, b) => a - b));
    });

    it('change no forecast of values that have been seen', () => {
      expect(settled(fan(5, 0.4))).toEqual([...fan(5, 0.4)]);
      expect(settled(fan(1900, 10))).toEqual([...fan(1900, 10)]);
      // The stream is between them now, or has been a little while ago.
      expect(settled(fan(700), past(700))).toEqual([...fan(700)]);
      const third = last(Array.from({ length: 600 }, (_, t) => (t > 400 && t < 410 ? 700 : rare(t))));
      expect(settled(fan(700), third)).toEqual([...fan(700)]);
      const wave = fan(700);
      shown(400, (t) => 1000 * Math.sin(t / 20)).leaveGap(wave, past(1900));
      expect([...wave]).toEqual([...fan(700)]);
    });
  });

  describe.each([
    [0, 0.7],
    [0, 2.3],
    [-0.1, 0.3],
    [1e-10, 7e-10],
    [1e9 + 7, 3e9 + 7],
    [-2.3e9, 7],
  ])('of %d and %d, of which the history keeps single precision', (off, on) => {
    it.each([0, 1e-12, 1e-8, 1e-3])('have no forecast between them with a noise of %d', (noise) => {
      const distance = on - off;
      const lastIs = (isOn: boolean): number[] => {
        const history = new History(600);
        const states = new TwoStates(new ArrayBlock());
        for (let t = isOn ? 0 : 50; t < (isOn ? 605 : 650); t++) {
          const y = (t % 100 < 6 ? on : off) + noise * distance * rng.range(-1, 1);
          states.add(y);
          history.push(y);
        }
        const out = Float64Array.from({ length: 9 }, (_, q) => off + distance * (0.4 + 0.01 * (q - 4)));
        states.leaveGap(out, history);
        return [...out].map((value) => (value - off) / distance);
      };
      for (const out of [lastIs(true), lastIs(false)]) {
        expect(out).toEqual([...out].sort((a, b) => a - b));
        const near = 4 * noise + 1e-6;
        for (const value of out.slice(0, 5)) expect(Math.abs(value)).toBeLessThan(near);
        for (const value of out.slice(5)) expect(Math.abs(value - 1)).toBeLessThan(near);
      }
    });
  });

  it('are kept', () => {
    const writer = new StateWriter();
    const states = shown(400, machine);
    states.persist(writer);
    const again = new TwoStates(new ArrayBlock());
    again.persist(new StateReader(writer.finish()));
    expect(again.areDistinct).toBe(true);
    expect(again.low).toBe(states.low);
  });
});
