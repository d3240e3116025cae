/** `gatecast inspect`: shows the stored data of a stream. */
import type { Command } from 'commander';
import { configOption, globals } from '../shared/globals.ts';
import { whole } from '../shared/values.ts';

interface Flags {
  readonly config?: string;
  readonly last: number;
  readonly days: number;
  readonly json?: boolean;
}

export function registerInspect(program: Command): void {
  program
    .command('inspect')
    .description('show the stored data of a stream: readings with marks, gaps, refusals, state, scores')
    .argument('[stream]', 'name of the stream; default: list all names')
    .addOption(configOption())
    .option('--last <n>', 'newest readings to show', whole, 12)
    .option('--days <n>', 'newest days to show', whole, 14)
    .option('--json', 'print as JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ gatecast inspect -c /etc/gatecast/gatecast.yaml
  $ gatecast inspect cellar/temperature -c /etc/gatecast/gatecast.yaml
  $ gatecast inspect cellar/temperature --data-dir /var/lib/gatecast --json

Works while the agent runs, and changes nothing. Shows readings and marks as of the last flush, refusals as of the last
batch (at most ten minutes ago), state and scores as of the last saved state.`,
    )
    .action(async (stream: string | undefined, flags: Flags, command: Command) => {
      const { inspect } = await import('./run.ts');
      const { systemClock } = await import('../../system/clock.ts');
      const { dataDir } = globals(command);
      process.stdout.write(inspect({ ...flags, stream, dataDir, nowMs: systemClock.now() }));
    });
}
