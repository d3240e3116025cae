/** Options shared by several commands. */
import { type Command, Option } from 'commander';

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
