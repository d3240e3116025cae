/**
 * Chooses a network: trains every candidate on rolling origins (each fold validates on the part after its training data)
 * and drops the worse ones early (successive halving, Jamieson and Talwalkar 2016). The candidates of the last round are
 * compared in pairs on the same windows; the cheapest whose loss is within one standard error of the best is chosen (the
 * one-standard-error rule, Breiman et al. 1984, on the error of the difference). Pure: training is passed in.
 */

import type { Cell } from '../network/spec.ts';
import { INK, label, linear, linePath, stroke, svgDocument } from '../plot/svg.ts';
import type { JobSeries } from './job.ts';
import { type Folds, pairedDifference, pooledLoss } from './pairing.ts';
import type { WindowLosses } from './trials.ts';

export interface Candidate {
  readonly cell: Cell;
  readonly layers: number;
  readonly hidden: number;
  /** Highest learning rate. */
  readonly rate: number;
}

interface SearchSettings {
  readonly folds: number;
  /** Share of every series used for validation in one fold. */
  readonly foldShare: number;
  /** Optimiser steps of the first round; each later round has `eta` times as many. */
  readonly firstSteps: number;
  /** One in `eta` candidates reaches the next round. */
  readonly eta: number;
  /** Maximum number of rounds. */
  readonly rounds: number;
}

export const SEARCH_DEFAULTS: SearchSettings = {
  folds: 3,
  foldShare: 0.12,
  firstSteps: 150,
  eta: 3,
  rounds: 3,
};

/** One fold of one round: all remaining candidates are trained on the same data and scored on the same windows. */
export interface FoldTrial {
  readonly candidates: readonly Candidate[];
  readonly round: number;
  readonly fold: number;
  readonly steps: number;
}

export interface Row {
  readonly candidate: Candidate;
  /** Last round of the candidate, from 0. */
  readonly round: number;
  readonly steps: number;
  /** Validation loss, geometric mean over windows, data sets and folds; Infinity if a training failed. */
  readonly score: number;
  /** Logarithm of the ratio of the loss to that of the round's best, and its standard error; 0.01 is one percent. */
  readonly behind: number;
  readonly error: number;
  /** Number of compared windows. */
  readonly windows: number;
  /** Number of weights. */
  readonly parameters: number;
  /** Time of a step per stream, in a batch, microseconds. */
  readonly stepUs: number;
}

export interface SearchResult {
  /** Best first: later rounds before earlier ones, then by score. */
  readonly rows: readonly Row[];
  readonly chosen: Row;
  /** Rows of the last round that no other beats in both score and cost. */
  readonly front: readonly Row[];
  /** Explanation of the choice, for people. */
  readonly reason: string;
}

interface SearchDependencies {
  /** Losses by candidate, in order; null for a failed training; fewer if stopped. */
  readonly train: (trial: FoldTrial) => Promise<readonly (WindowLosses | null)[]>;
  /** Size and cost of a candidate. */
  readonly cost: (candidate: Candidate) => Promise<{ parameters: number; stepUs: number }>;
  /** Weight of a data set; default 1. */
  readonly weightOf?: (group: string) => number;
  readonly stop?: () => boolean;
}

/** Minimum number of candidates per round, so that the last round can weigh score against cost. */
const FEWEST = 3;

/** @throws RangeError without candidates, or if stopped before the end of the first round */
export async function search(
  candidates: readonly Candidate[],
  settings: SearchSettings,
  dependencies: SearchDependencies,
): Promise<SearchResult> {
  if (candidates.length === 0) throw new RangeError('a search needs candidates');
  const costs = new Map<Candidate, { parameters: number; stepUs: number }>();
  for (const candidate of candidates) costs.set(candidate, await dependencies.cost(candidate));
  const rows = new Map<Candidate, Row>();
  let alive = [...candidates];
  for (let round = 0; round < settings.rounds && alive.length > 0; round++) {
    const steps = settings.firstSteps * settings.eta ** round;
    const folds: (readonly (WindowLosses | null)[])[] = [];
    for (let fold = 0; fold < settings.folds && !dependencies.stop?.(); fold++) {
      folds.push(await dependencies.train({ candidates: alive, round, fold, steps }));
    }
    // an interrupted round gives no comparison
    if (dependencies.stop?.()) break;
    const judged = alive.map((_, index) => folds.map((fold) => fold[index] ?? null));
    const places = judgements(judged, dependencies.weightOf ?? (() => 1));
    alive.forEach((candidate, index) => {
      rows.set(candidate, { candidate, round, steps, ...places[index], ...costs.get(candidate)! });
    });
    alive = alive
      .filter((candidate) => Number.isFinite(rows.get(candidate)!.score))
      .sort((a, b) => rows.get(a)!.score - rows.get(b)!.score)
      .slice(0, Math.max(FEWEST, Math.ceil(alive.length / settings.eta)));
  }
  return conclude([...rows.values()]);
}

/** Scores of the candidates of one round, each compared with the best of them. */
function judgements(
  losses: readonly (readonly (WindowLosses | null)[])[],
  weightOf: (group: string) => number,
): Pick<Row, 'score' | 'behind' | 'error' | 'windows'>[] {
  const whole = losses.map((folds) => (folds.some((fold) => fold === null) ? null : (folds as Folds)));
  const scores = whole.map((folds) => (folds ? pooledLoss(folds, weightOf) : Number.POSITIVE_INFINITY));
  const best = whole[scores.indexOf(Math.min(...scores))] ?? null;
  return whole.map((folds, index) => {
    const score = scores[index];
    if (!folds || !best) return { score, behind: Number.POSITIVE_INFINITY, error: 0, windows: 0 };
    const { mean, error } = pairedDifference(folds, best, weightOf);
    const windows = folds.reduce((sum, fold) => sum + fold.losses.length, 0);
    return { score, behind: mean, error, windows };
  });
}

function conclude(rows: Row[]): SearchResult {
  rows.sort((a, b) => b.round - a.round || a.score - b.score);
  const best = rows[0];
  if (!best) throw new RangeError('the search was stopped before the end of its first round');
  const last = rows.filter((row) => row.round === best.round);
  const near = last.filter(level);
  const chosen = near.reduce((a, b) => (b.stepUs < a.stepUs ? b : a), best);
  return { rows, chosen, front: pareto(last), reason: explain(chosen, best, last, near) };
}

/** Whether the loss is within one standard error of the best. */
const level = (row: Row): boolean => row.behind <= row.error;

/** Rows that no other row beats in score without costing more, cheapest first. */
export function pareto(rows: readonly Row[]): Row[] {
  const front: Row[] = [];
  let best = Number.POSITIVE_INFINITY;
  for (const row of [...rows].sort((a, b) => a.stepUs - b.stepUs || a.score - b.score)) {
    if (row.score < best) {
      front.push(row);
      best = row.score;
    }
  }
  return front;
}

function explain(chosen: Row, best: Row, last: readonly Row[], near: readonly Row[]): string {
  const among = `Of ${last.length} candidate${last.length === 1 ? '' : 's'} in the last round, compared on ${best.windows} windows after ${best.steps} steps each`;
  const lowest = `${nameOf(best.candidate)} had the lowest loss (${best.score.toFixed(4)} at ${best.stepUs.toFixed(2)} us per step)`;
  const others = near.filter((row) => row !== best).map((row) => nameOf(row.candidate));
  if (chosen === best) {
    const comparison =
      others.length === 0
        ? 'no other is within one standard error of it'
        : `others within one standard error of it are not cheaper: ${others.join(', ')}`;
    return `${among}, ${lowest}; ${comparison}.`;
  }
  return `${among}, ${lowest}; ${nameOf(chosen.candidate)} is the cheapest within one standard error of it: ${percent(chosen.behind)} +- ${percent(chosen.error)} worse at ${chosen.stepUs.toFixed(2)} us.`;
}

/** Formats a small logarithm of a ratio as a percentage. */
export const percent = (logarithm: number): string => `${(100 * logarithm).toFixed(2)} %`;

export function nameOf({ cell, layers, hidden, rate }: Candidate): string {
  return `${cell} ${layers}x${hidden} at ${rate}`;
}

/** All combinations. */
export function grid(
  cells: readonly Cell[],
  layers: readonly number[],
  hidden: readonly number[],
  rates: readonly number[],
): Candidate[] {
  return cells.flatMap((cell) =>
    layers.flatMap((layer) =>
      hidden.flatMap((size) => rates.map((rate) => ({ cell, layers: layer, hidden: size, rate }))),
    ),
  );
}

/**
 * The data of one fold: every series up to the end of the fold's validation part, and the share of that part. The last
 * fold ends with the data; each earlier fold ends `foldShare` earlier.
 */
export function foldOf(
  series: readonly JobSeries[],
  fold: number,
  { folds, foldShare }: Pick<SearchSettings, 'folds' | 'foldShare'>,
): { series: JobSeries[]; validation: number } {
  const end = 1 - (folds - 1 - fold) * foldShare;
  return {
    series: series.map((one) => ({
      ...one,
      values: one.values.slice(0, Math.round(one.values.length * end)),
    })),
    validation: foldShare / end,
  };
}

/** Scatter of score against cost; a line joins the Pareto front. */
export function searchSvg({ rows, front, chosen }: SearchResult): string {
  const shown = rows.filter((row) => Number.isFinite(row.score));
  const costs = shown.map((row) => row.stepUs);
  const scores = shown.map((row) => row.score);
  const [cheapest, dearest] = [Math.min(...costs), Math.max(...costs)];
  const [best, worst] = [Math.min(...scores), Math.max(...scores)];
  const x = linear(Math.log(cheapest), Math.log(dearest), 80, 600);
  const y = linear(best, worst, 360, 40);
  const at = (row: Row) => [x(Math.log(row.stepUs)), y(row.score)] as const;
  const dots = shown.map((row) => {
    const [cx, cy] = at(row);
    const fill = row === chosen ? INK.accent : front.includes(row) ? INK.line : INK.faint;
    const named = front.includes(row) || row === chosen;
    return `<circle cx="${cx.toFixed(1)}" cy="${cy.toFixed(1)}" r="4" fill="${fill}"/>${named ? label(cx + 7, cy + 4, nameOf(row.candidate)) : ''}`;
  });
  return svgDocument(
    760,
    420,
    12,
    [
      stroke(linePath(front.map(at)), INK.line),
      ...dots,
      label(340, 405, `cost of a step (log), ${cheapest.toFixed(2)} to ${dearest.toFixed(2)} us`, {
        anchor: 'middle',
      }),
      label(20, 200, `validation loss, ${best.toFixed(4)} to ${worst.toFixed(4)}`, {
        anchor: 'middle',
        turned: true,
      }),
    ].join(''),
  );
}
