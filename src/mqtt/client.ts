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
  type PublishRefusal,
  type Subscription,
} from './connection.ts';
import { type BrokerOptions, readSecrets } from './options.ts';
import { Outbox, type OutboxEntry, type Outgoing } from './outbox.ts';
import { Redelivery } from './redelivery.ts';
import { SessionFilters, type SessionMemory } from './session-filters.ts';

export interface ClientParts {
  readonly options: BrokerOptions;
  readonly clock: Clock;
  /** Random number, 0 <= r < 1: spreads the reconnects of a fleet. */
  readonly random: () => number;
  readonly log: Logger;
  /** Last will: the broker publishes it if the connection ends without a DISCONNECT. */
  readonly will: () => Outgoing;
  /** Messages published first on every connection. */
  readonly birth: () => readonly Outgoing[];
  readonly message: (message: Incoming) => void;
  /** Called after each connect, when all subscriptions have been sent, and after each loss. */
  readonly changed?: (status: ClientStatus) => void;
  /** Called after each connect, when the broker has answered all subscriptions. */
  readonly answered?: () => void;
  /** The record of the session from earlier runs; without it, an existing session is replaced by a clean one. */
  readonly session?: SessionMemory;
  /** A topic of the agent's own for messages that test whether the broker accepts a size again. Without it, a limit that was learnt stays. */
  readonly probeTopic?: string;
  /** Messages are valid only for one connection: those not acknowledged when it ends are dropped. */
  readonly ephemeral?: boolean;
}

/** Reason why a message was not delivered to the broker, or to the agent. */
export type UndeliveredReason = 'outbox-full' | 'set-aside' | 'refused-out' | 'oversize-in';

export interface ClientStatus {
  readonly connected: boolean;
  readonly protocol: '5' | '3.1.1' | null;
  readonly connects: number;
  /** Whether the broker had kept the session with its queued messages. */
  readonly resumed: boolean;
  /** Why there is no connection now; null while connected and before the first attempt. */
  readonly fault: string | null;
  readonly refusedFilters: readonly string[];
  readonly outbox: number;
  /** Topic and size of the last message that was too large. */
  readonly skipped: string | null;
  /** Features that the broker lacks, and how the agent adapts; null if it offers all features used. */
  readonly limits: string | null;
  /** Number of undelivered messages, by reason. */
  readonly dropped: Readonly<Record<string, number>>;
}

/** Bytes of a PUBLISH in addition to topic and payload: fixed header, topic length, packet id, properties, topic alias. */
const PACKET_OVERHEAD = 16;
/** Smaller messages are never assumed to be refused because of their size, bytes. */
const LEAST_LIMIT_BYTES = 512;
/** A message of more than this part of the limit was probably shortened to it. */
const SHORTENED = 0.9;
/** A size limit from here on affects no forecast, bytes. */
const SMALL_MESSAGE_BYTES = 65_536;
/** Most unacknowledged messages in flight. */
const WINDOW = 64;
/** Most filters in one SUBSCRIBE or UNSUBSCRIBE packet. */
const FILTERS_A_PACKET = 200;
/** Interval after which a refused filter is subscribed to again, because permissions may change. */
const REFUSED_RETRY_MS = 300_000;
/** Most topics whose refusal, or whose message set aside, is logged, once each; further ones are only counted. */
const MAX_LOGGED_REFUSALS = 20;

/** If the connection is closed within this time after a message was sent, that message may be the cause, ms. */
const BLAME_MS = 2000;
/** How long a message that is larger than all accepted ones stays suspected although it is not sent again, ms. */
const SUSPICION_MS = 60_000;
/** Bits of `weakWill`, in the order in which they are tried. */
const AT_QOS_0 = 1;
const NOT_RETAINED = 2;
/** Number of connections in a row, closed before any message was acknowledged, after which no retain, or QoS 0, is used. */
const MOST_EARLY_CLOSES = 2;
/** How long conclusions from closed connections hold: every message at QoS 0 is confirmed, QoS 1 is not tried again, ms. */
const CAUTION_MS = 3_600_000;

/** Interval of the check for a message that stays unacknowledged; it is called unanswered after one to two of them, ms. */
const UNANSWERED_MS = 15_000;
/** A message that is sent alone, and would be set aside, has this many times as long, in case the broker is slow. */
const PATIENCE_ALONE = 4;
const UNANSWERED = { kind: 'unanswered', reason: 'the broker did not acknowledge a message' } as const;
/** Shortest and longest time between two tests whether a size that was refused is accepted again, ms. It doubles with each refusal. */
const PROBE_AFTER_MS = 300_000;
const PROBE_AT_LEAST_MS = 86_400_000;

/** Longest wait for the end of the old connection when switching to another, ms. */
const GOODBYE_MS = 1000;

/** Number of short connections in a row after which another client with the same id is likely. */
const RIVALRY = 4;

export class Client {
  private readonly log: Logger;
  private readonly outbox: Outbox;
  private readonly backoff: Backoff;
  private filters: SessionFilters;
  private options: BrokerOptions;
  private readonly refusedTopics = new Set<string>();
  /** Topics of messages that were set aside, and logged, since the limit was learnt. */
  private readonly setAsideTopics = new Set<string>();
  private readonly dropped = new Map<UndeliveredReason, number>();
  private connection: Connection | null = null;
  private open = false;
  private version: ProtocolVersion;
  /** Start the next session clean, because the last one contains a message that ends every connection. */
  private cleanNext = false;
  private connects = 0;
  private resumed = false;
  private redelivery = new Redelivery();
  /** Number of this connection's first subscriptions without an answer from the broker. */
  private unanswered = 0;
  private fault: string | null = null;
  private connectedAt = 0;
  /** Number of connections in a row that the broker closed soon, which indicates a rival with the same client id. */
  private shortLived = 0;
  /** Features that the broker of the open connection offers. */
  private offers: BrokerOffers | null = null;
  /** Last will settings that the broker accepts, after a refusal. */
  private will: { retain: boolean; qos: boolean } = { retain: true, qos: true };
  /** How the next last will is weakened, because a broker with MQTT 3.1.1 may close the connection for it: AT_QOS_0 and NOT_RETAINED. */
  private weakWill = 0;
  /** Whether the broker closes connections for retained messages. */
  private noRetain = false;
  /** Whether the broker closes connections for messages at QoS 1. */
  private noQos1 = false;
  /** Whether a message at QoS 1 was acknowledged on this connection. */
  private acknowledged = false;
  /** Number of connections in a row that were closed early: before any message was acknowledged, maybe because of retain or QoS 1. */
  private earlyCloses = 0;
  /** Whether this broker was connected to again because it takes retained messages, but the last will was not retained. */
  private hasRenewedWill = false;
  private skipped: string | null = null;
  private sentAt = 0;
  /** Number of messages at QoS 0 in flight that may end the connection. */
  private unconfirmedSuspects = 0;
  /** Time of the last message at QoS 0 that was not confirmed, ms on the monotonic clock. */
  private unconfirmedAt = Number.NEGATIVE_INFINITY;
  /**
   * Topics of the messages that were in flight when the broker closed the connection, with their size in bytes. Messages are sent one by
   * one until the cause is found.
   */
  private readonly suspects = new Map<string, number>();
  private suspectedAt = 0;
  /** Size of the largest message that the broker has accepted, bytes. */
  private proven = 0;
  /** Until then every message at QoS 0 is confirmed by a ping, ms on the monotonic clock. */
  private confirmUntil = 0;
  /** Size of the smallest message that the broker refused as too large, bytes. */
  private tooLarge = Number.POSITIVE_INFINITY;
  /** Size of the largest message that the broker refused as too large, bytes. */
  private refusedBytes = 0;
  /** Whether the broker answers that a message is too large, so that a test of the limit costs no connection. */
  private saysTooLarge = false;
  /** Time of the next test of the limit, ms on the monotonic clock, and the wait after it. */
  private probeAt = 0;
  private probeWaitMs = PROBE_AFTER_MS;
  /** Size of the message that tests the limit now, bytes; no other message is sent meanwhile. */
  private probing: number | null = null;
  /** Whether the next test uses the smallest refused size, because the largest was refused again. */
  private probesLeast = false;
  /** The message in flight for the longest time at the last check, and the time of the check that found it, ms on the monotonic clock. */
  private oldest: OutboxEntry | null = null;
  private oldestAt = 0;
  /** The longest time that the broker took to acknowledge such a message, ms. */
  private slowestMs = 0;
  private stopped = true;
  /** Cancel the timers of this connection, or of the wait for the next. */
  private readonly cancels = new Set<() => void>();
  private stopping: { readonly drained: () => void; readonly lost: () => void } | null = null;
  private pumping = false;
  /** Whether the broker has accepted MQTT 5 before: a closed connection then does not mean that it lacks MQTT 5. */
  private speaks5 = false;

  constructor(private readonly parts: ClientParts) {
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
   * Sends the waiting messages and `farewell`, if time allows, and disconnects; the last will is then not sent.
   * Resolves within `timeoutMs`.
   */
  stop(farewell: readonly Outgoing[], timeoutMs = 3000): Promise<void> {
    for (const message of farewell) this.publish(message);
    this.stopped = true;
    this.probing = null;
    this.cancelTimers();
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
   * Switches to another broker, or to other credentials: for config keys of the class `reconnect`. Test them with
   * `tryBroker` (trial.ts) first. Waiting messages go to the new connection. Returns at once; `changed` reports
   * the loss and the new connection.
   * @param farewell last messages to the old broker, if the broker changes: its last will is then not sent
   * @param session the record of the session at the new broker; omitted: same session, other credentials
   */
  switchTo(options: BrokerOptions, farewell: readonly Outgoing[] = [], session?: SessionMemory): void {
    if (this.open) for (const message of farewell) this.connection?.publish(message, () => {});
    this.options = options;
    this.version = options.version === '3.1.1' ? 4 : 5;
    this.speaks5 = false;
    this.will = { retain: true, qos: true };
    this.weakWill = 0;
    this.noRetain = false;
    this.noQos1 = false;
    this.earlyCloses = 0;
    this.hasRenewedWill = false;
    this.forgetLimit();
    this.proven = 0;
    this.slowestMs = 0;
    this.confirmUntil = 0;
    this.offers = null;
    this.suspects.clear();
    this.shortLived = 0;
    if (session !== undefined) {
      const { wanted } = this.filters;
      this.redelivery = new Redelivery();
      this.filters = new SessionFilters(session);
      this.filters.want(wanted);
    }
    this.connectAnew();
  }

  /** Ends the connection with DISCONNECT, so that its last will is not sent, and connects again. */
  private connectAnew(): void {
    const old = this.connection;
    const wasOpen = this.open;
    this.probing = null;
    this.open = false;
    this.connection = null;
    this.rewind();
    this.cancelTimers();
    if (this.stopped) return;
    if (wasOpen) this.parts.changed?.(this.status());
    if (old === null) this.connect();
    else {
      // An old broker that does not answer must not delay the new connection.
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

  /** Never blocks and never fails: the message waits in the bounded outbox until the broker has it. The topic must be a safe name (see topics.ts). */
  publish(message: Outgoing): void {
    const before = this.outbox.dropped;
    this.outbox.put(message, this.open);
    if (this.outbox.dropped > before) this.drop('outbox-full');
    if (this.open) this.pump();
  }

  /** Replaces the list of subscriptions; may be called at any time, in any state. */
  setSubscriptions(wanted: readonly Subscription[]): void {
    const added = this.filters.want(wanted);
    if (!this.open) return;
    this.takeBack();
    this.subscribe(added);
  }

  /** As `Connection.ping`; does nothing without a connection. */
  ping(answered: (holdsBack: boolean) => void): void {
    if (this.open) this.connection?.ping(answered);
  }

  relearnWindow(): void {
    this.connection?.relearnWindow();
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

  /** Largest message (topic and payload) that the broker accepts, as far as known, bytes. */
  get maxMessageBytes(): number {
    const announced = (this.offers?.maxPacketBytes ?? Number.POSITIVE_INFINITY) - PACKET_OVERHEAD;
    return Math.min(announced, this.tooLarge - 1);
  }

  private get takesQos1(): boolean {
    return !this.noQos1 && this.offers?.qos !== 0;
  }

  private limits(): string | null {
    const limits: string[] = [];
    if (this.offers?.retain === false || !this.will.retain || this.noRetain)
      limits.push('no retained messages: messages are sent without retain');
    if (!this.takesQos1 || !this.will.qos)
      limits.push('QoS 0 only: messages are sent without acknowledgement');
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
          // This connection only deleted the old session. In 3.1.1 a clean session ends with its connection; in 5 Mosquitto keeps it,
          // but does not save it, so that it is lost with the next restart of the broker.
          if (clean && keeps) this.comeAgain();
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
    // With MQTT 5 a broker says what it does not take.
    const weak = this.version === 5 ? 0 : this.weakWill | (this.noRetain ? NOT_RETAINED : 0);
    const qos = this.will.qos && (weak & AT_QOS_0) === 0 ? will.qos : 0;
    const retain = this.will.retain && (weak & NOT_RETAINED) === 0;
    return { ...will, retain: will.retain && retain, qos };
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
    // a limit learnt from refusals ends when the broker announces a larger one
    if ((this.offers?.maxPacketBytes ?? 0) - PACKET_OVERHEAD > this.tooLarge) this.forgetLimit();
    this.resumed = sessionPresent;
    this.fault = null;
    this.connectedAt = this.parts.clock.monotonic();
    this.cleanNext = false;
    this.acknowledged = false;
    this.unconfirmedSuspects = 0;
    this.connects++;
    this.speaks5 ||= this.version === 5;
    this.noRetain &&= this.version === 4;
    this.backoff.connected();
    this.filters.begin(!sessionPresent);
    const protocol = this.version === 5 ? '5' : '3.1.1';
    this.log.info('broker connected', { url: this.options.url, protocol, session: sessionPresent });
    this.takeBack();
    // Subscribe again even in a kept session, because the broker may have lost some subscriptions.
    const wanted = this.filters.wanted;
    this.unanswered = wanted.length;
    this.subscribe(wanted);
    // The subscriptions come first: clients may publish as soon as they receive the birth.
    this.outbox.putFirst(this.parts.birth());
    this.oldest = null;
    this.checkAnswers();
    if (this.saysTooLarge) this.probeAt = this.connectedAt;
    this.probe();
    this.pump();
    this.parts.changed?.(this.status());
    this.pump();
  }

  private ended(end: ConnectionEnd): void {
    const wasOpen = this.open;
    this.open = false;
    this.connection = null;
    const isClosed = wasOpen && end.kind === 'network' && end.closed === true;
    const isOfMessage = end.kind === 'unanswered' || this.probing !== null || (isClosed && this.blame());
    this.probing = null;
    if (wasOpen && this.parts.clock.monotonic() - this.connectedAt > CAUTION_MS) {
      this.noQos1 = false;
      this.noRetain = false;
    }
    this.rewind();
    // A broker without QoS 1 or retained messages closes the connection for such a will; so may a proxy without its broker: try all in turn.
    if (end.kind === 'hang-up' && this.version === 4)
      this.weakWill = (this.weakWill + 1) & (AT_QOS_0 | NOT_RETAINED);
    if (end.kind === 'no-retain') this.will.retain = false;
    if (end.kind === 'no-qos') this.will.qos = false;
    if (this.stopped) {
      this.stopping?.lost();
      return;
    }
    this.cancelTimers();
    if (end.kind === 'version' || (end.kind === 'hang-up' && !this.speaks5)) this.otherVersion();
    if (end.kind === 'oversize') {
      this.drop('oversize-in');
      // A kept session would deliver the message again on every connection.
      this.cleanNext = true;
    }
    const delayMs = this.backoff.next();
    const reason = end.reason + (isOfMessage ? '' : this.rivalry(wasOpen));
    const isNew = this.fault !== reason;
    this.fault = reason;
    const fields = { url: this.options.url, reason, retry_ms: Math.round(delayMs) };
    if (isNew || wasOpen) this.log.warn(wasOpen ? 'broker lost' : 'broker unreachable', fields);
    else this.log.debug('broker unreachable', fields);
    this.after(delayMs, () => this.connect());
    this.parts.changed?.(this.status());
  }

  /**
   * The broker closed the connection, maybe because of a message, and would do so for ever. Messages are sent one by one
   * on the next connections; a message that alone causes a second close is set aside. If no message was acknowledged on two
   * connections, the cause is the retain flag, if the broker took no retained last will either, else QoS 1.
   * @returns whether a message may be the cause
   */
  private blame(): boolean {
    const now = this.parts.clock.monotonic();
    if (now - this.sentAt > BLAME_MS) return false;
    const underWay = this.outbox.allUnderWay();
    const isWeak = this.version === 4 && (this.weakWill & NOT_RETAINED) !== 0;
    const isRetain = isWeak && !this.noRetain && underWay.some(({ message }) => message.retain);
    const isQos1 = this.takesQos1 && underWay.some(({ message }) => message.qos === 1);
    if ((isRetain || isQos1) && !this.acknowledged && ++this.earlyCloses >= MOST_EARLY_CLOSES) {
      this.earlyCloses = 0;
      this.suspects.clear();
      if (isRetain) this.noRetain = true;
      else this.noQos1 = true;
      const what = isRetain
        ? 'retained messages: they are sent without retain'
        : 'messages at QoS 1: they are sent at QoS 0';
      this.log.warn(`the broker closes the connection for ${what}`);
      return true;
    }
    if (underWay.length > 0)
      this.suspect(underWay, 'the broker closed the connection twice when it was sent');
    else if (now - this.unconfirmedAt <= BLAME_MS) this.confirmUntil = now + CAUTION_MS;
    return underWay.length > 0;
  }

  /** @param reason for setting a message aside that is the cause for the second time */
  private suspect(underWay: readonly OutboxEntry[], reason: string): void {
    const [only] = underWay;
    if (only !== undefined && underWay.length === 1 && this.suspects.delete(only.message.topic)) {
      this.outbox.done(only.key);
      // If a larger message was accepted, the size is not the cause. The limit may be new: the next refusal of this size counts.
      const bytes = sizeOf(only.message);
      if (bytes > this.proven && bytes >= LEAST_LIMIT_BYTES) this.learnLimit(bytes);
      if (bytes >= LEAST_LIMIT_BYTES) this.proven = Math.min(this.proven, bytes - 1);
      this.countSetAside(only.message, reason);
    } else for (const { message } of underWay) this.suspects.set(message.topic, sizeOf(message));
    this.suspectedAt = this.parts.clock.monotonic();
  }

  /**
   * Some brokers neither acknowledge nor refuse a message that is too large, nor those behind it (RabbitMQ above
   * `max_message_size`). If the oldest message stays unacknowledged although the broker answers a ping, the connection is replaced,
   * and its messages are sent one by one. A broker that acknowledges none of them then is left alone: it may be busy.
   */
  private checkAnswers(): void {
    const oldest = this.outbox.oldestUnderWay;
    const isBlocked = this.acknowledged || (this.suspects.size === 0 && this.outbox.underWay > 1);
    const now = this.parts.clock.monotonic();
    if (oldest !== this.oldest) this.oldestAt = now;
    else if (oldest !== null && isBlocked && now - this.oldestAt >= this.patienceMs())
      this.ping(() => {
        if (this.outbox.oldestUnderWay !== oldest) return;
        this.suspect(this.outbox.allUnderWay(), 'the broker did not acknowledge it twice');
        this.connection?.destroy(UNANSWERED);
      });
    this.oldest = oldest;
    this.after(UNANSWERED_MS, () => this.checkAnswers());
  }

  /** How long a broker that answers pings may take for a message: twice as long as it ever took. */
  private patienceMs(): number {
    const alone = this.suspects.size > 0 ? PATIENCE_ALONE * UNANSWERED_MS : 0;
    // the timer of the check may be a little early
    return Math.max(UNANSWERED_MS, alone, 2 * this.slowestMs) - UNANSWERED_MS / 2;
  }

  /** A message that was shortened to the limit learnt so far and is still too large shows that the real one is far below: halves the rest. */
  private learnLimit(bytes: number): void {
    const isShortened = bytes < this.tooLarge && bytes > SHORTENED * this.tooLarge && this.proven < bytes;
    const limit = isShortened ? Math.ceil((this.proven + bytes) / 2) : bytes;
    this.tooLarge = Math.min(this.tooLarge, limit);
    this.refusedBytes = Math.max(this.refusedBytes, bytes);
    this.probeAt = this.parts.clock.monotonic() + this.probeWaitMs;
  }

  private forgetLimit(): void {
    this.tooLarge = Number.POSITIVE_INFINITY;
    this.refusedBytes = 0;
    this.saysTooLarge = false;
    this.setAsideTopics.clear();
    this.probeWaitMs = PROBE_AFTER_MS;
    this.probesLeast = false;
  }

  /**
   * Tests whether the broker still refuses the sizes that it has refused: after a reconnect, because a changed limit often needs a
   * restart of the broker, and once a day. A message without content is sent for that, before all others.
   */
  private probe(): void {
    const { clock, probeTopic } = this.parts;
    const { connection } = this;
    this.after(PROBE_AT_LEAST_MS, () => this.probe());
    if (probeTopic === undefined || connection === null || this.refusedBytes === 0) return;
    if (clock.monotonic() < this.probeAt || this.stopped) return;
    const bytes = this.probesLeast ? this.tooLarge : this.refusedBytes;
    this.probing = bytes;
    this.probeWaitMs = Math.min(2 * this.probeWaitMs, PROBE_AT_LEAST_MS);
    this.probeAt = clock.monotonic() + this.probeWaitMs;
    this.probesLeast = !this.probesLeast && this.tooLarge < this.refusedBytes;
    const answered = (refusal: PublishRefusal | null): void => {
      this.probing = null;
      if (refusal === null) {
        this.proven = Math.max(this.proven, bytes);
        if (bytes >= this.refusedBytes) this.forgetLimit();
        else this.tooLarge = this.refusedBytes;
        this.log.info('the broker accepts larger messages again', { bytes });
        this.parts.changed?.(this.status());
      }
      this.pump();
    };
    const qos = this.takesQos1 ? 1 : 0;
    const payload = Buffer.alloc(Math.max(0, bytes - Buffer.byteLength(probeTopic)), ' ');
    const message = { topic: probeTopic, payload, qos, retain: false } as const;
    if (qos === 1) connection.publish(message, answered);
    else {
      connection.publish(message, () => {});
      connection.ping(() => answered(null));
    }
    this.after(UNANSWERED_MS, () => {
      if (this.probing === bytes) connection.destroy(UNANSWERED);
    });
  }

  private countSetAside(message: Outgoing, reason: string): void {
    this.drop('set-aside');
    if (this.setAsideTopics.size >= MAX_LOGGED_REFUSALS || this.setAsideTopics.has(message.topic)) return;
    this.setAsideTopics.add(message.topic);
    this.log.error('message set aside', { topic: message.topic, bytes: sizeOf(message), reason });
  }

  /** A hint for the log if the broker repeatedly closes accepted connections: usually a second client has the same id. */
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
    const cancel = this.parts.clock.after(delayMs, () => {
      this.cancels.delete(cancel);
      action();
    });
    this.cancels.add(cancel);
  }

  private cancelTimers(): void {
    for (const cancel of this.cancels) cancel();
    this.cancels.clear();
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
    // At QoS 0 the callback runs within the call, so prevent recursion.
    if (connection === null || !this.open || this.pumping) return;
    this.pumping = true;
    while (this.open && this.outbox.underWay < this.window(connection)) {
      const next = this.outbox.take();
      if (next === null) break;
      const bytes = sizeOf(next.message);
      if (bytes > this.maxMessageBytes) {
        this.outbox.done(next.key);
        this.suspects.delete(next.message.topic);
        this.countSetAside(
          next.message,
          `the broker takes messages of at most ${this.maxMessageBytes} bytes`,
        );
        continue;
      }
      this.sentAt = this.parts.clock.monotonic();
      this.send(connection, next, bytes);
    }
    this.pumping = false;
    if (this.outbox.size === 0) this.stopping?.drained();
  }

  private window(connection: Connection): number {
    if (this.probing !== null) return 0;
    const alone = this.suspects.size > 0 || (this.earlyCloses > 0 && this.takesQos1);
    return alone ? 1 : Math.min(WINDOW, connection.receiveMaximum);
  }

  private send(connection: Connection, entry: OutboxEntry, bytes: number): void {
    const message = this.noRetain ? { ...entry.message, retain: false } : entry.message;
    if (message.qos === 1 && this.takesQos1) {
      // The only function for a message, because it lives until the broker acknowledges.
      connection.publish(message, (refusal) => {
        this.acknowledged = true;
        this.earlyCloses = 0;
        const isWillLost = message.retain && this.version === 4 && (this.weakWill & NOT_RETAINED) !== 0;
        this.weakWill &= message.retain ? 0 : ~AT_QOS_0;
        if (entry === this.oldest)
          this.slowestMs = Math.max(this.slowestMs, this.parts.clock.monotonic() - this.oldestAt);
        if (refusal === null) this.proven = Math.max(this.proven, bytes);
        this.done(entry, refusal);
        if (isWillLost) this.renewWill();
      });
      return;
    }
    this.sendAtQos0(connection, entry, message, bytes);
  }

  /** The broker takes retained messages, but the last will is not retained: the retained status would stay when the agent dies. */
  private renewWill(): void {
    if (this.hasRenewedWill || this.stopped) return;
    this.hasRenewedWill = true;
    this.log.info('connecting again with a retained last will: the broker takes retained messages');
    this.connectAnew();
  }

  private sendAtQos0(connection: Connection, entry: OutboxEntry, message: Outgoing, bytes: number): void {
    const atQos0 = message.qos === 0 ? message : { ...message, qos: 0 as const };
    // A broker does not acknowledge QoS 0, but its answer to a ping shows that the message did not end the connection.
    const isSuspect =
      (bytes > this.proven && bytes >= LEAST_LIMIT_BYTES) ||
      this.suspects.size > 0 ||
      this.sentAt < this.confirmUntil;
    // If a suspect ends the connection, the messages behind it are lost, too.
    if (isSuspect || this.unconfirmedSuspects > 0) {
      if (isSuspect) this.unconfirmedSuspects++;
      connection.publish(atQos0, () => {});
      connection.ping(() => {
        if (isSuspect) this.unconfirmedSuspects--;
        this.proven = Math.max(this.proven, bytes);
        this.done(entry, null);
      });
      return;
    }
    this.unconfirmedAt = this.sentAt;
    connection.publish(atQos0, (refusal) => this.done(entry, refusal));
  }

  private done({ key, message }: OutboxEntry, refusal: PublishRefusal | null): void {
    this.outbox.done(key);
    // A smaller message of the topic, such as an empty one, proves nothing about a larger one that will come again.
    const isExpired = this.parts.clock.monotonic() - this.suspectedAt > SUSPICION_MS;
    const isSize = (bytes: number): boolean =>
      bytes >= LEAST_LIMIT_BYTES && bytes > this.proven && !isExpired;
    for (const [topic, bytes] of this.suspects)
      if ((topic === message.topic || this.outbox.size === 0) && !isSize(bytes)) this.suspects.delete(topic);
    this.sent(message, refusal);
    this.pump();
  }

  private sent(message: Outgoing, refusal: PublishRefusal | null): void {
    if (refusal === null) return;
    if (refusal.tooLarge) {
      this.saysTooLarge = true;
      this.learnLimit(sizeOf(message));
      this.countSetAside(message, refusal.reason);
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

  private drop(reason: UndeliveredReason): void {
    this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + 1);
  }
}

const sizeOf = ({ topic, payload }: Outgoing): number => Buffer.byteLength(topic) + payload.length;
