/**
 * Compares int8 with float32: sizes of the step graphs, scores on the same series, and how far the int8 state drifts from
 * the float32 state over very many steps on the same inputs.
 */

import { type Grid, type Played, type PlayOptions, play, type Reading } from '../../../src/backtest/play.ts';
import { overall, type SeriesScore, scoreSeries } from '../../../src/backtest/score.ts';
import { GatecastError } from '../../../src/errors.ts';
import { Engine } from '../../../src/forecast/engine.ts';
import { exportModel } from '../../../src/model/export.ts';
import { loadModel } from '../../../src/model/pack.ts';
import type { StoredModel } from '../../../src/model/registry.ts';
import type { Stepper } from '../../../src/model/stepper.ts';
import { FEATURES } from '../../../src/series/features.ts';
import { type DriftPoint, stateDrift } from './drift.ts';

/** Series on grids of one length, and their readings: one file, or one generated series. */
export interface QuantisationData {
  readonly series: readonly Grid[];
  readonly readings: readonly Reading[];
  readonly options: PlayOptions;
}

export interface QuantisationReport {
  readonly model: string;
  readonly parameters: number;
  readonly leads: number;
  /** Of the step graph, bytes. */
  readonly bytes: { readonly float32: number; readonly int8: number };
  readonly scores: {
    readonly series: number;
    /** Readings scored. */
    readonly n: number;
    readonly float32: { readonly mase: number; readonly sql: number };
    readonly int8: { readonly mase: number; readonly sql: number };
    /** (int8 - float32) / float32 */
    readonly difference: { readonly mase: number; readonly sql: number };
  };
  /** Each point covers the steps since the previous one. States of all cells except rnn-relu lie within +-1. */
  readonly drift: readonly DriftPoint[];
}

/**
 * @param data each is played separately, by both graphs
 * @param steps number of steps over which the states are compared
 * @throws GatecastError USAGE for a model without weights; NOT_ENOUGH_DATA; MODEL_INVALID as `loadModel`
 */
export async function quantisationReport(
  stored: StoredModel,
  data: readonly QuantisationData[],
  steps: number,
  progress?: (done: number, what: string) => void,
): Promise<QuantisationReport> {
  const { manifest, weights } = stored;
  const { spec, name, dimensions } = manifest;
  if (spec === null || weights === null) {
    throw new GatecastError('USAGE', `Model '${name}' is a step graph without weights.`, {
      hint: 'The comparison needs a float32 graph, which can only be built from weights.',
    });
  }
  const direct = spec.head.kind === 'direct';
  const leads = direct ? dimensions.leads : (data[0]?.options.horizon ?? dimensions.leads);
  const size = (quantized: boolean): number =>
    exportModel(stored, { format: 'onnx', graph: 'step', leads, quantized }).length;
  progress?.(0, 'float32 forecasts');
  const float32 = await score(stored, data, false);
  progress?.(0.2, 'int8 forecasts');
  const int8 = await score(stored, data, true);
  // the state does not depend on the number of leads
  const steppers = await Promise.all(
    [false, true].map((quantized) => loadModel(stored, FEATURES, quantized).stepper(direct ? leads : 1)),
  );
  try {
    const series = data.flatMap((part) => part.series);
    const pair: readonly [Stepper, Stepper] = [steppers[0], steppers[1]];
    const drift = await stateDrift(pair, spec.layers, series, steps, (done, total) =>
      progress?.(0.4 + (0.6 * done) / total, `states, step ${done}`),
    );
    return {
      model: `${name} ${manifest.version}`,
      parameters: dimensions.parameters,
      leads,
      bytes: { float32: size(false), int8: size(true) },
      scores: {
        series: float32.series,
        n: float32.n,
        float32: { mase: float32.mase, sql: float32.sql },
        int8: { mase: int8.mase, sql: int8.sql },
        difference: { mase: int8.mase / float32.mase - 1, sql: int8.sql / float32.sql - 1 },
      },
      drift,
    };
  } finally {
    for (const stepper of steppers) await stepper.release();
  }
}

/** Mean MASE and SQL over the series that have scored readings. */
async function score(
  stored: StoredModel,
  data: readonly QuantisationData[],
  quantized: boolean,
): Promise<{ series: number; n: number; mase: number; sql: number }> {
  const scores: SeriesScore[] = [];
  for (const { series, readings, options } of data) {
    const engine = new Engine(loadModel(stored, FEATURES, quantized));
    let played: Played[];
    try {
      played = await play(engine, series, readings, options);
    } finally {
      await engine.release();
    }
    for (const [s, grid] of series.entries()) {
      const own = played.filter((one) => one.series === s);
      const first = Math.floor(options.start * grid.actual.length + 1e-9);
      const one = scoreSeries(grid, own, options.horizon, first);
      // a constant series is forecast without error: no ratio to compare
      if (one.n > 0 && one.mase > 0 && one.sql > 0) scores.push(one);
    }
  }
  if (scores.length === 0) {
    throw new GatecastError('NOT_ENOUGH_DATA', 'No reading could be scored.', {
      hint: 'Use a longer file or a shorter --horizon.',
    });
  }
  const { mase, sql } = overall(scores);
  return { series: scores.length, n: scores.reduce((sum, one) => sum + one.n, 0), mase, sql };
}
