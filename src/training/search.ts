/**
 * Choosing a network: every candidate is trained on rolling origins (each fold validates on the stretch after what it was
 * trained on), the worse ones stop early (successive halving, Jamieson and Talwalkar 2016). Those of the last round are compared
 * pair by pair on the same windows, and the cheapest whose loss is within one standard error of the best's is taken (the
 * one-standard-error rule, Breiman et al. 1984, on the error of the difference). Pure: training is passed in.
 */

import type { Cell } from '../network/spec.ts';
import { INK, label, linear, linePath, picture, stroke } from '../plot/svg.ts';
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

export interface SearchSettings {
  readonly folds: number;
  /** Share of every series that one fold validates on. */
  readonly foldShare: number;
  /** Optimiser steps of the first round; each further one has `eta` times as many. */
  readonly firstSteps: number;
  /** Of each round, one in `eta` candidates goes on. */
  readonly eta: number;
  /** Rounds at most. */
  readonly rounds: number;
}

export const SEARCH_DEFAULTS: SearchSettings = {
  folds: 3,
  foldShare: 0.12,
  firstSteps: 150,
  eta: 3,
  rounds: 3,
};

/** One fold of one round: all candidates still in it are trained on the same data and judged on the same windows. */
export interface FoldTrial {
  readonly candidates: readonly Candidate[];
  readonly round: number;
  readonly fold: number;
  readonly steps: number;
}

export interface Row {
  readonly candidate: Candidate;
  /** Last round it took part in, from 0. */
  readonly round: number;
  readonly steps: number;
  /** Validation loss, geometric mean over windows, data sets and folds; Infinity when a training failed. */
  readonly score: number;
  /** Logarithm of it over that of the best of its round, and the standard error of this difference; 0.01 is one percent. */
  readonly behind: number;
  readonly error: number;
  /** Windows it was compared on. */
  readonly windows: number;
  /** Weights. */
  readonly parameters: number;
  /** Microseconds a step of one stream takes, in a batch. */
  readonly stepUs: number;
}

export interface SearchResult {
  /** Best first: later rounds before earlier ones, then by score. */
  readonly rows: readonly Row[];
  readonly chosen: Row;
  /** Rows of the last round that no other beats in both score and cost. */
  readonly front: readonly Row[];
  /** Why the chosen one, in words. */
  readonly reason: string;
}

export interface SearchDependencies {
  /** Losses by candidate, in their order; null where a training failed; fewer when it was stopped. */
  readonly train: (trial: FoldTrial) => Promise<readonly (WindowLosses | null)[]>;
  /** Size and cost of a candidate. */
  readonly cost: (candidate: Candidate) => Promise<{ parameters: number; stepUs: number }>;
  /** Weight of a data set; 1 each where left out. */
  readonly weightOf?: (group: string) => number;
  readonly stop?: () => boolean;
}

/** So many go on at least: the last round is there to weigh score against cost. */
const FEWEST = 3;

/** @throws RangeError without candidates, or when stopped before the first round was through */
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
    // A round that was cut short compares nothing.
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

/** How the candidates of one round did, each beside the best of them. */
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
  if (!best) throw new RangeError('the search was stopped before its first round was through');
  const last = rows.filter((row) => row.round === best.round);
  const near = last.filter(level);
  const chosen = near.reduce((a, b) => (b.stepUs < a.stepUs ? b : a), best);
  return { rows, chosen, front: pareto(last), reason: explain(chosen, best, last, near) };
}

/** Whether its loss is within one standard error of the best's. */
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
  const lowest = `${nameOf(best.candidate)} had the lowest loss (${best.score.toFixed(4)} at ${best.stepUs.toFixed(2)} us a step)`;
  const others = near.filter((row) => row !== best).map((row) => nameOf(row.candidate));
  if (chosen === best) {
    const beside =
      others.length === 0
        ? 'none of the others is within a standard error of it'
        : `within a standard error of it, and no cheaper: ${others.join(', ')}`;
    return `${among}, ${lowest}; ${beside}.`;
  }
  return `${among}, ${lowest}; ${nameOf(chosen.candidate)} is the cheapest within one standard error of it: ${percent(chosen.behind)} +- ${percent(chosen.error)} behind at ${chosen.stepUs.toFixed(2)} us.`;
}

/** Of a small logarithm of a ratio. */
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
 * The data of one fold: every series up to the end of the stretch it validates on, and which share of that the stretch is.
 * The last fold ends with the data, each earlier one a stretch before.
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
  return picture(
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
