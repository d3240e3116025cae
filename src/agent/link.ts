/**
 * The agent's link to its broker, as far as the agent must decide: what is subscribed to and at which QoS, which message
 * goes where, and what a new connection wants said. Connecting itself is `mqtt/client.ts`'s.
 */
import type { Config } from '../config/index.ts';
import type { Logger } from '../log.ts';
import { Client } from '../mqtt/client.ts';
import type { Incoming, Subscription } from '../mqtt/connection.ts';
import { brokerOptions } from '../mqtt/options.ts';
import type { Outgoing } from '../mqtt/outbox.ts';
import { subscriptionsFor } from '../mqtt/subscriptions.ts';
import type { Topics } from '../mqtt/topics.ts';
import type { Store } from '../store/store-contract.ts';
import type { Clock } from '../system/clock.ts';
import type { KnownAhead } from './known-ahead.ts';
import type { AgentRemote } from './remote.ts';
import { sessionMemory } from './session-memory.ts';

export interface LinkParts {
  readonly config: () => Config;
  readonly clock: Clock;
  readonly log: Logger;
  readonly store: Pick<Store, 'getMeta' | 'setMeta'>;
  readonly topics: Topics;
  /** What is said of the agent itself. */
  readonly status: (state: 'online' | 'offline') => Outgoing;
  /** Filters of the sensors. */
  readonly filters: () => readonly string[];
  readonly sensor: (message: Incoming) => void;
  readonly request: (message: Incoming) => void;
  /** What is known ahead. */
  readonly ahead: Pick<KnownAhead, 'topics' | 'receive'>;
  /** Null where remote config is switched off. */
  readonly remote: () => Pick<AgentRemote, 'filters' | 'receive'> | null;
  /** Home Assistant's own status. */
  readonly home: { readonly topic: string; readonly heard: (message: Incoming) => void };
  /** There is a new connection; no message has come yet. @param again not the first one @param resumed the broker had kept the session */
  readonly connected: (again: boolean, resumed: boolean) => void;
  /** The broker has answered what was subscribed to on a new connection. */
  readonly answered: () => void;
  readonly lost: () => void;
}

export class Link {
  readonly client: Client;
  private connections = 0;
  private storeFails = false;

  constructor(private readonly parts: LinkParts) {
    const { config, clock, log, store, topics, status, home } = parts;
    const { mqtt, base, node } = config();
    const options = brokerOptions(mqtt, `${base}-${node}`.replaceAll('/', '-'));
    this.client = new Client({
      options,
      clock,
      random: Math.random,
      log,
      will: () => status('offline'),
      birth: () => [status('online')],
      message: (message) => {
        if (topics.requestVerb(message.topic) !== null) parts.request(message);
        else if (parts.remote()?.receive(message) === true) return;
        else if (message.topic === home.topic) home.heard(message);
        else if (parts.ahead.receive(message.topic, message.payload)) message.acknowledge?.();
        else parts.sensor(message);
      },
      changed: ({ connected, connects, resumed }) => {
        if (!connected) parts.lost();
        else if (connects > this.connections) {
          this.connections = connects;
          parts.connected(connects > 1, resumed);
        }
      },
      answered: () => parts.answered(),
      session: sessionMemory(store, options),
    });
  }

  /**
   * While nothing can be stored, nothing is acknowledged, and a broker stops sending to who does not acknowledge (Mosquitto
   * after 20 messages). So the sensors come at QoS 0 until it can: forecasting goes on, and what had been sent at QoS 1
   * waits with the broker, unacknowledged, until it is safe.
   */
  storeFailing(failing: boolean): void {
    this.storeFails = failing;
    this.client.setSubscriptions(this.wanted());
  }

  /** The config has changed. */
  subscribe(): void {
    this.client.setSubscriptions(this.wanted());
  }

  /** Says goodbye. */
  stop(timeoutMs: number): Promise<void> {
    return this.client.stop([this.parts.status('offline')], timeoutMs);
  }

  private wanted(): Subscription[] {
    const { config, filters, topics, home, ahead } = this.parts;
    const { mqtt, publish } = config();
    const qos = mqtt.qos === 0 || this.storeFails ? 0 : 1;
    return subscriptionsFor(filters(), qos, [
      topics.requests,
      ...ahead.topics(),
      ...(this.parts.remote()?.filters ?? []),
      ...(publish.home_assistant ? [home.topic] : []),
    ]);
  }
}
