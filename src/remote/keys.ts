/** Loads the public keys that may sign pushes, from a JWKS file or from the config. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import type { Config } from '../config/index.ts';
import { errorText, GatecastError, issuesText } from '../errors.ts';
import { readInput } from '../system/files.ts';
import { KEY_ROLES, type KeyRole } from './contract.ts';

interface PublicKey {
  readonly kid: string;
  readonly key: KeyObject;
  readonly roles: readonly KeyRole[];
}
export type KeySet = ReadonlyMap<string, PublicKey>;

const MAX_FILE_BYTES = 64 * 1024;
const MAX_KEYS = 64;

const jwksSchema = z.object({
  keys: z
    .array(
      z.looseObject({
        kty: z.literal('OKP', 'must be OKP'),
        crv: z.literal('Ed25519', 'must be Ed25519'),
        x: z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'must be 32 bytes in base64url'),
        kid: z.string().min(1).max(128),
        d: z.never('must be absent: do not store a private key on a gateway').optional(),
        use: z.literal('sig', 'must be sig').optional(),
        alg: z.enum(['EdDSA', 'Ed25519']).optional(),
        roles: z.array(z.enum(KEY_ROLES)).min(1).optional(),
      }),
    )
    .min(1, 'must hold a key')
    .max(MAX_KEYS),
});

/**
 * The keys of `remote_config.keys`; none if it is absent.
 * @throws GatecastError FILE_UNREADABLE, CONFIG_INVALID with every wrong member
 */
export function loadKeys(keys: Config['remote_config']['keys']): KeySet {
  if (keys === undefined) return new Map();
  if (typeof keys === 'string') return parseJwks(readKeyFile(keys), keys);
  return keySet(
    keys.map(({ kid, key, roles }, at) => ({
      kid,
      key: publicKey(key, `remote_config.keys[${at}].key`),
      roles: roles ?? KEY_ROLES,
    })),
    'remote_config.keys',
  );
}

/** @throws GatecastError CONFIG_INVALID */
export function parseJwks(text: string, where: string): KeySet {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (cause) {
    throw invalid(`${where} is not JSON`, [], cause);
  }
  const parsed = jwksSchema.safeParse(data);
  if (!parsed.success) {
    const issues = parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }));
    throw invalid(`${where} is not a valid set of Ed25519 public keys: ${issuesText(issues)}`, issues);
  }
  const found = parsed.data.keys.map(({ kid, x, roles }, at) => ({
    kid,
    key: publicKey(x, `keys.${at}.x`),
    roles: roles ?? KEY_ROLES,
  }));
  return keySet(found, where);
}

function keySet(found: readonly PublicKey[], where: string): KeySet {
  const set = new Map(found.map((key) => [key.kid, key]));
  if (set.size < found.length) throw invalid(`${where} contains a \`kid\` twice`, []);
  return set;
}

const readKeyFile = (path: string): string =>
  readInput(
    path,
    MAX_FILE_BYTES,
    `remote_config.keys: ${path}`,
    'make the keys with `gatecast config keygen` and put the public ones there',
  ).toString('utf8');

function publicKey(text: string, path: string): KeyObject {
  const trimmed = text.trim();
  try {
    const bare = trimmed.replaceAll('+', '-').replaceAll('/', '_').replace(/=$/, '');
    const key = trimmed.startsWith('-----')
      ? createPublicKey(trimmed)
      : trimmed.startsWith('MCowBQYDK2VwAyEA')
        ? createPublicKey({ key: Buffer.from(trimmed, 'base64'), format: 'der', type: 'spki' })
        : createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: bare }, format: 'jwk' });
    if (key.asymmetricKeyType !== 'ed25519') throw new Error(`is an ${key.asymmetricKeyType} key`);
    return key;
  } catch (cause) {
    throw invalid(`${path} is not an Ed25519 public key`, [{ path, message: errorText(cause) }], cause);
  }
}

function invalid(
  message: string,
  issues: readonly { path: string; message: string }[],
  cause?: unknown,
): GatecastError {
  return new GatecastError('CONFIG_INVALID', message, {
    hint: '`gatecast config keygen` writes a JWKS of public keys next to the private key',
    issues,
    cause,
  });
}
