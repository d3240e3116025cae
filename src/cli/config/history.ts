/** `gatecast config history`: lists the pushes from this machine. */

import type { Command } from 'commander';
import { jsonText, outputOf, printable } from '../shared/output.ts';
import { textTable } from '../shared/text-table.ts';
import { readHistory } from './history-file.ts';
import { addOperatorFolder, type OperatorFlags, operatorFolder, targetText } from './operator.ts';

interface Flags extends OperatorFlags {
  readonly json?: boolean;
}

export function registerHistory(config: Command): void {
  const command = config
    .command('history')
    .description('list the pushes from this machine, newest last')
    .option('--json', 'print as JSON, with the contents');
  addOperatorFolder(command)
    .addHelpText('after', '\nExample:\n  $ gatecast config history\n')
    .action((flags: Flags, self: Command) => {
      const history = readHistory(operatorFolder(flags).history);
      const { out: print } = outputOf(self);
      if (flags.json) print(jsonText(history));
      else if (history.length === 0) print('nothing was pushed from this machine\n');
      else
        print(
          textTable([
            ['when', 'to', 'version', 'key', 'what', 'result', 'id'],
            ...history.map(({ at, target, version, kid, content, outcome, id }) =>
              [
                at.slice(0, 19),
                targetText(target),
                String(version),
                kid,
                Object.keys(content).join(', '),
                outcome?.result ?? 'open',
                id,
              ].map((cell) => printable(cell)),
            ),
          ]),
        );
    });
}
