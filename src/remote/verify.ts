/**
 * Verifies a message: size, form, header, signature, role of the key, audience, and schema of the claims. The caller checks
 * the version, because it knows the versions seen, and the times, with `checkTimes`. No I/O, no clock.
 */
import { compactVerify } from 'jose';
import type { z } from 'zod';
import {
  ALGORITHM,
  CLOCK_TOLERANCE_MS,
  type CONFIG_TYP,
  type Code,
  type KeyRole,
  MAX_PUSH_BYTES,
  type Problem,
  type REQUEST_TYP,
} from './contract.ts';
import type { KeySet } from './keys.ts';
import { isObject, type JsonObject } from './merge-patch.ts';
import { parseStrictJson } from './strict-json.ts';

/** Unverified values from a message, only echoed in reports. */
interface Stated {
  readonly version: number | null;
  readonly kid: string | null;
  readonly token: string | null;
}
const NOTHING: Stated = { version: null, kid: null, token: null };

/** Why a message is refused. */
export interface Refusal extends Stated {
  readonly code: Code;
  readonly problems: readonly Problem[];
}

interface Authentic<Claims> {
  readonly claims: Claims;
  /** Null: unsigned. */
  readonly kid: string | null;
}

interface Expected<Schema extends z.ZodType> {
  readonly keys: KeySet;
  readonly typ: typeof CONFIG_TYP | typeof REQUEST_TYP;
  readonly role: KeyRole;
  readonly audience: string;
  readonly schema: Schema;
}

interface Refused {
  readonly message: null;
  readonly refusal: Refusal;
}
type Verified<Claims> = { readonly message: Authentic<Claims>; readonly refusal: null } | Refused;

/** Limits the lengths, because the texts contain keys and values of the push. */
export const problem = (path: string, text: string, hint = ''): Problem => ({
  path: path.slice(0, 200),
  text: text.slice(0, 500),
  hint: hint.slice(0, 500),
});

const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*$/;
/** Trimmed: a file may have been sent with a newline at its end. */
const compactOf = (payload: Uint8Array): string => Buffer.from(payload).toString('latin1').trim();
const HEADER_MEMBERS = ['alg', 'kid', 'typ'];

/** A signed message. */
export async function verify<Schema extends z.ZodType>(
  payload: Uint8Array,
  { keys, typ, role, audience, schema }: Expected<Schema>,
): Promise<Verified<z.infer<Schema>>> {
  const large = tooLarge(payload);
  if (large !== null) return large;
  const compact = compactOf(payload);
  if (!COMPACT.test(compact))
    return refuse(401, NOTHING, problem('', 'is not a signed message (JWS in compact form)', SIGN_HINT));
  const [encodedHeader = '', encodedClaims = ''] = compact.split('.');
  const header = parseStrictJson(Buffer.from(encodedHeader, 'base64url'));
  if (header.problem !== null || !isObject(header.value))
    return refuse(401, NOTHING, problem('header', header.problem ?? 'must be an object'));
  const { alg, kid, typ: statedType } = header.value;
  const stated: Stated = { ...NOTHING, kid: typeof kid === 'string' ? kid.slice(0, 128) : null };
  const refused = (path: string, text: string, hint?: string) =>
    refuse(401, stated, problem(path, text, hint));
  const unknown = Object.keys(header.value).filter((member) => !HEADER_MEMBERS.includes(member));
  if (alg !== ALGORITHM) return refused('header.alg', `must be ${ALGORITHM}, not ${excerpt(alg)}`);
  if (statedType !== typ) return refused('header.typ', `must be ${typ}, not ${excerpt(statedType)}`);
  if (unknown.length > 0) return refused('header', `holds ${unknown.map(excerpt).slice(0, 5).join(', ')}`);
  const key = typeof kid === 'string' ? keys.get(kid) : undefined;
  if (key === undefined)
    return refused('header.kid', `is not a key of this gateway: ${excerpt(kid)}`, KEY_HINT);
  try {
    await compactVerify(compact, key.key, { algorithms: [ALGORITHM] });
  } catch {
    return refused('signature', 'does not match the key and the content', SIGN_HINT);
  }
  if (!key.roles.includes(role))
    return refused('header.kid', `may sign ${key.roles.join(', ')}, not ${role}`, 'sign with another key');
  const claims = parseStrictJson(Buffer.from(encodedClaims, 'base64url'));
  if (claims.problem !== null) return refuse(400, stated, problem('', claims.problem));
  return readClaims(claims.value, { schema, audience, stated, kid: key.kid });
}

/** The unverified claims of a message, signed or not; null if there are none. */
export function statedClaims(payload: Uint8Array): JsonObject | null {
  if (payload.length > MAX_PUSH_BYTES) return null;
  const compact = compactOf(payload);
  const claims = COMPACT.test(compact) ? Buffer.from(compact.split('.')[1] ?? '', 'base64url') : payload;
  const { value } = parseStrictJson(claims);
  return isObject(value) ? value : null;
}

/** When a message was issued and when it expires, seconds since 1970. */
export interface Times {
  readonly iat?: number | undefined;
  readonly exp?: number | undefined;
}

/** Why a message with these times is not valid now; null if it is. */
export function checkTimes({ iat, exp }: Times, nowMs: number): Problem | null {
  if (exp !== undefined && exp * 1000 <= nowMs)
    return problem('exp', `was ${isoOf(exp)}; it has expired`, 'sign it again');
  if (iat !== undefined && iat * 1000 > nowMs + CLOCK_TOLERANCE_MS)
    return problem('iat', `is ${isoOf(iat)}, in the future`, 'check both clocks');
  return null;
}

/** All problems in one line. */
export const problemsText = (problems: readonly Problem[]): string =>
  problems
    .map(({ path, text }) => (path === '' ? text : `${path} ${text}`))
    .join('; ')
    .slice(0, 500);

/** Plain JSON, for `remote_config.unsigned`. */
export function readUnsigned<Schema extends z.ZodType>(
  payload: Uint8Array,
  { audience, schema }: Pick<Expected<Schema>, 'audience' | 'schema'>,
): Verified<z.infer<Schema>> {
  const large = tooLarge(payload);
  if (large !== null) return large;
  const claims = parseStrictJson(payload);
  if (claims.problem !== null) return refuse(400, NOTHING, problem('', claims.problem));
  return readClaims(claims.value, { schema, audience, stated: NOTHING, kid: null });
}

interface Reading<Schema extends z.ZodType> extends Pick<Expected<Schema>, 'audience' | 'schema'> {
  readonly stated: Stated;
  readonly kid: string | null;
}

function readClaims<Schema extends z.ZodType>(
  value: unknown,
  { schema, audience, stated: before, kid }: Reading<Schema>,
): Verified<z.infer<Schema>> {
  const claims = isObject(value) ? value : {};
  const stated: Stated = {
    ...before,
    version: Number.isSafeInteger(claims.version) ? (claims.version as number) : null,
    token: typeof claims.token === 'string' ? claims.token.slice(0, 256) : null,
  };
  if (typeof claims.aud === 'string' && claims.aud !== audience)
    return refuse(401, stated, problem('aud', `is ${excerpt(claims.aud)}, not ${audience}`, AUD_HINT));
  const parsed = schema.safeParse(value, { reportInput: true });
  if (!parsed.success)
    return refuse(400, stated, ...parsed.error.issues.flatMap((issue) => problemsOf(issue)));
  return { message: { claims: parsed.data, kid }, refusal: null };
}

function problemsOf(issue: z.core.$ZodIssue): Problem[] {
  const path = issue.path.join('.');
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => problem([...issue.path, key].join('.'), 'is not a known claim'));
  const missing = issue.code === 'invalid_type' && issue.input === undefined;
  return [problem(path, missing ? `is missing: ${issue.message}` : issue.message)];
}

function tooLarge({ length }: Uint8Array): Refused | null {
  if (length <= MAX_PUSH_BYTES) return null;
  return refuse(413, NOTHING, problem('', `has ${length} bytes; at most ${MAX_PUSH_BYTES} are taken`));
}

const refuse = (code: Code, stated: Stated, ...problems: readonly Problem[]): Refused => ({
  message: null,
  refusal: { code, problems, ...stated },
});

const isoOf = (seconds: number): string => new Date(seconds * 1000).toISOString();
const excerpt = (value: unknown): string => (JSON.stringify(value) ?? 'nothing').slice(0, 80);
const SIGN_HINT =
  'sign a push with `gatecast config push` or `sign`, a request with `gatecast request --sign`, and send the bytes unchanged';
const KEY_HINT = 'add the public key to `remote_config.keys` of the gateway, and restart it';
const AUD_HINT = 'sign it for this gateway (`--to`) or for a group that it is in (`--fleet`)';
