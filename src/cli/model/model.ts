/** `gatecast model`: list, show, import, export and roll back models. */
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { CELLS } from '../../network/spec.ts';
import { configOption, dataDirOf, registryOf } from '../shared/globals.ts';
import { whole } from '../shared/values.ts';

export function registerModel(program: Command): void {
  const model = program
    .command('model')
    .description('list, show, import, export and roll back models')
    .addHelpText('after', '\nExample:\n  $ gatecast model list\n');
  const print = (text: string) => process.stdout.write(text);

  model
    .command('list')
    .description('list the models shipped with gatecast and those of the data directory')
    .option('--json', 'print as JSON')
    .addOption(configOption())
    .addHelpText('after', '\nExample:\n  $ gatecast model list -c /etc/gatecast/gatecast.yaml\n')
    .action(async (flags: { json?: boolean }, command: Command) => {
      const { listModels } = await import('./run.ts');
      print(listModels(await registryOf(command), await slotsFile(command), flags.json === true));
    });

  model
    .command('show')
    .description('show manifest, training sets and scores of a model')
    .argument('<name>')
    .option('--json', 'print the manifest')
    .addOption(configOption())
    .addHelpText('after', '\nExample:\n  $ gatecast model show base\n')
    .action(async (name: string, flags: { json?: boolean }, command: Command) => {
      const { showModel } = await import('./run.ts');
      print(showModel(await registryOf(command), name, flags.json === true));
    });

  model
    .command('import')
    .description('import weights (safetensors, PyTorch names) or a step model (onnx) into the data directory')
    .argument('<file>')
    .requiredOption('--name <name>', 'name in the registry')
    .addOption(new Option('--cell <cell>', 'cell of the torch.nn stack').choices(['rnn', ...CELLS]))
    .option('--like <model>', 'the weights belong to the same network as this model, including its head')
    .addOption(configOption())
    .addHelpText(
      'after',
      '\nExamples:\n  $ gatecast model import weights.safetensors --cell gru --name plant --data-dir ./data\n  $ gatecast model import tuned.safetensors --like base --name tuned --data-dir ./data\n',
    )
    .action(async (file: string, flags: { name: string; cell?: string; like?: string }, command: Command) => {
      const { importInto } = await import('./run.ts');
      print(await importInto(await registryOf(command), file, flags));
    });

  model
    .command('export')
    .description('export a model as ONNX or safetensors')
    .argument('<name>')
    .addOption(
      new Option('--format <format>', 'format of the file').choices(['onnx', 'safetensors']).default('onnx'),
    )
    .addOption(
      new Option(
        '--graph <graph>',
        'step: one step, as the agent runs; sequence: x [T,B,I] -> states [T,B,H], float32',
      )
        .choices(['sequence', 'step'])
        .default('step'),
    )
    .option('--leads <steps>', 'buckets ahead; without it a sequence graph has no forecast output', whole)
    .addOption(new Option('--float32', 'float32 step graph; default for a bare cell stack').conflicts('int8'))
    .option('--int8', 'int8 step graph; default for a model with a head')
    .requiredOption('--out <file>', 'file to write')
    .addOption(configOption())
    .addHelpText(
      'after',
      '\nExample:\n  $ gatecast model export base --format onnx --graph sequence --out base.onnx\n',
    )
    .action(async (name: string, flags: ExportFlags, command: Command) => {
      const { exportTo } = await import('./run.ts');
      print(exportTo(await registryOf(command), name, flags));
    });

  model
    .command('rollback')
    .description(
      'return to the previous model of a group of streams; takes effect at the next start of the agent',
    )
    .argument('[group]', 'group of streams', 'default')
    .addOption(configOption())
    .addHelpText('after', '\nExample:\n  $ gatecast model rollback -c /etc/gatecast/gatecast.yaml\n')
    .action(async (group: string, _flags: unknown, command: Command) => {
      const { rollBack } = await import('./run.ts');
      print(rollBack(await registryOf(command), await slotsFile(command), group));
    });
}

export interface ExportFlags {
  readonly format: 'onnx' | 'safetensors';
  readonly graph: 'step' | 'sequence';
  readonly leads?: number;
  readonly float32?: boolean;
  readonly int8?: boolean;
  readonly out: string;
}

/** null without a data directory. */
async function slotsFile(command: Command): Promise<string | null> {
  const dataDir = await dataDirOf(command);
  return dataDir === undefined ? null : join(dataDir, 'models', 'slots.json');
}
