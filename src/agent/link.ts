/**
 * The agent's side of the broker connection: which filters it subscribes to and at which QoS, which part receives a
 * message, and what the agent publishes after a new connection. `mqtt/client.ts` makes the connection.
 */
import { type Config, diffConfig } from '../config/index.ts';
import { errorFields, errorText, GatecastError } from '../errors.ts';
import type { Router } from '../ingest/router.ts';
import { Client } from '../mqtt/client.ts';
import type { Incoming, Subscription } from '../mqtt/connection.ts';
import { type BrokerOptions, brokerOptions } from '../mqtt/options.ts';
import type { Outgoing } from '../mqtt/outbox.ts';
import type { SessionMemory } from '../mqtt/session-filters.ts';
import { subscriptionsFor } from '../mqtt/subscriptions.ts';
import { topicsOf } from '../mqtt/topics.ts';
import { tryBroker } from '../mqtt/trial.ts';
import type { Outputs } from '../outputs/outputs.ts';
import { type MetaStore, StoredValue } from '../system/stored-value.ts';
import { Clears } from './clears.ts';
import type { Change, ConfigureOptions, Context, Part } from './part.ts';

interface LinkParts extends Pick<Context, 'config' | 'clock' | 'log'> {
  readonly store: MetaStore & { flush(): unknown };
  readonly outputs: Pick<Outputs, 'birth' | 'will' | 'farewell'>;
  /** The filters of the sensors. */
  readonly streams: Pick<Router, 'filters'>;
  /** Parts that receive messages, in this order; the pipeline takes all remaining ones. */
  readonly parts: () => readonly Part[];
  /** Acknowledges a redelivered message as soon as its samples are safe. */
  readonly pipeline: () => Required<Pick<Part, 'receive'>>;
}

/** How long the farewell may take, ms. */
const STOP_MS = 1500;

export class Link implements Part {
  readonly name = 'broker';
  readonly client: Client;
  private readonly clears: Clears;
  private connections = 0;
  private storeFails = false;

  constructor(private readonly parts: LinkParts) {
    const { config, clock, log, store, outputs } = parts;
    const options = optionsOf(config());
    this.client = new Client({
      options,
      clock,
      random: Math.random,
      log,
      will: () => outputs.will() as Outgoing,
      birth: () => outputs.birth(),
      message: (message) => this.route(message),
      changed: ({ connected, connects, resumed }) => {
        if (!connected) this.tell((part) => part.disconnected?.());
        else if (connects > this.connections) {
          this.connections = connects;
          this.clears.connected();
          const connection = { again: connects > 1, resumed };
          this.tell((part) => part.connected?.(connection));
        }
      },
      answered: () => this.tell((part) => part.subscribed?.()),
      session: sessionMemory(store, options),
      probeTopic: topicsOf(config().base, config().node).trial,
    });
    this.clears = new Clears({
      clock,
      log,
      store,
      publish: (message) => this.client.publish(message),
      status: () => this.client.status(),
    });
  }

  send(message: Outgoing): void {
    this.clears.sent(message);
    this.client.publish(message);
  }

  start(): void {
    this.subscribe();
    this.client.start();
  }

  stop(): Promise<void> {
    this.clears.stop();
    return this.client.stop(this.parts.outputs.farewell(), STOP_MS);
  }

  /** Tests the new broker or credential on a second connection. The current connection stays in use meanwhile. */
  async prepare(next: Config, running: Config, { connect = true }: ConfigureOptions): Promise<Change | null> {
    const keys = diffConfig(running, next).reconnect;
    if (keys.length === 0) return null;
    const { clock, store, outputs } = this.parts;
    try {
      const options = optionsOf(next);
      if (connect) await tryBroker(options, topicsOf(next.base, next.node).trial, clock);
      const former = optionsOf(running);
      const same = options.url === former.url && options.clientId === former.clientId;
      const farewell = outputs.farewell();
      return {
        apply: () => {
          if (same) this.client.switchTo(options);
          else this.client.switchTo(options, farewell, sessionMemory(store, options));
        },
      };
    } catch (cause) {
      const message = `cannot be used: ${errorText(cause)}`;
      throw new GatecastError('BROKER_UNREACHABLE', 'The new connection to the broker failed.', {
        issues: keys.map((path) => ({ path, message })),
        hint: 'Correct the key, or let the broker accept it; the agent keeps using the current broker.',
        cause,
      });
    }
  }

  /**
   * While nothing can be stored, nothing is acknowledged, and a broker stops sending to a client that does not acknowledge (Mosquitto
   * after 20 messages). So the agent subscribes at QoS 0 until the store works again: forecasting continues, requests and configs
   * arrive, and messages already sent at QoS 1 wait at the broker, unacknowledged, until they can be stored.
   */
  storeFailing(failing: boolean): void {
    this.storeFails = failing;
    this.subscribe();
  }

  configured(): void {
    this.subscribe();
  }

  /** Asks all parts for their filters, and subscribes to the difference. */
  subscribe(): void {
    this.client.setSubscriptions(this.wanted());
  }

  private wanted(): Subscription[] {
    const { config, streams, parts } = this.parts;
    const wanted = subscriptionsFor(
      streams.filters(),
      config().mqtt.qos === 0 ? 0 : 1,
      parts().flatMap((part) => part.filters?.() ?? []),
    );
    return this.storeFails ? wanted.map((one) => ({ ...one, qos: 0 as const })) : wanted;
  }

  /** Calls all parts; an error in one does not affect the others. */
  private tell(event: (part: Part) => void): void {
    for (const part of this.parts.parts()) {
      try {
        event(part);
      } catch (error) {
        this.parts.log.error('part failed', { part: part.name, ...errorFields(error) });
      }
    }
  }

  /** A plain loop, because it runs for every message. */
  private route(message: Incoming): void {
    if (message.again) {
      this.parts.pipeline().receive(message);
      return;
    }
    for (const part of this.parts.parts()) if (part.receive?.(message) === true) return;
  }
}

const optionsOf = ({ mqtt, base, node }: Config): BrokerOptions =>
  brokerOptions(mqtt, `${base}-${node}`.replaceAll('/', '-'));

/** The filters of the session that a broker keeps for a client id. */
interface Session {
  readonly url: string;
  readonly clientId: string;
  readonly filters: readonly string[];
}

/**
 * The filters of an earlier run, for which a kept session still delivers messages. Known only if the data directory was last used with
 * this broker and client id.
 */
export function sessionMemory(
  store: MetaStore,
  { url, clientId }: Pick<BrokerOptions, 'url' | 'clientId'>,
): SessionMemory {
  const isHere = (session: Session | null): session is Session =>
    session?.url === url && session.clientId === clientId;
  /** Filters of an earlier run that were read too late to unsubscribe from them; the next run does. */
  let missed: readonly string[] = [];
  const kept = new StoredValue<Session | null>(store, 'agent.session', sessionOf, (stored, own) => {
    if (isHere(stored)) missed = stored.filters;
    return own && { ...own, filters: withAll(own.filters, missed) };
  });
  const stored = kept.read();
  return {
    // A record that cannot be read now must not cost the messages that the broker has kept.
    former: kept.isUnread ? [] : isHere(stored) ? stored.filters : null,
    remember: (filters) => void kept.save({ url, clientId, filters: withAll(filters, missed) }),
  };
}

const withAll = (filters: readonly string[], others: readonly string[]): string[] =>
  [...new Set([...filters, ...others])].sort();

function sessionOf(json: unknown): Session | null {
  const { url, clientId, filters } = (json ?? {}) as Record<string, unknown>;
  if (typeof url !== 'string' || typeof clientId !== 'string' || !Array.isArray(filters)) return null;
  return { url, clientId, filters: filters.filter((filter) => typeof filter === 'string') };
}
