/**
 * Requests over MQTT: `request/<verb>` in, `response/<verb>` out. This file implements the protocol: parsing of
 * payloads, order of processing, and answers. `verbs.ts` lists the verbs and their functions;
 * `remote/signed-requests.ts` checks signatures. Every request gets exactly one answer of bounded size, and no
 * request throws.
 */
import { errorText, GatecastError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Incoming } from '../mqtt/connection.ts';
import type { Outgoing } from '../mqtt/outbox.ts';
import type { Topics } from '../mqtt/topics.ts';
import { responseMessage } from '../outputs/json/messages.ts';
import { nodeAudience } from '../remote/contract.ts';
import type { KeySet } from '../remote/keys.ts';
import { diskFolder, remoteFolder } from '../remote/open.ts';
import { looksSigned, SignedRequests } from '../remote/signed-requests.ts';
import { statedClaims } from '../remote/verify.ts';
import { type Clock, isClockSet } from '../system/clock.ts';
import type { Context, Part } from './part.ts';
import { handlersOf, type VerbSubjects } from './verbs.ts';

/** The parameters of a request, without its transaction. */
export interface RequestArguments {
  readonly stream: string | null;
  readonly group: string | null;
}

/** By verb; each returns the `data` of its answer. */
export type Handlers = Readonly<Record<string, (ask: RequestArguments) => Promise<object> | object>>;

export interface RequestsParts {
  readonly topics: Pick<Topics, 'requests' | 'requestVerb' | 'response'>;
  readonly handlers: Handlers;
  readonly send: (message: Outgoing) => void;
  readonly log: Logger;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** Called at each request, because the config may change. */
  readonly settings: () => {
    readonly allow: readonly string[];
    readonly max_per_minute: number;
    /** Refuses requests without a signature. */
    readonly signed: boolean;
  };
  readonly signatures: Pick<SignedRequests, 'check'>;
}

/** @param subjects `keys`: keys that may sign requests */
export function createRequests(
  context: Context,
  { keys = new Map(), ...subjects }: VerbSubjects & { readonly keys: KeySet | undefined },
): Requests {
  const { config, clock } = context;
  const { base, node, data_dir } = config();
  return new Requests({
    ...context,
    settings: () => config().requests,
    signatures: new SignedRequests({
      keys,
      audience: nodeAudience(base, node),
      folder: diskFolder(remoteFolder(data_dir)),
      now: () => clock.now(),
      clockIsSet: () => isClockSet(clock.now()),
    }),
    handlers: handlersOf({ ...context, ...subjects }),
  });
}

const MINUTE_MS = 60_000;
const MAX_PAYLOAD_BYTES = 4096;
/** Size limit of a signed request, which is base64url with a header and a signature. */
const MAX_SIGNED_BYTES = 8192;
const MAX_TRANSACTION = 128;
const MAX_NAME = 1024;
const MAX_WAITING = 16;
const MANY_WAIT = `${MAX_WAITING} requests are waiting already.`;
const MAX_ERROR = 2000;
/** An unknown verb gets an answer only if it has this form. */
const VERB_LIKE = /^[a-z][a-z-]{0,31}$/;

type Transaction = string | number | null;

export class Requests implements Part {
  readonly name = 'requests';
  private waiting = 0;
  private last: Promise<void> = Promise.resolve();
  /** Times of the accepted requests of the last minute, ms of the monotonic clock. */
  private takenMs: number[] = [];

  constructor(private readonly parts: RequestsParts) {}

  /**
   * Receives a request. One that crashed the agent must not be processed at each start: a retained one is ignored, and one that the
   * broker sends again is refused. The broker sends a request again if the acknowledgement was lost, or still waited for that of an earlier message.
   */
  receive({ topic, payload, retained, dup = false, acknowledge }: Incoming): boolean {
    const { topics, log, handlers } = this.parts;
    const verb = topics.requestVerb(topic);
    if (verb === null) return false;
    acknowledge?.();
    if (!VERB_LIKE.test(verb)) return true;
    if (retained) {
      log.warn('retained request ignored', { verb });
      return true;
    }
    const signed = looksSigned(payload);
    const { transaction, ask, wrong } = signed ? readSigned(payload) : read(payload);
    const refuse = (code: 'REQUEST_INVALID' | 'REQUEST_FORBIDDEN' | 'BUSY', message: string): void =>
      this.answer(verb, transaction, null, new GatecastError(code, message));
    if (!Object.hasOwn(handlers, verb))
      refuse('REQUEST_INVALID', `There is no request '${verb}'. Known: ${Object.keys(handlers).join(', ')}.`);
    else if (!this.parts.settings().allow.includes(verb))
      refuse('REQUEST_FORBIDDEN', `'${verb}' is not listed in requests.allow.`);
    else if (this.parts.settings().signed && !signed)
      refuse(
        'REQUEST_FORBIDDEN',
        'It is not signed, and requests.signed is set. Sign it with `gatecast request --sign`.',
      );
    else if (wrong !== '') refuse('REQUEST_INVALID', wrong);
    else if (dup)
      refuse(
        'BUSY',
        'The broker sent the request again after a lost connection. Check whether it was processed; if not, send it again.',
      );
    else if (this.waiting >= MAX_WAITING) refuse('BUSY', MANY_WAIT);
    else if (signed) {
      const kept = Uint8Array.from(payload);
      this.enqueue(verb, transaction, () => this.runSigned(verb, kept));
    } else if (!this.mayTake()) refuse('BUSY', this.tooMany());
    else this.enqueue(verb, transaction, () => this.run(verb, ask));
    return true;
  }

  /** Only authentic requests count for the limit: forged ones must not use it up. */
  private async runSigned(verb: string, payload: Uint8Array): Promise<object> {
    const { claims, refusal } = await this.parts.signatures.check(verb, payload);
    if (refusal !== null) {
      const { code, text, hint } = refusal;
      throw new GatecastError(code, `The signed request is refused: ${text}`, { hint });
    }
    if (!this.mayTake()) throw new GatecastError('BUSY', this.tooMany());
    return this.run(verb, { stream: claims.stream ?? null, group: claims.group ?? null });
  }

  private async run(verb: string, ask: RequestArguments): Promise<object> {
    return (await this.parts.handlers[verb]?.(ask)) ?? {};
  }

  private tooMany(): string {
    return `requests.max_per_minute allows ${this.parts.settings().max_per_minute} a minute.`;
  }

  /** Counts a request if the limit of the last minute allows it. */
  private mayTake(): boolean {
    const nowMs = this.parts.clock.monotonic();
    this.takenMs = this.takenMs.filter((ms) => nowMs - ms < MINUTE_MS);
    if (this.takenMs.length >= this.parts.settings().max_per_minute) return false;
    this.takenMs.push(nowMs);
    return true;
  }

  /** Runs a verb as a local request without a payload. */
  ask(verb: string): void {
    if (this.waiting < MAX_WAITING) this.enqueue(verb, null, () => this.run(verb, NO_NAMES));
  }

  get verbs(): readonly string[] {
    return Object.keys(this.parts.handlers);
  }

  /** Runs a verb for the page, queued with the requests from the broker. @throws GatecastError as the verb does, BUSY */
  async act(verb: string, ask: RequestArguments): Promise<object> {
    if (this.waiting >= MAX_WAITING) throw new GatecastError('BUSY', MANY_WAIT);
    this.waiting++;
    const done = this.last.then(() => this.run(verb, ask));
    this.last = done.then(
      () => {},
      () => {},
    );
    return done.finally(() => {
      this.waiting--;
    });
  }

  filters(): string[] {
    return [this.parts.topics.requests];
  }

  /** Resolves when all requests so far are answered. */
  settled(): Promise<void> {
    return this.last;
  }

  private enqueue(verb: string, transaction: Transaction, work: () => Promise<object>): void {
    this.waiting++;
    this.last = this.last.then(async () => {
      try {
        this.answer(verb, transaction, await work(), null);
      } catch (error) {
        this.answer(verb, transaction, null, error);
      } finally {
        this.waiting--;
      }
    });
  }

  private answer(verb: string, transaction: Transaction, data: object | null, error: unknown): void {
    const { topics, send, log } = this.parts;
    const status = error === null ? 'ok' : 'error';
    const text = error === null ? null : answerText(error);
    log[status === 'ok' ? 'info' : 'warn']('request', {
      verb,
      status,
      ...(text !== null && { error: text, ...(error instanceof GatecastError && { code: error.code }) }),
    });
    const payload = JSON.stringify(responseMessage(data, text, transaction));
    send({ topic: topics.response(verb), payload, qos: 1, retain: false });
  }
}

interface Read {
  readonly transaction: Transaction;
  readonly ask: RequestArguments;
  /** Why the payload is not a valid request; empty if it is. */
  readonly wrong: string;
}

const NO_NAMES: RequestArguments = { stream: null, group: null };
const refused = (wrong: string): Read => ({ transaction: null, ask: NO_NAMES, wrong });

function read(payload: Uint8Array): Read {
  if (payload.length > MAX_PAYLOAD_BYTES)
    return refused(`The payload is larger than ${MAX_PAYLOAD_BYTES} bytes.`);
  const text = Buffer.from(payload).toString('utf8').trim();
  let value: unknown = {};
  try {
    if (text !== '') value = JSON.parse(text);
  } catch {
    return refused('The payload is not JSON.');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return refused('The payload is not a JSON object.');
  const fields = value as Readonly<Record<string, unknown>>;
  const own = (key: string): unknown => (Object.hasOwn(fields, key) ? fields[key] : undefined);
  const transaction = transactionOf(own('transaction'));
  const names: Record<keyof RequestArguments, string | null> = { stream: null, group: null };
  for (const key of ['stream', 'group'] as const) {
    const name = own(key) ?? null;
    if (name !== null && (typeof name !== 'string' || name === '' || name.length > MAX_NAME))
      return { transaction, ask: NO_NAMES, wrong: `\`${key}\` is not a name.` };
    names[key] = name;
  }
  return { transaction, ask: names, wrong: '' };
}

/** The transaction is echoed, so that the sender finds the refusal; everything else waits for the signature. */
function readSigned(payload: Uint8Array): Read {
  if (payload.length > MAX_SIGNED_BYTES)
    return refused(`The payload is larger than ${MAX_SIGNED_BYTES} bytes.`);
  return { transaction: transactionOf(statedClaims(payload)?.transaction), ask: NO_NAMES, wrong: '' };
}

/** The transaction to echo, if it is short and simple; otherwise omitted. */
function transactionOf(value: unknown): Transaction {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  return typeof value === 'string' && value.length <= MAX_TRANSACTION ? value : null;
}

/** Error text of an answer: first the code for programs, then the text for people. */
export function answerText(error: unknown): string {
  if (!(error instanceof GatecastError)) return `INTERNAL: ${errorText(error)}`.slice(0, MAX_ERROR);
  const { code, message, hint, issues } = error;
  const details = issues.map((issue) =>
    issue.path === '' ? issue.message : `${issue.path} ${issue.message}`,
  );
  const all = [message, ...details, ...(hint === '' ? [] : [hint])];
  return `${code}: ${all.map((part, at) => (at < all.length - 1 ? part.replace(/\.$/, '') : part)).join('; ')}`.slice(
    0,
    MAX_ERROR,
  );
}
