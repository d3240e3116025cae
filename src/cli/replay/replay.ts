/** `gatecast replay`: publishes a file's rows as MQTT messages. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { addLogin, brokerOf, brokerOption, type LoginFlags } from '../shared/broker.ts';
import { ProgressBar, secondsText } from '../shared/progress.ts';
import { addTableOptions, type TableFlags } from '../shared/table-options.ts';
import { onSignal } from '../shared/until-signal.ts';
import { amount, count, duration, presetOption, whole } from '../shared/values.ts';

interface Options extends TableFlags, LoginFlags {
  readonly speed: number;
  readonly maxWait?: number;
  readonly topic?: string;
  readonly qos: '0' | '1';
  readonly retain?: boolean;
  readonly from: number;
  readonly limit: number;
  readonly interval?: number;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  $ gatecast replay ETTh1.csv.gz --broker mqtt://127.0.0.1 --speed 3600
  $ gatecast replay air.csv --time Date,Time --missing -200 --broker mqtt://127.0.0.1 --speed max
  $ gatecast replay motes.csv.gz --time ts_ms --id node --topic 'motes/{id}' --broker mqtt://127.0.0.1

Each row becomes one message: {"<column>": number, ..., "time": "2016-07-01T00:00:00.000Z"}; empty cells are left out.
With {column} in the topic, each value becomes one message, a plain number.`;

const wholeOrAll = (text: string): number => (text === 'all' ? Number.POSITIVE_INFINITY : whole(text));

export function registerReplay(program: Command): void {
  const command = program
    .command('replay')
    .description("publish a file's rows as MQTT messages")
    .argument('<csv>', '.csv or .csv.gz');
  addLogin(command, brokerOption().makeOptionMandatory())
    .option('--speed <factor>', 'seconds of the file per second, or max', speed, 60)
    .option(
      '--max-wait <duration>',
      'longest pause between two rows; longer gaps of the file are shortened to it',
      duration,
    )
    .option(
      '--topic <template>',
      'with {file}, {id} and {column} (default: replay/{file}, with --id replay/{file}/{id})',
    )
    .addOption(new Option('--qos <level>', 'quality of service').choices(['0', '1']).default('1'))
    .option('--retain', 'let the broker keep the last message of each topic')
    .option('--from <rows>', 'rows to skip', count, 0)
    .addOption(presetOption('--limit <rows>', 'maximum number of rows to publish', wholeOrAll, 'all'));
  addTableOptions(command, 'columns to send')
    .option('--interval <duration>', 'interval between rows, for files without a time column', duration)
    .option('--json', 'print the summary as JSON')
    .addHelpText('after', EXAMPLES)
    .action(run);
}

async function run(file: string, options: Options): Promise<void> {
  const broker = await brokerOf(options, 'replay');
  const { replay } = await import('./run.ts');
  const { systemClock } = await import('../../system/clock.ts');
  let stopped = false;
  const unhook = onSignal(() => {
    stopped = true;
  });
  const bar = new ProgressBar(process.stderr);
  const result = await replay({
    file,
    table: { ...options, clockStartMs: options.clockStart, intervalMs: options.interval },
    broker,
    topic: options.topic ?? (options.id === undefined ? 'replay/{file}' : 'replay/{file}/{id}'),
    speed: options.speed,
    maxWaitMs: options.maxWait,
    qos: options.qos === '0' ? 0 : 1,
    retain: options.retain ?? false,
    from: options.from,
    limit: options.limit,
    clock: systemClock,
    warn: (text) => void process.stderr.write(`warning: ${text}\n`),
    progress: (done, total, row) => {
      if (done % 100 === 0 || done === total) bar.update(done / total, new Date(row.timeMs).toISOString());
    },
    stopped: () => stopped,
  }).finally(() => {
    bar.end();
    unhook();
  });
  const { leftOut, ...counts } = result;
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ ...counts, left_out: leftOut })}\n`);
    return;
  }
  const refused = result.refused > 0 ? `, ${result.refused} refused by the broker` : '';
  process.stdout.write(
    `${result.rows} rows, ${result.messages} messages${refused}, in ${secondsText(result.seconds)}\n`,
  );
  for (const { name, line, cell } of leftOut.columns) {
    const why = cell === '' ? 'has no value' : `line ${line} has "${cell}"`;
    process.stderr.write(`left out: column "${name}", ${why}\n`);
  }
  if (leftOut.rowsWithoutTime > 0)
    process.stderr.write(`left out: ${leftOut.rowsWithoutTime} rows without a time\n`);
}

function speed(text: string): number {
  if (text === 'max') return Number.POSITIVE_INFINITY;
  const factor = amount(text);
  if (factor === 0) throw new InvalidArgumentError('A number above 0, or max, is expected.');
  return factor;
}
