/** `gatecast train`: a model from scratch, or from another model, out of files and generated series. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { CELLS, type Cell } from '../../network/spec.ts';
import { configOption } from '../shared/globals.ts';
import { registryOf } from '../shared/models.ts';
import {
  amount,
  columns,
  count,
  delimiter,
  duration,
  durations,
  fraction,
  instant,
  list,
  timeZone,
  whole,
  wholes,
} from '../shared/values.ts';
import type { TrainFlags } from './flags.ts';

function convolution(text: string): { kernel: number; channels: number } {
  const match = /^(\d+)x(\d+)$/.exec(text);
  if (!match) throw new InvalidArgumentError('Kernel and channels are expected, e.g. 5x16.');
  return { kernel: Number(match[1]), channels: Number(match[2]) };
}

export function registerTrain(program: Command): void {
  program
    .command('train')
    .description('train a model from CSV files, from generated series, or both; seeded and resumable')
    .option('--data <files...>', 'CSV files, .csv or .csv.gz')
    .option(
      '--sets <file>',
      'YAML or JSON file that describes data sets with their licences (docs/training.md)',
    )
    .option(
      '--without <sets>',
      'leave sets of the file out, joined by commas: what would it be without them?',
      list,
    )
    .option('--generated <count>', 'generated series beside the data', count, 0)
    .option('--generated-weight <weight>', 'of the generated series, against those of the sets', amount, 1)
    .option('--generated-steps <steps>', 'buckets of each generated series', whole, 1600)
    .option('--out <folder>', 'folder of the model, e.g. models/NAME')
    .option('--from <model>', 'go on from a model of the registry')
    .addOption(configOption())
    .option(
      '--widen <hidden>',
      'with --from: grow to this hidden size without changing its forecasts, then train',
      whole,
    )
    .option('--preview <file>', 'only draw the generated series as an SVG')
    .option(
      '--diagnose <file>',
      'only draw how far back gradients reach, for the chosen cell and others, as an SVG',
    )
    .optionsGroup('Data files:')
    .option(
      '--time <columns>',
      'time column; several, joined by commas, for date and clock time; found by its name',
      list,
    )
    .option('--time-format <format>', 'strptime-like, where it cannot be found out')
    .option('--columns <names>', 'columns, joined by commas, or all', columns, 'all')
    .option('--id <columns>', 'column that says whose row it is, in long files', list)
    .option(
      '--interval <durations>',
      'bucket lengths to learn from, e.g. 5m or 5m,1h; the distance of the rows where not given',
      durations,
    )
    .option(
      '--horizon <steps>',
      'buckets ahead; several, joined by commas, teach one model several',
      wholes,
      [24],
    )
    .option('--missing <values>', 'cells that mean missing, joined by commas', list)
    .option('--delimiter <char>', 'between cells; found out where not given', delimiter)
    .addOption(new Option('--decimal <char>', 'decimal mark').choices(['.', ',']))
    .option('--clock-start <time>', 'time of the first row, for files without a time column', instant)
    .option('--timezone <zone>', 'zone of the calendar features', timeZone, 'UTC')
    .option('--licence <text>', 'licence of the data, for the model card', 'not stated')
    .optionsGroup('Network:')
    .addOption(new Option('--cell <cell>', 'recurrent cell').choices(['rnn', ...CELLS]).default('gru'))
    .option('--layers <n>', '1 to 4', whole, 1)
    .option('--hidden <n>', 'numbers in a state; multiples of 16 are fastest', whole, 48)
    .option('--width <n>', 'width of the head', whole, 32)
    .option('--dropout <share>', 'between layers', fraction, 0)
    .option('--attention <states>', 'attend to so many last states', whole)
    .option('--convolution <kernel>x<channels>', 'causal convolution in front, e.g. 5x16', convolution)
    .optionsGroup('Choosing a network:')
    .option(
      '--search',
      'choose cell, layers, hidden size and learning rate by rolling-origin cross-validation, then train it',
    )
    .option('--search-only', 'print what the search would choose, and train nothing further')
    .option('--search-cells <cells>', 'to choose from', list, ['gru', 'lstm'])
    .option('--search-layers <n>', 'to choose from', wholes, [1])
    .option('--search-hidden <n>', 'to choose from', wholes, [16, 32, 48, 64])
    .option('--search-rates <rates>', 'to choose from', (text) => list(text).map(amount), [2e-3])
    .option('--search-steps <n>', 'optimiser steps of the first round', whole, 150)
    .option('--search-rounds <n>', 'each has three times the steps for a third of the candidates', whole, 3)
    .option(
      '--search-series <n>',
      'look at so many series of each set, drawn by the seed; all where left out',
      whole,
    )
    .optionsGroup('Training:')
    .option('--steps <n>', 'steps that gradients flow back through', whole, 96)
    .option('--chunks <n>', 'chunks of that length a state is carried through', whole, 8)
    .option('--stride <n>', 'steps from one origin to the next', whole, 4)
    .option('--leads <n>', 'leads learnt from at each origin', whole, 6)
    .option('--batch <n>', 'windows a step', whole, 32)
    .option('--lr <rate>', 'highest learning rate', amount, 2e-3)
    .option('--weight-decay <x>', 'AdamW', amount, 0.01)
    .option('--averaging <decay>', 'of the averaged weights that are kept; 0: none', fraction, 0.99)
    .option('--anchor <strength>', 'pull towards the weights of --from', amount, 0)
    .option('--clip-norm <norm>', 'of the gradient', amount, 1)
    .option('--clip-value <value>', 'of each number of the gradient', amount)
    .option('--max-steps <n>', 'optimiser steps', whole)
    .option('--epochs <n>', 'passes over the data, in place of --max-steps', amount)
    .option('--max-time <duration>', 'e.g. 10m', duration)
    .option(
      '--validation <share>',
      'newest share of each series that chooses the best weights',
      fraction,
      0.15,
    )
    .option('--patience <n>', 'validations without a better one before it stops', whole)
    .option('--seed <n>', 'of everything random', count, 1)
    .option('--resume', 'go on from the checkpoint beside --out')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ gatecast train --data plant.csv --time time --interval 5m --horizon 48 --out models/plant
  $ gatecast train --generated 300 --cell gru --hidden 32 --max-time 5m --out models/first
  $ gatecast train --data plant.csv --time time --interval 5m --search --search-hidden 16,32,64 --out models/plant
  $ gatecast train --generated 30 --preview series.svg
  $ gatecast train --generated 40 --max-steps 200 --diagnose gradients.svg

Ctrl-C keeps what is best so far; a second one ends at once. --resume goes on from the last checkpoint.
`,
    )
    .action(async (given: TrainFlags, command: Command) => {
      const named = (cell: string) => (cell === 'rnn' ? 'rnn-tanh' : cell) as Cell;
      const flags = { ...given, cell: named(given.cell), searchCells: given.searchCells.map(named) };
      const { runTrain } = await import('./run.ts');
      const registry = await registryOf(command);
      const typed = commandLine(process.argv.slice(2));
      await runTrain(flags, registry, { out: process.stdout, err: process.stderr }, typed);
    });
}

/** As a shell would take it. */
function commandLine(words: readonly string[]): string {
  const quoted = words.map((word) =>
    /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`,
  );
  return ['gatecast', ...quoted].join(' ');
}
