/**
 * Publishes as fast as the broker accepts, on one connection, without retries: for commands that publish a file. The
 * agent itself uses `client.ts`, which survives outages.
 */
import { GatecastError } from '../errors.ts';
import { Connection, type ConnectionEnd, type ProtocolVersion } from './connection.ts';
import { type BrokerOptions, readSecrets } from './options.ts';
import type { Outgoing } from './outbox.ts';

const WINDOW = 100;

export class Feeder {
  private connection: Connection | null = null;
  private underWay = 0;
  /** Number of messages that the broker refused. */
  refused = 0;
  private fault: GatecastError | null = null;
  /** Called when there may be room in the window, or when the connection has ended. */
  private wake: () => void = () => {};

  private constructor(private readonly url: string) {}

  /** @throws BROKER_UNREACHABLE, FILE_UNREADABLE */
  static async connect(options: BrokerOptions): Promise<Feeder> {
    const feeder = new Feeder(options.url);
    const end = await feeder.open(options, options.version === '3.1.1' ? 4 : 5);
    if (end === null) return feeder;
    const other = (end.kind === 'version' || end.kind === 'hang-up') && options.version === 'auto';
    const last = other ? await feeder.open(options, 4) : end;
    if (last === null) return feeder;
    throw feeder.unreachable(last.reason);
  }

  /** Resolves when there is room for the next message. @throws BROKER_UNREACHABLE if the connection is lost */
  async send(message: Outgoing): Promise<void> {
    await this.until(() => this.underWay < Math.min(WINDOW, this.connection?.receiveMaximum ?? 1));
    this.underWay++;
    this.connection?.publish(message, (refusal) => {
      if (refusal !== null) this.refused++;
      this.underWay--;
      this.wake();
    });
  }

  /** Waits until the broker has everything, then disconnects. @throws BROKER_UNREACHABLE */
  async finish(): Promise<void> {
    await this.until(() => this.underWay === 0);
    const connection = this.connection;
    if (connection !== null) await new Promise<void>((resolve) => connection.close(resolve));
  }

  /** Closes the connection at once. */
  abort(): void {
    this.connection?.destroy();
  }

  private open(options: BrokerOptions, version: ProtocolVersion): Promise<ConnectionEnd | null> {
    return new Promise((resolve, reject) => {
      try {
        const settings = { version, clean: true, will: null };
        this.connection = new Connection(options, readSecrets(options), settings, {
          connected: () => resolve(null),
          message: () => {},
          ended: (end) => {
            this.connection = null;
            this.fault = this.unreachable(end.reason);
            resolve(end);
            this.wake();
          },
        });
      } catch (cause) {
        reject(cause instanceof GatecastError ? cause : this.unreachable((cause as Error).message));
      }
    });
  }

  private async until(condition: () => boolean): Promise<void> {
    while (!condition() || this.connection === null) {
      if (this.connection === null) throw this.fault ?? this.unreachable('connection closed');
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  private unreachable(reason: string): GatecastError {
    return new GatecastError('BROKER_UNREACHABLE', `${this.url}: ${reason}`, {
      hint: 'check the URL, the user name and the password, and that the broker is running',
    });
  }
}
