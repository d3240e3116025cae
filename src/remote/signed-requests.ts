/**
 * Checks signed requests: signature, role of the key, audience, times, verb, and that no request is accepted twice. The
 * last version of each key is stored before a request runs, so that it cannot be replayed after a restart.
 */
import { z } from 'zod';
import { errorText } from '../errors.ts';
import { MAX_REQUEST_LIFE_MS, REQUEST_TYP, type RequestClaims, requestClaimsSchema } from './contract.ts';
import type { KeySet } from './keys.ts';
import type { Folder } from './push-state.ts';
import { checkTimes, problem, problemsText, type Refusal, verify } from './verify.ts';

interface SignedRequestsParts {
  readonly keys: KeySet;
  /** `node:<base>/<node>` */
  readonly audience: string;
  readonly folder: Folder;
  /** Wall clock, ms. */
  readonly now: () => number;
  /** false until the machine's clock is set. */
  readonly clockIsSet: () => boolean;
}

type CheckedRequest =
  | { readonly claims: RequestClaims; readonly refusal: null }
  | { readonly claims: null; readonly refusal: RequestRefusal };

interface RequestRefusal {
  readonly code: 'REQUEST_INVALID' | 'REQUEST_FORBIDDEN' | 'STORE_FAILED';
  readonly text: string;
  readonly hint: string;
}

const FILE = 'requests.json';
const COMPACT_START = /^\s*eyJ/;

/** Whether a payload looks like a JWS: its header starts with base64url of `{"`. */
export const looksSigned = (payload: Uint8Array): boolean =>
  COMPACT_START.test(Buffer.from(payload.subarray(0, 16)).toString('latin1'));

export class SignedRequests {
  /** Key id -> version of its last request. */
  private readonly versions: Map<string, number>;
  private versionsUnread = false;
  /** Requests issued before this are refused, ms, because the file of seen versions was damaged or could not be read. */
  private readonly notBeforeMs: number;

  constructor(private readonly parts: SignedRequestsParts) {
    const { folder, now } = parts;
    let versions: Map<string, number> | null = null;
    try {
      versions = readVersions(folder);
    } catch {
      this.versionsUnread = true;
    }
    this.versions = versions ?? new Map();
    this.notBeforeMs = versions === null ? now() : 0;
  }

  async check(verb: string, payload: Uint8Array): Promise<CheckedRequest> {
    const { keys, audience } = this.parts;
    const { message, refusal } = await verify(payload, {
      keys,
      typ: REQUEST_TYP,
      role: 'request',
      audience,
      schema: requestClaimsSchema,
    });
    if (message === null) return refused(refusal);
    const { claims, kid } = message;
    const wrong = this.unfit(verb, claims, kid ?? '');
    if (wrong !== null) return refused({ code: 401, problems: [wrong] });
    try {
      this.keep(kid ?? '', claims.version);
    } catch (error) {
      return refused({
        code: 503,
        problems: [problem('', `its version cannot be stored: ${errorText(error)}`)],
      });
    }
    return { claims, refusal: null };
  }

  private unfit(verb: string, claims: RequestClaims, kid: string): ReturnType<typeof problem> | null {
    const { now, clockIsSet } = this.parts;
    if (claims.verb !== verb)
      return problem(
        'verb',
        `is ${claims.verb}, but the topic is for ${verb}`,
        'sign it for the verb of the topic',
      );
    if (!clockIsSet()) return problem('exp', 'cannot be checked before the clock of the gateway is set');
    const times = checkTimes(claims, now());
    if (times !== null) return times;
    if ((claims.exp - claims.iat) * 1000 > MAX_REQUEST_LIFE_MS)
      return problem('exp', 'is more than 24 hours after iat', 'sign it with an earlier `exp`');
    if (claims.iat * 1000 < this.notBeforeMs)
      return problem(
        'iat',
        'is before the start of the agent, which has lost the versions seen before',
        'sign it again',
      );
    const seen = this.versions.get(kid) ?? 0;
    return claims.version > seen
      ? null
      : problem(
          'version',
          `must be greater than ${seen}, the last one of this key`,
          'sign it again with a higher version',
        );
  }

  /** @throws the system's error; the version then counts as unseen */
  private keep(kid: string, version: number): void {
    // The versions of other keys must not be lost because they cannot be read now.
    if (this.versionsUnread) {
      for (const [other, seen] of readVersions(this.parts.folder) ?? []) this.versions.set(other, seen);
      this.versionsUnread = false;
    }
    const next = new Map(this.versions).set(kid, version);
    this.parts.folder.write(FILE, Buffer.from(`${JSON.stringify(Object.fromEntries(next))}\n`));
    this.versions.set(kid, version);
  }
}

function refused({ code, problems }: Pick<Refusal, 'code' | 'problems'>): CheckedRequest {
  const text = problemsText(problems);
  const hint = problems.find((one) => one.hint !== '')?.hint ?? '';
  const kind =
    code === 503 ? 'STORE_FAILED' : code === 400 || code === 413 ? 'REQUEST_INVALID' : 'REQUEST_FORBIDDEN';
  return { claims: null, refusal: { code: kind, text, hint } };
}

/** null if the file is damaged. @throws the system's error */
function readVersions(folder: Folder): Map<string, number> | null {
  const bytes = folder.read(FILE);
  if (bytes === null) return new Map();
  try {
    const parsed = z
      .record(z.string(), z.int().min(0))
      .parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
    return new Map(Object.entries(parsed));
  } catch {
    return null;
  }
}
