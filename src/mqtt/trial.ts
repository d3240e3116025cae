/** Tests a broker or credentials on a second connection, while the agent keeps using the current one. */
import { randomUUID } from 'node:crypto';
import { errorText, GatecastError } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import { Connection, type ConnectionEnd, type ProtocolVersion } from './connection.ts';
import { type BrokerOptions, readSecrets } from './options.ts';

/**
 * Connects with another client id, subscribes to `topic`, and publishes a message there that must be received. For remote
 * config: call it before `Client.switchTo`.
 * @param topic that the agent may publish and subscribe to and no other client uses, such as `<base>/<node>/trial`
 * @throws GatecastError BROKER_UNREACHABLE with the failed step; FILE_UNREADABLE for a password or certificate file
 */
export async function tryBroker(
  options: BrokerOptions,
  topic: string,
  clock: Pick<Clock, 'after'>,
): Promise<void> {
  const versions: readonly ProtocolVersion[] =
    options.version === 'auto' ? [5, 4] : [options.version === '3.1.1' ? 4 : 5];
  for (const version of versions) {
    const trial = { ...options, clientId: `${options.clientId}-trial` };
    let end = await attempt(trial, version, topic, 1, clock);
    // A broker with MQTT 3.1.1 cannot announce that it lacks QoS 1: it closes the connection.
    if (version === 4 && end?.closed === true) end = await attempt(trial, version, topic, 0, clock);
    if (end === null) return;
    const other = version === 5 && versions.length > 1 && (end.kind === 'version' || end.kind === 'hang-up');
    if (!other)
      throw new GatecastError('BROKER_UNREACHABLE', `${options.url}: ${end.reason}`, {
        hint: 'the agent keeps using the current broker',
      });
  }
}

function attempt(
  options: BrokerOptions,
  version: ProtocolVersion,
  topic: string,
  qos: 0 | 1,
  clock: Pick<Clock, 'after'>,
): Promise<ConnectionEnd | null> {
  const secrets = readSecrets(options);
  const token = randomUUID();
  return new Promise((resolve, reject) => {
    let step = 'no answer from the broker';
    let connection: Connection | null = null;
    const finish = (end: ConnectionEnd | null): void => {
      cancel();
      // Resolve before closing, because closing is reported as another end.
      resolve(end);
      connection?.destroy();
    };
    const fail = (reason: string): void => finish({ kind: 'network', reason });
    const cancel = clock.after(options.connectTimeoutMs, () => fail(step));
    try {
      const settings = { version, clean: true, will: null };
      connection = new Connection({ ...options, sessionExpiryMs: 0 }, secrets, settings, {
        connected: () => {
          step = 'no answer from the broker to the subscription';
          connection?.subscribe([{ filter: topic, qos: 1, echo: true }], (refused) => {
            if (refused.length > 0) {
              fail(`the broker refuses the subscription ${topic}`);
              return;
            }
            step = `the broker did not deliver a message published on ${topic}`;
            connection?.publish({ topic, payload: token, qos, retain: false }, (refusal) => {
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
