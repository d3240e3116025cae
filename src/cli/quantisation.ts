/** `gatecast model quantisation`: compares int8 with float32, on files or on generated series. */

import type { Command } from 'commander';
import type { QuantisationData } from '../backtest/quantisation/quantisation.ts';
import { configOption } from './shared/globals.ts';
import { registryOf } from './shared/models.ts';
import { jsonText } from './shared/output.ts';
import { addTableOptions, type TableFlags } from './shared/table-options.ts';
import { count, duration, fraction, whole } from './shared/values.ts';

interface QuantisationFlags extends TableFlags {
  data?: string[];
  interval?: number;
  horizon: number;
  start: number;
  stride: number;
  series: number;
  seed: number;
  steps: number;
  json?: boolean;
}

/** Buckets of a generated series. */
const GENERATED_STEPS = 800;

export function registerQuantisation(model: Command): void {
  const command = model
    .command('quantisation')
    .description('compare int8 with float32: size, scores, and error of the state over many steps')
    .argument('<name>', 'model of the registry, with weights')
    .option('--data <csv...>', 'files to score on; default: generated series');
  addTableOptions(command)
    .option('--interval <duration>', 'length of a bucket, with --data', duration)
    .option('--horizon <steps>', 'buckets ahead', whole, 24)
    .option('--start <fraction>', 'share of the file before the first forecast that is scored', fraction, 0.5)
    .option('--stride <steps>', 'buckets from one forecast to the next', whole, 8)
    .option('--series <count>', 'generated series, without --data', whole, 40)
    .option('--seed <n>', 'seed of the generated series', count, 1)
    .option('--steps <n>', 'number of steps over which the states are compared', whole, 100_000)
    .addOption(configOption())
    .option('--json', 'print as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  $ gatecast model quantisation base\n  $ gatecast model quantisation base --data ETTh1.csv --time date --interval 1h --horizon 24\n',
    )
    .action(async (name: string, flags: QuantisationFlags, command: Command) => {
      if (flags.data !== undefined && flags.interval === undefined)
        command.error('error: --data needs --interval');
      const [{ quantisationReport }, { quantisationText }, { ProgressBar }] = await Promise.all([
        import('../backtest/quantisation/quantisation.ts'),
        import('../backtest/quantisation/text.ts'),
        import('./shared/progress.ts'),
      ]);
      const registry = await registryOf(command);
      const stored = registry.open(name);
      const data = await (flags.data === undefined ? generated(flags) : fromFiles(flags.data, flags));
      const bar = new ProgressBar(process.stderr);
      const report = await quantisationReport(stored, data, flags.steps, (done, what) =>
        bar.update(done, what),
      );
      bar.end();
      process.stdout.write(flags.json === true ? jsonText(report) : quantisationText(report));
    });
}

async function fromFiles(files: readonly string[], flags: QuantisationFlags): Promise<QuantisationData[]> {
  const { playOptions, readSeries } = await import('../backtest/request.ts');
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
async function generated(flags: QuantisationFlags): Promise<QuantisationData[]> {
  const [{ generateMixture }, { playOptions }, { grids }] = await Promise.all([
    import('../training/generate/mixture.ts'),
    import('../backtest/request.ts'),
    import('../backtest/play.ts'),
  ]);
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
