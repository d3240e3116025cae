/** A link that reconnects after a lost connection, so that a long command can continue. */

import { setTimeout as pause } from 'node:timers/promises';
import { errorText } from '../../errors.ts';
import type { Outgoing } from '../../mqtt/outbox.ts';
import { type BrokerLink, LoginRefused } from './broker.ts';

interface LastingLinkOptions {
  /** True when the command is to end: no further attempts. */
  readonly stopped: () => boolean;
  /** Reports connection events to the user. */
  readonly say: (text: string) => void;
  /** Maximum outage, ms. */
  readonly patienceMs?: number;
}

const PATIENCE_MS = 600_000;
const FIRST_WAIT_MS = 500;
const MAX_WAIT_MS = 5000;
const LOOK_MS = 100;

export class LastingLink implements BrokerLink {
  private readonly filters = new Set<string>();
  private reconnecting: Promise<void> | null = null;
  /** Total duration of all outages, ms. */
  awayMs = 0;

  private constructor(
    private link: BrokerLink,
    private readonly connect: () => Promise<BrokerLink>,
    private readonly options: LastingLinkOptions,
  ) {}

  /** Tries the first connection only once. @throws GatecastError BROKER_UNREACHABLE, FILE_UNREADABLE */
  static async open(connect: () => Promise<BrokerLink>, options: LastingLinkOptions): Promise<LastingLink> {
    return new LastingLink(await connect(), connect, options);
  }

  get lost(): boolean {
    return this.link.lost;
  }

  /** The broker may receive the message twice if the connection is lost before the acknowledgement. */
  publish(message: Outgoing): Promise<void> {
    return this.lasting((link) => link.publish(message));
  }

  async subscribe(filters: readonly string[]): Promise<void> {
    await this.lasting((link) => link.subscribe(filters));
    for (const filter of filters) this.filters.add(filter);
  }

  settled(): Promise<void> {
    return this.lasting((link) => link.settled());
  }

  close(): Promise<void> {
    return this.link.close();
  }

  private async lasting(use: (link: BrokerLink) => Promise<void>): Promise<void> {
    for (;;) {
      try {
        return await use(this.link);
      } catch (error) {
        if (!this.link.lost) throw error;
        this.reconnecting ??= this.reconnect(error).finally(() => {
          this.reconnecting = null;
        });
        await this.reconnecting;
      }
    }
  }

  /** @throws GatecastError `cause` after `patienceMs` or when the command is to end; LoginRefused */
  private async reconnect(cause: unknown): Promise<void> {
    const { stopped, say, patienceMs = PATIENCE_MS } = this.options;
    const startMs = performance.now();
    say(`${errorText(cause)}; reconnecting`);
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(MAX_WAIT_MS, 2 * waitMs)) {
      for (let waitedMs = 0; waitedMs < waitMs && !stopped(); waitedMs += LOOK_MS) await pause(LOOK_MS);
      if (stopped() || performance.now() - startMs > patienceMs) throw cause;
      try {
        const link = await this.connect();
        await link.subscribe([...this.filters]);
        // waits for the messages that the broker has kept, before the command takes its next step
        await link.settled();
        this.link = link;
        this.awayMs += performance.now() - startMs;
        say('reconnected');
        return;
      } catch (error) {
        if (error instanceof LoginRefused) throw error;
      }
    }
  }
}
