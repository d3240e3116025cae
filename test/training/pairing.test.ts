import { describe, expect, it } from 'vitest';
import { pairedDifference, pooledLoss } from '../../src/training/pairing.ts';

const one = () => 1;
const fold = (losses: number[], groups = losses.map(() => 'a')) => ({ groups, losses });

const e = Math.exp(1);

describe('comparing by pairs', () => {
  it('weights data sets independently of their number of windows', () => {
    const folds = [fold([1, 1, 1, 16], ['a', 'a', 'a', 'b'])];
    expect(pooledLoss(folds, one)).toBeCloseTo(4, 10);
    expect(pooledLoss(folds, (group) => (group === 'a' ? 3 : 1))).toBeCloseTo(2, 10);
    expect(pooledLoss([...folds, fold([9])], one)).toBeCloseTo(6, 10);
  });

  it('does not depend on the difficulty of a window', () => {
    const losses = [1, 500, 20, 3];
    const { mean, error } = pairedDifference([fold(losses.map((loss) => 1.1 * loss))], [fold(losses)], one);
    expect(mean).toBeCloseTo(Math.log(1.1), 10);
    expect(error).toBeCloseTo(0, 10);
  });

  it('computes the standard error of the mean difference between windows', () => {
    // logarithms 1, -1, 1, -1: variance 4/3, of their mean 1/3
    const { mean, error } = pairedDifference([fold([e, 1 / e, 5 * e, 7 / e])], [fold([1, 1, 5, 7])], one);
    expect(mean).toBeCloseTo(0, 10);
    expect(error).toBeCloseTo(Math.sqrt(1 / 3), 10);
  });

  it('is not more certain than the folds allow, if all windows of a fold agree and the folds do not', () => {
    const same = [fold([1, 2, 3, 4]), fold([1, 2, 3, 4])];
    const other = [fold([1, 2, 3, 4].map((loss) => loss * e)), fold([1, 2, 3, 4].map((loss) => loss / e))];
    const { mean, error } = pairedDifference(other, same, one);
    expect(mean).toBeCloseTo(0, 10);
    expect(error).toBeCloseTo(1, 10);
  });

  it('handles windows without any error', () => {
    expect(pairedDifference([fold([0, 1])], [fold([0, 1])], one)).toEqual({ mean: 0, error: 0 });
  });
});
