/**
 * The operator's folder: private keys, public keys for the gateways, the push history and unfinished rollouts. It stays on the
 * operator's machine.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { topicsOf } from '../../mqtt/topics.ts';
import { matching } from '../shared/values.ts';

export interface OperatorFlags {
  readonly operatorDir?: string;
}

export interface OperatorFolder {
  readonly root: string;
  readonly keys: string;
  readonly history: string;
  readonly rollouts: string;
}

export const addOperatorFolder = (command: Command): Command =>
  command.addOption(
    new Option(
      '--operator-dir <folder>',
      'folder of your keys and of the push history; default: ~/.config/gatecast',
    ).env('GATECAST_OPERATOR_DIR'),
  );

export function operatorFolder({ operatorDir }: OperatorFlags): OperatorFolder {
  const config = process.env.XDG_CONFIG_HOME || join(homedir(), '.config');
  const root = operatorDir || join(config, 'gatecast');
  return {
    root,
    keys: join(root, 'keys'),
    history: join(root, 'history.jsonl'),
    rollouts: join(root, 'rollouts'),
  };
}

export const addSigner = (command: Command): Command =>
  command
    .option(
      '--signing-key <key>',
      'private key: its name in the operator folder, or a file; default: the only key of the folder',
    )
    .option('--passphrase-file <file>', 'file with the passphrase of an encrypted key; default: prompt');

export interface Target {
  readonly kind: 'node' | 'fleet';
  readonly name: string;
}

/** Topic of pushes to a target. */
export const desiredTopic = (base: string, { kind, name }: Target): string =>
  kind === 'node' ? topicsOf(base, name).configDesired : topicsOf(base, 'any').fleetConfigDesired(name);

export const targetText = ({ kind, name }: Target): string => (kind === 'node' ? name : `fleet ${name}`);

/** One level of a topic: a node or a group. */
export const level = (text: string): string =>
  matching(text, /^[^+#/\s\p{C}]{1,128}$/u, 'A name without / + # is expected.');

/** First levels of every topic. */
export const baseLevels = (text: string): string =>
  matching(text, /^[^+#\s\p{C}/]+(?:\/[^+#\s\p{C}/]+)*$/u, 'Topic levels without + and # are expected.');
