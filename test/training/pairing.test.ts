import { describe, expect, it } from 'vitest';
import { pairedDifference, pooledLoss } from '../../src/training/pairing.ts';

const one = () => 1;
const fold = (losses: number[], groups = losses.map(() => 'a')) => ({ groups, losses });

describe('comparing by pairs', () => {
  it('counts every data set by its weight, whatever its number of windows', () => {
    const folds = [fold([1, 1, 1, 4], ['a', 'a', 'a', 'b'])];
    expect(pooledLoss(folds, one)).toBe(2.5);
    expect(pooledLoss(folds, (group) => (group === 'a' ? 2 : 1))).toBe(2);
    expect(pooledLoss([...folds, fold([3])], one)).toBe(2.75);
  });

  it('does not mind how hard a window is', () => {
    const hard = [1, 500, 20, 3].map((loss) => loss + 0.1);
    const { mean, error } = pairedDifference([fold(hard)], [fold([1, 500, 20, 3])], one);
    expect(mean).toBeCloseTo(0.1, 10);
    expect(error).toBeCloseTo(0, 10);
  });

  it('knows the error of the mean of differences between windows', () => {
    // differences 1, -1, 1, -1: variance 4/3, of their mean 1/3
    const { mean, error } = pairedDifference([fold([2, 2, 4, 4])], [fold([1, 3, 3, 5])], one);
    expect(mean).toBe(0);
    expect(error).toBeCloseTo(Math.sqrt(1 / 3), 10);
  });

  it('is no surer than the folds allow: all windows of one agree, and the folds do not', () => {
    const zero = [fold([0, 0, 0, 0]), fold([0, 0, 0, 0])];
    const { mean, error } = pairedDifference([fold([1, 1, 1, 1]), fold([-1, -1, -1, -1])], zero, one);
    expect(mean).toBe(0);
    expect(error).toBe(1);
  });
});
