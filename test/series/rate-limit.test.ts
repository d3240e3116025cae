import { describe, expect, it } from 'vitest';
import { RateLimit } from '../../src/series/rate-limit.ts';

/** One reading a second; at most 1 a second is believable. */
const judge = (values: readonly number[], limit = new RateLimit(1 / 1000)) =>
  values.map((value, i) => limit.accepts(i * 1000, value));

describe('RateLimit', () => {
  it('refuses a jump and accepts the return', () => {
    expect(judge([0, 1, 500, 2, 3])).toEqual([true, true, false, true, true]);
  });

  it('accepts a lasting change: three refused readings that agree', () => {
    expect(judge([0, 0, 500, 500.5, 501, 501])).toEqual([true, true, false, false, true, true]);
  });

  it('does not accept erratic readings', () => {
    expect(judge([0, 500, -500, 800, -200, 900, 6])).toEqual([true, false, false, false, false, false, true]);
  });

  it('recovers from a first reading that was wrong', () => {
    expect(judge([9999, 1, 1, 1, 1])).toEqual([true, false, false, true, true]);
  });

  it('allows a larger change after a longer silence', () => {
    const limit = new RateLimit(1 / 1000);
    expect(limit.accepts(0, 0)).toBe(true);
    expect(limit.accepts(60_000, 59)).toBe(true);
    expect(limit.accepts(61_000, 61)).toBe(false);
  });

  it('accepts everything without a limit', () => {
    expect(judge([0, 1e9, -1e9], new RateLimit(null))).toEqual([true, true, true]);
  });
});
