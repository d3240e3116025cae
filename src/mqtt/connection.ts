/**
 * One connection to the broker, from connecting to its end, without retries or state that outlives it. The only
 * importer of `mqtt`; reconnecting, queueing and resubscribing of mqtt.js stay switched off, because `client.ts`
 * does them. PUBLISH and PUBACK packets bypass mqtt.js (`packet-reader.ts`, `packet-writer.ts`); mqtt.js handles all
 * other packets.
 */
import type { Duplex, Writable } from 'node:stream';
import { connect, type IClientOptions, type IPublishPacket, type MqttClient, ReasonCodes } from 'mqtt';
import { InFlight } from './in-flight.ts';
import type { BrokerOptions, Secrets } from './options.ts';
import type { Outgoing } from './outbox.ts';
import { PacketReader, type PublishPacket } from './packet-reader.ts';
import { PacketWriter } from './packet-writer.ts';
import type { Redelivery } from './redelivery.ts';

export type ProtocolVersion = 4 | 5;

export interface Incoming {
  readonly topic: string;
  /** Valid until the handler returns; copy it to keep it. */
  readonly payload: Uint8Array;
  /** Whether the broker stored the message before the subscription. */
  readonly retained: boolean;
  /** Whether the message was processed on an earlier connection, and only the acknowledgement is missing. Default: false. */
  readonly again?: boolean;
  /** Whether the broker may have sent the message before, maybe to an earlier run. Default: false. */
  readonly dup?: boolean;
  /**
   * Acknowledges the message; call it when the message is stored. Null at QoS 0. May be called late; until then no later message is
   * acknowledged to the broker.
   */
  readonly acknowledge: (() => void) | null;
}

export interface Subscription {
  readonly filter: string;
  readonly qos: 0 | 1;
  /** The broker also returns this connection's own messages (MQTT 5; 3.1.1 always does). */
  readonly echo?: boolean;
  /** The broker sends retained messages on each reconnect, even in a kept session. */
  readonly again?: boolean;
}

interface ConnectionEvents {
  /** The broker accepted the connection. `sessionPresent`: it had kept our session. */
  readonly connected: (sessionPresent: boolean) => void;
  readonly message: (message: Incoming) => void;
  /** A message was too large; it was skipped and acknowledged. */
  readonly skipped?: (topic: string, bytes: number) => void;
  /** Called once. Only messages received before the end may still follow. */
  readonly ended: (end: ConnectionEnd) => void;
}

export interface ConnectionEnd {
  readonly reason: string;
  /** Whether the broker closed the connection; false for the keepalive and most faults of the network. A reset can be either. */
  readonly closed?: boolean;
  /** Reason of the end, as far as it affects the next attempt. */
  readonly kind:
    | 'network'
    /** The broker does not support this version. */
    | 'version'
    /** The broker closed the connection without an answer: some brokers do so if they do not know the version. */
    | 'hang-up'
    /** Wrong name, password or certificate. */
    | 'refused'
    /** No trusted authority has signed the certificate of the broker. */
    | 'untrusted'
    /** The broker does not support retained messages: the last will must not be retained. */
    | 'no-retain'
    /** The broker supports QoS 0 only: the last will must use it. */
    | 'no-qos'
    /** The client closed the connection because the broker acknowledged other messages, but not the oldest one. */
    | 'unanswered'
    /** A packet exceeded the limit announced to the broker. */
    | 'oversize';
}

interface ConnectionSettings {
  readonly version: ProtocolVersion;
  /** Discard an earlier session. */
  readonly clean: boolean;
  readonly will: Outgoing | null;
  /** Messages processed on earlier connections of the session; default: none. */
  readonly redelivery?: Redelivery;
}

/** Passed to mqtt.js so that it continues with the next packet without acknowledging this one. */
const HELD = new Error('acknowledged later');
const UNSUPPORTED_VERSION = [1, 132];
const REFUSED = [4, 5, 134, 135, 138];
/** Codes of 3.1.1 and 5 for: not authorised; wrong user name or password. */
const LOGIN_REFUSED = [4, 5, 134, 135];
const OVERSIZE = 149;
const NO_RETAIN = 154;
const NO_QOS = 155;
const MIN_RECEIVE_MAXIMUM = 1;

/** Texts for the reason codes of DISCONNECT (MQTT 5.0, 3.14.2.1) that are useful to the owner. */
const DISCONNECT_REASONS: Readonly<Record<number, string>> = {
  135: 'not authorized',
  137: 'the broker is busy',
  139: 'the broker is shutting down',
  141: 'keepalive timeout',
  142: 'another client connected with the same client id; every agent needs its own (node, mqtt.client_id)',
  149: 'a packet was too large for the broker',
  151: 'quota exceeded',
  152: 'closed by the operator of the broker',
};

export class Connection {
  private readonly client: MqttClient;
  private state: 'connecting' | 'open' | 'ended' = 'connecting';
  private closeReason: string | null = null;
  /** Callbacks for the answers to pings, with the number of each ping: those of mqtt.js for the keepalive count, too. */
  private readonly pings: { readonly number: number; readonly answered: () => void }[] = [];
  private readonly inFlight = new InFlight((packetId) => {
    if (this.state === 'open') this.writer.acknowledge(packetId);
  });
  private pingsSent = 0;
  private pingsAnswered = 0;
  private readonly redelivery: Redelivery | undefined;
  private readonly writer: PacketWriter;
  /** Callbacks for the broker's acknowledgements at QoS 1, by packet id. */
  private readonly unacknowledged = new Map<number, Done>();
  /** Callbacks to run when the stream's buffer has drained. */
  private undrained: Done[] = [];
  /** Messages received before `connected` was called. */
  private early: (() => void)[] = [];
  /** Features of the open connection's broker. */
  private offered: BrokerOffers | null = null;

  /** Starts to connect. Throws for invalid options (a malformed URL or certificate). */
  constructor(
    options: BrokerOptions,
    secrets: Secrets,
    settings: ConnectionSettings,
    private readonly events: ConnectionEvents,
  ) {
    this.redelivery = settings.redelivery;
    this.writer = new PacketWriter(settings.version, () =>
      this.state === 'ended' ? null : this.client.stream,
    );
    this.client = connect(options.url, clientOptions(options, secrets, settings));
    // Private only in the types: no public option allows a custom stream together with TLS and WebSockets.
    const builder = this.client as unknown as { streamBuilder: (client: MqttClient) => Duplex };
    const build = builder.streamBuilder;
    builder.streamBuilder = (client) => this.read(build(client), settings.version, options.maxPacketBytes);
    this.client.connect();
    this.client.handleMessage = (packet, callback) => this.receive(packet, callback);
    this.client.on('connect', (packet) => {
      this.state = 'open';
      const { stream } = this.client;
      // No Nagle delay for small packets such as acknowledgements.
      (stream as { setNoDelay?: (on: boolean) => void }).setNoDelay?.(true);
      stream.on('drain', () => {
        for (const done of this.undrained.splice(0)) this.told(done, null);
      });
      this.events.connected(packet.sessionPresent);
      for (const deliver of this.early.splice(0)) deliver();
    });
    this.client.on('packetreceive', (packet) => {
      // Handled before 'connect' is emitted, because messages may arrive in one chunk with the CONNACK.
      if (packet.cmd === 'connack' && (packet.reasonCode ?? packet.returnCode ?? 0) === 0)
        this.redelivery?.begin(packet.sessionPresent);
      if (packet.cmd !== 'pingresp') return;
      this.pingsAnswered++;
      const later = this.pings.findIndex(({ number }) => number > this.pingsAnswered);
      for (const { answered } of this.pings.splice(0, later < 0 ? this.pings.length : later)) answered();
    });
    this.client.on('packetsend', ({ cmd }) => {
      if (cmd === 'pingreq') this.pingsSent++;
    });
    this.client.on('error', (error) => this.end(describe(error)));
    this.client.on('disconnect', ({ reasonCode = 0 }) => {
      this.closeReason = `closed by the broker: ${DISCONNECT_REASONS[reasonCode] ?? `reason ${reasonCode}`}`;
    });
    this.client.on('close', () =>
      this.end(
        this.state === 'connecting'
          ? { kind: 'hang-up', reason: 'closed before the broker answered' }
          : { kind: 'network', reason: this.closeReason ?? 'connection closed', closed: true },
      ),
    );
  }

  /** Replaces `pipe` of the stream for mqtt.js: `PacketReader` reads the stream and passes the remaining packets to mqtt.js. */
  private read<T extends Duplex>(stream: T, version: ProtocolVersion, maxBytes: number): T {
    stream.pipe = (destination) => {
      const parser = destination as unknown as Writable;
      // Packets must not overtake those that mqtt.js has not handled yet, above all the CONNACK.
      const isIdle = (): boolean => this.state === 'open' && parser.writableLength === 0;
      const reader = new PacketReader(version, maxBytes, {
        publish: (message) => {
          if (!isIdle()) return false;
          this.deliver(message);
          return true;
        },
        acknowledged: (packetId, reason) => {
          const done = this.unacknowledged.get(packetId);
          if (done === undefined) return false;
          this.unacknowledged.delete(packetId);
          this.told(done, reason < FIRST_ERROR ? null : refusalOf(reason));
          return true;
        },
        pass: (bytes) => {
          if (!parser.write(bytes)) stream.pause();
        },
        skipped: (topic, bytes, packetId) => this.skip(topic, bytes, packetId),
        broken: (reason) => this.end({ kind: 'oversize', reason }),
      });
      parser.on('drain', () => stream.resume());
      stream.on('data', (chunk: Buffer) => reader.read(chunk));
      stream.on('end', () => parser.end());
      return destination;
    };
    return stream;
  }

  /** Features that the broker announced in its CONNACK (MQTT 5); 3.1.1 announces none. */
  get offers(): BrokerOffers {
    const { maximumPacketSize, retainAvailable, maximumQoS } = this.client.serverProperties ?? {};
    return {
      maxPacketBytes: maximumPacketSize ?? null,
      retain: retainAvailable !== false,
      qos: maximumQoS === 0 ? 0 : 1,
    };
  }

  /** Most unacknowledged messages that the broker accepts. */
  get receiveMaximum(): number {
    return Math.max(MIN_RECEIVE_MAXIMUM, this.client.serverProperties?.receiveMaximum ?? 65_535);
  }

  /**
   * Calls `answered` when the broker has read all messages sent before; not if the connection ends first. `holdsBack`: messages may wait
   * at the broker for acknowledgements of others. It sends as many as its window allows before it answers, so nothing waits if fewer
   * are in flight than once were.
   */
  ping(answered: (holdsBack: boolean) => void): void {
    if (this.state !== 'open') return;
    this.writer.flush();
    const { acknowledged } = this.inFlight;
    this.client.sendPing();
    this.pings.push({
      number: this.pingsSent,
      answered: () => {
        const inFlight = this.inFlight.total - acknowledged;
        const { most } = this.inFlight;
        // The broker had more in flight than are unacknowledged here: messages and acknowledgements were under way.
        this.inFlight.raiseMost(inFlight);
        answered(inFlight > 0 && inFlight >= most);
      },
    });
  }

  /**
   * Forgets how many messages were in flight at most. Call when messages cannot be acknowledged, and after a backlog: Mosquitto sends a
   * backlog in more messages at a time than its window allows.
   */
  relearnWindow(): void {
    this.inFlight.forgetMost();
  }

  /**
   * Publishes a message as the broker allows: at a lower QoS or not retained if necessary.
   * `done` receives null, or the broker's reason for a refusal; it is not called if the connection ends first, which is no refusal.
   */
  publish(message: Outgoing, done: Done): void {
    if (this.state !== 'open') return;
    this.offered ??= this.offers;
    const { qos, retain } = this.offered;
    const packetId = message.qos === 0 || qos === 0 ? null : this.newPacketId();
    if (packetId !== null) this.unacknowledged.set(packetId, done);
    this.writer.publish(message.topic, message.payload, retain && message.retain, packetId);
    if (packetId !== null) return;
    if (this.writer.congested) this.undrained.push(done);
    else done(null);
  }

  /** Packet id from the counter that mqtt.js uses for subscriptions, too. */
  private newPacketId(): number {
    let id: number;
    do id = this.client.messageIdProvider.allocate() ?? 0;
    while (id === 0 || this.unacknowledged.has(id) || Object.hasOwn(this.client.outgoing, id));
    return id;
  }

  private told(done: Done, refusal: PublishRefusal | null): void {
    if (this.state === 'open') done(refusal);
  }

  /** `done` receives the filters that the broker refused; not called if the connection ends first. */
  subscribe(subscriptions: readonly Subscription[], done: (refused: string[]) => void): void {
    const wanted = Object.fromEntries(
      subscriptions.map(({ filter, qos, echo, again }) => [
        filter,
        // By default no own messages (nl), and retained ones only for a new subscription (rh).
        filter.startsWith('$share/') ? { qos } : { qos, nl: echo !== true, rh: again === true ? 0 : 1 },
      ]),
    );
    this.client.subscribe(wanted, (error, sent = [], suback) => {
      if (this.state !== 'open') return;
      // With one refusal MQTT.js reports an error for all; only the packet has the answer to each filter.
      const answers = suback?.granted ?? [];
      const refused = sent.filter((_, i) => Number(answers[i]) >= 128).map(({ topic }) => topic);
      done(error && refused.length === 0 ? subscriptions.map((s) => s.filter) : refused);
    });
  }

  /** Calls `done` when the broker has confirmed; not if the connection ends first. */
  unsubscribe(filters: readonly string[], done: () => void): void {
    this.client.unsubscribe([...filters], (error) => {
      if (!error && this.state === 'open') done();
    });
  }

  /** Sends DISCONNECT (so the last will is not sent) and closes; always calls `closed`. */
  close(closed: () => void): void {
    this.writer.flush();
    this.state = 'ended';
    this.client.end(false, () => {
      this.silence();
      closed();
    });
  }

  /** Closes the connection without DISCONNECT: the broker sends the last will. */
  destroy(end: ConnectionEnd = { kind: 'network', reason: 'cut' }): void {
    this.end(end);
  }

  /** Handles a message that was parsed by mqtt.js. */
  private receive(
    packet: Pick<IPublishPacket, 'topic' | 'payload' | 'qos' | 'retain' | 'dup' | 'messageId'>,
    next: Next,
  ): void {
    const { topic, qos, retain, dup, messageId = 0 } = packet;
    const payload = packet.payload as Buffer;
    this.deliver({ topic, payload, retained: retain, dup, packetId: qos > 0 ? messageId : null });
    // mqtt.js handles packets one after the other: let it continue now, without an acknowledgement of its own.
    next(qos === 0 ? undefined : HELD);
  }

  private deliver(message: PublishPacket): void {
    const { topic, payload, retained, dup, packetId } = message;
    if (this.state === 'connecting') {
      // The message arrived in one chunk with CONNACK, but `connected` must be called first.
      const kept = { ...message, payload: Buffer.from(payload) };
      this.early.push(() => this.deliver(kept));
      return;
    }
    const again = packetId !== null && (this.redelivery?.again(packetId, dup, topic, payload) ?? false);
    this.events.message({
      topic,
      payload,
      retained,
      again,
      dup,
      acknowledge: packetId === null ? null : this.inFlight.enter(packetId),
    });
  }

  private skip(topic: string, bytes: number, packetId: number | null): void {
    if (this.state === 'connecting') {
      this.early.push(() => this.skip(topic, bytes, packetId));
      return;
    }
    if (packetId !== null) this.inFlight.enter(packetId)();
    if (this.state === 'open') this.events.skipped?.(topic, bytes);
  }

  private end(end: ConnectionEnd): void {
    if (this.state === 'ended') return;
    this.state = 'ended';
    this.client.end(true, () => this.silence());
    this.events.ended(end);
  }

  /** Swallows late errors of a closed socket: an unhandled 'error' event crashes the process. */
  private silence(): void {
    this.client.removeAllListeners();
    this.client.on('error', () => {});
  }
}

/** Reason of the broker for refusing a message. */
export interface PublishRefusal {
  readonly reason: string;
  readonly tooLarge: boolean;
}

/** Optional features of a broker. */
export interface BrokerOffers {
  /** Largest packet that the broker accepts; null: no announced limit. */
  readonly maxPacketBytes: number | null;
  readonly retain: boolean;
  readonly qos: 0 | 1;
}

/** Receives null, or the broker's reason for refusing a message. */
type Done = (refused: PublishRefusal | null) => void;

/** Reason codes of MQTT 5 from here on are errors (MQTT 5.0, 2.4). */
const FIRST_ERROR = 128;

const refusalOf = (reason: number): PublishRefusal => ({
  reason: `Publish error: ${ReasonCodes[reason as keyof typeof ReasonCodes] ?? `reason ${reason}`}`,
  tooLarge: reason === OVERSIZE,
});

const codeOf = (error: Error): unknown => (error as { code?: unknown }).code;

type Next = (error?: Error) => void;

function clientOptions(
  options: BrokerOptions,
  secrets: Secrets,
  settings: ConnectionSettings,
): IClientOptions {
  const { version, clean, will } = settings;
  const properties = {
    sessionExpiryInterval: Math.round(options.sessionExpiryMs / 1000),
    maximumPacketSize: options.maxPacketBytes,
  };
  return {
    ...(version === 5 && { properties }),
    protocolVersion: version,
    clean,
    clientId: options.clientId,
    ...(options.username !== undefined && { username: options.username }),
    ...secrets,
    rejectUnauthorized: true,
    keepalive: Math.max(1, Math.round(options.keepaliveMs / 1000)),
    connectTimeout: options.connectTimeoutMs,
    reconnectPeriod: 0,
    manualConnect: true,
    wsOptions: { maxPayload: options.maxPacketBytes },
    resubscribe: false,
    queueQoSZero: false,
    // The cache would allocate a buffer for each of the 65,536 two-byte numbers: 7 MB, and 30 ms at the first connection.
    writeCache: false,
    ...(will !== null && {
      will: { topic: will.topic, payload: Buffer.from(will.payload), qos: will.qos, retain: will.retain },
    }),
    log: () => {},
  };
}

/** Results of the verification of a certificate that no trusted authority has signed (OpenSSL, X509_STORE_CTX_get_error). */
const UNTRUSTED: ReadonlySet<unknown> = new Set([
  'CERT_UNTRUSTED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);
/** What the broker says about the certificate of the client (TLS alerts, RFC 8446, 6.2). */
const CLIENT_CERTIFICATE: Readonly<Record<string, string>> = {
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    'the broker requires a client certificate: set mqtt.cert and mqtt.key',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'the broker does not trust the authority of mqtt.cert',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: 'the client certificate is out of date: renew mqtt.cert',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED: 'the client certificate is revoked: renew mqtt.cert',
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: 'the broker cannot verify the client certificate: check mqtt.cert',
};

function describe(error: Error): ConnectionEnd {
  const code = codeOf(error);
  if (UNTRUSTED.has(code))
    return {
      kind: 'untrusted',
      reason: `the broker's certificate is not signed by a trusted authority: set mqtt.ca (${code})`,
    };
  const certificate = typeof code === 'string' ? CLIENT_CERTIFICATE[code] : undefined;
  if (certificate !== undefined) return { kind: 'network', reason: `${certificate} (${code})` };
  const text =
    typeof code === 'string' && !error.message.includes(code) ? `${error.message} (${code})` : error.message;
  const reason = text === '' ? String(code ?? 'unknown error') : text;
  if (typeof code !== 'number')
    return { kind: 'network', reason, closed: code === 'ECONNRESET' || code === 'EPIPE' };
  if (UNSUPPORTED_VERSION.includes(code)) return { kind: 'version', reason };
  if (code === NO_RETAIN) return { kind: 'no-retain', reason };
  if (code === NO_QOS) return { kind: 'no-qos', reason };
  if (LOGIN_REFUSED.includes(code))
    return { kind: 'refused', reason: `the login was refused: check user name and password (${reason})` };
  if (REFUSED.includes(code)) return { kind: 'refused', reason };
  return { kind: code === OVERSIZE ? 'oversize' : 'network', reason };
}
