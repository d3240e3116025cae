/** Options that every command takes. */
import { type Command, Option } from 'commander';

export interface Globals {
  /** Where the registry and the store are; undefined: what the config or the command itself says. */
  readonly dataDir?: string;
  /** Print stacks. */
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

/** Of the command whose action runs. An empty folder, as from an empty environment variable, is none. */
export function globals(command: Command): Globals {
  const { dataDir, debug } = command.optsWithGlobals<Globals>();
  return { ...(dataDir ? { dataDir } : {}), ...(debug ? { debug } : {}) };
}
