import { describe, expect, it } from 'vitest';
import { type LiveScore, liveRatios, PROBATION_DEFAULTS, watch } from '../../src/training/probation.ts';

const DAY = 86_400_000;
const score = (loss: number, n = 300, lossNaive = 1, lossSeasonal = 1.2, stream = 'a'): LiveScore => ({
  stream,
  n,
  loss,
  lossWithout: loss,
  lossNaive,
  lossSeasonal,
});
const on = (stream: string, loss: number, n = 300): LiveScore => score(loss, n, 1, 1.2, stream);

describe('liveRatios', () => {
  const ratio = (...rows: LiveScore[]): number | undefined => liveRatios(rows).a;

  it('weighs the leads of a stream by their forecasts, against the better naive of each', () => {
    expect(ratio(score(0.5, 100), score(1, 300))).toBeCloseTo(0.875, 12);
    expect(ratio(score(0.5, 100, 1, 0.5))).toBe(1);
    expect(ratio(score(0.5, 100), score(Number.NaN, 0))).toBe(0.5);
  });

  it('is limited where the naives are exact: 1 if the network is exact too', () => {
    expect(ratio(score(0, 100, 0, 0))).toBe(1);
    expect(ratio(score(0.001, 100, 0, 0))).toBe(4);
    expect(ratio(score(50, 100))).toBe(4);
    expect(ratio(score(Number.POSITIVE_INFINITY, 100))).toBe(4);
  });

  it('leaves out streams with too few forecasts', () => {
    expect(liveRatios([score(0.5, PROBATION_DEFAULTS.least - 1)])).toEqual({});
    expect(liveRatios([score(0.5, PROBATION_DEFAULTS.least)])).toEqual({ a: 0.5 });
  });
});

describe('watch', () => {
  it('waits for enough evidence, then for the minimum time, then confirms', () => {
    expect(watch([score(0.5, 20)], 0, 2 * DAY).type).toBe('wait');
    expect(watch([score(0.5)], 0, DAY / 2).type).toBe('wait');
    expect(watch([score(0.5)], 0, DAY)).toMatchObject({
      type: 'confirm',
      reason: expect.stringMatching(/0\.50 times/),
    });
  });

  it('rolls back as soon as the naive forecast is clearly better, or no finite forecast is published', () => {
    expect(watch([score(1.2)], 0, 1000).type).toBe('rollback');
    expect(watch([score(0.8), score(0.9), score(1.9)], 0, 1000).type).toBe('rollback');
    expect(watch([score(Number.NaN)], 0, 1000).type).toBe('rollback');
    expect(watch([score(1.1, 300, 1.3, 1)], 0, 1000).type).toBe('rollback');
  });

  it('does not let a few fast streams outweigh slow ones', () => {
    const fast = [on('fast', 3, 5000)];
    const slow = ['b', 'c', 'd'].map((stream) => on(stream, 0.6, 5));
    expect(watch([...fast, ...slow], 0, 1000)).toMatchObject({
      type: 'wait',
      reason: '1 of 4 streams have matched 24 forecasts',
    });
    const later = ['b', 'c', 'd', 'e', 'f', 'g', 'h'].map((stream) => on(stream, 0.6, 30));
    expect(watch([...fast, ...later], 0, 1000).type).toBe('wait');
    expect(watch([on('fast', 1.4, 5000), ...later], 0, DAY).type).toBe('confirm');
    // Streams that fell silent do not hold it up for ever.
    expect(watch([on('fast', 0.7), ...slow], 0, 2 * DAY).type).toBe('wait');
    expect(watch([on('fast', 0.7), ...slow], 0, 3 * DAY).type).toBe('confirm');
  });

  it('goes by the time since the switch, whatever the clock shows', () => {
    const switchedMs = Date.UTC(2025, 0, 1);
    const few = [on('fast', 0.7), ...['b', 'c', 'd'].map((stream) => on(stream, 0.6, 5))];
    const verdicts = (scores: LiveScore[], sinceMs: number) =>
      [1000, DAY / 2, DAY, 2 * DAY, 3 * DAY].map(
        (elapsedMs) => watch(scores, sinceMs, sinceMs + elapsedMs).type,
      );
    expect(verdicts(few, switchedMs)).toEqual(['wait', 'wait', 'wait', 'wait', 'confirm']);
    expect(verdicts([score(0.5)], switchedMs)).toEqual(['wait', 'wait', 'confirm', 'confirm', 'confirm']);
  });

  it("compares with the champion's level: lower if no network beats the naive forecasts, otherwise the same", () => {
    const champion = { a: 1.3 };
    expect(watch([score(1.2)], 0, 1000, { ...PROBATION_DEFAULTS, champion }).type).toBe('wait');
    expect(watch([score(1.5)], 0, 1000, { ...PROBATION_DEFAULTS, champion }).type).toBe('rollback');
    const good = { ...PROBATION_DEFAULTS, champion: { a: 0.5, gone: 0.1 } };
    expect(watch([score(0.9)], 0, DAY / 2, good).type).toBe('wait');
    expect(watch([score(0.9)], 0, DAY, good)).toMatchObject({
      type: 'rollback',
      reason: expect.stringMatching(/0\.90 times .* 0\.50 times with the previous model/),
    });
    expect(watch([score(0.55)], 0, DAY, good).type).toBe('confirm');
  });

  it('judges the own network by what it adds: it is rolled back if the forecasts are better without it', () => {
    const pooled = (stream: string, loss: number, lossWithout: number): LiveScore => ({
      ...on(stream, loss),
      lossWithout,
    });
    expect(watch([pooled('a', 0.5, 0.47)], 0, 1000)).toMatchObject({
      type: 'rollback',
      reason: expect.stringMatching(/6\.4 % higher than without on 1 streams/),
    });
    // Shares are still being learnt during the day; at its end less is tolerated.
    expect(watch([pooled('a', 0.5, 0.49)], 0, DAY / 2).type).toBe('wait');
    expect(watch([pooled('a', 0.5, 0.49)], 0, DAY).type).toBe('rollback');
    expect(watch([pooled('a', 0.5, 0.498)], 0, DAY).type).toBe('confirm');
    const limits = { ...PROBATION_DEFAULTS, harm: 2, harmAtEnd: 1.25 };
    expect(watch([pooled('a', 0.5, 0.4)], 0, DAY, limits).type).toBe('confirm');
    // Streams count equally, whatever the size of their losses.
    const mixed = [pooled('a', 0.9, 0.88), pooled('b', 0.03, 0.035)];
    expect(watch(mixed, 0, DAY).type).toBe('confirm');
    expect(watch([pooled('a', 0, 0)], 0, DAY).type).toBe('confirm');
  });

  it('handles a constant stream', () => {
    expect(watch([score(0, 300, 0, 0)], 0, DAY).type).toBe('confirm');
    expect(watch([score(0.1, 300, 0, 0)], 0, DAY).type).toBe('rollback');
    expect(watch([], 0, DAY).type).toBe('wait');
  });

  it('is not delayed by a clock that was set back', () => {
    expect(watch([score(0.5)], 365 * DAY, 0).type).toBe('confirm');
  });
});
