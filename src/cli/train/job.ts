/** Checks the flags of `gatecast train` and builds the training job from them. */
import { basename } from 'node:path';
import { GatecastError } from '../../errors.ts';
import type { StoredModel } from '../../model/registry.ts';
import { createRandom } from '../../network/random.ts';
import { type NetworkSpec, validateSpec } from '../../network/spec.ts';
import { widen } from '../../network/widen.ts';
import {
  forecastSpec,
  type JobSeries,
  TRAINING_DEFAULTS,
  type TrainingJob,
  type TrainingSettings,
} from '../../training/job.ts';
import { GENERATED } from '../../training/prepare.ts';
import { grid } from '../../training/search.ts';
import { detectedInterval } from '../shared/detected-interval.ts';
import { type DataSet, readSets } from './data.ts';
import type { TrainFlags } from './flags.ts';

/** Steps of a run without --max-steps, --epochs and --max-time. */
const DEFAULT_STEPS = 3000;

/** @throws GatecastError USAGE for missing data, a rate or clip limit of 0, mismatched windows, or an invalid network */
export function checkSettings(flags: TrainFlags): void {
  if (!flags.data && !flags.sets && flags.generated === 0) {
    throw new GatecastError('USAGE', 'There are no training data.', {
      hint: 'Name data files with --data or --sets, or generate series with --generated.',
    });
  }
  for (const [flag, value] of [
    ['--lr', flags.lr],
    ['--clip-norm', flags.clipNorm],
    ['--clip-value', flags.clipValue],
  ] as const) {
    if (value === 0) throw new GatecastError('USAGE', `${flag} must be above 0.`);
  }
  if (flags.steps % flags.stride !== 0) {
    throw new GatecastError(
      'USAGE',
      `--steps must be a multiple of --stride: ${flags.steps} is not a multiple of ${flags.stride}.`,
    );
  }
  const searched =
    flags.search || flags.searchOnly
      ? grid(flags.searchCells, flags.searchLayers, flags.searchHidden, flags.searchRates)
      : [];
  for (const candidate of searched.length > 0 ? searched : [flags]) {
    const { cell, layers, hidden } = candidate;
    try {
      validateSpec(networkOf({ ...flags, cell, layers, hidden }));
    } catch (cause) {
      if (!(cause instanceof GatecastError)) throw cause;
      throw new GatecastError('USAGE', cause.message, {
        issues: cause.issues.length > 1 ? cause.issues : [],
        cause,
      });
    }
  }
}

function networkOf(flags: TrainFlags): NetworkSpec {
  return forecastSpec({
    cell: flags.cell,
    layers: flags.layers,
    hidden: flags.hidden,
    width: flags.width,
    dropout: flags.dropout,
    attention: flags.attention ? { memory: flags.attention } : null,
    convolution: flags.convolution ?? null,
  });
}

/** @param say gets the line about a detected interval */
export function dataSets(flags: TrainFlags, say: (text: string) => void): DataSet[] {
  const left = new Set(flags.without);
  const sets = flags.sets ? readSets(flags.sets).filter((set) => !left.has(set.name)) : [];
  if (!flags.data) return sets;
  const files = flags.data;
  const [horizon = 24] = flags.horizon;
  const one: DataSet = {
    name: basename(files[0]).replace(/\.csv(\.gz)?$/, ''),
    licence: flags.licence,
    files,
    time: flags.time,
    time_format: flags.timeFormat,
    columns: flags.columns,
    id: flags.id,
    delimiter: flags.delimiter,
    decimal: flags.decimal,
    missing: flags.missing,
    clock_start: flags.clockStart,
    timezone: flags.timezone,
    intervals: flags.interval ?? [detectedInterval(files[0], { ...flags, horizon }, say)],
    horizons: flags.horizon,
    part: [0, 1],
    places: 1,
    flip: 0,
    hasten: 0,
    weight: 1,
  };
  return [...sets, one];
}

export function trainingJob(
  flags: TrainFlags,
  sets: readonly DataSet[],
  series: readonly JobSeries[],
  base: StoredModel | null,
): TrainingJob {
  const { spec, weights } = startingPoint(flags, base);
  return {
    spec,
    weights,
    series,
    live: null,
    generated:
      flags.generated > 0 ? { count: flags.generated, steps: flags.generatedSteps, seed: flags.seed } : null,
    settings: settingsOf(flags, sets, series),
  };
}

/** The network and its initial weights: random, another model's, or another model's made wider. */
function startingPoint(flags: TrainFlags, base: StoredModel | null): Pick<TrainingJob, 'spec' | 'weights'> {
  if (base) {
    const { spec } = base.manifest;
    if (!spec || !base.weights) {
      throw new GatecastError('USAGE', `Model '${flags.from}' has no weights to start from.`);
    }
    return flags.widen
      ? widen(spec, base.weights, flags.widen, createRandom(flags.seed))
      : { spec, weights: base.weights };
  }
  if (flags.widen) throw new GatecastError('USAGE', '--widen needs --from, the model to make wider.');
  return { spec: networkOf(flags), weights: null };
}

function settingsOf(
  flags: TrainFlags,
  sets: readonly DataSet[],
  series: readonly JobSeries[],
): TrainingSettings {
  const buckets = series.reduce(
    (sum, one) => sum + one.values.length,
    flags.generated * flags.generatedSteps,
  );
  const perEpoch = Math.max(1, Math.ceil(buckets / (flags.steps * flags.batch)));
  const bySteps = flags.maxSteps ?? (flags.epochs ? Math.ceil(flags.epochs * perEpoch) : null);
  const maxSteps = bySteps ?? (flags.maxTime ? Number.MAX_SAFE_INTEGER : DEFAULT_STEPS);
  return {
    ...TRAINING_DEFAULTS,
    steps: flags.steps,
    chunks: flags.chunks,
    coldShare: flags.cold,
    stride: flags.stride,
    leadsPerOrigin: flags.leads,
    batch: flags.batch,
    rate: flags.lr,
    weightDecay: flags.weightDecay,
    averaging: flags.averaging,
    anchorPull: flags.anchor,
    clipNorm: flags.clipNorm,
    clipValue: flags.clipValue ?? Number.POSITIVE_INFINITY,
    maxSteps,
    maxTimeMs: flags.maxTime ?? null,
    validation: flags.validation,
    patience: flags.patience ?? Number.POSITIVE_INFINITY,
    seed: flags.seed,
    groupWeights: {
      ...Object.fromEntries(sets.map((set) => [set.name, set.weight])),
      [GENERATED]: flags.generatedWeight,
    },
  };
}
