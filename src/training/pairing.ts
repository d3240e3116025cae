/**
 * Compares networks scored on the same windows by the ratio of their losses in each window: this cancels the difficulty
 * of a window, and no single outlier decides. Both networks have the same seed. Means are of logarithms, as is usual for
 * ratios. Pure.
 */
import { mean } from './gate.ts';
import type { WindowLosses } from './trials.ts';

/** Losses of one network, by fold. */
export type Folds = readonly WindowLosses[];

/** Minimum loss: the loss of a constant window is 0, which has no logarithm. */
const LEAST = 1e-6;
const logs = (losses: readonly number[]): number[] => losses.map((loss) => Math.log(Math.max(LEAST, loss)));

/** Geometric mean over folds, over data sets by weight, and over a set's windows. */
export function pooledLoss(folds: Folds, weightOf: (group: string) => number): number {
  return Math.exp(mean(folds.map((fold) => pooled(fold.groups, logs(fold.losses), weightOf))));
}

interface Difference {
  /** Mean of log(loss of `a` / loss of `b`): 0.01 is one percent worse. */
  readonly mean: number;
  /** Its standard error. */
  readonly error: number;
}

/**
 * The difference with its standard error: the larger of the error between windows (within data sets, as if windows were
 * independent) and the error between folds, each trained with its own seed. Each alone would be too small, because windows
 * of one building are not independent, and a few folds estimate a spread badly.
 */
export function pairedDifference(a: Folds, b: Folds, weightOf: (group: string) => number): Difference {
  const folds = a.map((fold, index) => {
    const other = b[index];
    const others = logs(other.losses);
    const differences = logs(fold.losses).map((loss, window) => loss - others[window]);
    return {
      mean: pooled(fold.groups, differences, weightOf),
      variance: varianceOfPooled(fold.groups, differences, weightOf),
    };
  });
  const means = folds.map((fold) => fold.mean);
  const betweenWindows = mean(folds.map((fold) => fold.variance)) / folds.length;
  const betweenFolds = variance(means) / folds.length;
  return { mean: mean(means), error: Math.sqrt(Math.max(betweenWindows, betweenFolds)) };
}

function pooled(
  groups: readonly string[],
  values: readonly number[],
  weightOf: (group: string) => number,
): number {
  const total = sum([...byGroup(groups, values)].map(([group, own]) => weightOf(group) * mean(own)));
  return total / sumOfWeights(groups, weightOf);
}

function varianceOfPooled(
  groups: readonly string[],
  values: readonly number[],
  weightOf: (group: string) => number,
): number {
  const parts = [...byGroup(groups, values)].map(
    ([group, own]) => (weightOf(group) ** 2 * variance(own)) / own.length,
  );
  return sum(parts) / sumOfWeights(groups, weightOf) ** 2;
}

function byGroup(groups: readonly string[], values: readonly number[]): Map<string, number[]> {
  const found = new Map<string, number[]>();
  groups.forEach((group, index) => {
    const own = found.get(group);
    if (own) own.push(values[index]);
    else found.set(group, [values[index]]);
  });
  return found;
}

const sumOfWeights = (groups: readonly string[], weightOf: (group: string) => number): number =>
  sum([...new Set(groups)].map(weightOf));

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** Unbiased; 0 for a single value. */
function variance(values: readonly number[]): number {
  const middle = mean(values);
  return sum(values.map((value) => (value - middle) ** 2)) / Math.max(1, values.length - 1);
}
