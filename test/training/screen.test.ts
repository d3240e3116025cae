import { describe, expect, it } from 'vitest';
import { Random } from '../../src/training/random.ts';
import { screen } from '../../src/training/screen.ts';

const rng = new Random(1);
const usual = Array.from({ length: 1000 }, (_, t) => 20 + 5 * Math.sin(t / 15) + 0.2 * rng.normal());

describe('screen', () => {
  it('does not change a usual stream', () => {
    const { values, spikes, stuck, problem } = screen(usual);
    expect({ spikes, stuck, problem }).toEqual({ spikes: 0, stuck: 0, problem: null });
    expect(values).toEqual(Float64Array.from(usual));
  });

  it('removes spikes only', () => {
    const x = usual.slice();
    for (const t of [100, 400, 777]) x[t] = t % 2 ? 1e6 : -300;
    const { values, spikes, problem } = screen(x);
    expect(spikes).toBe(3);
    expect(problem).toBeNull();
    expect([100, 400, 777].every((t) => Number.isNaN(values[t]!))).toBe(true);
    expect(values.filter((v) => Number.isNaN(v))).toHaveLength(3);
  });

  it('removes a stuck stretch except for its first reading', () => {
    const x = usual.slice();
    x.fill(x[500]!, 500, 700);
    const { values, stuck, problem } = screen(x);
    expect(stuck).toBe(199);
    expect(problem).toBeNull();
    expect(Number.isNaN(values[500]!)).toBe(false);
    expect(Number.isNaN(values[501]!)).toBe(true);
    expect(Number.isNaN(values[700]!)).toBe(false);
  });

  it('keeps frequent floor values, steps, and recurring bursts', () => {
    const rain = usual.map((_, t) => (t % 200 > 160 ? 1 + Math.abs(Math.sin(t)) : 0));
    expect(screen(rain)).toMatchObject({ spikes: 0, stuck: 0, problem: null });
    const steps = usual.map((x, t) => x + (t > 500 ? 100 : 0));
    expect(screen(steps)).toMatchObject({ spikes: 0, stuck: 0, problem: null });
    const bursts = usual.map((_, t) => (t % 30 === 0 ? 500 + t : 1 + 0.01 * Math.sin(t)));
    expect(screen(bursts)).toMatchObject({ spikes: 0, problem: null });
  });

  it.each([
    ['all missing', usual.map(() => Number.NaN), /0 buckets were observed/],
    ['mostly missing', usual.map((x, t) => (t % 4 ? Number.NaN : x)), /25 % of the window/],
    ['stuck for most of it', usual.map((x, t) => (t > 300 ? 3 : x)), /stuck readings/],
    ['constant', usual.map(() => 5), /stuck|never changes/],
    ['infinite', usual.map(() => Number.POSITIVE_INFINITY), /0 buckets/],
    ['absurd', usual.map(() => 1e38), /0 buckets/],
    ['empty', [], /0 buckets/],
  ])('refuses a window that is %s', (_, x, problem) => {
    expect(screen(x).problem).toMatch(problem);
  });
});
