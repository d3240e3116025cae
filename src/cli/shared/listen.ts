/** Subscribes on a broker for a while: read-only, in a clean session. */
import { Connection, type Incoming, type ProtocolVersion } from '../../mqtt/connection.ts';
import { type BrokerOptions, readSecrets } from '../../mqtt/options.ts';
import { widest } from '../../mqtt/subscriptions.ts';
import { OtherVersion, unreachable } from './broker.ts';

export interface Listening {
  readonly options: BrokerOptions;
  readonly filters: readonly string[];
  /** Called when the subscriptions are made; resolves when listening ends. */
  readonly until: () => Promise<unknown>;
  readonly message: (message: Incoming) => void;
}

/** Returns the filters that the broker refused. Throws GatecastError BROKER_UNREACHABLE, or FILE_UNREADABLE for a secret. */
export async function listen(listening: Listening): Promise<readonly string[]> {
  const { version } = listening.options;
  if (version !== 'auto') return attempt(listening, version === '5' ? 5 : 4);
  try {
    return await attempt(listening, 5);
  } catch (error) {
    if (!(error instanceof OtherVersion)) throw error;
    return attempt(listening, 4);
  }
}

function attempt(listening: Listening, version: ProtocolVersion): Promise<readonly string[]> {
  const { options, filters, until, message } = listening;
  return new Promise((resolve, reject) => {
    const connection = new Connection(
      options,
      readSecrets(options),
      { version, clean: true, will: null },
      {
        connected: () => {
          const end = (refused: readonly string[]): void => {
            until().then(() => connection.close(() => resolve(refused)), reject);
          };
          const subscribe = (wanted: readonly string[], done: (refused: readonly string[]) => void): void =>
            connection.subscribe(
              wanted.map((filter) => ({ filter, qos: 0 })),
              done,
            );
          const first = widest(filters);
          subscribe(first, (refused) => {
            // A broker that refuses '#' may accept the narrower filters.
            const rest = filters.filter((filter) => !first.includes(filter));
            if (refused.length === 0 || rest.length === 0) end(refused);
            else subscribe(rest, (more) => end([...refused, ...more]));
          });
        },
        message,
        ended: (end) => reject(unreachable(options.url, end)),
      },
    );
  });
}
