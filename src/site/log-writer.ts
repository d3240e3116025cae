/**
 * Publishes messages to JetStream and waits for their acknowledgements, over one subscription. The client's own way makes a timer, two
 * promises and two errors with stack traces for each message, which was half of a bridge's processor time.
 */
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { GatecastError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';

/** An acknowledgement that has not come by then is lost, ms. */
const ACKNOWLEDGE_MS = 5000;
/** Interval of the looks for lost acknowledgements, ms. */
const LOOK_MS = 500;

/** Refusal where no log takes the subject: it was deleted. */
const NO_LOG = 'no stream takes the message';

export const isLogGone = (error: unknown): boolean =>
  error instanceof GatecastError && error.message === NO_LOG;

interface Waiting {
  readonly done: () => void;
  readonly failed: (error: Error) => void;
  readonly untilMs: number;
}

export class LogWriter {
  private readonly waiting = new Map<number, Waiting>();
  private readonly inbox: string;
  private count = 0;
  private cancel: () => void = () => {};

  /** @param inbox a subject of its own, for the answers */
  constructor(
    private readonly nc: NatsConnection,
    inbox: string,
    private readonly clock: Clock,
  ) {
    this.inbox = `${inbox}.`;
    nc.subscribe(`${inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.answered(message);
      },
    });
    void nc.closed().then(() => this.failAll('closed connection'));
  }

  /**
   * Resolves when JetStream has stored the message.
   * @throws GatecastError SITE_FAILED when it refuses; it may have stored the message if it did not answer
   */
  publish(subject: string, text: string): Promise<void> {
    return new Promise((done, failed) => {
      const number = this.count++;
      this.nc.publish(subject, text, { reply: this.inbox + number });
      if (this.waiting.size === 0) this.cancel = this.clock.after(LOOK_MS, () => this.look());
      this.waiting.set(number, { done, failed, untilMs: this.clock.monotonic() + ACKNOWLEDGE_MS });
    });
  }

  private answered(message: Msg): void {
    const number = Number(message.subject.slice(this.inbox.length));
    const waiting = this.waiting.get(number);
    if (waiting === undefined) return;
    this.waiting.delete(number);
    if (this.waiting.size === 0) this.cancel();
    const refusal = refusalOf(message);
    if (refusal === null) waiting.done();
    else waiting.failed(failure(refusal));
  }

  private look(): void {
    const nowMs = this.clock.monotonic();
    // Oldest first.
    for (const [number, { failed, untilMs }] of this.waiting) {
      if (untilMs > nowMs) break;
      this.waiting.delete(number);
      failed(failure('timeout'));
    }
    if (this.waiting.size > 0) this.cancel = this.clock.after(LOOK_MS, () => this.look());
  }

  private failAll(reason: string): void {
    this.cancel();
    const lost = [...this.waiting.values()];
    this.waiting.clear();
    for (const { failed } of lost) failed(failure(reason));
  }
}

/** Why JetStream did not store a message; null: it did. */
function refusalOf(message: Msg): string | null {
  // The server's answer when no stream has the subject.
  if (message.data.length === 0) return NO_LOG;
  const text = message.string();
  if (!text.includes('"error"')) return null;
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    return `an answer that is not JSON: ${text.slice(0, 200)}`;
  }
  const { error } = Object(answer) as { error?: { description?: string; code?: number } | null };
  return error === undefined || error === null ? null : (error.description ?? `error ${error.code}`);
}

const failure = (reason: string): GatecastError => new GatecastError('SITE_FAILED', reason);
