/** Options shared by several commands, and the model registry that they name. */
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import type { ModelRegistry } from '../../model/registry.ts';

interface Globals {
  /** Folder of the model registry and the store; undefined: from the config, or the command's default. */
  readonly dataDir?: string;
  /** Print stack traces. */
  readonly debug?: boolean;
}

export function addGlobals(program: Command): void {
  program
    .addOption(
      new Option('--data-dir <folder>', 'folder of the database and of your own models').env(
        'GATECAST_DATA_DIR',
      ),
    )
    .option('--debug', 'print the stack of an unexpected error');
}

/** The global options of a command. An empty folder (an empty environment variable) counts as absent. */
export function globals(command: Command): Globals {
  const { dataDir, debug } = command.optsWithGlobals<Globals>();
  return { ...(dataDir ? { dataDir } : {}), ...(debug ? { debug } : {}) };
}

/** `-c`, spelled the same for every command that needs a config only to find the data directory. */
export const configOption = (): Option =>
  new Option('-c, --config <file>', 'config file, which names the data directory; --data-dir overrides it');

/**
 * The data directory: `--data-dir` or `GATECAST_DATA_DIR`, else that of the config named with `-c`; undefined without either.
 * @throws GatecastError FILE_UNREADABLE, CONFIG_INVALID
 */
export async function dataDirOf(command: Command): Promise<string | undefined> {
  const { dataDir } = globals(command);
  const { config } = command.opts<{ config?: string }>();
  if (dataDir !== undefined || config === undefined) return dataDir;
  const { loadConfig } = await import('../../config/index.ts');
  return loadConfig(config).data_dir;
}

/** The shipped models and those of the command's data directory. */
export async function registryOf(command: Command): Promise<ModelRegistry> {
  return modelRegistry(await dataDirOf(command));
}

export async function modelRegistry(dataDir: string | undefined): Promise<ModelRegistry> {
  const { ModelRegistry } = await import('../../model/registry.ts');
  return new ModelRegistry(dataDir === undefined ? null : join(dataDir, 'models'));
}
