import { describe, expect, it } from 'vitest';
import { type LiveScore, watch } from '../../src/training/probation.ts';

const DAY = 86_400_000;
const score = (loss: number, n = 300, lossNaive = 1, lossSeasonal = 1.2): LiveScore => ({
  n,
  loss,
  lossNaive,
  lossSeasonal,
});

describe('watch', () => {
  it('waits for evidence, then for time, then confirms', () => {
    expect(watch([score(0.5, 50)], 0, 2 * DAY).type).toBe('wait');
    expect(watch([score(0.5)], 0, DAY / 2).type).toBe('wait');
    expect(watch([score(0.5)], 0, DAY)).toMatchObject({
      type: 'confirm',
      reason: expect.stringMatching(/0\.50 times/),
    });
  });

  it('rolls back as soon as the naive is clearly better, or nothing finite is published', () => {
    expect(watch([score(1.2)], 0, 1000).type).toBe('rollback');
    expect(watch([score(0.8), score(0.9), score(1.9)], 0, 1000).type).toBe('rollback');
    expect(watch([score(Number.NaN)], 0, 1000).type).toBe('rollback');
    expect(watch([score(1.1, 300, 1.3, 1)], 0, 1000).type).toBe('rollback');
  });

  it('takes a constant stream for what it is', () => {
    expect(watch([score(0, 300, 0, 0)], 0, DAY).type).toBe('confirm');
    expect(watch([score(0.1, 300, 0, 0)], 0, DAY).type).toBe('rollback');
    expect(watch([], 0, DAY).type).toBe('wait');
  });

  it('is not held up by a clock that jumped back', () => {
    expect(watch([score(0.5)], 365 * DAY, 0).type).toBe('confirm');
  });
});
