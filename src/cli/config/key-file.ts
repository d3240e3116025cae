/**
 * A private key on the operator's machine: a JWK, or a JWE of it under a passphrase (PBES2-HS512+A256KW, RFC 7518 4.8).
 * The file has mode 0600 and is never overwritten.
 */

import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { CompactEncrypt, compactDecrypt } from 'jose';
import { z } from 'zod';
import { errorText, GatecastError, readNamed } from '../../errors.ts';
import type { KeyRole } from '../../remote/contract.ts';
import { makeFolder, readInput, writeFileAtomic } from '../../system/files.ts';
import { unwritable } from '../../system/output-file.ts';
import { jsonText } from '../shared/output.ts';
import { askSecret } from '../shared/prompt.ts';
import type { OperatorFolder } from './operator.ts';

/** Rounds of PBKDF2-HMAC-SHA-512: each guess takes about 0.2 s. */
const ROUNDS = 210_000;
const WRAP = 'PBES2-HS512+A256KW';
const MOST_PASSPHRASE_BYTES = 2 ** 16;
export const KEY_ENDING = '.key';

const jwkSchema = z.object({
  kty: z.literal('OKP'),
  crv: z.literal('Ed25519'),
  kid: z.string().min(1),
  x: z.string(),
  d: z.string(),
});
const fileSchema = z.union([jwkSchema, z.object({ kid: z.string().min(1), encrypted: z.string() })]);

interface NewKey {
  readonly kid: string;
  readonly roles: readonly KeyRole[] | null;
  /** Null: not encrypted. */
  readonly passphrase: string | null;
}

/** Writes the private key and returns the public one. @throws GatecastError FILE_UNWRITABLE, also if the file exists */
export async function createKey(path: string, { kid, roles, passphrase }: NewKey) {
  const { privateKey } = generateKeyPairSync('ed25519');
  const { kty = '', crv = '', x = '', d = '' } = privateKey.export({ format: 'jwk' });
  const secret = { kty, crv, kid, x, d };
  const content =
    passphrase === null ? secret : { kid, encrypted: await seal(JSON.stringify(secret), passphrase) };
  writeSecret(path, jsonText(content));
  return { kty, crv, kid, x, alg: 'EdDSA', use: 'sig', ...(roles === null ? {} : { roles }) };
}

function seal(text: string, passphrase: string): Promise<string> {
  return new CompactEncrypt(Buffer.from(text))
    .setProtectedHeader({ alg: WRAP, enc: 'A256GCM' })
    .setKeyManagementParameters({ p2c: ROUNDS })
    .encrypt(Buffer.from(passphrase));
}

/** Creates a file that only its owner may read. Fails if the file exists or is a link. */
function writeSecret(path: string, text: string): void {
  try {
    writeFileSync(path, text, { flag: 'wx', mode: 0o600, flush: true });
  } catch (cause) {
    throw new GatecastError('FILE_UNWRITABLE', `cannot write ${path}: ${errorText(cause)}`, {
      hint: 'an existing key is never overwritten: choose another name with --kid',
      cause,
    });
  }
}

/** Adds a public key to a JWKS file, which is created if it does not exist. @throws GatecastError FILE_UNREADABLE, USAGE */
export function addPublicKey(path: string, key: { readonly kid: string }): void {
  let keys: unknown[] = [];
  if (statSync(path, { throwIfNoEntry: false }) !== undefined) keys = readJwks(path);
  const others = keys.filter((one) => (one as { kid?: unknown } | null)?.kid === key.kid);
  if (others.length > 0) throw new GatecastError('USAGE', `${path} already contains a key '${key.kid}'`);
  writeFileAtomic(path, jsonText({ keys: [...keys, key] }), 0o644);
}

/** @throws GatecastError FILE_UNREADABLE */
function readJwks(path: string): unknown[] {
  return readNamed(
    `${path} is not a key set (JWKS)`,
    () => z.object({ keys: z.array(z.unknown()) }).parse(JSON.parse(readFileSync(path, 'utf8'))).keys,
  );
}

export interface SignerFlags {
  readonly signingKey?: string;
  readonly passphraseFile?: string;
}

/** The key to sign with: the named one, or the only one in the operator's folder. @throws GatecastError */
export async function openSigner(
  flags: SignerFlags,
  folder: OperatorFolder,
): Promise<{ readonly kid: string; readonly key: KeyObject }> {
  const path = flags.signingKey === undefined ? onlyKey(folder) : keyPath(flags.signingKey, folder);
  const file = readNamed(
    `cannot read the private key ${path}`,
    () => fileSchema.parse(JSON.parse(readFileSync(path, 'utf8'))),
    'create one with `gatecast config keygen`',
  );
  if ((statSync(path).mode & 0o077) !== 0)
    throw new GatecastError('USAGE', `other users may read the private key ${path}`, {
      hint: `chmod 600 ${path}; if someone may have read it, create a new key and remove this one from the gateways`,
    });
  if (!('encrypted' in file)) return { kid: file.kid, key: createPrivateKey({ key: file, format: 'jwk' }) };
  const passphrase = await passphraseOf(flags, `Passphrase of the key ${file.kid}`);
  try {
    const { plaintext } = await compactDecrypt(file.encrypted, Buffer.from(passphrase), {
      keyManagementAlgorithms: [WRAP],
      maxPBES2Count: 10_000_000,
    });
    const jwk = jwkSchema.parse(JSON.parse(Buffer.from(plaintext).toString('utf8')));
    return { kid: jwk.kid, key: createPrivateKey({ key: jwk, format: 'jwk' }) };
  } catch (cause) {
    throw new GatecastError('USAGE', `wrong passphrase for ${path}`, { cause });
  }
}

/** @throws GatecastError FILE_UNREADABLE; USAGE if it is empty or there is no terminal */
export async function passphraseOf({ passphraseFile }: SignerFlags, question: string): Promise<string> {
  const text =
    passphraseFile === undefined
      ? await askSecret(question)
      : readInput(passphraseFile, MOST_PASSPHRASE_BYTES, '--passphrase-file')
          .toString('utf8')
          .replace(/\r?\n$/, '');
  if (text === '') throw new GatecastError('USAGE', 'the passphrase is empty');
  return text;
}

/** The path of a key in the operator's folder, if there is one with this name; otherwise the path as given. */
function keyPath(key: string, { keys }: OperatorFolder): string {
  const named = join(keys, `${key}${KEY_ENDING}`);
  return basename(key) === key && statSync(named, { throwIfNoEntry: false }) !== undefined ? named : key;
}

function onlyKey({ keys }: OperatorFolder): string {
  const present = statSync(keys, { throwIfNoEntry: false })?.isDirectory() ?? false;
  const names = present ? readdirSync(keys).filter((name) => name.endsWith(KEY_ENDING)) : [];
  const [only] = names;
  if (only === undefined || names.length > 1)
    throw new GatecastError(
      'USAGE',
      only === undefined ? `there is no key in ${keys}` : `${keys} contains several keys`,
      {
        hint:
          only === undefined
            ? 'create one with `gatecast config keygen`, or name one with --signing-key'
            : `name one with --signing-key: ${names
                .map((name) => name.slice(0, -KEY_ENDING.length))
                .sort()
                .join(', ')}`,
      },
    );
  return join(keys, only);
}

export function makeOperatorFolder(folder: OperatorFolder): void {
  try {
    for (const path of [folder.root, folder.keys, folder.rollouts]) makeFolder(path, 0o700);
  } catch (cause) {
    throw unwritable(folder.root, cause);
  }
}
