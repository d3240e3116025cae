/**
 * One connection to the broker, from connecting to its end, without retries or state that outlives it. The only
 * importer of `mqtt`; reconnecting, queueing and resubscribing of mqtt.js stay switched off, because `client.ts`
 * does them. PUBLISH and PUBACK packets bypass mqtt.js (`packet-reader.ts`, `packet-writer.ts`); mqtt.js handles all
 * other packets.
 */
import type { Duplex, Writable } from 'node:stream';
import { connect, type IClientOptions, type IPublishPacket, type MqttClient, ReasonCodes } from 'mqtt';
import type { BrokerOptions, Secrets } from './options.ts';
import type { Outgoing } from './outbox.ts';
import { PacketReader, type PublishPacket } from './packet-reader.ts';
import { PacketWriter } from './packet-writer.ts';
import type { Redelivery } from './redelivery.ts';

export type ProtocolVersion = 4 | 5;

export interface Incoming {
  readonly topic: string;
  /** Valid until the handler returns; a copy is needed to keep it. */
  readonly payload: Uint8Array;
  /** Kept by the broker from before, not sent just now. */
  readonly retained: boolean;
  /** Taken on an earlier connection already: only the acknowledgement is missing. Left out: false. */
  readonly again?: boolean;
  /** Acknowledges the message; call when it is stored. Null at QoS 0. May be called late, or never. */
  readonly acknowledge: (() => void) | null;
}

export interface Subscription {
  readonly filter: string;
  readonly qos: 0 | 1;
  /** Messages of this connection come back to it, too (MQTT 5; with 3.1.1 they always do). */
  readonly echo?: boolean;
  /** Retained messages come again with each reconnect, also where the broker has kept the session. */
  readonly again?: boolean;
}

export interface ConnectionEvents {
  /** The broker accepted. `sessionPresent`: it had kept our session. */
  readonly connected: (sessionPresent: boolean) => void;
  readonly message: (message: Incoming) => void;
  /** A message was too large to take; it is skipped, and acknowledged. */
  readonly skipped?: (topic: string, bytes: number) => void;
  /** Called once. Only messages that the socket had received before the end may still follow. */
  readonly ended: (end: ConnectionEnd) => void;
}

export interface ConnectionEnd {
  readonly reason: string;
  /** The broker closed it, rather than the network or the keepalive. */
  readonly closed?: boolean;
  /** Why it ended, as far as the next attempt should care. */
  readonly kind:
    | 'network'
    /** The broker does not speak this version. */
    | 'version'
    /** The broker closed the connection before it said anything: some do that to a version they do not know. */
    | 'hang-up'
    /** Wrong name, password or certificate. */
    | 'refused'
    /** The broker does not keep messages: the last will must not be retained. */
    | 'no-retain'
    /** The broker offers QoS 0 only: the last will must have it. */
    | 'no-qos'
    /** A packet larger than we told the broker to send. */
    | 'oversize';
}

export interface ConnectionSettings {
  readonly version: ProtocolVersion;
  /** Begin without what an earlier session left. */
  readonly clean: boolean;
  readonly will: Outgoing | null;
  /** What was taken on earlier connections of the session; left out: nothing. */
  readonly redelivery?: Redelivery;
}

/** Told to mqtt.js so that it goes on to the next packet without acknowledging this one. */
const HELD = new Error('acknowledged later');
const UNSUPPORTED_VERSION = [1, 132];
const REFUSED = [4, 5, 134, 135, 138];
/** Not authorised, or a wrong name or password: of 3.1.1 and of 5. */
const LOGIN_REFUSED = [4, 5, 134, 135];
const OVERSIZE = 149;
const NO_RETAIN = 154;
const NO_QOS = 155;
const MIN_RECEIVE_MAXIMUM = 1;

/** What a broker says with MQTT 5 before it closes (MQTT 5.0, 3.14.2.1), as far as it tells an owner what to do. */
const FAREWELLS: Readonly<Record<number, string>> = {
  135: 'not authorized',
  137: 'it is busy',
  139: 'it shuts down',
  141: 'it heard nothing from this client for too long',
  142: 'another client came with this client id, which two agents must not share (node, mqtt.client_id)',
  149: 'a packet was too large for it',
  151: 'a quota is used up',
  152: 'its operator wanted it so',
};

export class Connection {
  private readonly client: MqttClient;
  private readonly events: ConnectionEvents;
  private state: 'connecting' | 'open' | 'ended' = 'connecting';
  private farewell: string | null = null;
  private pings: (() => void)[] = [];
  private readonly redelivery: Redelivery | undefined;
  private readonly writer: PacketWriter;
  /** Callbacks for the broker's acknowledgements at QoS 1, by packet id. */
  private readonly unacknowledged = new Map<number, Done>();
  /** Callbacks for the moment when the stream's buffer has drained. */
  private undrained: Done[] = [];
  /** Messages that wait until the connection is announced. */
  private early: (() => void)[] = [];
  /** Of the open connection. */
  private offered: BrokerOffers | null = null;

  /** Begins to connect. Throws where the options make no sense (a malformed URL or certificate). */
  constructor(
    options: BrokerOptions,
    secrets: Secrets,
    settings: ConnectionSettings,
    events: ConnectionEvents,
  ) {
    this.events = events;
    this.redelivery = settings.redelivery;
    this.writer = new PacketWriter(settings.version, () =>
      this.state === 'ended' ? null : this.client.stream,
    );
    this.client = connect(options.url, clientOptions(options, secrets, settings));
    // Private in its types only; a custom stream can be given no other way together with TLS and WebSockets.
    const builder = this.client as unknown as { streamBuilder: (client: MqttClient) => Duplex };
    const build = builder.streamBuilder;
    builder.streamBuilder = (client) => this.read(build(client), settings.version, options.maxPacketBytes);
    this.client.connect();
    this.client.handleMessage = (packet, callback) => this.receive(packet, callback);
    this.client.on('connect', (packet) => {
      this.state = 'open';
      const { stream } = this.client;
      // small packets, acknowledgements among them, must not wait for each other
      (stream as { setNoDelay?: (on: boolean) => void }).setNoDelay?.(true);
      stream.on('drain', () => {
        for (const done of this.undrained.splice(0)) this.told(done, null);
      });
      this.events.connected(packet.sessionPresent);
      for (const deliver of this.early.splice(0)) deliver();
    });
    this.client.on('packetreceive', (packet) => {
      // Before 'connect' is emitted: messages may come in one piece with the acceptance.
      if (packet.cmd === 'connack' && (packet.reasonCode ?? packet.returnCode ?? 0) === 0)
        this.redelivery?.begin(packet.sessionPresent);
      if (packet.cmd !== 'pingresp' || this.pings.length === 0) return;
      const waiting = this.pings;
      this.pings = [];
      for (const answered of waiting) answered();
    });
    this.client.on('error', (error) => this.end(describe(error)));
    this.client.on('disconnect', ({ reasonCode = 0 }) => {
      this.farewell = `closed by the broker: ${FAREWELLS[reasonCode] ?? `reason ${reasonCode}`}`;
    });
    this.client.on('close', () =>
      this.end(
        this.state === 'connecting'
          ? { kind: 'hang-up', reason: 'closed before the broker answered' }
          : { kind: 'network', reason: this.farewell ?? 'connection closed', closed: true },
      ),
    );
  }

  /** mqtt.js reads its stream by `pipe`: here `PacketReader` reads the stream, and gives mqtt.js what is left. */
  private read<T extends Duplex>(stream: T, version: ProtocolVersion, maxBytes: number): T {
    stream.pipe = (destination) => {
      const parser = destination as unknown as Writable;
      // What mqtt.js has not handled yet must not be overtaken: the acceptance of the connection, above all.
      const isIdle = (): boolean => this.state === 'open' && parser.writableLength === 0;
      const reader = new PacketReader(version, maxBytes, {
        publish: (message) => {
          if (!isIdle()) return false;
          const { packetId } = message;
          this.deliver(message, packetId === null ? null : () => this.acknowledge(packetId));
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
        skipped: (topic, bytes, packetId) => {
          if (packetId !== null) this.writer.acknowledge(packetId);
          if (this.state !== 'ended') this.events.skipped?.(topic, bytes);
        },
        broken: (reason) => this.end({ kind: 'oversize', reason }),
      });
      parser.on('drain', () => stream.resume());
      stream.on('data', (chunk: Buffer) => reader.read(chunk));
      stream.on('end', () => parser.end());
      return destination;
    };
    return stream;
  }

  /** What the broker offers, as it said when it accepted the connection (MQTT 5); 3.1.1 says nothing. */
  get offers(): BrokerOffers {
    const { maximumPacketSize, retainAvailable, maximumQoS } = this.client.serverProperties ?? {};
    return {
      maxPacketBytes: maximumPacketSize ?? null,
      retain: retainAvailable !== false,
      qos: maximumQoS === 0 ? 0 : 1,
    };
  }

  /** How many unacknowledged messages the broker takes at once. */
  get receiveMaximum(): number {
    return Math.max(MIN_RECEIVE_MAXIMUM, this.client.serverProperties?.receiveMaximum ?? 65_535);
  }

  /** `answered` is called at the broker's next answer to a ping; not when the connection ends first. */
  ping(answered: () => void): void {
    if (this.state !== 'open') return;
    this.pings.push(answered);
    this.client.sendPing();
  }

  /**
   * As well as the broker offers: at a lower QoS, or not retained.
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

  /** mqtt.js gives the ids of subscriptions from the same counter. */
  private newPacketId(): number {
    let id: number;
    do id = this.client.messageIdProvider.allocate() ?? 0;
    while (id === 0 || this.unacknowledged.has(id) || Object.hasOwn(this.client.outgoing, id));
    return id;
  }

  private told(done: Done, refusal: Refusal | null): void {
    if (this.state === 'open') done(refusal);
  }

  private acknowledge(packetId: number): void {
    if (this.state === 'open') this.writer.acknowledge(packetId);
  }

  /** `done` receives the filters that the broker refused; not called if the connection ends first. */
  subscribe(subscriptions: readonly Subscription[], done: (refused: string[]) => void): void {
    const wanted = Object.fromEntries(
      subscriptions.map(({ filter, qos, echo, again }) => [
        filter,
        // Our own messages must not come back, and retained ones not again with each reconnect.
        filter.startsWith('$share/') ? { qos } : { qos, nl: echo !== true, rh: again === true ? 0 : 1 },
      ]),
    );
    this.client.subscribe(wanted, (error, granted) => {
      if (this.state !== 'open') return;
      const refused = (granted ?? []).filter((g) => g.qos >= 128).map((g) => g.topic);
      done(error && refused.length === 0 ? subscriptions.map((s) => s.filter) : refused);
    });
  }

  /** `done` is called when the broker has taken them back; not when the connection ends first. */
  unsubscribe(filters: readonly string[], done: () => void): void {
    this.client.unsubscribe([...filters], (error) => {
      if (!error && this.state === 'open') done();
    });
  }

  /** Says goodbye (the last will is then not sent) and closes; `closed` is always called. */
  close(closed: () => void): void {
    this.writer.flush();
    this.state = 'ended';
    this.client.end(false, () => {
      this.silence();
      closed();
    });
  }

  /** Cuts the connection: the broker sends the last will. */
  destroy(): void {
    this.end({ kind: 'network', reason: 'cut' });
  }

  /** A message that was left to mqtt.js. */
  private receive(
    packet: Pick<IPublishPacket, 'topic' | 'payload' | 'qos' | 'retain' | 'dup' | 'messageId'>,
    next: Next,
  ): void {
    const { topic, qos, retain, dup, messageId = 0 } = packet;
    const acknowledge = qos === 0 ? null : () => this.state === 'open' && next();
    const payload = packet.payload as Buffer;
    this.deliver(
      { topic, payload, retained: retain, dup, packetId: qos > 0 ? messageId : null },
      acknowledge,
    );
    // mqtt.js handles one packet after the other: let it go on, and call again when the message is safe
    next(acknowledge === null ? undefined : HELD);
  }

  private deliver(message: PublishPacket, acknowledge: (() => void) | null): void {
    const { topic, payload, retained, dup, packetId } = message;
    if (this.state === 'connecting') {
      // The message arrived in one chunk with CONNACK; the owner expects `connected` first.
      const kept = { ...message, payload: Buffer.from(payload) };
      this.early.push(() => this.deliver(kept, acknowledge));
      return;
    }
    const again = packetId !== null && (this.redelivery?.again(packetId, dup, topic, payload) ?? false);
    this.events.message({ topic, payload, retained, again, acknowledge: acknowledge && once(acknowledge) });
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

/** Why the broker does not take a message. */
export interface Refusal {
  readonly reason: string;
  readonly tooLarge: boolean;
}

/** What a broker may not offer. */
export interface BrokerOffers {
  /** Of packets sent to it; null: it names no limit. */
  readonly maxPacketBytes: number | null;
  readonly retain: boolean;
  readonly qos: 0 | 1;
}

/** Told null, or why the broker refused a message. */
type Done = (refused: Refusal | null) => void;

/** Reason codes of MQTT 5 from here on are errors (MQTT 5.0, 2.4). */
const FIRST_ERROR = 128;

const refusalOf = (reason: number): Refusal => ({
  reason: `Publish error: ${ReasonCodes[reason as keyof typeof ReasonCodes] ?? `reason ${reason}`}`,
  tooLarge: reason === OVERSIZE,
});

function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    action();
  };
}

const codeOf = (error: Error): unknown => (error as { code?: unknown }).code;

type Next = (error?: Error) => void;

function clientOptions(
  options: BrokerOptions,
  secrets: Secrets,
  settings: ConnectionSettings,
): IClientOptions {
  const { version, clean, will } = settings;
  const five: IClientOptions =
    version === 5
      ? {
          properties: {
            sessionExpiryInterval: Math.round(options.sessionExpiryMs / 1000),
            maximumPacketSize: options.maxPacketBytes,
          },
        }
      : {};
  return {
    ...five,
    protocolVersion: version,
    clean,
    clientId: options.clientId,
    ...(options.username === undefined ? {} : { username: options.username }),
    ...(secrets.password === undefined ? {} : { password: secrets.password }),
    ...(secrets.ca === undefined ? {} : { ca: secrets.ca }),
    ...(secrets.cert === undefined ? {} : { cert: secrets.cert }),
    ...(secrets.key === undefined ? {} : { key: secrets.key }),
    rejectUnauthorized: true,
    keepalive: Math.max(1, Math.round(options.keepaliveMs / 1000)),
    connectTimeout: options.connectTimeoutMs,
    reconnectPeriod: 0,
    manualConnect: true,
    wsOptions: { maxPayload: options.maxPacketBytes },
    resubscribe: false,
    queueQoSZero: false,
    // Else it makes and keeps a buffer for each of the 65,536 numbers of two bytes: 7 MB, and 30 ms of the first connection.
    writeCache: false,
    ...(will === null
      ? {}
      : {
          will: { topic: will.topic, payload: Buffer.from(will.payload), qos: will.qos, retain: will.retain },
        }),
    log: () => {},
  };
}

function describe(error: Error): ConnectionEnd {
  const code = codeOf(error);
  const text =
    typeof code === 'string' && !error.message.includes(code) ? `${error.message} (${code})` : error.message;
  const reason = text === '' ? String(code ?? 'unknown error') : text;
  if (typeof code !== 'number') return { kind: 'network', reason };
  if (UNSUPPORTED_VERSION.includes(code)) return { kind: 'version', reason };
  if (code === NO_RETAIN) return { kind: 'no-retain', reason };
  if (code === NO_QOS) return { kind: 'no-qos', reason };
  if (LOGIN_REFUSED.includes(code))
    return {
      kind: 'refused',
      reason: `the broker refused the login: check user name and password (${reason})`,
    };
  if (REFUSED.includes(code)) return { kind: 'refused', reason };
  return { kind: code === OVERSIZE ? 'oversize' : 'network', reason };
}
