/**
 * Comparing networks that were judged on the same windows, by the ratio of their losses in each: how hard a window is falls out,
 * no single wild window decides, and the seed is one both had in common. Means are of logarithms, as is usual for ratios. Pure.
 */
import type { WindowLosses } from './trials.ts';

/** What one network scored, one entry a fold. */
export type Folds = readonly WindowLosses[];

/** Below this a loss counts as this: a stretch on which nothing happened has no logarithm. */
const LEAST = 1e-6;
const logs = (losses: readonly number[]): number[] => losses.map((loss) => Math.log(Math.max(LEAST, loss)));

/** Geometric mean over folds, over data sets by weight, and over a set's windows. */
export function pooledLoss(folds: Folds, weightOf: (group: string) => number): number {
  return Math.exp(mean(folds.map((fold) => pooled(fold.groups, logs(fold.losses), weightOf))));
}

export interface Difference {
  /** Logarithm of the loss of `a` over that of `b`: 0.01 is one percent worse. */
  readonly mean: number;
  /** Standard error of it. */
  readonly error: number;
}

/**
 * The difference with its standard error: the larger of the one between windows (within data sets, as if windows were
 * independent) and the one between folds, each of which was trained with a seed of its own. Windows of one building are not
 * independent, and few folds tell a spread badly: either alone would be too sure of itself.
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
const mean = (values: readonly number[]): number => sum(values) / values.length;

/** Unbiased; 0 for a single value. */
function variance(values: readonly number[]): number {
  const middle = mean(values);
  return sum(values.map((value) => (value - middle) ** 2)) / Math.max(1, values.length - 1);
}
