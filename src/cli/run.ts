/** `gatecast run`: the daemon against a real broker. */
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
      '\nExample:\n  $ gatecast run -c /etc/gatecast/gatecast.yaml\n\nSIGTERM and SIGINT stop the daemon within 5 s; it saves its state. SIGHUP reloads the config file.',
    )
    .action(async (options: Options, command: Command) => {
      const { openStart } = await import('./shared/remote-session.ts');
      const { dataDir } = globals(command);
      const open = () => openStart(options.config, dataDir);
      await runAgent({ ...(await open()), again: open });
    });
}
