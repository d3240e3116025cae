/**
 * Requests over MQTT: `request/<verb>` in, `response/<verb>` out. Here is the protocol: what is read of a payload, in
 * which order requests are worked off, and what is answered; what the verbs do is `verbs.ts`'s. Whatever is sent, there is
 * one answer, bounded in size, and nothing is thrown.
 */
import { errorText, GatecastError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Outgoing } from '../mqtt/outbox.ts';
import type { Topics } from '../mqtt/topics.ts';
import { responseMessage } from '../outputs/messages.ts';
import type { Clock } from '../system/clock.ts';
import type { Incoming } from './inbox.ts';

export const VERBS = {
  finetune: 'Begin a fine-tuning of the model group `group` (the only one where it is left out).',
  'reset-stream': 'Forget what was learnt of `stream`; its samples stay.',
  'rollback-model':
    'Go back to the model before the present one, for the model group `group` (the only one where it is left out).',
  backup: 'Write database, models and config to one file below `backups` in the data folder.',
  reload: 'Read the config file again, and take up what needs no restart.',
  'forget-stream':
    'Remove `stream` with its samples, what was learnt of it, and all that the broker keeps of it.',
} as const;

export type Verb = keyof typeof VERBS;

/** What a request may say, besides its transaction. */
export interface Ask {
  readonly stream: string | null;
  readonly group: string | null;
}

/** Each gives back the `data` of its answer. */
export type Deeds = Readonly<Record<Verb, (ask: Ask) => Promise<object> | object>>;

export interface RequestsParts {
  readonly topics: Pick<Topics, 'requestVerb' | 'response'>;
  readonly deeds: Deeds;
  readonly send: (message: Outgoing) => void;
  readonly log: Logger;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** Read at each request: a reload may change them. */
  readonly settings: () => { readonly allow: readonly Verb[]; readonly max_per_minute: number };
}

const MINUTE_MS = 60_000;
const MAX_PAYLOAD_BYTES = 4096;
const MAX_TRANSACTION = 128;
const MAX_NAME = 1024;
const MAX_WAITING = 16;
const MAX_ERROR = 2000;
/** An unknown verb is answered where it could be one. */
const VERB_LIKE = /^[a-z][a-z-]{0,31}$/;

type Transaction = string | number | null;

export class Requests {
  private waiting = 0;
  private last: Promise<void> = Promise.resolve();
  /** When the requests of the last minute were taken, ms of the monotonic clock. */
  private takenMs: number[] = [];

  constructor(private readonly parts: RequestsParts) {}

  /**
   * Takes a request. It is acknowledged before it is worked on: one that brought the agent down must not come again at
   * each start. For the same reason a retained one is left alone.
   */
  receive({ topic, payload, retained, acknowledge }: Incoming): void {
    const { topics, log } = this.parts;
    acknowledge?.();
    const verb = topics.requestVerb(topic);
    if (verb === null || !VERB_LIKE.test(verb)) return;
    if (retained) {
      log.warn('retained request ignored', { verb });
      return;
    }
    const { transaction, ask, wrong } = read(payload);
    const refuse = (code: 'REQUEST_INVALID' | 'REQUEST_FORBIDDEN' | 'BUSY', message: string): void =>
      this.answer(verb, transaction, null, new GatecastError(code, message));
    if (!isVerb(verb))
      refuse('REQUEST_INVALID', `There is no request '${verb}'. Known: ${Object.keys(VERBS).join(', ')}.`);
    else if (!this.parts.settings().allow.includes(verb))
      refuse('REQUEST_FORBIDDEN', `'${verb}' is not among the requests that requests.allow lists.`);
    else if (ask === null) refuse('REQUEST_INVALID', wrong);
    else if (this.waiting >= MAX_WAITING) refuse('BUSY', `${MAX_WAITING} requests are waiting already.`);
    else if (!this.mayTake())
      refuse('BUSY', `requests.max_per_minute allows ${this.parts.settings().max_per_minute} a minute.`);
    else this.enqueue(verb, ask, transaction);
  }

  /** Counts a request where the limit of the last minute allows it. */
  private mayTake(): boolean {
    const nowMs = this.parts.clock.monotonic();
    this.takenMs = this.takenMs.filter((ms) => nowMs - ms < MINUTE_MS);
    if (this.takenMs.length >= this.parts.settings().max_per_minute) return false;
    this.takenMs.push(nowMs);
    return true;
  }

  /** As one without a payload, from this machine. */
  ask(verb: Verb): void {
    if (this.waiting < MAX_WAITING) this.enqueue(verb, { stream: null, group: null }, null);
  }

  /** Resolves when all requests so far are answered. */
  settled(): Promise<void> {
    return this.last;
  }

  private enqueue(verb: Verb, ask: Ask, transaction: Transaction): void {
    this.waiting++;
    this.last = this.last.then(async () => {
      try {
        this.answer(verb, transaction, await this.parts.deeds[verb](ask), null);
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
      ...(text !== null && { error: text }),
    });
    const payload = JSON.stringify(responseMessage(data, text, transaction));
    send({ topic: topics.response(verb), payload, qos: 1, retain: false });
  }
}

const isVerb = (verb: string): verb is Verb => Object.hasOwn(VERBS, verb);

/** `ask` is null where the payload is none; `wrong` says why. */
function read(payload: Uint8Array): { transaction: Transaction; ask: Ask | null; wrong: string } {
  const refused = (wrong: string) => ({ transaction: null, ask: null, wrong });
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
  const names: Record<keyof Ask, string | null> = { stream: null, group: null };
  for (const key of ['stream', 'group'] as const) {
    const name = own(key) ?? null;
    if (name !== null && (typeof name !== 'string' || name === '' || name.length > MAX_NAME))
      return { transaction, ask: null, wrong: `\`${key}\` is not a name.` };
    names[key] = name;
  }
  return { transaction, ask: names, wrong: '' };
}

/** Echoed where it is short and simple, else left out. */
function transactionOf(value: unknown): Transaction {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  return typeof value === 'string' && value.length <= MAX_TRANSACTION ? value : null;
}

/** As it is answered. The code first, so that a program can tell; then what a person needs. */
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
