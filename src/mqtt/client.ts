/**
 * The agent's MQTT client: connects and reconnects for ever, subscribes, publishes its status, and sends its outbox.
 * Starts without a broker. No method throws because of a network fault.
 */
import { errorText } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Clock } from '../system/clock.ts';
import { Backoff } from './backoff.ts';
import {
  type BrokerOffers,
  Connection,
  type ConnectionEnd,
  type Incoming,
  type ProtocolVersion,
  type Refusal,
  type Subscription,
} from './connection.ts';
import { type BrokerOptions, readSecrets } from './options.ts';
import { Outbox, type OutboxKey, type Outgoing } from './outbox.ts';
import { Redelivery } from './redelivery.ts';
import { SessionFilters, type SessionMemory } from './session-filters.ts';

export interface ClientParts {
  readonly options: BrokerOptions;
  readonly clock: Clock;
  /** 0 <= r < 1; spreads the reconnects of a fleet. */
  readonly random: () => number;
  readonly log: Logger;
  /** Left with the broker, which publishes it when the agent goes without a word. */
  readonly will: () => Outgoing;
  /** First words of every connection. */
  readonly birth: () => readonly Outgoing[];
  readonly message: (message: Incoming) => void;
  /** After each connect, with everything subscribed for, and after each loss. */
  readonly changed?: (status: ClientStatus) => void;
  /** After each connect, once the broker has answered all that was subscribed for. */
  readonly answered?: () => void;
  /** The record of the session from former runs; without one, an existing session is replaced by a clean one. */
  readonly session?: SessionMemory;
  /** Messages mean nothing to the next connection: what the broker does not have when one ends is dropped. */
  readonly ephemeral?: boolean;
}

/** Why a message never reached the broker, or the agent. */
export type Unsent = 'outbox-full' | 'set-aside' | 'refused-out' | 'oversize-in';

export interface ClientStatus {
  readonly connected: boolean;
  readonly protocol: '5' | '3.1.1' | null;
  /** Connections so far. */
  readonly connects: number;
  /** The broker had kept the session, and what arrived for it meanwhile. */
  readonly resumed: boolean;
  /** Why there is none now; null while there is one and before the first attempt. */
  readonly fault: string | null;
  /** Filters that the broker refused. */
  readonly refusedFilters: readonly string[];
  readonly outbox: number;
  /** Topic and size of the last message that was too large. */
  readonly skipped: string | null;
  /** What the broker does not offer, and what is done about it; null where it offers all that is used. */
  readonly limits: string | null;
  /** Messages that never reached the broker, by reason. */
  readonly dropped: Readonly<Record<string, number>>;
}

/** Bytes of a PUBLISH beside topic and payload: fixed header, topic length, packet id, properties, topic alias. */
const PACKET_OVERHEAD = 16;
/** A smaller message was not refused for its size, bytes. */
const LEAST_LIMIT_BYTES = 512;
/** A broker that takes messages of this size limits no forecast, bytes. */
const SMALL_MESSAGE_BYTES = 65_536;
/** Unacknowledged messages under way at once. */
const WINDOW = 64;
/** Filters in one SUBSCRIBE or UNSUBSCRIBE packet. */
const FILTERS_A_PACKET = 200;
/** Interval after which a refused filter is subscribed to again, because rights change. */
const REFUSED_RETRY_MS = 300_000;
/** Topics whose refusal is logged; further ones are only counted. */
const MAX_LOGGED_REFUSALS = 20;

/** A connection that is closed so soon after a message was sent may have been closed for it, ms. */
const BLAME_MS = 2000;

/** Longest wait for the end of a connection that is left for another, ms. */
const GOODBYE_MS = 1000;

/** Short connections in a row after which another client with the same id is likely. */
const RIVALRY = 4;

export class Client {
  private readonly parts: ClientParts;
  private readonly log: Logger;
  private readonly outbox: Outbox;
  private readonly backoff: Backoff;
  private filters: SessionFilters;
  private options: BrokerOptions;
  private readonly refusedTopics = new Set<string>();
  private readonly dropped = new Map<Unsent, number>();
  private connection: Connection | null = null;
  private open = false;
  private version: ProtocolVersion;
  /** The next session begins empty: the last one holds a message that ends every connection. */
  private cleanNext = false;
  private connects = 0;
  private resumed = false;
  private redelivery = new Redelivery();
  /** Filters of this connection's first subscriptions that the broker has not answered yet. */
  private unanswered = 0;
  private fault: string | null = null;
  private connectedAt = 0;
  /** Connections in a row that the other side closed sooner than a rival with this client id would have come back. */
  private shortLived = 0;
  /** Of the connection that is open. */
  private offers: BrokerOffers | null = null;
  /** What a broker that refused the last will takes. */
  private will: { retain: boolean; qos: boolean } = { retain: true, qos: true };
  private skipped: string | null = null;
  private sentAt = 0;
  /** Messages that were under way when the broker closed the connection. They are sent one by one. */
  private readonly suspects = new Map<OutboxKey, Outgoing>();
  /** Size of the smallest message that turned out to be too large, bytes. */
  private tooLarge = Number.POSITIVE_INFINITY;
  private stopped = true;
  private cancelTimers: (() => void)[] = [];
  /** Set while stopping. */
  private stopping: { readonly drained: () => void; readonly lost: () => void } | null = null;
  private pumping = false;
  /** The broker has accepted MQTT 5 once: a mere hang-up is then no sign that it does not speak it. */
  private speaks5 = false;

  constructor(parts: ClientParts) {
    this.parts = parts;
    this.options = parts.options;
    this.log = parts.log;
    this.outbox = new Outbox(parts.options.outbox);
    this.backoff = new Backoff(parts.clock, parts.random, parts.options.maxBackoffMs);
    this.version = parts.options.version === '3.1.1' ? 4 : 5;
    this.filters = new SessionFilters(parts.session ?? { former: null, remember: () => {} });
  }

  start(): void {
    this.stopped = false;
    this.connect();
  }

  /**
   * Sends `farewell` and what waits, if the broker takes it in time, and disconnects; the last will is then not sent.
   * Resolves within `timeoutMs`.
   */
  stop(farewell: readonly Outgoing[], timeoutMs = 3000): Promise<void> {
    for (const message of farewell) this.publish(message);
    this.stopped = true;
    for (const cancel of this.cancelTimers.splice(0)) cancel();
    return new Promise((resolve) => {
      const finish = (): void => {
        cancel();
        this.connection?.destroy();
        this.connection = null;
        this.open = false;
        resolve();
      };
      const cancel = this.parts.clock.after(timeoutMs, finish);
      this.stopping = { drained: () => this.connection?.close(finish), lost: finish };
      if (!this.open) finish();
      else this.pump();
    });
  }

  /**
   * Goes on with another broker, or with other credentials: for config keys of the class `reconnect`. Prove them with
   * `tryBroker` (trial.ts) before. What waits in the outbox goes to the new connection. Returns at once; `changed` tells of
   * the loss and of the new connection.
   * @param farewell last messages to the broker that is left, where that is another one: its last will is not sent
   * @param session what is remembered of the session there; left out: it is the same session, with other credentials
   */
  switchTo(options: BrokerOptions, farewell: readonly Outgoing[] = [], session?: SessionMemory): void {
    const old = this.connection;
    const wasOpen = this.open;
    if (wasOpen) for (const message of farewell) old?.publish(message, () => {});
    this.options = options;
    this.version = options.version === '3.1.1' ? 4 : 5;
    this.speaks5 = false;
    this.will = { retain: true, qos: true };
    this.tooLarge = Number.POSITIVE_INFINITY;
    this.offers = null;
    this.suspects.clear();
    this.shortLived = 0;
    if (session !== undefined) {
      const { wanted } = this.filters;
      this.redelivery = new Redelivery();
      this.filters = new SessionFilters(session);
      this.filters.want(wanted);
    }
    this.open = false;
    this.connection = null;
    this.rewind();
    for (const cancel of this.cancelTimers.splice(0)) cancel();
    if (this.stopped) return;
    if (wasOpen) this.parts.changed?.(this.status());
    if (old === null) this.connect();
    else {
      // A broker that does not answer must not keep the new connection waiting.
      let began = false;
      const begin = (): void => {
        if (began || this.stopped) return;
        began = true;
        this.connect();
      };
      old.close(begin);
      this.after(GOODBYE_MS, begin);
    }
  }

  /** Never blocks and never fails: waits in the outbox, bounded, until the broker has it. The topic must be a safe name (see topics.ts). */
  publish(message: Outgoing): void {
    const before = this.outbox.dropped;
    this.outbox.put(message, this.open);
    if (this.outbox.dropped > before) this.drop('outbox-full');
    if (this.open) this.pump();
  }

  /** The whole list; may be called at any time, in any state. */
  setSubscriptions(wanted: readonly Subscription[]): void {
    const added = this.filters.want(wanted);
    if (!this.open) return;
    this.takeBack();
    this.subscribe(added);
  }

  /** `answered` is called when the broker has answered a ping: all that it had sent before is here. Nothing without a connection. */
  ping(answered: () => void): void {
    if (this.open) this.connection?.ping(answered);
  }

  status(): ClientStatus {
    return {
      connected: this.open,
      protocol: this.open ? (this.version === 5 ? '5' : '3.1.1') : null,
      connects: this.connects,
      resumed: this.resumed,
      fault: this.fault,
      refusedFilters: this.filters.refused,
      outbox: this.outbox.size,
      skipped: this.skipped,
      limits: this.limits(),
      dropped: Object.fromEntries(this.dropped),
    };
  }

  /** Most bytes of a message, topic and payload, that the broker takes, as far as that is known. */
  get maxMessageBytes(): number {
    const announced = (this.offers?.maxPacketBytes ?? Number.POSITIVE_INFINITY) - PACKET_OVERHEAD;
    return Math.min(announced, this.tooLarge - 1);
  }

  private limits(): string | null {
    const limits: string[] = [];
    if (this.offers?.retain === false || !this.will.retain)
      limits.push('no retained messages: sent as live only');
    if (this.offers?.qos === 0 || !this.will.qos) limits.push('QoS 0 only: sent without acknowledgement');
    const most = this.maxMessageBytes;
    if (most < SMALL_MESSAGE_BYTES)
      limits.push(`messages of at most ${most} bytes: longer forecasts are shortened`);
    return limits.length === 0 ? null : limits.join('; ');
  }

  // ---- connecting

  private connect(): void {
    const { will } = this.parts;
    const options = this.options;
    const keeps = options.sessionExpiryMs > 0;
    const clean = !keeps || this.cleanNext || !this.filters.known;
    try {
      const settings = {
        version: this.version,
        clean,
        will: this.asTaken(will()),
        redelivery: this.redelivery,
      };
      const connection: Connection = new Connection(options, readSecrets(options), settings, {
        connected: (sessionPresent) => {
          // A session of 3.1.1 that begins clean ends with its connection: this one was to be rid of the old one.
          if (clean && keeps && settings.version === 4) this.comeAgain();
          else this.connected(sessionPresent);
        },
        message: this.parts.message,
        skipped: (topic, bytes) => {
          this.drop('oversize-in');
          this.skipped = `${topic.slice(0, 200)} (${bytes} bytes)`;
          this.log.warn('message too large, skipped', { topic, bytes });
          this.parts.changed?.(this.status());
        },
        ended: (end) => this.ended(end),
      });
      this.connection = connection;
    } catch (error) {
      this.ended({ kind: 'refused', reason: errorText(error) });
    }
  }

  private asTaken(will: Outgoing): Outgoing {
    return { ...will, retain: will.retain && this.will.retain, qos: this.will.qos ? will.qos : 0 };
  }

  private comeAgain(): void {
    this.cleanNext = false;
    this.filters.begin(true);
    const left = this.connection;
    const again = (): void => {
      if (!this.stopped && this.connection === left) this.connect();
    };
    left?.close(again);
    this.after(this.options.connectTimeoutMs, again);
  }

  private connected(sessionPresent: boolean): void {
    if (this.stopped) return;
    this.open = true;
    this.offers = this.connection?.offers ?? null;
    this.resumed = sessionPresent;
    this.fault = null;
    this.connectedAt = this.parts.clock.monotonic();
    this.cleanNext = false;
    this.connects++;
    this.speaks5 ||= this.version === 5;
    this.backoff.connected();
    this.filters.begin(!sessionPresent);
    const protocol = this.version === 5 ? '5' : '3.1.1';
    this.log.info('broker connected', { url: this.options.url, protocol, session: sessionPresent });
    this.takeBack();
    // Also in a kept session: the broker may have lost some, and asking again costs nothing.
    const wanted = this.filters.wanted;
    this.unanswered = wanted.length;
    this.subscribe(wanted);
    // A broker processes packets in order: a client that receives the birth may publish at once, and no message is missed.
    for (const message of this.parts.birth())
      this.connection?.publish(message, (why) => this.sent(message, why));
    this.parts.changed?.(this.status());
    this.pump();
  }

  private ended(end: ConnectionEnd): void {
    const wasOpen = this.open;
    this.open = false;
    this.connection = null;
    if (wasOpen && end.kind === 'network' && end.closed === true) this.blame();
    this.rewind();
    if (end.kind === 'no-retain') this.will.retain = false;
    if (end.kind === 'no-qos') this.will.qos = false;
    if (this.stopped) {
      this.stopping?.lost();
      return;
    }
    for (const cancel of this.cancelTimers.splice(0)) cancel();
    if (end.kind === 'version' || (end.kind === 'hang-up' && !this.speaks5)) this.otherVersion();
    if (end.kind === 'oversize') {
      this.drop('oversize-in');
      // a kept session would deliver it again, and again
      this.cleanNext = true;
    }
    const delayMs = this.backoff.next();
    const reason = end.reason + this.rivalry(wasOpen);
    const isNew = this.fault !== reason;
    this.fault = reason;
    const fields = { url: this.options.url, reason, retry_ms: Math.round(delayMs) };
    if (isNew || wasOpen) this.log.warn(wasOpen ? 'broker lost' : 'broker unreachable', fields);
    else this.log.debug('broker unreachable', fields);
    this.after(delayMs, () => this.connect());
    this.parts.changed?.(this.status());
  }

  /**
   * The broker closed the connection: maybe for a message that it does not take, and would again for ever. What was under way
   * is sent one by one on the next connections; one that is then closed for a second time, alone, is set aside.
   */
  private blame(): void {
    if (this.parts.clock.monotonic() - this.sentAt > BLAME_MS) return;
    const underWay = this.outbox.allUnderWay();
    const [only] = underWay;
    if (underWay.length === 1 && only !== undefined && this.suspects.get(only.key) === only.message) {
      this.suspects.delete(only.key);
      this.outbox.done(only.key);
      this.setAside(only.message, 'the broker closed the connection twice when it was sent');
    } else for (const { key, message } of underWay) this.suspects.set(key, message);
  }

  private setAside(message: Outgoing, reason: string): void {
    const bytes = sizeOf(message);
    if (bytes >= LEAST_LIMIT_BYTES) this.tooLarge = Math.min(this.tooLarge, bytes);
    this.drop('set-aside');
    this.log.error('message set aside', { topic: message.topic, bytes, reason });
  }

  /** A broker that closes what it has accepted, again and again, mostly does so for a second client with the same id. */
  private rivalry(wasOpen: boolean): string {
    const { clock } = this.parts;
    const options = this.options;
    const short = wasOpen && clock.monotonic() - this.connectedAt < options.maxBackoffMs;
    this.shortLived = short ? this.shortLived + 1 : 0;
    if (this.shortLived < RIVALRY) return '';
    return `, again and again soon after connecting: is there another client with the id "${options.clientId}"?`;
  }

  private otherVersion(): void {
    if (this.options.version === 'auto') this.version = this.version === 5 ? 4 : 5;
  }

  private after(delayMs: number, action: () => void): void {
    this.cancelTimers.push(this.parts.clock.after(delayMs, action));
  }

  // ---- subscriptions

  private subscribe(subscriptions: readonly Subscription[]): void {
    for (let i = 0; i < subscriptions.length; i += FILTERS_A_PACKET) {
      const chunk = subscriptions.slice(i, i + FILTERS_A_PACKET);
      this.connection?.subscribe(chunk, (refused) => this.answered(chunk, new Set(refused)));
    }
  }

  private answered(chunk: readonly Subscription[], refused: ReadonlySet<string>): void {
    const before = this.unanswered;
    this.unanswered = Math.max(0, before - chunk.length);
    if (before > 0 && this.unanswered === 0) {
      this.log.info('subscribed', { filters: this.filters.wanted.length });
      this.parts.answered?.();
    }
    for (const filter of this.filters.answered(chunk, refused))
      this.log.error('subscription refused by the broker', { filter });
    if (refused.size === 0) return;
    this.after(REFUSED_RETRY_MS, () => {
      const still = new Set(this.filters.refused);
      this.subscribe(chunk.filter(({ filter }) => still.has(filter)));
    });
    this.parts.changed?.(this.status());
  }

  private takeBack(): void {
    const { stale } = this.filters;
    for (let i = 0; i < stale.length; i += FILTERS_A_PACKET) {
      const chunk = stale.slice(i, i + FILTERS_A_PACKET);
      this.connection?.unsubscribe(chunk, () => this.filters.takenBack(chunk));
    }
  }

  // ---- outbox

  private pump(): void {
    const connection = this.connection;
    // at QoS 0 the answer comes within the call
    if (connection === null || !this.open || this.pumping) return;
    this.pumping = true;
    const window = this.suspects.size > 0 ? 1 : Math.min(WINDOW, connection.receiveMaximum);
    while (this.open && this.outbox.underWay < window) {
      const next = this.outbox.take();
      if (next === null) break;
      const bytes = sizeOf(next.message);
      if (bytes > this.maxMessageBytes) {
        this.outbox.done(next.key);
        this.suspects.delete(next.key);
        this.setAside(next.message, `the broker takes messages of at most ${this.maxMessageBytes} bytes`);
        continue;
      }
      this.sentAt = this.parts.clock.monotonic();
      connection.publish(next.message, (why) => {
        this.outbox.done(next.key);
        this.suspects.delete(next.key);
        this.sent(next.message, why);
        this.pump();
      });
    }
    this.pumping = false;
    if (this.outbox.size === 0) this.stopping?.drained();
  }

  private sent(message: Outgoing, refusal: Refusal | null): void {
    if (refusal === null) return;
    if (refusal.tooLarge) {
      this.setAside(message, refusal.reason);
      return;
    }
    this.drop('refused-out');
    if (this.refusedTopics.size >= MAX_LOGGED_REFUSALS || this.refusedTopics.has(message.topic)) return;
    this.refusedTopics.add(message.topic);
    this.log.error('publish refused by the broker', { topic: message.topic, reason: refusal.reason });
  }

  private rewind(): void {
    if (this.parts.ephemeral === true) this.outbox.clear();
    else this.outbox.rewind();
  }

  private drop(reason: Unsent): void {
    this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + 1);
  }
}

const sizeOf = ({ topic, payload }: Outgoing): number => Buffer.byteLength(topic) + payload.length;
