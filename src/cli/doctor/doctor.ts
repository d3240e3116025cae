/** `gatecast doctor`: checks whether this machine can run gatecast. */

import type { Command } from 'commander';
import { AlreadyReported } from '../shared/failure.ts';
import { globals } from '../shared/globals.ts';
import { jsonText, outputOf } from '../shared/output.ts';
import type { Finding } from './checks.ts';

interface Options {
  readonly config?: string;
  readonly json?: boolean;
}

export function registerDoctor(program: Command): void {
  program
    .command('doctor')
    .description('check this machine: processor, runtime, model, clock, disk, broker')
    .option('-c, --config <file>', 'also check its broker, folders and secrets')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExample:\n  $ gatecast doctor -c /etc/gatecast/gatecast.yaml\n\nExit code 1 if a problem would prevent gatecast from running.',
    )
    .action(async (options: Options, command: Command) => {
      const { runChecks } = await import('./checks.ts');
      const findings = await runChecks({ config: options.config, dataDir: globals(command).dataDir });
      outputOf(command).out(options.json ? jsonText({ findings }) : table(findings));
      if (findings.some(({ state }) => state === 'fail')) throw new AlreadyReported();
    });
}

const MARKS = { ok: 'ok  ', note: 'note', fail: 'FAIL' } as const;

function table(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ name }) => name.length));
  return findings
    .map(({ state, name, text, hint }) => {
      const line = `${MARKS[state]}  ${name.padEnd(width)}  ${text}`;
      return hint === undefined ? `${line}\n` : `${line}\n      ${' '.repeat(width)}  ${hint}\n`;
    })
    .join('');
}
