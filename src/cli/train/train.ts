/** `gatecast train`: trains a new model, or another model further, on files and generated series. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { CELLS, type Cell } from '../../network/spec.ts';
import { configOption, registryOf } from '../shared/globals.ts';
import { addTableOptions } from '../shared/table-options.ts';
import {
  amount,
  count,
  duration,
  durations,
  fraction,
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
  const command = program
    .command('train')
    .description('train a model from CSV files, from generated series, or both; seeded and resumable')
    .option('--data <files...>', 'CSV files, .csv or .csv.gz')
    .option(
      '--sets <file>',
      'YAML or JSON file that describes data sets with their licences (docs/training.md)',
    )
    .option('--without <sets>', 'sets of the file to leave out, joined by commas', list)
    .option('--generated <count>', 'number of generated series to add to the data', count, 0)
    .option('--generated-weight <weight>', 'weight of the generated series, relative to the sets', amount, 1)
    .option('--generated-steps <steps>', 'buckets of each generated series', whole, 1600)
    .option('--out <folder>', 'folder of the model, e.g. models/NAME')
    .option('--from <model>', 'start from a model of the registry')
    .addOption(configOption())
    .option(
      '--widen <hidden>',
      'with --from: grow to this hidden size without changing its forecasts, then train',
      whole,
    )
    .option(
      '--diagnose <file>',
      'only draw the gradient norm by time lag, for the chosen cell and others, as an SVG',
    )
    .optionsGroup('Data files:');
  addTableOptions(command)
    .option(
      '--interval <durations>',
      'bucket lengths to train on, e.g. 5m or 5m,1h; default: the interval between the rows',
      durations,
    )
    .option(
      '--horizon <steps>',
      'buckets ahead; several, joined by commas, are trained into one model',
      wholes,
      [24],
    )
    .option('--timezone <zone>', 'zone of the calendar features', timeZone, 'UTC')
    .option('--licence <text>', 'licence of the data, for the model card', 'not stated')
    .optionsGroup('Network:')
    .addOption(new Option('--cell <cell>', 'recurrent cell').choices(['rnn', ...CELLS]).default('gru'))
    .option('--layers <n>', 'number of layers, 1 to 4', whole, 1)
    .option('--hidden <n>', 'hidden units; multiples of 16 are fastest', whole, 48)
    .option('--width <n>', 'width of the head', whole, 32)
    .option('--dropout <share>', 'dropout between layers', fraction, 0)
    .option('--attention <states>', 'number of past states that attention reads', whole)
    .option('--convolution <kernel>x<channels>', 'causal convolution in front, e.g. 5x16', convolution)
    .optionsGroup('Choosing a network:')
    .option(
      '--search',
      'choose cell, layers, hidden size and learning rate by rolling-origin cross-validation, then train',
    )
    .option('--search-only', 'print the choice of the search, without training it further')
    .option('--search-cells <cells>', 'to choose from', list, ['gru', 'lstm'])
    .option('--search-layers <n>', 'to choose from', wholes, [1])
    .option('--search-hidden <n>', 'to choose from', wholes, [16, 32, 48, 64])
    .option('--search-rates <rates>', 'to choose from', (text) => list(text).map(amount), [2e-3])
    .option('--search-steps <n>', 'optimiser steps of the first round', whole, 150)
    .option(
      '--search-rounds <n>',
      'number of rounds; each has three times the steps for a third of the candidates',
      whole,
      3,
    )
    .option('--search-series <n>', 'series per set, drawn by the seed; default: all', whole)
    .optionsGroup('Training:')
    .option('--steps <n>', 'window length in steps (truncated back-propagation)', whole, 96)
    .option('--chunks <n>', 'number of consecutive windows with carried state', whole, 8)
    .option('--cold <share>', 'share of the windows that follow a stream from its first reading', fraction, 0)
    .option('--stride <n>', 'steps from one origin to the next', whole, 4)
    .option('--leads <n>', 'leads scored at each origin', whole, 6)
    .option('--batch <n>', 'windows per optimiser step', whole, 32)
    .option('--lr <rate>', 'highest learning rate', amount, 2e-3)
    .option('--weight-decay <x>', 'weight decay of AdamW', amount, 0.01)
    .option('--averaging <decay>', 'decay of the weight average; 0: no averaging', fraction, 0.99)
    .option('--anchor <strength>', 'strength of the pull towards the weights of --from', amount, 0)
    .option('--clip-norm <norm>', 'largest global norm of the gradient', amount, 1)
    .option('--clip-value <value>', 'largest absolute value of a gradient element', amount)
    .option('--max-steps <n>', 'largest number of optimiser steps', whole)
    .option('--epochs <n>', 'passes over the data, in place of --max-steps', amount)
    .option('--max-time <duration>', 'longest training time, e.g. 10m', duration)
    .option('--validation <share>', 'newest share of each series, used for validation', fraction, 0.15)
    .option('--patience <n>', 'validations without improvement before training stops', whole)
    .option('--seed <n>', 'random seed', count, 1)
    .option('--resume', 'resume from the checkpoint beside --out')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ gatecast train --data plant.csv --time time --interval 5m --horizon 48 --out models/plant
  $ gatecast train --generated 300 --cell gru --hidden 32 --max-time 5m --out models/first
  $ gatecast train --data plant.csv --time time --interval 5m --search --search-hidden 16,32,64 --out models/plant
  $ gatecast train --generated 40 --max-steps 200 --diagnose gradients.svg

Ctrl-C stops the training and keeps the best weights; a second Ctrl-C exits at once. --resume continues from the last checkpoint.
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

function commandLine(words: readonly string[]): string {
  const quoted = words.map((word) =>
    /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`,
  );
  return ['gatecast', ...quoted].join(' ');
}
