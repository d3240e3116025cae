/** `gatecast backtest`: runs a file through the live pipeline on the file's clock; prints a score table. */

import { type Command, InvalidArgumentError, Option } from 'commander';
import type { CompareRequest } from '../backtest/compare/compare.ts';
import { PERIODS } from '../backtest/periods.ts';
import type { ProtocolRequest } from '../backtest/protocol/protocol.ts';
import { PROTOCOLS, type ProtocolName } from '../backtest/protocol/split.ts';
import type { BacktestRequest } from '../backtest/request.ts';
import { parseRate } from '../config/units.ts';
import { AGGREGATES, FILLS } from '../series/spec.ts';
import { configOption, registryOf } from './shared/globals.ts';
import { jsonText } from './shared/output.ts';
import { addTableOptions } from './shared/table-options.ts';
import { duration, fraction, list, numberOf, presetOption, timeZone, whole } from './shared/values.ts';

interface BacktestFlags
  extends Omit<
    BacktestRequest,
    'interval' | 'horizon' | 'model' | 'finetune' | 'registry' | 'progress' | 'warn'
  > {
  readonly interval?: number;
  readonly horizon?: number;
  readonly model?: string;
  readonly finetune: 'off' | number;
  readonly protocol?: ProtocolName;
  readonly compare?: 'gaps';
  readonly cold?: boolean;
  readonly inject: number[];
  readonly seed: number;
}

const decimalNumber = (text: string): number => numberOf(text, Number.isFinite, 'A number');

function rate(text: string): number {
  const perMs = parseRate(text);
  if (perMs === null)
    throw new InvalidArgumentError('A rate like 5/1m is expected: at most 5 in one minute.');
  return perMs;
}

export function registerBacktest(program: Command): void {
  const command = program
    .command('backtest')
    .description("run a CSV file through the live pipeline, on the file's clock, and score the forecasts")
    .argument('<csv...>', 'files, .csv or .csv.gz; several files are scored together');
  addTableOptions(command, 'columns to forecast')
    .option(
      '--covariates <names>',
      'covariate columns, known up to the current bucket; auto: find the columns that help each other',
      list,
    )
    .option(
      '--known <names>',
      'covariate columns whose future values are known, such as a tariff or a timetable',
      list,
    )
    .option(
      '--interval <duration>',
      'length of a bucket, e.g. 5m or 1h; default: detected from the rows',
      duration,
    )
    .option(
      '--horizon <steps>',
      'buckets ahead; required, except with --protocol: there it selects one horizon',
      whole,
    )
    .option('--start <fraction>', 'share of the file before the first forecast that is scored', fraction, 0.5)
    .option('--stride <steps>', 'buckets from one forecast to the next', whole, 24)
    .option('--out <file>', 'write the forecasts: series,origin,step,time,p10..p90')
    .option(
      '--report <file>',
      'write one HTML file: fan charts, error by lead, calibration, scores, fine-tunes',
    )
    .option(
      '--model <name>',
      'model of the registry; none: only the naive forecasts; default: base, with --protocol its recipe',
    )
    .addOption(configOption())
    .option('--float32', 'float32 step graph in place of int8')
    .addOption(new Option('--fill <kind>', 'value used for a missing bucket').choices(FILLS).default('model'))
    .addOption(
      new Option('--aggregate <kind>', 'how the readings of a bucket are combined')
        .choices(AGGREGATES)
        .default('mean'),
    )
    .option(
      '--row-interval <duration>',
      'interval between the rows of such files; default: --interval',
      duration,
    )
    .addOption(
      new Option(
        '--order <kind>',
        'time: rows are sorted by time; file: rows keep their order, and a row that goes back in time is late, as it is live',
      )
        .choices(['time', 'file'])
        .default('time'),
    )
    .option('--lateness <duration>', 'with --order file: how long a bucket waits for late rows', duration)
    .option('--timezone <zone>', 'zone of the calendar features', timeZone, 'UTC')
    .option('--unit <unit>', 'unit of the values; sets the prior for streams with little history')
    .option('--min <number>', 'physical limit', decimalNumber)
    .option('--max <number>', 'physical limit', decimalNumber)
    .option('--max-rate <rate>', 'readings that change faster are refused, e.g. 5/1m', rate)
    .addOption(
      new Option(
        '--finetune <every>',
        'fine-tune during the run, on past data only: off, or the minimum time between scheduled runs, e.g. 1d',
      )
        .argParser((text) => (text === 'off' ? text : duration(text)))
        .default('off'),
    )
    .option(
      '--finetune-window <time>',
      'history that a fine-tuning run reads, as finetune.window of the config (default: 28d)',
      duration,
    )
    .addOption(
      new Option(
        '--by <period>',
        'also score each week or month against the naive forecasts and, with --finetune, against the same run without it',
      ).choices(PERIODS),
    )
    .option('--cold', 'score new streams: many slices of each series, after 1, 2, 4, ... 128 buckets')
    .addOption(
      new Option('--compare <what>', 'gaps: every --fill on the same gaps, in one table').choices(['gaps']),
    )
    .addOption(
      presetOption(
        '--inject <shares>',
        'with --compare gaps: hide these shares of the buckets, joined by commas, half in blocks, half singly',
        (text) => (text === 'none' ? [] : list(text).map(fraction)),
        'none',
      ),
    )
    .addOption(
      new Option(
        '--protocol <name>',
        'run a public protocol instead: MSE and MAE by horizon, of its recipe trained on the training part, or of --model without training',
      ).choices(PROTOCOLS),
    )
    .option('--seed <n>', 'random seed of --inject and --protocol', whole, 1)
    .option('--json', 'print the scores as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  $ gatecast backtest ETTh1.csv --time date --columns all --interval 1h --horizon 24 --start 0.8 --stride 24 --out f.csv --report f.html\n  $ gatecast backtest ETTh1.csv --time date --interval 1h --horizon 24 --compare gaps --inject 0.05,0.2\n  $ gatecast backtest ETTh1.csv.gz --protocol ltsf\n',
    )
    .action(async (files: string[], flags: BacktestFlags, command: Command) => {
      const registry = await registryOf(command);
      if (flags.protocol !== undefined) {
        refuse(command, NOT_WITH_PROTOCOL, `--protocol: '${flags.protocol}' sets it itself`);
        process.stdout.write(await protocol(files, { ...flags, protocol: flags.protocol, registry }));
        return;
      }
      const auto = flags.covariates?.length === 1 && flags.covariates[0] === 'auto';
      const { horizon, min, max } = flags;
      if (min !== undefined && max !== undefined && min >= max)
        command.error(`error: --min ${min} is not below --max ${max}`);
      if (horizon === undefined) {
        command.error("error: required option '--horizon <steps>' not specified");
        return;
      }
      const warn = (text: string): void => void process.stderr.write(`${text}\n`);
      const { detectedInterval } = await import('./shared/detected-interval.ts');
      const interval = flags.interval ?? detectedInterval(files[0] ?? '', { ...flags, horizon }, warn);
      const { ProgressBar } = await import('./shared/progress.ts');
      const bar = new ProgressBar(process.stderr);
      const request = {
        ...flags,
        covariates: auto ? undefined : flags.covariates,
        interval,
        horizon,
        registry,
        model: flags.model ?? 'base',
        finetune: flags.finetune === 'off' ? null : flags.finetune,
        progress: (done: number, total: number, what: string) => bar.update(done / total, what),
        warn: (text: string) => {
          bar.end();
          warn(`warning: ${text}`);
        },
      };
      const run = async (): Promise<string> => {
        const { runBacktest, runCold } = await import('../backtest/run.ts');
        if (flags.compare === 'gaps') {
          refuse(command, ['covariates', 'known', 'by', 'cold'], '--compare gaps');
          return compared(files, request);
        }
        if (flags.inject.length > 0) command.error('error: --inject needs --compare gaps');
        const alone = ['out', 'report', 'by', 'finetune'];
        if (flags.cold === true) {
          refuse(command, ['covariates', 'known', ...alone], '--cold');
          return runCold(files, request);
        }
        if (auto) {
          refuse(command, alone, '--covariates auto');
          return found(files, request);
        }
        return runBacktest(files, request);
      };
      process.stdout.write(await run().finally(() => bar.end()));
    });
}

async function found(files: readonly string[], request: BacktestRequest): Promise<string> {
  const { findCovariates, foundText } = await import('../backtest/find-covariates.ts');
  const rows = await findCovariates(files, request);
  return request.json === true ? jsonText({ covariates: rows }) : foundText(rows);
}

async function compared(
  files: readonly string[],
  request: CompareRequest & { json?: boolean },
): Promise<string> {
  const [{ compareGaps }, { compareText }] = await Promise.all([
    import('../backtest/compare/compare.ts'),
    import('../backtest/compare/text.ts'),
  ]);
  const rows = await compareGaps(files, request);
  return request.json === true ? jsonText({ rows }) : compareText(rows);
}

/** Options that a protocol sets itself, or does not have. */
const NOT_WITH_PROTOCOL: readonly string[] = [
  'id',
  'start',
  'stride',
  'out',
  'report',
  'fill',
  'aggregate',
  'timezone',
  'unit',
  'min',
  'max',
  'finetune',
  'by',
  'compare',
  'inject',
  'covariates',
  'known',
];

/** Ends with wrong usage if one of these options is given. */
function refuse(command: Command, names: readonly string[], other: string): void {
  for (const option of command.options) {
    const key = option.attributeName();
    // A default given explicitly counts as omitted.
    const given = JSON.stringify(command.getOptionValue(key)) !== JSON.stringify(option.defaultValue);
    if (names.includes(key) && given) command.error(`error: ${option.long} cannot be used with ${other}`);
  }
}

async function protocol(files: readonly string[], request: ProtocolRequest): Promise<string> {
  const [{ runProtocol }, { ProgressBar }] = await Promise.all([
    import('../backtest/protocol/protocol.ts'),
    import('./shared/progress.ts'),
  ]);
  const bar = new ProgressBar(process.stderr);
  try {
    return await runProtocol(files, { ...request, progress: (done, what) => bar.update(done, what) });
  } finally {
    bar.end();
  }
}
