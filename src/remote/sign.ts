/** Signs pushes and requests: used by the operator's commands and by tests, never by the gateway. */
import type { KeyObject } from 'node:crypto';
import { CompactSign } from 'jose';
import { ALGORITHM, CONFIG_TYP, type REQUEST_TYP } from './contract.ts';

export interface Signer {
  readonly kid: string;
  /** Ed25519 private key. */
  readonly key: KeyObject;
}

/** Signs `claims` as a compact JWS, without checking them. */
export function sign(
  claims: object,
  { kid, key }: Signer,
  typ: typeof CONFIG_TYP | typeof REQUEST_TYP = CONFIG_TYP,
): Promise<string> {
  return new CompactSign(Buffer.from(JSON.stringify(claims)))
    .setProtectedHeader({ alg: ALGORITHM, kid, typ })
    .sign(key);
}
