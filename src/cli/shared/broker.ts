/** Options of a login at the broker, and one connection of a command: it ends with the command and leaves nothing behind. */
import { randomBytes } from 'node:crypto';
import { type Command, Option } from 'commander';
import { checkBrokerUrl } from '../../config/checks.ts';
import { GatecastError } from '../../errors.ts';
import type { Connection, ConnectionEnd, Incoming, ProtocolVersion } from '../../mqtt/connection.ts';
import type { BrokerOptions } from '../../mqtt/options.ts';
import type { Outgoing } from '../../mqtt/outbox.ts';

export interface LoginFlags {
  readonly broker: string;
  readonly username?: string;
  readonly passwordFile?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

export function addLogin(command: Command): Command {
  return command
    .addOption(new Option('--broker <url>', 'the broker').default('mqtt://127.0.0.1:1883'))
    .option('--username <name>', 'user name at the broker')
    .option('--password-file <file>', 'file that holds the password')
    .option('--ca <file>', 'PEM file of the authorities that may have signed the broker')
    .option('--cert <file>', 'PEM file of the client certificate')
    .option('--key <file>', 'PEM file of the key of --cert');
}

/** @throws GatecastError USAGE */
export async function brokerOf(flags: LoginFlags, purpose: string): Promise<BrokerOptions> {
  const wrong = checkBrokerUrl(flags.broker);
  if (wrong !== null) throw new GatecastError('USAGE', `--broker ${wrong}`);
  if ((flags.cert === undefined) !== (flags.key === undefined))
    throw new GatecastError('USAGE', '--cert and --key go together');
  const { plainBrokerOptions } = await import('../../mqtt/options.ts');
  const { username, passwordFile, ca, cert, key } = flags;
  const clientId = `gatecast-${purpose}-${randomBytes(4).toString('hex')}`;
  return { ...plainBrokerOptions(flags.broker, clientId), username, passwordFile, ca, cert, key };
}

export interface Link {
  /** Resolves when the broker has it. @throws GatecastError BROKER_UNREACHABLE, also where the broker refuses the message */
  publish(message: Outgoing): Promise<void>;
  /** @throws GatecastError BROKER_UNREACHABLE where the broker refuses a filter */
  subscribe(filters: readonly string[]): Promise<void>;
  /** Resolves when all that the broker had sent before is here. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

/** The broker may speak 3.1.1 only. */
class OtherVersion extends GatecastError {}

/** @throws GatecastError BROKER_UNREACHABLE, FILE_UNREADABLE */
export async function openLink(options: BrokerOptions, message: (message: Incoming) => void): Promise<Link> {
  try {
    return await attempt(options, 5, message);
  } catch (error) {
    if (!(error instanceof OtherVersion)) throw error;
    return attempt(options, 4, message);
  }
}

async function attempt(
  options: BrokerOptions,
  version: ProtocolVersion,
  message: (message: Incoming) => void,
): Promise<Link> {
  const [{ Connection }, { readSecrets }] = await Promise.all([
    import('../../mqtt/connection.ts'),
    import('../../mqtt/options.ts'),
  ]);
  /** Rejections of what waits for the broker. */
  const waiting = new Set<(error: GatecastError) => void>();
  let lost: GatecastError | null = null;
  const ask = (begin: (connection: Connection, done: () => void, fail: (text: string) => void) => void) =>
    new Promise<void>((resolve, reject) => {
      if (lost !== null) return reject(lost);
      waiting.add(reject);
      const settle = (): void => void waiting.delete(reject);
      begin(
        connection,
        () => {
          settle();
          resolve();
        },
        (text) => {
          settle();
          reject(
            new GatecastError('BROKER_UNREACHABLE', text, { hint: 'check the access list of the broker' }),
          );
        },
      );
    });
  let opened: () => void = () => {};
  const open = new Promise<void>((resolve, reject) => {
    opened = resolve;
    waiting.add(reject);
  });
  const connection: Connection = new Connection(
    options,
    readSecrets(options),
    { version, clean: true, will: null },
    {
      connected: () => opened(),
      message: (incoming) => {
        message(incoming);
        incoming.acknowledge?.();
      },
      ended: (end) => {
        lost = unreachable(options.url, end);
        for (const reject of waiting) reject(lost);
        waiting.clear();
      },
    },
  );
  await open;
  return {
    publish: (outgoing) =>
      ask((to, done, fail) =>
        to.publish(outgoing, (refused) =>
          refused === null ? done() : fail(`the broker refused ${outgoing.topic}: ${refused}`),
        ),
      ),
    subscribe: (filters) =>
      ask((to, done, fail) =>
        to.subscribe(
          filters.map((filter) => ({ filter, qos: 1 })),
          (refused) =>
            refused.length === 0
              ? done()
              : fail(`the broker refused the subscription to ${refused.join(', ')}`),
        ),
      ),
    settled: () => ask((to, done) => to.ping(done)),
    close: () => new Promise((resolve) => (lost === null ? connection.close(resolve) : resolve())),
  };
}

function unreachable(url: string, end: ConnectionEnd): GatecastError {
  if (end.kind === 'version' || end.kind === 'hang-up')
    return new OtherVersion('BROKER_UNREACHABLE', `${url}: ${end.reason}`);
  const refused = end.kind === 'refused';
  return new GatecastError(
    'BROKER_UNREACHABLE',
    refused ? `${url}: the login was refused: ${end.reason}` : `${url}: ${end.reason}`,
    {
      hint: refused
        ? 'check --username, --password-file and the certificates'
        : 'is the broker running, and is this its address?',
    },
  );
}
