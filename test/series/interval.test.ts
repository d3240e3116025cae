import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IntervalWatch, learnFromFirst, learnInterval, niceInterval } from '../../src/series/interval.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';
import { uniform } from '../support/random.ts';

const START = Date.UTC(2025, 0, 1);
const MINUTE = 60_000;

/** Times of a sensor that reports every `interval`, each time off by up to `jitter` of it, a share of them lost. */
function times(
  interval: number,
  count: number,
  { jitter = 0, lost = 0, seed = 1, from = START } = {},
): number[] {
  const next = uniform(seed);
  const list: number[] = [];
  for (let i = 0; list.length < count; i++) {
    const time = from + i * interval + Math.round((next() - 0.5) * 2 * jitter * interval);
    if (next() >= lost) list.push(time);
  }
  return list.sort((a, b) => a - b);
}

describe('niceInterval', () => {
  it('is the nearest interval by ratio', () => {
    expect(niceInterval(58_000)).toBe(MINUTE);
    expect(niceInterval(1)).toBe(100);
    expect(niceInterval(1400)).toBe(1000);
    expect(niceInterval(1500)).toBe(2000);
    expect(niceInterval(1e12)).toBe(604_800_000);
  });
});

/** Every reading `copies` times. */
const repeated = (copies: number, count: number, interval = MINUTE, apart = 60) =>
  times(interval, count).flatMap((time, n) =>
    Array.from({ length: copies }, (_, copy) => ({ timeMs: time + apart * copy, value: n })),
  );

/** Copies of each report: number, distance and interval of the reports, ms. */
const COPIES = [
  [2, 1000, MINUTE],
  [3, 1000, MINUTE],
  [3, 1000, 5000],
  [3, 5000, 30_000],
  [4, 1000, MINUTE],
  [4, 2500, 15 * MINUTE],
  [6, 1000, 10_000],
  [6, 5000, MINUTE],
  [12, 60, 1000],
  [12, 1000, MINUTE],
  [8, 10_000, 60 * MINUTE],
] as const;

describe('learnFromFirst', () => {
  it('ignores repeated radio messages', () => {
    for (const copies of [1, 2, 3, 6, 12]) expect(learnFromFirst(repeated(copies, 6))).toBe(MINUTE);
    expect(learnFromFirst(repeated(3, 5))).toBeNull();
  });

  it('ignores the copies of a second receiver, however far apart they are', () => {
    const delays = [297, 610, 633, 30, 468, 676, 571, 12, 615, 90];
    const all = delays.flatMap((delay, n) =>
      [0, delay].map((ms) => ({ timeMs: START + 4000 * n + ms, value: n })),
    );
    expect(learnFromFirst(all)).toBe(5000);
  });

  it('decides from the same readings, however many have arrived', () => {
    const all = repeated(4, 30, 10_000);
    for (const length of [24, 25, 60, 120]) expect(learnFromFirst(all.slice(0, length))).toBe(10_000);
  });

  it.each(COPIES)(
    'finds the interval of the reports: %i copies, %i ms apart, every %i ms',
    (copies, apart, interval) => {
      for (const steady of [false, true]) {
        const all = repeated(copies, 20, interval, apart).map((one) => (steady ? { ...one, value: 7 } : one));
        expect(learnFromFirst(all)).toBe(interval);
        // Also if the first report is heard in part.
        expect(learnFromFirst(all.slice(copies - 1))).toBe(interval);
        if (steady) continue;
        // Copies are lost, and their distances vary.
        const next = uniform(copies);
        const some = all
          .filter(() => next() > 0.2)
          .map((one) => ({ ...one, timeMs: one.timeMs + Math.round(next() * 0.3 * apart) }));
        expect(learnFromFirst(some)).toBe(interval);
      }
    },
  );

  it('is robust against outages between reports with copies', () => {
    const before = repeated(3, 4, MINUTE, 1000);
    const after = before.map(({ timeMs, value }) => ({ timeMs: timeMs + 3_600_000, value }));
    expect(learnFromFirst([...before, ...after])).toBe(MINUTE);
  });

  it('takes a burst of readings that differ for one report', () => {
    const bursts = repeated(4, 20, MINUTE, 1000).map((one, value) => ({ ...one, value }));
    expect(learnFromFirst(bursts)).toBe(MINUTE);
  });

  it('takes no regular sensor for one that repeats', () => {
    for (const interval of [200, 1000, 10_000, MINUTE])
      for (const levels of [1, 2, 3, 1000])
        for (let seed = 0; seed < 20; seed++) {
          const next = uniform(seed);
          let value = 0;
          const all = times(interval, 60, { jitter: 0.2, lost: 0.1, seed }).map((timeMs) => {
            if (next() < 0.2) value = Math.floor(next() * levels);
            return { timeMs, value };
          });
          expect(learnFromFirst(all)).toBe(interval);
        }
  });

  it('handles a fast sensor with a constant value', () => {
    const still = times(200, 60).map((timeMs) => ({ timeMs, value: 7 }));
    expect(learnFromFirst(still.slice(0, 8))).toBeNull();
    for (const length of [13, 40, 60]) expect(learnFromFirst(still.slice(0, length))).toBe(200);
    const moving = still.map((one, n) => ({ ...one, value: n }));
    expect(learnFromFirst(moving.slice(0, 6))).toBe(200);
  });
});

describe('learnInterval', () => {
  it('waits for six distinct times', () => {
    const six = times(MINUTE, 6);
    expect(learnInterval([...six.slice(0, 5), ...six.slice(0, 5)])).toBeNull();
    expect(learnInterval(six)).toBe(MINUTE);
  });

  it('is robust against jitter and losses', () => {
    const nice = fc.constantFrom(1000, 5000, 10_000, MINUTE, 5 * MINUTE, 15 * MINUTE, 60 * MINUTE);
    fc.assert(
      fc.property(nice, fc.integer({ min: 0, max: 1e6 }), (interval, seed) => {
        expect(learnInterval(times(interval, 30, { jitter: 0.1, lost: 0.25, seed }))).toBe(interval);
      }),
    );
  });

  it('is robust against several messages per report', () => {
    const list = times(MINUTE, 5).flatMap((time) =>
      [time, time + 150, time + 300].slice(0, time % 7 === 0 ? 3 : 2),
    );
    expect(learnInterval(list)).toBe(MINUTE);
  });

  it('is robust against one long outage', () => {
    expect(learnInterval([...times(10_000, 4), ...times(10_000, 3, { from: START + 86_400_000 })])).toBe(
      10_000,
    );
  });

  it('does not depend on the order', () => {
    const list = times(5 * MINUTE, 12, { jitter: 0.3 });
    expect(learnInterval([...list].reverse())).toBe(learnInterval(list));
  });
});

describe('IntervalWatch', () => {
  /** All changes that a watch asks for, with the number of readings it took. */
  function changes(
    watch: IntervalWatch,
    list: readonly number[],
    intervalMs: number,
    value: (i: number) => number = (i) => i,
  ): [number, number][] {
    const found: [number, number][] = [];
    let present = intervalMs;
    list.forEach((time, i) => {
      const other = watch.add(time, value(i), present);
      if (other === null) return;
      found.push([i + 1, other]);
      present = other;
    });
    return found;
  }

  it.each([0.02, 0.2, 1])(
    'does not react to jitter and losses at a constant rate; %d of the values differ',
    (share) => {
      for (let seed = 0; seed < 20; seed++) {
        const list = times(MINUTE, 2000, { jitter: 0.4, lost: 0.3, seed });
        const next = uniform(seed);
        let level = 0;
        const values = list.map(() => (next() < share ? ++level : level));
        expect(changes(new IntervalWatch(), list, MINUTE, (i) => values[i] ?? 0)).toEqual([]);
      }
    },
  );

  for (const [name, other] of [
    ['slower', 10 * MINUTE],
    ['twice as slow', 2 * MINUTE],
    ['faster', 10_000],
  ] as const) {
    it(`notices within sixty readings that the device has become ${name}`, () => {
      const watch = new IntervalWatch();
      expect(changes(watch, times(MINUTE, 200, { jitter: 0.1 }), MINUTE)).toEqual([]);
      const list = times(other, 400, { jitter: 0.1, from: START + 300 * MINUTE, seed: 2 });
      const found = changes(watch, list, MINUTE);
      expect(found.map(([, interval]) => interval)).toEqual([other]);
      expect(found[0][0]).toBeLessThan(60);
    });
  }

  it.each(COPIES)(
    'keeps the interval of the reports: %i copies, %i ms apart, every %i ms',
    (copies, apart, interval) => {
      const all = repeated(copies, 400, interval, apart);
      const list = all.map(({ timeMs }) => timeMs);
      const values = [(i: number) => all[i]?.value ?? 0, () => 7];
      for (const value of values) {
        expect(changes(new IntervalWatch(), list, interval, value)).toEqual([]);
        expect(changes(new IntervalWatch(), list, interval * 10, value).map(([, found]) => found)).toEqual([
          niceInterval(interval),
        ]);
      }
    },
  );

  it('notices that a device with copies has become faster', () => {
    const slow = repeated(4, 60, 10 * MINUTE, 1000);
    const fast = repeated(4, 60, MINUTE, 1000).map(({ timeMs, value }) => ({
      timeMs: timeMs + 600 * MINUTE,
      value: value + 60,
    }));
    const all = [...slow, ...fast];
    const list = all.map(({ timeMs }) => timeMs);
    const found = changes(new IntervalWatch(), list, 10 * MINUTE, (i) => all[i]?.value ?? 0);
    expect(found.map(([, interval]) => interval)).toEqual([MINUTE]);
  });

  it('notices that a device with a constant value has become faster', () => {
    const list = [...times(MINUTE, 60), ...times(1000, 200, { from: START + 60 * MINUTE, jitter: 0.1 })];
    expect(changes(new IntervalWatch(), list, MINUTE, () => 7).map(([, interval]) => interval)).toEqual([
      1000,
    ]);
  });

  it('corrects a wrongly learnt interval', () => {
    expect(changes(new IntervalWatch(), times(MINUTE, 100, { jitter: 0.1 }), 1000)).toEqual([[48, MINUTE]]);
  });

  it('settles on a device without a constant rate', () => {
    const next = uniform(3);
    let now = START;
    const list = Array.from({ length: 20_000 }, (_, i) => {
      // Busy by day, quiet by night.
      now += -Math.log(1 - next()) * (Math.floor(i / 500) % 2 === 0 ? 20_000 : 600_000);
      return now;
    });
    expect(changes(new IntervalWatch(), list, MINUTE).length).toBeLessThanOrEqual(4);
  });

  it('continues from a restored state', () => {
    const list = [...times(MINUTE, 50), ...times(5 * MINUTE, 60, { from: START + 60 * MINUTE })];
    const whole = changes(new IntervalWatch(), list, MINUTE);
    expect(whole.length).toBe(1);
    for (const cut of [0, 1, 40, 70, 90]) {
      const one = new IntervalWatch();
      const before = changes(one, list.slice(0, cut), MINUTE);
      const writer = new StateWriter();
      one.persist(writer);
      const two = new IntervalWatch();
      const reader = new StateReader(writer.finish());
      two.persist(reader);
      reader.finish();
      const present = before.length > 0 ? before[0][1] : MINUTE;
      const after = changes(two, list.slice(cut), present).map(([i, interval]) => [i + cut, interval]);
      expect([...before, ...after]).toEqual(whole);
    }
  });
});
