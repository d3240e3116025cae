/**
 * Checks signed requests: signature, role of the key, audience, times, verb, and that no request is accepted twice. The
 * last version of each key is stored before a request runs, so that it cannot be replayed after a restart.
 */
import { z } from 'zod';
import { errorText } from '../errors.ts';
import { jsonOrNull } from '../system/json.ts';
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
  /** Key id -> version of its last request; null while the file cannot be read. */
  private versions: Map<string, number> | null = null;
  /** Requests issued before this are refused, ms, because the file of seen versions was damaged. */
  private notBeforeMs = 0;

  constructor(private readonly parts: SignedRequestsParts) {
    try {
      this.seen();
    } catch {
      // It is read again for the first request.
    }
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
    try {
      const wrong = this.unfit(verb, claims, kid ?? '');
      if (wrong !== null) return refused({ code: 401, problems: [wrong] });
      this.keep(kid ?? '', claims.version);
    } catch (error) {
      return refused({
        code: 503,
        problems: [problem('', `its version cannot be compared and stored: ${errorText(error)}`)],
      });
    }
    return { claims, refusal: null };
  }

  /** @throws the system's error */
  private seen(): Map<string, number> {
    if (this.versions === null) {
      const found = readVersions(this.parts.folder);
      if (found === null) this.notBeforeMs = this.parts.now();
      this.versions = found ?? new Map();
    }
    return this.versions;
  }

  /** @throws the system's error */
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
    const seen = this.seen().get(kid) ?? 0;
    if (claims.iat * 1000 < this.notBeforeMs)
      return problem(
        'iat',
        'is before the start of the agent, which has lost the versions seen before',
        'sign it again',
      );
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
    const next = new Map(this.seen()).set(kid, version);
    this.parts.folder.write(FILE, Buffer.from(`${JSON.stringify(Object.fromEntries(next))}\n`));
    this.versions = next;
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
  const { data } = z.record(z.string(), z.int().min(0)).safeParse(jsonOrNull(bytes));
  return data === undefined ? null : new Map(Object.entries(data));
}
