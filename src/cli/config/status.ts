/** `gatecast config status`: shows the gateways' reports on their config. */

import type { Command } from 'commander';
import type { Reported } from '../../remote/contract.ts';
import { addLogin, brokerOf, type LoginFlags, openLink } from '../shared/broker.ts';
import { jsonText, outputOf, printable } from '../shared/output.ts';
import { textTable } from '../shared/text-table.ts';
import { baseOption } from './content.ts';
import { reasonOf } from './outcome.ts';

interface Flags extends LoginFlags {
  readonly base: string;
  readonly json?: boolean;
}

export function registerStatus(config: Command): void {
  const command = config
    .command('status')
    .description('show the reports of gateways: the last push and the running config')
    .argument('[nodes...]', 'gateways; default: all')
    .addOption(baseOption())
    .option('--json', 'print the reports as JSON');
  addLogin(command)
    .addHelpText(
      'after',
      '\nExample:\n  $ gatecast config status --broker mqtts://broker.lan --username ops --password-file pw\n',
    )
    .action(async (nodes: string[], flags: Flags, self: Command) => {
      const { readReports } = await import('./reports.ts');
      const options = await brokerOf(flags, 'config');
      const { link, reports } = await readReports(flags.base, null, (message) => openLink(options, message));
      await link.close();
      const found = [...reports.latest]
        .filter(([node]) => nodes.length === 0 || nodes.includes(node))
        .sort(([a], [b]) => (a < b ? -1 : 1));
      const { out: print } = outputOf(self);
      if (flags.json) print(jsonText(Object.fromEntries(found)));
      else if (found.length === 0)
        print('no gateway has reported a config; is remote_config enabled there?\n');
      else print(textTable([HEAD, ...found.map(([node, reported]) => row(node, reported))]));
    });
}

const HEAD = ['node', 'status', 'version', 'layer', 'key', 'since', 'runs', 'reason'];

function row(node: string, reported: Reported): string[] {
  const { status, code, version, layer, kid, since, effective_hash } = reported;
  return [
    node,
    `${status} ${code}`,
    version === null ? '-' : String(version),
    layer ?? '-',
    kid ?? '-',
    since.slice(0, 19),
    effective_hash.slice(0, 12),
    reasonOf(reported) || (reported.notes ?? []).join('; '),
  ].map((cell) => printable(cell));
}
