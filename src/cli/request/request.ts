/** `gatecast request`: sends a request to a gateway over the broker and prints its answer. */

import { Argument, type Command } from 'commander';
import { REQUEST_VERBS } from '../../config/schema.ts';
import { GatecastError } from '../../errors.ts';
import { baseOption } from '../config/content.ts';
import type { SignerFlags } from '../config/key-file.ts';
import {
  addOperatorFolder,
  addSigner,
  level,
  type OperatorFlags,
  operatorFolder,
} from '../config/operator.ts';
import { addLogin, brokerOf, type LoginFlags } from '../shared/broker.ts';
import { AlreadyReported } from '../shared/failure.ts';
import { jsonText, outputOf, printable } from '../shared/output.ts';
import { duration, presetOption } from '../shared/values.ts';

interface Flags extends LoginFlags, SignerFlags, OperatorFlags {
  readonly to: string;
  readonly base: string;
  readonly stream?: string;
  readonly group?: string;
  readonly sign?: boolean;
  /** ms */
  readonly wait: number;
  readonly json?: boolean;
}

export function registerRequest(program: Command): void {
  const command = program
    .command('request')
    .description('send a request to a gateway over the broker, and print its answer')
    .addArgument(new Argument('<verb>', 'the request; docs/mqtt.md describes each').choices(REQUEST_VERBS))
    .requiredOption('--to <node>', 'the gateway', level)
    .addOption(baseOption())
    .option('--stream <name>', 'name of the stream, as in its forecast topic')
    .option('--group <name>', 'model group; default: the only group')
    .option('--sign', 'sign the request, for a gateway with `requests.signed`; implied by --signing-key')
    .addOption(
      presetOption('--wait <duration>', 'longest wait for the answer of the gateway', duration, '30s'),
    )
    .option('--json', 'print the answer as JSON');
  addLogin(addOperatorFolder(addSigner(command)))
    .addHelpText(
      'after',
      `
Examples:
  $ gatecast request backup --to cellar --broker mqtts://broker.lan
  $ gatecast request forget-stream --to cellar --stream attic/humidity --sign

Exit code 0 if the gateway completed the request, 1 if it refused or did not answer. A signed request is valid for 5 minutes,
and its version is the time in milliseconds: the clocks of this machine and of the gateway must be right.`,
    )
    .action(async (verb: string, flags: Flags, self: Command) => {
      const [{ send }, { openSigner }] = await Promise.all([
        import('./send.ts'),
        import('../config/key-file.ts'),
      ]);
      const { base, to: node, stream, group, wait: waitMs } = flags;
      const signs = flags.sign === true || flags.signingKey !== undefined;
      const signer = signs ? await openSigner(flags, operatorFolder(flags)) : null;
      const options = await brokerOf(flags, 'request');
      const answer = await send({ base, node, verb, stream, group, signer, waitMs }, options);
      if (answer === null)
        throw new GatecastError('BROKER_UNREACHABLE', `${node} did not answer within ${waitMs / 1000} s`, {
          hint: 'check the name, that gatecast runs there, and that this login may publish on request/+ and read response/+',
        });
      const { status, data, error } = answer;
      const text = status === 'ok' ? `ok ${JSON.stringify(data ?? {})}` : printable(error ?? status);
      outputOf(self).out(flags.json ? jsonText({ status, data, error }) : `${text}\n`);
      if (status !== 'ok') throw new AlreadyReported();
    });
}
