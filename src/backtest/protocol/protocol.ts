/**
 * `gatecast backtest --protocol`: the standard ETT evaluation of papers and its leakage-free online variant, with the
 * agent's network: one int8 step per bucket, states that persist over the whole file, a forecast at every test origin.
 * As in the published tables, each horizon has its own networks.
 */
import { basename } from 'node:path';
import { GatecastError } from '../../errors.ts';
import { readTable } from '../../table/table.ts';
import { type Grid, grids, readings } from '../play.ts';
import type { BacktestRequest } from '../request.ts';
import { evaluateHorizon, type HorizonResult } from './evaluate.ts';
import { type ProtocolRecipe, RECIPES } from './recipe.ts';
import { type ProtocolName, planProtocol, zScored } from './split.ts';
import { type ProtocolReport, protocolText } from './text.ts';

export interface ProtocolRequest
  extends Pick<
    BacktestRequest,
    | 'time'
    | 'timeFormat'
    | 'columns'
    | 'clockStart'
    | 'missing'
    | 'delimiter'
    | 'decimal'
    | 'float32'
    | 'json'
    | 'registry'
  > {
  readonly protocol: ProtocolName;
  /** Length of a bucket, ms; undefined: the most frequent interval between rows. */
  readonly interval?: number;
  /** One horizon of the protocol; undefined: all. */
  readonly horizon?: number;
  /** Model used without training; undefined: the recipe is trained. */
  readonly model?: string;
  readonly seed: number;
  readonly progress?: (done: number, what: string) => void;
}

/** @returns the text to print. Throws USAGE, FILE_UNREADABLE, CSV_INVALID, NOT_ENOUGH_DATA, MODEL_UNKNOWN, MODEL_INVALID */
export async function runProtocol(files: readonly string[], request: ProtocolRequest): Promise<string> {
  const reports: ProtocolReport[] = [];
  for (const [at, file] of files.entries()) {
    const progress = (done: number, what: string) => request.progress?.((at + done) / files.length, what);
    const series = readGrids(file, request);
    reports.push({ file: basename(file), ...(await protocolReport(series, { ...request, progress })) });
  }
  return request.json === true ? `${JSON.stringify({ reports }, null, 2)}\n` : protocolText(reports);
}

/** Runs the protocol on columns of one grid. Throws USAGE, NOT_ENOUGH_DATA, MODEL_UNKNOWN, MODEL_INVALID */
async function protocolReport(
  series: readonly Grid[],
  request: ProtocolRequest,
  recipe: ProtocolRecipe = RECIPES[request.protocol],
): Promise<Omit<ProtocolReport, 'file'>> {
  const { intervalMs, actual } = series[0];
  const plan = planProtocol(request.protocol, intervalMs, actual.length);
  const columns = series.map((grid) => zScored(grid, plan));
  // relative run time of a horizon, for the progress bar
  const cost = (horizon: number): number => 100 + horizon;
  const asked = plan.horizons.filter((one) => request.horizon === undefined || one === request.horizon);
  if (asked.length === 0) {
    throw new GatecastError('USAGE', `The protocol '${plan.name}' has no horizon of ${request.horizon}.`, {
      hint: `Its horizons are ${plan.horizons.join(', ')}; without --horizon all of them run.`,
    });
  }
  const total = asked.reduce((sum, horizon) => sum + cost(horizon), 0);
  const horizons: HorizonResult[] = [];
  let spent = 0;
  for (const horizon of asked) {
    horizons.push(
      await evaluateHorizon(columns, plan, horizon, recipe, {
        ...request,
        progress: (done, what) =>
          request.progress?.((spent + done * cost(horizon)) / total, `horizon ${horizon}: ${what}`),
      }),
    );
    spent += cost(horizon);
  }
  return {
    protocol: plan.name,
    columns: columns.map(({ name }) => name),
    parts: {
      train: plan.train.to,
      validation: plan.validation.to - plan.validation.from,
      test: plan.test.to - plan.test.from,
    },
    model: request.model ?? 'recipe',
    precision: request.float32 === true ? 'float32' : 'int8',
    horizons,
  };
}

function readGrids(file: string, request: ProtocolRequest): Grid[] {
  const { time, clockStart, interval } = request;
  const table = readTable(file, {
    columns: request.columns,
    // the time column of the published files
    time: clockStart === undefined ? (time ?? ['date']) : undefined,
    timeFormat: request.timeFormat,
    missing: request.missing,
    delimiter: request.delimiter,
    decimal: request.decimal,
    clockStartMs: clockStart,
    intervalMs: interval ?? 3_600_000,
  });
  const { names, readings: known } = readings(table);
  if (known.length < 2)
    throw new GatecastError('NOT_ENOUGH_DATA', `${file} has no numbers in the columns asked for.`);
  return grids(names, known, interval ?? usualDistance(known.map(({ timeMs }) => timeMs)));
}

/** The most frequent difference between successive times, ms. @param times ascending */
function usualDistance(times: readonly number[]): number {
  const counts = new Map<number, number>();
  for (let i = 1; i < times.length; i++) {
    const distance = times[i] - times[i - 1];
    if (distance > 0) counts.set(distance, (counts.get(distance) ?? 0) + 1);
  }
  let usual = 3_600_000;
  let most = 0;
  for (const [distance, count] of counts) {
    if (count > most) {
      most = count;
      usual = distance;
    }
  }
  return usual;
}
