import { describe, expect, it } from 'vitest';
import { QUANTILES } from '../../src/quantiles.ts';
import { History } from '../../src/series/history.ts';
import { LagMatch } from '../../src/series/lag-match.ts';
import { MOST_SEASONS, seasonQuantiles } from '../../src/series/recurrence.ts';
import { uniform } from '../support/random.ts';

const Q = QUANTILES.length;

function past(steps: number, value: (t: number) => number): { history: History; match: LagMatch } {
  const history = new History(600);
  const match = new LagMatch(512, 6, 1024);
  for (let t = 0; t < steps; t++) {
    history.push(value(t));
    match.update(history);
  }
  return { history, match };
}

const quantiles = (history: History, period: number, leads: number): Float64Array | null => {
  const out = new Float64Array(leads * Q);
  return seasonQuantiles(history, period, leads, new Float64Array(MOST_SEASONS), out) ? out : null;
};

describe('a season', () => {
  it('is the shortest lag at which a stream repeats itself', () => {
    const next = uniform(1);
    expect(past(400, (t) => (t % 12 === 0 ? 0.05 + next() : 0)).match.season(4)).toBe(12);
    expect(past(400, (t) => Math.sin((2 * Math.PI * t) / 24) + 0.05 * next()).match.season(4)).toBe(24);
  });

  it('is not found in noise or in impulses at random times', () => {
    const next = uniform(2);
    expect(past(400, () => next()).match.season(4)).toBe(0);
    expect(past(400, () => (next() < 0.1 ? next() : 0)).match.season(4)).toBe(0);
  });
});

describe('quantiles at a phase', () => {
  it('are zero between impulses, and those of impulses at their phase', () => {
    const next = uniform(3);
    const { history } = past(400, (t) => (t % 12 === 0 ? 0.05 + 0.95 * next() : 0));
    const out = quantiles(history, 12, 24)!;
    for (let k = 1; k <= 24; k++) {
      const row = out.subarray((k - 1) * Q, k * Q);
      const due = (399 + k) % 12 === 0;
      expect(Math.min(...row) > 0, `lead ${k}`).toBe(due);
      if (!due) expect(Math.max(...row)).toBe(0);
      else expect(row[Q - 1]! - row[0]!).toBeGreaterThan(0.4);
      expect([...row].sort((a, b) => a - b)).toEqual([...row]);
    }
  });

  it('are not given before enough seasons are known', () => {
    const { history } = past(50, (t) => t % 12);
    expect(quantiles(history, 12, 3)).toBeNull();
    expect(quantiles(history, 0, 3)).toBeNull();
    expect(quantiles(past(61, (t) => t % 12).history, 12, 3)).not.toBeNull();
  });
});
