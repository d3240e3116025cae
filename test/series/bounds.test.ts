import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bounds } from '../../src/series/bounds.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';
import { Random } from '../../src/training/random.ts';

const shown = (values: readonly number[]): Bounds => {
  const bounds = new Bounds();
  for (const value of values) bounds.add(value);
  return bounds;
};

describe('bounds', () => {
  it('limit forecasts at a level that was often reached and never crossed', () => {
    const clipped = shown(
      Array.from({ length: 2000 }, (_, i) => Math.min(4000, Math.max(0, 5200 * Math.sin(i / 15)))),
    );
    expect(clipped.hold(6500)).toBeLessThan(4160);
    expect(clipped.hold(-1250)).toBeGreaterThan(-160);
    const tank = shown(Array.from({ length: 2000 }, (_, i) => 92 - (77 * (i % 200)) / 200));
    expect(tank.hold(154)).toBeLessThan(95);
  });

  it('leave no room at a level that was reached exactly on many visits', () => {
    const clipped = (days: number): Bounds =>
      shown(
        Array.from({ length: 96 * days }, (_, i) =>
          Math.min(4000, Math.max(0, -5200 * Math.cos((i / 48) * Math.PI))),
        ),
      );
    expect(clipped(20).limit(6500)).toBe(4000);
    expect(clipped(20).limit(-5)).toBe(0);
    // The inputs of the network stay soft.
    expect(clipped(20).hold(6500)).toBeGreaterThan(4000);
    // Few visits, and a highest value that differs from visit to visit, are no bound.
    expect(clipped(2).limit(6500)).toBeGreaterThan(4040);
    const noisy = shown(Array.from({ length: 2000 }, (_, i) => 100 * Math.sin(i / 15) + Math.sin(17 * i)));
    expect(noisy.limit(150)).toBeGreaterThan(101);
    // Once it has been exceeded, there is room again.
    const exceeded = clipped(20);
    exceeded.add(4500);
    expect(exceeded.limit(6500)).toBeGreaterThan(4600);
  });

  it('leave no room after three visits that stayed at a level, also if restored during one of them', () => {
    const battery = (i: number): number => {
      const hour = (i / 4) % 24;
      return Math.round(Math.max(22, Math.min(95, 22 + 11 * (hour < 16 ? hour - 4 : 27 - hour))));
    };
    const days = (n: number) => Array.from({ length: 96 * n }, (_, i) => battery(i));
    expect(shown(days(2)).limit(120)).toBeGreaterThan(96);
    expect(shown(days(3)).limit(120)).toBe(95);
    const restored = new Bounds();
    for (const [i, value] of days(3).entries()) {
      if (i === 96 * 2 + 4 * 18.5) {
        const writer = new StateWriter();
        restored.persist(writer);
        restored.persist(new StateReader(writer.finish()));
      }
      restored.add(value);
    }
    expect(restored.limit(120)).toBe(95);
    // A rounded peak stays at its highest value as long, but comes and goes more slowly.
    const temperature = Array.from({ length: 96 * 5 }, (_, i) =>
      Math.round(20 - 10 * Math.cos((i / 48) * Math.PI)),
    );
    expect(shown(temperature).limit(40)).toBeGreaterThan(30.5);
  });

  it('count the readings of long visits: those of 10 s give what those of a minute give', () => {
    /** 15 minutes for the last 8 % of the range, then six hours at the highest value, and back. */
    const battery = (minute: number): number =>
      Math.max(20, Math.min(95, 95 + (Math.min(minute, 1440 - minute) - 540) * (6.4 / 15)));
    for (const perMinute of [1, 6]) {
      const day = 1440 * perMinute;
      const days = (n: number) =>
        Array.from({ length: day * n }, (_, i) => battery((500 + i / perMinute) % 1440));
      expect(shown(days(2)).limit(120)).toBeGreaterThan(95.5);
      expect(shown(days(3)).limit(120)).toBe(95);
      const restored = new Bounds();
      for (const [i, value] of days(3).entries()) {
        // On the way up, at the highest value and on the way down.
        if (i % (7 * perMinute) === 0) {
          const writer = new StateWriter();
          restored.persist(writer);
          restored.persist(new StateReader(writer.finish()));
        }
        restored.add(value);
      }
      expect(restored.limit(120)).toBe(95);
    }
  });

  it('read the counts of a visit that an earlier build has stored', () => {
    const visit = [...Array.from({ length: 40 }, () => 20), 92, ...Array.from({ length: 20 }, () => 95), 92];
    const afterwards = (stayed: number, passed: number): number => {
      const bounds = shown([...visit, ...visit, ...visit]);
      const numbers: number[] = [];
      const number = (value: number): number => numbers[numbers.push(value) - 1] as number;
      bounds.persist({ reading: false, number, array: (values) => values });
      expect(Math.floor((numbers[8] as number) / 4)).toBe(20 + 256 * 2);
      numbers[8] = ((numbers[8] as number) % 4) + 4 * (stayed + 256 * passed);
      bounds.persist({ reading: true, number: () => numbers.shift() as number, array: (values) => values });
      bounds.add(20);
      return bounds.limit(120);
    };
    expect(afterwards(255, 170)).toBe(95);
    expect(afterwards(255, 171)).toBeGreaterThan(95.5);
    expect(afterwards(7, 1)).toBeGreaterThan(95.5);
  });

  it('leave no room at the end of a usual scale, once the stream has come back to it or has stayed', () => {
    const switched = [...Array.from({ length: 40 }, () => 0), 1, 0];
    expect(shown(switched).limit(1.1)).toBeGreaterThan(1.01);
    expect(shown([...switched, 1, 0]).limit(1.1)).toBe(1);
    expect(shown([...switched, 1, 0]).limit(-0.1)).toBe(0);
    const rise = (to: number, first = 0) =>
      Array.from({ length: 50 }, (_, i) => first + (i * (to - first)) / 49);
    const stays = (at: number) => Array.from({ length: 8 }, () => at);
    expect(shown(rise(100)).limit(104)).toBe(104);
    expect(shown([...rise(100), ...stays(100)]).limit(104)).toBe(100);
    // A level that is no such end, a lowest value above 0, and a scale that has been exceeded.
    expect(shown([...rise(98), ...stays(98)]).limit(104)).toBeGreaterThan(98.5);
    expect(shown([...rise(100, 40), ...stays(100)]).limit(30)).toBeLessThan(39.5);
    expect(shown([...rise(100, -5), ...stays(100)]).limit(104)).toBeGreaterThan(100.5);
    expect(shown([...rise(100), ...stays(100), 101]).limit(104)).toBeGreaterThan(101.5);
  });

  it('leave little room at a level that was almost reached on many visits', () => {
    const rng = new Random(3);
    const machine = (cycles: number): Bounds =>
      shown(
        Array.from({ length: 40 * cycles }, (_, i) =>
          i % 40 < 12 ? 1800 + 20 * rng.normal() : 8 + 0.5 * rng.normal(),
        ),
      );
    const often = machine(60);
    const low = often.range?.low ?? 0;
    expect(low).toBeGreaterThan(5);
    expect(often.limit(-1250)).toBeGreaterThan(low - 2);
    expect(often.limit(-1250)).toBeLessThan(low);
    // A value just below the lowest one is likely: it changes little.
    expect(often.limit(low - 0.1)).toBeLessThan(low - 0.08);
    expect(machine(5).limit(-1250)).toBeLessThan(-20);
    // Noise about the end of a visit makes no further visits.
    const slow = shown(Array.from({ length: 2000 }, (_, i) => 100 * Math.sin(i / 500) + 0.5 * rng.normal()));
    expect(slow.limit(150)).toBeGreaterThan(105);
  });

  it('tell how far a value is outside the range, of a stream that does not rise or fall permanently', () => {
    const tank = shown(Array.from({ length: 2000 }, (_, i) => 92 - (77 * (i % 200)) / 200));
    // A hundredth of the range may be chance.
    for (const value of [80, 92.7, 14.7]) expect(tank.beyond(value)).toBe(0);
    expect(tank.beyond(154)).toBeCloseTo(61.2, 0);
    expect(tank.beyond(5)).toBeCloseTo(9.6, 0);
    const rising = shown(Array.from({ length: 400 }, (_, i) => i));
    expect(rising.beyond(600)).toBe(0);
    expect(rising.beyond(-50)).toBeCloseTo(46.01, 6);
    expect(shown([1, 2, 3]).beyond(50)).toBe(0);
  });

  it('do not change values within the range, or any value while little is known', () => {
    const few = shown([1, 2, 3]);
    expect(few.hold(50)).toBe(50);
    expect(few.range).toBeNull();
    const some = shown([7, ...Array.from({ length: 100 }, (_, i) => i % 7)]);
    expect(some.hold(0.3)).toBe(0.3);
    expect(some.range).toEqual({ low: 0, high: 7 });
  });

  it('do not limit a steadily rising stream, and give a random walk as much room as before', () => {
    const rising = shown(Array.from({ length: 500 }, (_, i) => i));
    expect(rising.hold(600)).toBe(600);
    const walk = shown(
      Array.from({ length: 400 }, (_, i) => Math.sin(i / 20) * (10 + Math.floor(i / 120) * 5)),
    );
    expect(walk.hold(30)).toBeGreaterThan(25.5);
  });

  it('limit what is published after a return by the size of earlier records, and of the first one not', () => {
    // Begins at 300, is then filled to 1000 and 1040: the first rise, of 700, says nothing about the third.
    const cycle = (top: number) => Array.from({ length: 60 }, (_, i) => top - 12 * i);
    const bounds = shown([...Array.from({ length: 40 }, () => 300), ...cycle(1000), ...cycle(1040)]);
    expect(bounds.limit(1800)).toBeGreaterThan(1040);
    expect(bounds.limit(1800)).toBeLessThan(1040 + (1040 - 290) / 8);
    const once = shown([...Array.from({ length: 40 }, () => 300), ...cycle(1000)]);
    expect(once.limit(1800)).toBeGreaterThan(1300);
  });

  it('keep the order of values, and are restored exactly', () => {
    const numbers = fc.array(fc.double({ min: -100, max: 100, noNaN: true }), {
      minLength: 40,
      maxLength: 200,
    });
    fc.assert(
      fc.property(
        numbers,
        fc.array(fc.double({ min: -1e4, max: 1e4, noNaN: true }), { minLength: 2 }),
        (past, list) => {
          const bounds = shown(past);
          const sorted = [...list].sort((a, b) => a - b);
          const held = sorted.map((value) => bounds.hold(value));
          for (let i = 1; i < held.length; i++) expect(held[i]).toBeGreaterThanOrEqual(held[i - 1]);
        },
      ),
    );
  });
});
