/** `gatecast config keygen`: creates a key pair for signing. The private key stays on this machine; the public one is copied to the gateways. */

import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { GatecastError } from '../../errors.ts';
import { KEY_ROLES, type KeyRole } from '../../remote/contract.ts';
import { jsonText, outputOf } from '../shared/output.ts';
import { list, matching } from '../shared/values.ts';
import type { SignerFlags } from './key-file.ts';
import { addOperatorFolder, type OperatorFlags, operatorFolder } from './operator.ts';

interface Flags extends OperatorFlags, SignerFlags {
  readonly kid?: string;
  readonly roles?: readonly KeyRole[];
  readonly encrypt?: boolean;
  readonly json?: boolean;
}

export function registerKeygen(config: Command): void {
  const command = config
    .command('keygen')
    .description('create a key pair for signing pushes')
    .option('--kid <name>', 'id of the key in `remote_config.keys`; default: user, machine and year', kid)
    .option(
      '--roles <roles>',
      `kinds of messages that the key may sign, joined by commas: ${KEY_ROLES.join(', ')}; default: all`,
      roles,
    )
    .option('--encrypt', 'encrypt the private key with a passphrase, entered on the terminal')
    .option('--passphrase-file <file>', 'encrypt the private key with the passphrase in this file')
    .option('--json', 'print as JSON');
  addOperatorFolder(command)
    .addHelpText(
      'after',
      `
Example:
  $ gatecast config keygen --kid ops-2026 --encrypt

The private key is written with mode 0600 and never leaves this machine. Copy keys.jwks to every gateway and name it there:
  remote_config: { enabled: true, keys: /etc/gatecast/keys.jwks }
A second key is added to keys.jwks, so that gateways trust both keys during a rotation.`,
    )
    .action(async (flags: Flags, self: Command) => {
      const { addPublicKey, createKey, KEY_ENDING, makeOperatorFolder, passphraseOf } = await import(
        './key-file.ts'
      );
      const folder = operatorFolder(flags);
      const name = flags.kid ?? defaultKid();
      const encrypted = flags.encrypt === true || flags.passphraseFile !== undefined;
      const passphrase = encrypted ? await passphraseOf(flags, `New passphrase of the key ${name}`) : null;
      if (passphrase !== null && flags.passphraseFile === undefined)
        if ((await passphraseOf(flags, 'Repeat the passphrase')) !== passphrase)
          throw new GatecastError('USAGE', 'the two passphrases differ');
      makeOperatorFolder(folder);
      const privateFile = join(folder.keys, `${name}${KEY_ENDING}`);
      const publicFile = join(folder.keys, 'keys.jwks');
      const key = await createKey(privateFile, { kid: name, roles: flags.roles ?? null, passphrase });
      addPublicKey(publicFile, key);
      const result = { kid: name, private_key: privateFile, encrypted, public_keys: publicFile, jwk: key };
      outputOf(self).out(
        flags.json
          ? jsonText(result)
          : `key          ${name}\nprivate key  ${privateFile}${encrypted ? ' (encrypted)' : ''}\npublic keys  ${publicFile}: copy it to the gateways\n`,
      );
    });
}

function defaultKid(): string {
  const plain = `${userInfo().username}-${hostname()}-${new Date().getUTCFullYear()}`;
  return plain.replaceAll(/[^A-Za-z0-9._-]/g, '-').slice(0, 64);
}

const kid = (text: string): string =>
  matching(
    text,
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
    'Letters, digits, dots, dashes and underscores are expected, at most 64.',
  );

function roles(text: string): KeyRole[] {
  const names = list(text);
  const known = KEY_ROLES.filter((role) => names.includes(role));
  if (known.length === 0 || known.length < names.length)
    throw new InvalidArgumentError(`One or more of ${KEY_ROLES.join(', ')} are expected.`);
  return known;
}
