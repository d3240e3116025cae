/**
 * Choosing a network: every candidate is trained on rolling origins (each fold validates on the stretch after what it was
 * trained on), the worse ones stop early (successive halving, Jamieson and Talwalkar 2016), and of those that reach the
 * last round the cheapest that is about as good as the best is taken. Pure: training is passed in.
 */
import type { Cell } from '../network/spec.ts';
import type { JobSeries } from './job.ts';

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
  /** A cheaper candidate is taken when its score is within this share of the best. */
  readonly slack: number;
}

export const SEARCH_DEFAULTS: SearchSettings = {
  folds: 3,
  foldShare: 0.12,
  firstSteps: 150,
  eta: 3,
  rounds: 3,
  slack: 0.01,
};

/** What one training within the search is to be. */
export interface Trial {
  readonly candidate: Candidate;
  readonly round: number;
  readonly fold: number;
  readonly steps: number;
}

export interface Row {
  readonly candidate: Candidate;
  /** Last round it took part in, from 0. */
  readonly round: number;
  readonly steps: number;
  /** Mean validation loss over the folds; Infinity when a training failed. */
  readonly score: number;
  /** Between folds. */
  readonly deviation: number;
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
  /** Validation loss of one training; Infinity where it failed. Remembered results may be given back. */
  readonly train: (trial: Trial) => Promise<number>;
  /** Size and cost of a candidate. */
  readonly cost: (candidate: Candidate) => Promise<{ parameters: number; stepUs: number }>;
  readonly stop?: () => boolean;
}

/** So many go on at least: the last round is there to weigh score against cost. */
const FEWEST = 3;

/** @throws RangeError without candidates */
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
    for (const candidate of alive) {
      if (dependencies.stop?.()) break;
      const losses: number[] = [];
      for (let fold = 0; fold < settings.folds; fold++) {
        losses.push(await dependencies.train({ candidate, round, fold, steps }));
      }
      rows.set(candidate, { candidate, round, steps, ...spread(losses), ...costs.get(candidate)! });
    }
    if (dependencies.stop?.() || round === settings.rounds - 1) break;
    alive = alive
      .filter((candidate) => Number.isFinite(rows.get(candidate)!.score))
      .sort((a, b) => rows.get(a)!.score - rows.get(b)!.score)
      .slice(0, Math.max(FEWEST, Math.ceil(alive.length / settings.eta)));
  }
  return conclude([...rows.values()], settings.slack);
}

function conclude(rows: Row[], slack: number): SearchResult {
  rows.sort((a, b) => b.round - a.round || a.score - b.score);
  const best = rows[0];
  if (!best) throw new RangeError('the search was stopped before its first result');
  const last = rows.filter((row) => row.round === best.round);
  const front = pareto(last);
  const near = last.filter((row) => row.score <= best.score * (1 + slack));
  const chosen = near.reduce((a, b) => (b.stepUs < a.stepUs ? b : a));
  return { rows, chosen, front, reason: explain(chosen, best, last, slack) };
}

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

function explain(chosen: Row, best: Row, last: readonly Row[], slack: number): string {
  const figures = `validation loss ${chosen.score.toFixed(4)} +- ${chosen.deviation.toFixed(4)} at ${chosen.stepUs.toFixed(2)} us a step`;
  const among = `Of ${last.length} candidate${last.length === 1 ? '' : 's'} in the last round`;
  if (chosen === best) return `${among}, ${nameOf(chosen.candidate)} had the lowest loss: ${figures}.`;
  return `${among}, ${nameOf(best.candidate)} had the lowest loss (${best.score.toFixed(4)}, ${best.stepUs.toFixed(2)} us); ${nameOf(chosen.candidate)} is cheaper and within ${(100 * slack).toFixed(0)} %: ${figures}.`;
}

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

function spread(losses: readonly number[]): { score: number; deviation: number } {
  if (!losses.every(Number.isFinite)) return { score: Number.POSITIVE_INFINITY, deviation: 0 };
  const score = losses.reduce((a, b) => a + b, 0) / losses.length;
  const variance =
    losses.reduce((sum, loss) => sum + (loss - score) ** 2, 0) / Math.max(1, losses.length - 1);
  return { score, deviation: Math.sqrt(variance) };
}

/** Scatter of score against cost, the front joined by a line. */
export function searchSvg({ rows, front, chosen }: SearchResult): string {
  const shown = rows.filter((row) => Number.isFinite(row.score));
  const costs = shown.map((row) => Math.log(row.stepUs));
  const scores = shown.map((row) => row.score);
  const scale = (values: number[], from: number, to: number) => {
    const low = Math.min(...values);
    const span = Math.max(...values) - low || 1;
    return (value: number) => (from + ((value - low) / span) * (to - from)).toFixed(1);
  };
  const x = scale(costs, 80, 600);
  const y = scale(scores, 360, 40);
  const at = (row: Row) => `${x(Math.log(row.stepUs))} ${y(row.score)}`;
  const dots = shown.map((row) => {
    const [cx, cy] = at(row).split(' ');
    const fill = row === chosen ? '#b3412e' : front.includes(row) ? '#1f5f8b' : '#bbb';
    const label =
      front.includes(row) || row === chosen
        ? `<text x="${Number(cx) + 7}" y="${Number(cy) + 4}">${nameOf(row.candidate)}</text>`
        : '';
    return `<circle cx="${cx}" cy="${cy}" r="4" fill="${fill}"/>${label}`;
  });
  const path = front.map((row, i) => `${i === 0 ? 'M' : 'L'}${at(row)}`).join('');
  return `<svg xmlns="http://www.w3.org/2000/svg" width="760" height="420" font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/><path d="${path}" fill="none" stroke="#1f5f8b"/>${dots.join('')}<text x="340" y="405" text-anchor="middle">cost of a step (log), ${Math.min(...shown.map((row) => row.stepUs)).toFixed(2)} to ${Math.max(...shown.map((row) => row.stepUs)).toFixed(2)} us</text><text x="20" y="200" transform="rotate(-90 20 200)" text-anchor="middle">validation loss, ${Math.min(...scores).toFixed(4)} to ${Math.max(...scores).toFixed(4)}</text></svg>\n`;
}
