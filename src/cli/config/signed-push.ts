/** Reads a push that was signed on another machine, which may have no connection to the broker. */
import { decodeProtectedHeader } from 'jose';
import { errorText, GatecastError } from '../../errors.ts';
import { claimsSchema, MAX_PUSH_BYTES } from '../../remote/contract.ts';
import { statedClaims } from '../../remote/verify.ts';
import { readBounded } from '../../system/files.ts';
import type { SignedPush } from './push-run.ts';

/**
 * A push that `config sign` wrote. Its signature is left to the gateways: this machine may have no keys.
 * @throws GatecastError USAGE, FILE_UNREADABLE
 */
export function readSigned(path: string, base: string): SignedPush {
  let bytes: Buffer;
  try {
    bytes = readBounded(path, MAX_PUSH_BYTES);
  } catch (cause) {
    throw new GatecastError('FILE_UNREADABLE', `cannot read ${path}: ${errorText(cause)}`, { cause });
  }
  const jws = bytes.toString('latin1').trim();
  const claims = claimsSchema.safeParse(statedClaims(bytes)).data;
  const kid = statedKid(jws);
  const [kind, name = ''] = claims?.aud.split(/:(.*)/s) ?? [];
  const target = name.startsWith(`${base}/`) ? name.slice(base.length + 1) : '';
  if (claims === undefined || kid === null || (kind !== 'node' && kind !== 'fleet') || target === '')
    throw new GatecastError('USAGE', `${path} holds no signed push for ${base}`, {
      hint: 'make one with `gatecast config sign`; where its topics begin otherwise, name --base',
    });
  return { base, target: { kind, name: target }, kid, claims, jws };
}

function statedKid(jws: string): string | null {
  try {
    const { kid } = decodeProtectedHeader(jws);
    return kid ?? null;
  } catch {
    return null;
  }
}
