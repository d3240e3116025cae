/** `gatecast explain`: shows the parts of the newest forecast of a stream, and the forecast with other covariates. */
import { type Command, InvalidArgumentError } from 'commander';
import { globals } from '../shared/globals.ts';

interface Flags {
  readonly config: string;
  readonly set?: readonly Setting[];
  readonly json?: boolean;
}

export interface Setting {
  readonly covariate: string;
  readonly value: number;
}

export function registerExplain(program: Command): void {
  program
    .command('explain')
    .description('show the parts of the newest forecast of a stream, and the forecast with other covariates')
    .argument('<stream>', 'name of the stream')
    .requiredOption('-c, --config <file>', 'config file of the agent')
    .option(
      '--set <covariate=value>',
      'suppose this value of a covariate from the newest bucket on; may be repeated',
      (text: string, before: readonly Setting[] = []) => [...before, setting(text)],
    )
    .option('--json', 'print as JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ gatecast explain rooms/kitchen/temperature -c /etc/gatecast/gatecast.yaml
  $ gatecast explain rooms/kitchen/temperature -c /etc/gatecast/gatecast.yaml --set outdoor=-10

Works while the agent runs, and changes nothing. Loads the saved state of the stream and of its covariates, replays the
readings stored since, and makes the newest forecast again.`,
    )
    .action(async (stream: string, flags: Flags, command: Command) => {
      const { explain } = await import('./run.ts');
      const { systemClock } = await import('../../system/clock.ts');
      const { dataDir } = globals(command);
      const { config, set = [], json = false } = flags;
      process.stdout.write(await explain({ stream, config, set, json, dataDir, clock: systemClock }));
    });
}

/** `outdoor=-10` */
function setting(text: string): Setting {
  const at = text.lastIndexOf('=');
  const value = Number(text.slice(at + 1).trim());
  const covariate = text.slice(0, Math.max(0, at)).trim();
  if (covariate === '' || text.slice(at + 1).trim() === '' || !Number.isFinite(value))
    throw new InvalidArgumentError('A covariate and a number are expected, such as outdoor=-10.');
  return { covariate, value };
}
