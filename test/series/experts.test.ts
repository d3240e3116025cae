/** Every expert against its formula, worked out from the whole series; their errors by lead; what fills a gap. */
import { describe, expect, it } from 'vitest';
import { Phases, UTC } from '../../src/series/calendar.ts';
import { E, EXPERTS, Experts } from '../../src/series/experts.ts';
import { Features } from '../../src/series/features.ts';
import { fillValue } from '../../src/series/fill.ts';
import { ErrorScratch, errorKnots, LeadErrors } from '../../src/series/lead-errors.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';
import { normal } from '../support/random.ts';

const HOUR = 3_600_000;
const DAY = 24;
const WEEK = 7 * DAY;
const LEADS = 30;
/** A Monday. */
const START = Date.UTC(2024, 0, 1);
type Name = keyof typeof EXPERTS;

/** Hourly values on single precision's grid: a day, a week, noise. */
function hourly(count: number, seed = 1): number[] {
  const next = normal(seed);
  return Array.from({ length: count }, (_, t) =>
    Math.fround(20 + 4 * Math.sin((2 * Math.PI * t) / DAY) + (Math.floor(t / DAY) % 7 < 5 ? 2 : 0) + next()),
  );
}

/** Forecasts of every expert after all of `values`, by name. */
function forecasts(
  values: readonly number[],
  intervalMs = HOUR,
  unobserved: ReadonlySet<number> = new Set(),
) {
  const experts = new Experts(intervalMs, LEADS);
  const now = new Phases(1);
  for (const [t, value] of values.entries()) {
    now.fill(START + t * intervalMs, intervalMs, UTC);
    experts.update(value, !unobserved.has(t), now.day[0] ?? 0, now.week[0] ?? 0);
  }
  const ahead = new Phases(LEADS);
  ahead.fill(START + values.length * intervalMs, intervalMs, UTC);
  const out = new Float32Array(E * LEADS);
  experts.forecast(LEADS, ahead, out);
  const of = (name: Name) => [...out.subarray(EXPERTS[name] * LEADS, (EXPERTS[name] + 1) * LEADS)];
  return { experts, of };
}
const close = (found: readonly number[], expected: readonly number[], digits = 3): void => {
  expect(found).toHaveLength(expected.length);
  for (const [i, value] of expected.entries()) expect(found[i], `lead ${i + 1}`).toBeCloseTo(value, digits);
};
const leads = <T>(at: (k: number) => T): T[] => Array.from({ length: LEADS }, (_, i) => at(i + 1));

/** Exponential mean, plain while young. */
function mean(values: readonly number[], span: number): number {
  let now = 0;
  for (const [i, value] of values.entries()) now += (value - now) / Math.min(i + 1, span);
  return now;
}

describe('experts', () => {
  const values = hourly(3 * WEEK + 5);
  const last = values.at(-1) ?? 0;
  const { of, experts } = forecasts(values);

  it('are the last value, and its means with three memories', () => {
    expect(of('last')).toEqual(leads(() => last));
    close(
      of('fastMean'),
      leads(() => mean(values, 6)),
    );
    close(
      of('slowMean'),
      leads(() => mean(values, 48)),
    );
    close(
      of('longMean'),
      leads(() => mean(values, 336)),
    );
    expect(experts.fastMean).toBeCloseTo(mean(values, 6), 9);
    expect(experts.slowMean).toBeCloseTo(mean(values, 48), 9);
    expect(experts.longMean).toBeCloseTo(mean(values, 336), 9);
  });

  it('extrapolate the last slopes, damped by 8 % per lead', () => {
    const slope = mean(
      values.slice(1).map((value, i) => value - (values[i] ?? 0)),
      8,
    );
    let sum = 0;
    close(
      of('trend'),
      leads((k) => {
        sum += 0.92 ** k;
        return last + slope * sum;
      }),
    );
  });

  it('repeat the previous day and week, also if the horizon is longer than a day', () => {
    const back = (k: number, lag: number) => values.at(-1 - (lag * Math.ceil(k / lag) - k));
    expect(of('seasonalNaive')).toEqual(leads((k) => back(k, DAY)));
    expect(of('weekNaive')).toEqual(leads((k) => back(k, WEEK)));
    expect(experts.seasons).toMatchObject({ day: true, week: true });
    expect([experts.dayLag, experts.weekLag]).toEqual([DAY, WEEK]);
  });

  it('use the last value before the first day, and the previous day before the first week', () => {
    const young = forecasts(values.slice(0, DAY));
    expect(young.of('seasonalNaive')).toEqual(leads(() => values[DAY - 1]));
    expect(young.experts.seasons).toMatchObject({ day: false, week: false });
    const day = forecasts(values.slice(0, DAY + 1));
    expect(day.of('seasonalNaive').slice(0, 3)).toEqual(values.slice(1, 4));
    expect(day.of('weekNaive')).toEqual(day.of('seasonalNaive'));
    expect(day.experts.seasons).toMatchObject({ day: true, week: false });
    expect(forecasts(values.slice(0, WEEK)).of('weekNaive')).toEqual(
      forecasts(values.slice(0, WEEK)).of('seasonalNaive'),
    );
    expect(
      forecasts(values.slice(0, WEEK + 1))
        .of('weekNaive')
        .slice(0, 3),
    ).toEqual(values.slice(1, 4));
  });

  it('have no daily season if a day has fewer than four buckets', () => {
    const long = forecasts(values, 7 * HOUR);
    for (const name of ['seasonalNaive', 'weekNaive', 'profileAndLast', 'profileAndLevel'] as const)
      expect(long.of(name), name).toEqual(leads(() => last));
    expect(long.of('profile')).toEqual(long.of('longMean'));
    expect(long.of('weekProfile')).toEqual(long.of('longMean'));
    expect(
      forecasts(values, 6 * HOUR)
        .of('seasonalNaive')
        .slice(0, 4),
    ).toEqual(values.slice(-4));
  });

  /** Profiles by the hour of the day, mean over ten days, and the residuals that went into the mean of the week. */
  function profiles(all: readonly number[]) {
    const day = Array.from({ length: DAY }, () => [] as number[]);
    const week = Array.from({ length: WEEK }, () => [] as number[]);
    const residuals: number[] = [];
    const at = (hour: number) => (day[hour]?.length ? mean(day[hour] ?? [], 10) : Number.NaN);
    for (const [t, value] of all.entries()) {
      const base = at(t % DAY);
      const residual = t === 0 ? 0 : value - (Number.isNaN(base) ? mean(all.slice(0, t), 336) : base);
      residuals.push(residual);
      week[t % WEEK]?.push(residual);
      day[t % DAY]?.push(value);
    }
    return { day: at, week: (hour: number) => mean(week[hour] ?? [], 5), residuals };
  }

  it('follow the daily profile: alone, shifted by the last residual, by their mean, and with the weekly profile', () => {
    // Four days, in which no value is wild enough to be cut.
    const some = values.slice(0, 4 * DAY + 7);
    const young = forecasts(some);
    const { day, residuals } = profiles(some);
    const base = leads((k) => day((some.length + k - 1) % DAY));
    close(young.of('profile'), base);
    close(
      young.of('profileAndLast'),
      base.map((value) => value + (residuals.at(-1) ?? 0)),
    );
    close(
      young.of('profileAndLevel'),
      base.map((value) => value + mean(residuals, 24)),
    );
    expect(young.experts.residualLevel).toBeCloseTo(mean(residuals, 24), 4);
    // Nothing is known of these hours of the week yet.
    expect(young.of('weekProfile')).toEqual(young.of('profile'));
    const known = forecasts(values.slice(0, WEEK + 30));
    const { day: by, week } = profiles(values.slice(0, WEEK + 30));
    close(
      known.of('weekProfile'),
      leads((k) => by((WEEK + 29 + k) % DAY) + week((WEEK + 29 + k) % WEEK)),
      2,
    );
  });

  it('find a cycle of any length, and continue it from the last value', () => {
    const period = 37;
    const cyclic = Array.from({ length: 800 }, (_, t) =>
      Math.fround(10 + 3 * Math.sin((2 * Math.PI * t) / period)),
    );
    const shifted = [...cyclic.slice(0, -1), (cyclic.at(-1) ?? 0) + 0.5];
    const { of: found, experts: made } = forecasts(cyclic);
    expect(made.seasons.cycle % period).toBe(0);
    close(
      found('cycle'),
      leads((k) => 10 + 3 * Math.sin((2 * Math.PI * (799 + k)) / period)),
      2,
    );
    close(found('analogue'), found('cycle'), 2);
    const moved = forecasts(shifted);
    const ahead = moved.of('cycleAndLast');
    const plain = moved.of('cycle');
    for (let k = 1; k <= 20; k++) expect((ahead[k] ?? 0) - (plain[k] ?? 0)).toBeCloseTo(0.5, 1);
  });

  it('learn means and profiles from observed values alone', () => {
    const filled = new Set(values.map((_, t) => t).filter((t) => t % 3 === 1));
    const some = forecasts(values, HOUR, filled);
    const observed = values.filter((_, t) => !filled.has(t));
    expect(some.of('fastMean')[0]).toBeCloseTo(mean(observed, 6), 3);
    expect(some.experts.longMean).toBeCloseTo(mean(observed, 336), 9);
    // The history has them all.
    expect(some.of('seasonalNaive')).toEqual(of('seasonalNaive'));
    const sorted = [...observed].sort((a, b) => a - b);
    const typical = some.of('longMedian')[0] ?? 0;
    expect(typical).toBeGreaterThan(sorted[Math.floor(0.4 * sorted.length)] ?? 0);
    expect(typical).toBeLessThan(sorted[Math.floor(0.6 * sorted.length)] ?? 0);
  });

  it('track the deviation of values from their mean and from their hour', () => {
    const even = forecasts(Array.from({ length: 400 }, (_, t) => (t % 2 === 0 ? 1 : 3)));
    expect(even.experts.longSpread).toBeCloseTo(1, 1);
    expect(even.experts.phaseSpread(0.3)).toBeLessThan(0.01);
    expect(forecasts([1, 2], 7 * HOUR).experts.phaseSpread(0.3)).toBeNaN();
    expect(forecasts([5]).experts.longSpread).toBe(0);
  });

  it('continue from a saved state', () => {
    const run = (cut: number | null) => {
      let made = new Experts(HOUR, LEADS);
      const phases = new Phases(1);
      for (const [t, value] of values.slice(0, WEEK + 50).entries()) {
        if (t === cut) {
          const writer = new StateWriter();
          made.persist(writer);
          made = new Experts(HOUR, LEADS);
          const reader = new StateReader(writer.finish());
          made.persist(reader);
          reader.finish();
        }
        phases.fill(START + t * HOUR, HOUR, UTC);
        made.update(value, t % 5 !== 0, phases.day[0] ?? 0, phases.week[0] ?? 0);
      }
      const out = new Float32Array(E * LEADS);
      made.forecast(LEADS, new Phases(LEADS), out);
      return { out, spread: made.longSpread, seasons: made.seasons };
    };
    for (const cut of [1, 20, 31, 64, WEEK]) expect(run(cut), `saved at ${cut}`).toEqual(run(null));
  });
});

describe('errors by lead', () => {
  const EXPERT_COUNT = 2;
  const HORIZON = 6;

  /** Feeds values; expert 0 says `value + 1`, expert 1 `value - k / 4` of the newest value, the anchor `value`, scale 2. */
  function fed(values: readonly number[], observed: (t: number) => boolean = () => true) {
    const errors = new LeadErrors(errorKnots(HORIZON), EXPERT_COUNT);
    const keep = (value: number) => {
      const said = new Float32Array(EXPERT_COUNT * HORIZON);
      for (let k = 1; k <= HORIZON; k++) {
        said[k - 1] = value + 1;
        said[HORIZON + k - 1] = value - k / 4;
      }
      errors.keep(HORIZON, said, new Float32Array(HORIZON).fill(value), new Float32Array(HORIZON).fill(2));
    };
    for (const [t, value] of values.entries()) {
      errors.observe(value, observed(t));
      keep(value);
    }
    return errors;
  }
  function read(errors: LeadErrors, unit = 1) {
    const out = new Float32Array(EXPERT_COUNT * HORIZON);
    const logs = new Float32Array(EXPERT_COUNT * HORIZON);
    errors.errors(HORIZON, unit, out, logs);
    for (const [i, value] of out.entries())
      if (errors.knots.includes((i % HORIZON) + 1)) expect(logs[i]).toBeCloseTo(Math.log(value), 5);
    return [out.subarray(0, HORIZON), out.subarray(HORIZON)].map((row) => [...row]);
  }

  it('grow with the root of the lead before anything is known, and the first expert is trusted most', () => {
    const [first, second] = read(fed([]), 3);
    for (const k of [1, 2, 3, 4, 6]) {
      expect(first?.[k - 1]).toBeCloseTo(3 * Math.sqrt(k), 5);
      expect(second?.[k - 1]).toBeCloseTo(4.5 * Math.sqrt(k), 5);
    }
  });

  it('are the mean absolute errors, interpolated between knots in the logarithm of the lead', () => {
    // A constant: expert 0 is off by 1 at every lead, expert 1 by k / 4.
    const [first, second] = read(fed(new Array(40).fill(10)));
    for (let k = 1; k <= HORIZON; k++) expect(first?.[k - 1]).toBeCloseTo(1, 5);
    for (const k of [1, 2, 3, 4, 6]) expect(second?.[k - 1]).toBeCloseTo(k / 4, 2);
    const between = 1 + (Math.log(5 / 4) / Math.log(6 / 4)) * 0.5;
    expect(second?.[4]).toBeCloseTo(between, 2);
    // On a ramp the miss of lead k is k - 1 and k + k / 4.
    const [ramp, slow] = read(fed(Array.from({ length: 60 }, (_, t) => t)));
    for (const k of [2, 3, 4, 6]) {
      expect(ramp?.[k - 1]).toBeCloseTo(k - 1, 2);
      expect(slow?.[k - 1]).toBeCloseTo(1.25 * k, 2);
    }
  });

  it('are at least a thousandth of the unit', () => {
    const [ramp] = read(fed(Array.from({ length: 60 }, (_, t) => t)), 7);
    expect(ramp?.[0]).toBeCloseTo(0.007, 6);
  });

  it('use the shorter lead and a random walk as a prior while few are known', () => {
    // One value has met what was said: of lead 1 alone. Half its error, half the unit; longer leads grow from it.
    const [first] = read(fed([10, 10]), 5);
    expect(first?.[0]).toBeCloseTo(1 + (5 - 1) / 2, 5);
    for (const k of [2, 3, 4, 6]) expect(first?.[k - 1]).toBeCloseTo(3 * Math.sqrt(k), 4);
    const [seven] = read(fed(new Array(8).fill(10)), 5);
    expect(seven?.[0]).toBeCloseTo(1 + 4 / 8, 5);
    const [eight] = read(fed(new Array(9).fill(10)), 5);
    expect(eight?.[0]).toBeCloseTo(1, 5);
  });

  it('limit an error to eight times the mean, after sixteen errors', () => {
    const firstError = (calm: number) => read(fed([...new Array(calm + 1).fill(10), 1000]), 1)[0]?.[0] ?? 0;
    // The miss that comes as number 16 counts fully, as number 17 no longer.
    const sixteenth = firstError(15);
    expect(sixteenth).toBeCloseTo((15 + 989) / 16, 2);
    expect(firstError(16)).toBeCloseTo((16 + 8) / 17, 4);
  });

  it('learn nothing from a bucket that was not observed', () => {
    const one = fed(new Array(30).fill(10));
    const two = fed([...new Array(30).fill(10), 500], (t) => t < 30);
    expect(read(two)).toEqual(read(one));
    expect(two.innovation(0)).toBe(0);
  });

  it('contain the innovation of the newest bucket at every knot, in units of the scale', () => {
    const errors = fed([10, 20, 35]);
    // Leads 1 and 2: said 20 and 10; nothing met lead 3.
    expect([0, 1, 2].map((j) => errors.innovation(j))).toEqual([7.5, 12.5, 0]);
  });

  it('continue from a saved state', () => {
    const next = normal(2);
    const values = Array.from({ length: 50 }, () => 10 + next());
    const one = fed(values);
    const writer = new StateWriter();
    one.persist(writer);
    const two = new LeadErrors(errorKnots(HORIZON), EXPERT_COUNT, undefined, new ErrorScratch());
    const reader = new StateReader(writer.finish());
    two.persist(reader);
    reader.finish();
    for (const errors of [one, two]) errors.observe(12, true);
    expect(read(two)).toEqual(read(one));
    expect(two.innovation(2)).toBe(one.innovation(2));
  });
});

describe('what fills a gap', () => {
  const told = (values: readonly number[]) => {
    const features = new Features(HOUR, 12, UTC);
    for (const [t, value] of values.entries()) features.update(START + t * HOUR, value, true);
    return features;
  };
  const values = hourly(60).map((value, t) => (t % 7 === 0 ? 5 : value));
  const features = told(values);

  it('is NaN before the first reading and for the fill `drop`', () => {
    for (const fill of ['model', 'hold', 'mean', 'median', 'seasonal', 'mask'] as const)
      expect(fillValue(fill, told([]), 3), fill).toBeNaN();
    expect(fillValue('drop', features, 3)).toBeNaN();
  });

  it('matches its name', () => {
    const last = values.at(-1) ?? 0;
    const average = mean(values, 336);
    expect(fillValue('model', features, 17)).toBe(17);
    expect(fillValue('model', features, Number.NaN)).toBe(features.anchor[0]);
    expect(fillValue('hold', features, 17)).toBe(last);
    expect(fillValue('linear', features, 17)).toBe(last);
    expect(fillValue('mean', features, 17)).toBeCloseTo(average, 9);
    expect(fillValue('mask', features, 17)).toBeCloseTo(average + 0.95 * (last - average), 9);
    expect(fillValue('seasonal', features, 17)).toBe(values.at(-DAY));
    const sorted = [...values].sort((a, b) => a - b);
    expect(fillValue('median', features, 17)).toBe(sorted[30]);
  });

  it('is the middle of the last 256 values, not of all', () => {
    const long = told([...new Array(300).fill(100), ...Array.from({ length: 256 }, (_, t) => t)]);
    expect(fillValue('median', long, 17)).toBe(128);
  });

  it('is the most frequent value, for the mode', () => {
    const clustered = [1, 9, 4.0, 4.25, 4.5, 4.125, 20, 30, 4.25, 50];
    const mode = fillValue('mode', told(clustered), 17);
    expect(mode).toBeGreaterThanOrEqual(4);
    expect(mode).toBeLessThanOrEqual(4.5);
    expect(fillValue('mode', told([3, 3, 8]), 17)).toBe(3);
    expect(fillValue('mode', told([8, 3]), 17)).toBe(5.5);
    expect(fillValue('mode', told([8]), 17)).toBe(8);
    expect(fillValue('mode', told([7, 1, 7, 2, 7, 3, 7]), 17)).toBe(7);
  });
});
