/** A push that was signed on another machine, which may have no connection to the broker. */
import { decodeProtectedHeader } from 'jose';
import { GatecastError } from '../../errors.ts';
import { claimsSchema, MAX_PUSH_BYTES } from '../../remote/contract.ts';
import { statedClaims } from '../../remote/verify.ts';
import { readInput } from '../../system/files.ts';
import type { SignedPush } from './push-run.ts';

/**
 * Reads a push that `config sign` wrote. Only the gateways verify its signature, because this machine may have no keys.
 * @throws GatecastError USAGE, FILE_UNREADABLE
 */
export function readSigned(path: string, base: string): SignedPush {
  const bytes = readInput(path, MAX_PUSH_BYTES, `cannot read ${path}`);
  const jws = bytes.toString('latin1').trim();
  const claims = claimsSchema.safeParse(statedClaims(bytes)).data;
  const kid = statedKid(jws);
  const [kind, name = ''] = claims?.aud.split(/:(.*)/s) ?? [];
  const target = name.startsWith(`${base}/`) ? name.slice(base.length + 1) : '';
  if (claims === undefined || kid === null || (kind !== 'node' && kind !== 'fleet') || target === '')
    throw new GatecastError('USAGE', `${path} contains no signed push for ${base}`, {
      hint: 'create one with `gatecast config sign`; if its topics have another first level, name it with --base',
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
