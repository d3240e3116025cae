/**
 * Keeps the broker's password as a credential of the service: encrypted on the disk with a key of this machine, decrypted by
 * systemd (250 or newer) for the service alone.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { GatecastError } from '../../errors.ts';
import { makeFolder, writeFileAtomic } from '../../system/files.ts';
import { unwritable } from '../../system/output-file.ts';

const NAME = 'mqtt-password';
/** `password_file` of the config: where systemd puts the password while the service runs. */
export const CREDENTIAL_PATH = `/run/credentials/gatecast.service/${NAME}`;

/** @param root folder that stands for `/`, for tests */
export function keepCredential(password: string, root = '/'): { file: string; dropIn: string } {
  const file = join(root, 'etc/gatecast', `${NAME}.cred`);
  const folder = join(root, 'etc/systemd/system/gatecast.service.d');
  const dropIn = join(folder, `${NAME}.conf`);
  const { status, stdout, stderr, error } = spawnSync(
    'systemd-creds',
    ['encrypt', `--name=${NAME}`, '-', '-'],
    { input: password, maxBuffer: 2 ** 20, timeout: 60_000 },
  );
  if (status !== 0)
    throw new GatecastError(
      'USAGE',
      `systemd cannot keep the password: ${error?.message ?? stderr.toString().trim()}`,
      { hint: 'leave --credential out: the password is then in a file that only the service may read' },
    );
  try {
    writeFileAtomic(file, stdout);
    makeFolder(folder);
    writeFileAtomic(dropIn, `[Service]\nLoadCredentialEncrypted=${NAME}:${file}\n`, 0o644);
  } catch (cause) {
    throw unwritable(file, cause);
  }
  return { file, dropIn };
}
