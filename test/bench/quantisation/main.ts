/**
 * `npx tsx test/bench/quantisation/main.ts MODEL`: compares int8 with float32: size, scores, and error of the state over many
 * steps, on files (`--data`) or on generated series.
 */
import { Command } from 'commander';
import { grids } from '../../../src/backtest/play.ts';
import { playOptions, readSeries } from '../../../src/backtest/request.ts';
import { modelRegistry } from '../../../src/cli/shared/globals.ts';
import { ProgressBar } from '../../../src/cli/shared/progress.ts';
import { addTableOptions, type TableFlags } from '../../../src/cli/shared/table-options.ts';
import { count, duration, fraction, whole } from '../../../src/cli/shared/values.ts';
import { generateMixture } from '../../../src/training/generate/mixture.ts';
import { type QuantisationData, quantisationReport } from './quantisation.ts';
import { quantisationText } from './text.ts';

interface Flags extends TableFlags {
  readonly data?: readonly string[];
  readonly interval?: number;
  readonly dataDir?: string;
  readonly horizon: number;
  readonly start: number;
  readonly stride: number;
  readonly series: number;
  readonly seed: number;
  readonly steps: number;
}

/** Buckets of a generated series. */
const GENERATED_STEPS = 800;

const command = addTableOptions(
  new Command()
    .argument('<name>', 'model of the registry, with weights')
    .option('--data <csv...>', 'files to score on; default: generated series'),
)
  .option('--interval <duration>', 'length of a bucket, with --data', duration)
  .option('--horizon <steps>', 'buckets ahead', whole, 24)
  .option('--start <fraction>', 'share of the file before the first forecast that is scored', fraction, 0.5)
  .option('--stride <steps>', 'buckets from one forecast to the next', whole, 8)
  .option('--series <count>', 'generated series, without --data', whole, 40)
  .option('--seed <n>', 'seed of the generated series', count, 1)
  .option('--steps <n>', 'number of steps over which the states are compared', whole, 100_000)
  .option('--data-dir <folder>', 'data directory of an agent, for its models')
  .action(async (name: string, flags: Flags) => {
    if (flags.data !== undefined && flags.interval === undefined)
      command.error('error: --data needs --interval');
    const stored = (await modelRegistry(flags.dataDir)).open(name);
    const data = flags.data === undefined ? generated(flags) : fromFiles(flags.data, flags);
    const bar = new ProgressBar(process.stderr);
    const report = await quantisationReport(stored, data, flags.steps, (done, what) =>
      bar.update(done, what),
    );
    bar.end();
    process.stdout.write(quantisationText(report));
  });
await command.parseAsync();

function fromFiles(files: readonly string[], flags: Flags): QuantisationData[] {
  const request = {
    ...flags,
    interval: flags.interval ?? 0,
    fill: 'model' as const,
    aggregate: 'mean' as const,
    timezone: 'UTC',
  };
  return files.map((file) => {
    const { known, series } = readSeries(file, request);
    return { series, readings: known, options: playOptions(request) };
  });
}

/** Generated series of every kind of sensor, each with its own interval. */
function generated(flags: Flags): QuantisationData[] {
  return generateMixture(flags.seed, flags.series, GENERATED_STEPS).map((one) => {
    const readings = Array.from(one.values, (value, i) => ({
      series: 0,
      timeMs: one.startMs + i * one.intervalMs,
      value,
    })).filter(({ value }) => Number.isFinite(value));
    const options = playOptions({
      ...flags,
      interval: one.intervalMs,
      fill: 'model',
      aggregate: 'mean',
      timezone: 'UTC',
    });
    return { series: grids([one.name], readings, one.intervalMs), readings, options };
  });
}
