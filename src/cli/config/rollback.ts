/** `gatecast config rollback`: pushes the previous content of a layer again, with a new version. */
import type { Command } from 'commander';
import { GatecastError } from '../../errors.ts';
import { addLogin } from '../shared/broker.ts';
import { whole } from '../shared/values.ts';
import { addClaims, addTarget, type PushContent, targetOf } from './content.ts';
import { type LayerVersion, layerVersions, ofTarget, readHistory } from './history-file.ts';
import { addOperatorFolder, addSigner, operatorFolder } from './operator.ts';
import { addRollout, follow, type SendFlags } from './push.ts';

type Flags = SendFlags & { readonly toVersion?: number };

export function registerRollback(config: Command): void {
  const command = config
    .command('rollback')
    .description('push the previous config again, with a new version')
    .option('--to-version <n>', 'version to return to; default: the previous one', whole);
  addLogin(addOperatorFolder(addSigner(addRollout(addClaims(addTarget(command))))))
    .addHelpText(
      'after',
      `
Example:
  $ gatecast config rollback --to cellar --broker mqtts://broker.lan

The previous content is that of the applied push before the last one from this machine. If this machine does not know it, the
gateways are asked to return to their previously committed config.`,
    )
    .action(async (flags: Flags, self: Command) => {
      const target = targetOf(flags);
      const entries = ofTarget(readHistory(operatorFolder(flags).history), flags.base, target);
      const newest = entries.filter(({ outcome }) => outcome?.result === 'applied').at(-1);
      // The gateway still has the previous model. A push of its name alone could not tell whether it is the same one.
      const content: PushContent =
        flags.toVersion === undefined && newest?.content.model !== undefined
          ? { rollback: true }
          : former(layerVersions(entries), flags.toVersion);
      await follow(flags, self, content);
    });
}

/** @throws GatecastError USAGE for a version that this machine does not know */
function former(versions: readonly LayerVersion[], wanted?: number): PushContent {
  if (wanted === undefined) {
    const content = versions.at(-2)?.content ?? null;
    return content === null ? { rollback: true } : { config: content };
  }
  const found = versions.find(({ version }) => version === wanted);
  if (found?.content) return { config: found.content };
  const known = versions.filter(({ content }) => content !== null).map(({ version }) => version);
  throw new GatecastError('USAGE', `this machine does not know the content of version ${wanted}`, {
    hint: known.length > 0 ? `known versions: ${known.join(', ')}` : 'push it with --config FILE',
  });
}
