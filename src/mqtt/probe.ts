/** Tries whether a broker takes a connection with given settings: nothing is subscribed to or published. */
import { errorText } from '../errors.ts';
import type { Clock } from '../system/clock.ts';
import { Connection, type ProtocolVersion } from './connection.ts';
import { type BrokerOptions, readSecrets } from './options.ts';

/** @returns why it cannot be reached, or null. Never rejects. */
export async function probeBroker(
  options: BrokerOptions,
  clock: Clock,
  timeoutMs: number,
): Promise<string | null> {
  const versions: ProtocolVersion[] = options.version === 'auto' ? [5, 4] : [options.version === '5' ? 5 : 4];
  let reason: string | null = null;
  for (const version of versions) {
    reason = await attempt(options, version, clock, timeoutMs);
    if (reason === null) return null;
  }
  return reason;
}

function attempt(
  options: BrokerOptions,
  version: ProtocolVersion,
  clock: Clock,
  timeoutMs: number,
): Promise<string | null> {
  return new Promise((resolve) => {
    let connection: Connection | null = null;
    const cancel = clock.after(timeoutMs, () => {
      connection?.close(() => {});
      resolve(`no answer within ${timeoutMs / 1000} s`);
    });
    const done = (reason: string | null): void => {
      cancel();
      resolve(reason);
    };
    try {
      const opened: Connection = new Connection(
        options,
        readSecrets(options),
        { version, clean: true, will: null },
        {
          connected: () => opened.close(() => done(null)),
          message: ({ acknowledge }) => acknowledge?.(),
          ended: ({ reason }) => done(reason),
        },
      );
      connection = opened;
    } catch (error) {
      done(errorText(error));
    }
  });
}
