/** Tests a broker or a credential on a second connection, while the agent keeps using the present one. */
import { randomUUID } from 'node:crypto';
import { errorText, GatecastError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import { Connection, type ConnectionEnd, type ProtocolVersion } from './connection.ts';
import { type BrokerOptions, readSecrets } from './options.ts';

/**
 * Connects with another client id, subscribes to `topic`, and publishes a message there that must come back. For remote
 * config: call it before `Client.switchTo`.
 * @param topic that the agent may publish and subscribe to and no other client uses, such as `<base>/<node>/trial`
 * @throws GatecastError BROKER_UNREACHABLE with the step that failed; FILE_UNREADABLE for a password or certificate file
 */
export async function tryBroker(
  options: BrokerOptions,
  topic: string,
  clock: Pick<Clock, 'after'>,
): Promise<void> {
  const versions: readonly ProtocolVersion[] =
    options.version === 'auto' ? [5, 4] : [options.version === '3.1.1' ? 4 : 5];
  for (const version of versions) {
    const end = await attempt({ ...options, clientId: `${options.clientId}-trial` }, version, topic, clock);
    if (end === null) return;
    const other = version === 5 && versions.length > 1 && (end.kind === 'version' || end.kind === 'hang-up');
    if (!other)
      throw new GatecastError('BROKER_UNREACHABLE', `${options.url}: ${end.reason}`, {
        hint: 'the agent keeps the present broker',
      });
  }
}

function attempt(
  options: BrokerOptions,
  version: ProtocolVersion,
  topic: string,
  clock: Pick<Clock, 'after'>,
): Promise<ConnectionEnd | null> {
  const secrets = readSecrets(options);
  const token = randomUUID();
  return new Promise((resolve, reject) => {
    let step = 'the broker does not answer';
    let connection: Connection | null = null;
    const finish = (end: ConnectionEnd | null): void => {
      cancel();
      // Before the connection is closed, because closing would be reported as another end.
      resolve(end);
      connection?.destroy();
    };
    const fail = (reason: string): void => finish({ kind: 'network', reason });
    const cancel = clock.after(options.connectTimeoutMs, () => fail(step));
    try {
      const settings = { version, clean: true, will: null };
      connection = new Connection({ ...options, sessionExpiryMs: 0 }, secrets, settings, {
        connected: () => {
          step = 'the broker does not answer the subscription';
          connection?.subscribe([{ filter: topic, qos: 1, echo: true }], (refused) => {
            if (refused.length > 0) {
              fail(`the broker refuses the subscription ${topic}`);
              return;
            }
            step = `a message published on ${topic} does not come back`;
            connection?.publish({ topic, payload: token, qos: 1, retain: false }, (refusal) => {
              if (refusal !== null) fail(`the broker refuses a message on ${topic}: ${refusal.reason}`);
            });
          });
        },
        message: (message) => {
          message.acknowledge?.();
          if (Buffer.from(message.payload).toString() === token) finish(null);
        },
        ended: (end) => finish(end),
      });
    } catch (error) {
      cancel();
      reject(
        error instanceof GatecastError
          ? error
          : new GatecastError('BROKER_UNREACHABLE', `${options.url}: ${errorText(error)}`),
      );
    }
  });
}
