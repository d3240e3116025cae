/** `gatecast run`: the daemon against a real broker. */
import type { Command } from 'commander';
import { agentLog, logFailure } from './shared/agent-log.ts';
import { AlreadyReported } from './shared/failure.ts';
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
      try {
        await runAgent({ ...(await open()), again: open });
      } catch (error) {
        throw await inLogFormat(error, options.config);
      }
    });
}

/** Logs an error of the start in JSON if the config file asks for that, even a file with errors. @returns what to throw then */
async function inLogFormat(error: unknown, path: string): Promise<unknown> {
  if (error instanceof AlreadyReported) return error;
  const { statedLog } = await import('../config/index.ts');
  const { json, node } = statedLog(path);
  return json
    ? logFailure(
        agentLog(() => ({ log: { level: 'error', format: 'json' }, node })),
        error,
      )
    : error;
}
