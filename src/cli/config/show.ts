/** `gatecast config show`: the effective config of this gateway, and where each key comes from. */

import type { Command } from 'commander';
import { globals } from '../shared/globals.ts';
import { jsonText, outputOf, printable } from '../shared/output.ts';
import { textTable } from '../shared/text-table.ts';

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

A key comes from its default, the local file, a group (fleet:NAME) or this gateway's own pushes (node). Pushes name stream rules
by the ids in these keys: streams.<id>.horizon. Run it as the user of the service, which may read the pushed layers.`,
    )
    .action(async (flags: Flags, self: Command) => {
      const [{ readConfig }, { layered }] = await Promise.all([
        import('../../config/index.ts'),
        import('../shared/layers.ts'),
      ]);
      const { dataDir } = globals(self);
      const read = readConfig(flags.config, dataDir === undefined ? {} : { GATECAST_DATA_DIR: dataDir });
      const { keys, hash, problem } = await layered(read, dataDir);
      const { out: print } = outputOf(self);
      if (flags.json) {
        print(jsonText({ node: read.config.node, hash, keys, problem }));
        return;
      }
      const shown = keys.filter(({ origin }) => flags.all === true || origin !== 'default');
      const rows = shown.map(({ path, value: set, origin }) =>
        [path, typeof set === 'string' ? set : JSON.stringify(set), origin].map((cell) => printable(cell)),
      );
      print(`${textTable([['key', 'value', 'from'], ...rows])}\nconfig ${hash}\n`);
      if (problem !== null)
        print(`the pushed layers are invalid on this file, which applies alone: ${printable(problem)}\n`);
    });
}
