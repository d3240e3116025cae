/** `gatecast run`: the daemon against a real broker. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { globals } from './shared/globals.ts';
import { runAgent } from './shared/run-agent.ts';

interface Options {
  readonly config: string;
}

export function registerRun(program: Command): void {
  program
    .command('run')
    .description('run the daemon against a broker')
    .requiredOption('-c, --config <file>', 'config file, YAML or JSON')
    .addHelpText(
      'after',
      '\nExample:\n  $ gatecast run -c /etc/gatecast/gatecast.yaml\n\nSIGTERM and SIGINT stop it within 5 s; what it has learnt is kept. SIGHUP reads the config file again.',
    )
    .action(async (options: Options, command: Command) => {
      const { loadConfig } = await import('../config/index.ts');
      const { dataDir } = globals(command);
      const read = () =>
        loadConfig(options.config, dataDir === undefined ? {} : { GATECAST_DATA_DIR: dataDir });
      await runAgent({ config: read(), configFile: { path: resolve(options.config), read } });
    });
}
