import { describe, expect, it } from 'vitest';
import {
  type Candidate,
  foldOf,
  grid,
  nameOf,
  pareto,
  type Row,
  SEARCH_DEFAULTS,
  search,
  searchSvg,
  type Trial,
} from '../../src/training/search.ts';

const candidates = grid(['gru', 'lstm'], [1], [16, 32, 64], [0.002]);
/** Larger is better, with less and less to gain; more steps help; the LSTM is no better and dearer. */
const truth = ({ candidate, fold, steps }: Trial) =>
  0.7 -
  0.02 * Math.log2(Math.min(32, candidate.hidden)) -
  0.0005 * (candidate.hidden / 64) +
  1 / steps +
  0.001 * fold +
  (candidate.cell === 'lstm' ? 0.01 : 0);
const cost = async ({ cell, hidden }: Candidate) => ({
  parameters: hidden * hidden,
  stepUs: hidden / 40 + (cell === 'lstm' ? 0.3 : 0),
});

describe('search', () => {
  it('trains every candidate a little and the promising ones on, and takes the cheapest good one', async () => {
    const trials: Trial[] = [];
    const result = await search(
      candidates,
      { ...SEARCH_DEFAULTS, rounds: 2 },
      {
        cost,
        train: async (trial) => {
          trials.push(trial);
          return truth(trial);
        },
      },
    );
    expect(trials.filter((one) => one.round === 0)).toHaveLength(6 * 3);
    expect(trials.filter((one) => one.round === 1)).toHaveLength(3 * 3);
    expect(trials.at(-1)!.steps).toBe(450);
    expect(nameOf(result.rows[0]!.candidate)).toBe('gru 1x64 at 0.002');
    expect(nameOf(result.chosen.candidate)).toBe('gru 1x32 at 0.002');
    expect(result.reason).toMatch(
      /gru 1x64 at 0.002 had the lowest loss .* gru 1x32 at 0.002 is cheaper and within 1 %/,
    );
    expect(result.rows).toHaveLength(6);
    expect(result.rows[0]!.deviation).toBeCloseTo(0.001, 5);
  });

  it('lets what fails drop out, and is not thrown by it', async () => {
    const result = await search(candidates, SEARCH_DEFAULTS, {
      cost,
      train: async (trial) =>
        trial.candidate.hidden === 64 && trial.fold === 1 ? Number.POSITIVE_INFINITY : truth(trial),
    });
    expect(result.chosen.candidate).toMatchObject({ cell: 'gru', hidden: 32 });
    expect(result.rows.filter((row) => row.score === Number.POSITIVE_INFINITY)).toHaveLength(2);
    expect(searchSvg(result)).not.toContain('Infinity');
  });

  it('ends early with what it has when stopped', async () => {
    let trained = 0;
    const result = await search(candidates, SEARCH_DEFAULTS, {
      cost,
      train: async (trial) => {
        trained++;
        return truth(trial);
      },
      stop: () => trained >= 6,
    });
    expect(result.rows).toHaveLength(2);
    await expect(search([], SEARCH_DEFAULTS, { cost, train: async () => 0 })).rejects.toThrow(/candidates/);
  });

  it('draws the front', async () => {
    const result = await search(candidates, SEARCH_DEFAULTS, { cost, train: async (trial) => truth(trial) });
    const svg = searchSvg(result);
    expect(svg.match(/<circle/g)).toHaveLength(6);
    expect(svg).toContain('gru 1x32 at 0.002');
    expect(svg).not.toContain('NaN');
  });
});

describe('pareto', () => {
  it('keeps what nothing beats in both', () => {
    const row = (stepUs: number, score: number): Row => ({
      candidate: candidates[0]!,
      round: 0,
      steps: 1,
      score,
      deviation: 0,
      parameters: 1,
      stepUs,
    });
    expect(
      pareto([row(3, 0.4), row(1, 0.6), row(2, 0.7), row(2, 0.5), row(4, 0.4)]).map((one) => one.stepUs),
    ).toEqual([1, 2, 3]);
  });
});

describe('foldOf', () => {
  it('rolls the origin forward: each fold validates on the stretch after the last one', () => {
    const series = [
      {
        name: 'a',
        group: 'g',
        intervalMs: 1,
        startMs: 0,
        leads: 1,
        values: Float32Array.from({ length: 1000 }, (_, t) => t),
      },
    ];
    const stretches = [0, 1, 2].map((fold) => {
      const { series: cut, validation } = foldOf(series, fold, { folds: 3, foldShare: 0.1 });
      const n = cut[0]!.values.length;
      return [Math.round(n * (1 - validation)), n];
    });
    expect(stretches).toEqual([
      [700, 800],
      [800, 900],
      [900, 1000],
    ]);
  });
});
