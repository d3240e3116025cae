/** `gatecast init`: finds the broker and its sensors, and writes a working config. */

import type { Command } from 'commander';
import { addLogin, brokerOption, type LoginFlags } from '../shared/broker.ts';
import { outputOf } from '../shared/output.ts';
import { duration, presetOption } from '../shared/values.ts';

export interface InitFlags extends Omit<LoginFlags, 'broker'> {
  readonly config?: string;
  readonly broker?: string;
  /** ms */
  readonly listen: number;
  readonly node?: string;
  readonly merge?: boolean;
  readonly yes?: boolean;
  readonly start?: boolean;
  readonly credential?: boolean;
  readonly json?: boolean;
}

const EXAMPLES = `
Finds the broker, logs in, listens, and writes a config with a rule for each kind of device on it. Prompts for missing
answers; without a terminal, options must give them. Publishes nothing.

Examples:
  $ sudo gatecast init
  $ gatecast init -c gatecast.yaml --broker mqtt://192.168.1.5 --username me --password-file pw --listen 2m --yes
  $ gatecast init -c gatecast.yaml --merge           adds rules for new devices`;

export function registerInit(program: Command): void {
  const command = program
    .command('init')
    .description('find the broker, listen, and write a working config')
    .option(
      '-c, --config <file>',
      'config to write; default: /etc/gatecast/gatecast.yaml as root, else gatecast.yaml',
    );
  addLogin(command, brokerOption())
    .addOption(
      presetOption('--listen <duration>', 'how long to listen; Ctrl-C ends it early', duration, '1m'),
    )
    .option('--node <name>', 'name of this gateway; default: the name of the machine')
    .option('--merge', 'add rules for new topics to an existing config')
    .option('--start', 'start the service afterwards')
    .option('--no-start', 'do not start the service, and do not ask')
    .option(
      '--credential',
      'keep the password as an encrypted credential of the systemd service, instead of a file',
    )
    .option('-y, --yes', 'do not ask; use options and defaults')
    .option('--json', 'print JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (flags: InitFlags, command: Command) => {
      const [{ init }, { terminal }] = await Promise.all([
        import('./run.ts'),
        import('../shared/terminal.ts'),
      ]);
      const asked = terminal();
      await init(flags, {
        ...outputOf(command),
        terminal: flags.yes ? { ...asked, interactive: false } : asked,
      });
    });
}
