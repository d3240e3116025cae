/** `gatecast config sign`: prints a signed push, to be sent by other means. Sends nothing. */

import { type Command, Option } from 'commander';
import { GatecastError } from '../../errors.ts';
import { outputOf } from '../shared/output.ts';
import {
  addClaims,
  addContent,
  addModel,
  addTarget,
  type ClaimFlags,
  type ContentFlags,
  claimsOf,
  contentOf,
  type ModelFlags,
  type TargetFlags,
  targetOf,
} from './content.ts';
import type { SignerFlags } from './key-file.ts';
import { addOperatorFolder, addSigner, type OperatorFlags, operatorFolder } from './operator.ts';

interface Flags extends TargetFlags, ContentFlags, ModelFlags, ClaimFlags, SignerFlags, OperatorFlags {
  readonly dryRun?: boolean;
  readonly out?: string;
}

export function registerSign(config: Command): void {
  const command = config.command('sign').description('sign a push and print it; nothing is sent');
  addClaims(addModel(addContent(addTarget(command))));
  addOperatorFolder(addSigner(command))
    .option('--dry-run', 'gateways only validate the push and report')
    .addOption(new Option('--out <file>', 'write the signed push to a file instead of printing it'))
    .addHelpText(
      'after',
      `
Examples:
  $ gatecast config sign --to cellar --patch pumps.yaml --out push.jws
  $ gatecast config push --signed push.jws
  $ mosquitto_pub -t gatecast/cellar/config/desired -r -q 1 -f push.jws

The version counts as used and is written to the history of this machine.`,
    )
    .action(async (flags: Flags, self: Command) => {
      const [
        { makeOperatorFolder, openSigner },
        { append, readHistory },
        { historyContent, nextVersion, signed },
        { readPushedModel, withModel },
        { prepareOutput, writeOutput },
      ] = await Promise.all([
        import('./key-file.ts'),
        import('./history-file.ts'),
        import('./push-run.ts'),
        import('./push-model.ts'),
        import('../../system/output-file.ts'),
      ]);
      const target = targetOf(flags);
      const model = flags.model === undefined ? null : await readPushedModel(flags.model);
      if (model === null && flags.modelUrl !== undefined)
        throw new GatecastError('USAGE', '--model-url needs --model');
      const content = await withModel(contentOf(flags), model, flags);
      if (Object.keys(content).length === 0)
        throw new GatecastError('USAGE', 'nothing to sign', {
          hint: 'name --config FILE, --patch FILE or --model PATH',
        });
      // Before the version counts as used.
      if (flags.out !== undefined) prepareOutput(flags.out);
      const folder = operatorFolder(flags);
      makeOperatorFolder(folder);
      const signer = await openSigner(flags, folder);
      const nowMs = Date.now();
      const version = flags.version ?? nextVersion(signer.kid, readHistory(folder.history), []);
      const { base } = flags;
      const claims = claimsOf(content, flags, {
        base,
        target,
        version,
        nowMs,
        dryRun: flags.dryRun === true,
      });
      const jws = await signed(claims, signer);
      const token = claims.token ?? '';
      const at = new Date(nowMs).toISOString();
      if (flags.dryRun !== true)
        append(folder.history, {
          id: `signed-${token}`,
          at,
          base,
          target,
          kid: signer.kid,
          version,
          token,
          content: historyContent(content),
        });
      if (flags.out === undefined) outputOf(self).out(`${jws}\n`);
      else writeOutput(flags.out, Buffer.from(jws));
    });
}
