/** `gatecast config show`: the effective config of this gateway, and where each key comes from. */
import type { Command } from 'commander';
import { globals } from '../shared/globals.ts';
import { textTable } from '../shared/text-table.ts';
import { printable } from './operator.ts';

interface Flags {
  readonly config: string;
  readonly all?: boolean;
  readonly json?: boolean;
}

export function registerShow(config: Command): void {
  config
    .command('show')
    .description('show the effective config of this gateway, and the source of each key')
    .requiredOption('-c, --config <file>', 'config file of the gateway')
    .option('--all', 'include keys with default values')
    .option('--json', 'print as JSON, with the defaults')
    .addHelpText(
      'after',
      `
Example:
  $ gatecast config show -c /etc/gatecast/gatecast.yaml

A key comes from its default, the local file, a group (fleet:NAME) or this gateway's own pushes (node). The ids of the stream
rules, by which pushes name them, stand in the keys: streams.<id>.horizon. Run it as the user of the service, whose folder
holds the pushed layers.`,
    )
    .action(async (flags: Flags, self: Command) => {
      const [{ readConfig }, { layered }] = await Promise.all([
        import('../../config/index.ts'),
        import('../shared/layers.ts'),
      ]);
      const { dataDir } = globals(self);
      const read = readConfig(flags.config, dataDir === undefined ? {} : { GATECAST_DATA_DIR: dataDir });
      const { keys, hash, problem } = await layered(read, dataDir);
      const print = self.configureOutput().writeOut ?? (() => {});
      if (flags.json) {
        print(`${JSON.stringify({ node: read.config.node, hash, keys, problem }, null, 2)}\n`);
        return;
      }
      const shown = keys.filter(({ origin }) => flags.all === true || origin !== 'default');
      const rows = shown.map(({ path, value: set, origin }) =>
        [path, typeof set === 'string' ? set : JSON.stringify(set), origin].map(printable),
      );
      print(`${textTable([['key', 'value', 'from'], ...rows])}\nconfig ${hash}\n`);
      if (problem !== null)
        print(`the pushed layers do not fit this file, which runs alone: ${printable(problem)}\n`);
    });
}
