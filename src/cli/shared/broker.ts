/** Login options for the broker, and the connection of a command: a clean session that ends with the command. */
import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { checkBrokerUrl } from '../../config/checks.ts';
import { GatecastError } from '../../errors.ts';
import type { ConnectionEnd, Incoming, ProtocolVersion, PublishRefusal } from '../../mqtt/connection.ts';
import type { BrokerOptions } from '../../mqtt/options.ts';
import type { Outgoing } from '../../mqtt/outbox.ts';
import type { Terminal } from './terminal.ts';

export interface LoginFlags extends Pick<BrokerOptions, 'username' | 'passwordFile' | 'ca' | 'cert' | 'key'> {
  readonly broker: string;
}

/** The broker of this machine. */
export const LOCAL_BROKER = 'mqtt://127.0.0.1:1883';

export const brokerOption = (description = 'the broker'): Option => new Option('--broker <url>', description);

/** @param broker by default that of this machine */
export function addLogin(command: Command, broker = brokerOption().default(LOCAL_BROKER)): Command {
  return command
    .addOption(broker)
    .option('--username <name>', 'user name at the broker')
    .option('--password-file <file>', 'file that holds the password')
    .option('--ca <file>', 'PEM file of the certificate authorities trusted for the broker')
    .option('--cert <file>', 'PEM file of the client certificate')
    .option('--key <file>', 'PEM file of the key of --cert');
}

/** @throws GatecastError USAGE */
export function checkedUrl(broker: string): string {
  const wrong = checkBrokerUrl(broker);
  if (wrong !== null) throw new GatecastError('USAGE', `--broker ${wrong}`);
  return broker;
}

/** Asks for the password, as `withPassword`. @throws GatecastError USAGE */
export async function brokerOf(
  flags: LoginFlags & { readonly password?: string },
  purpose: string,
): Promise<BrokerOptions> {
  const url = checkedUrl(flags.broker);
  if ((flags.cert === undefined) !== (flags.key === undefined))
    throw new GatecastError('USAGE', '--cert and --key go together');
  const [{ plainBrokerOptions }, { terminal }] = await Promise.all([
    import('../../mqtt/options.ts'),
    import('./terminal.ts'),
  ]);
  const { username, password, passwordFile, ca, cert, key } = await withPassword(flags, terminal());
  const clientId = `gatecast-${purpose}-${randomBytes(4).toString('hex')}`;
  return { ...plainBrokerOptions(url, clientId), username, password, passwordFile, ca, cert, key };
}

/** Name of the file, beside the config, of a password that was typed. */
export const PASSWORD_FILE = 'mqtt-password';

/** The `mqtt` section of a config with these flags. */
export function mqttOf({
  broker,
  username,
  passwordFile,
  ca,
  cert,
  key,
}: LoginFlags): Record<string, string> {
  // absolute, because the service runs in another folder
  const file = (path: string | undefined): string | undefined => (path === undefined ? path : resolve(path));
  const keys = {
    url: broker,
    username,
    password_file: file(passwordFile),
    ca: file(ca),
    cert: file(cert),
    key: file(key),
  };
  return Object.fromEntries(
    Object.entries(keys).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

/** Adds the password: asked for without echo if there is a user name, no password or file of it, and a terminal. */
export async function withPassword<T extends Omit<LoginFlags, 'broker'> & { readonly password?: string }>(
  flags: T,
  terminal: Terminal,
): Promise<T> {
  const { username, password, passwordFile } = flags;
  const isKnown = username === undefined || password !== undefined || passwordFile !== undefined;
  if (isKnown || !terminal.interactive) return flags;
  return { ...flags, password: await terminal.secret(`password of ${username}`) };
}

export interface BrokerLink {
  /** Resolves when the broker has acknowledged. @throws GatecastError BROKER_UNREACHABLE, also if the broker refuses the message */
  publish(message: Outgoing): Promise<void>;
  /** @throws GatecastError BROKER_UNREACHABLE if the broker refuses a filter */
  subscribe(filters: readonly string[]): Promise<void>;
  /** Resolves when all messages that the broker has sent before have arrived (a ping round trip). */
  settled(): Promise<void>;
  close(): Promise<void>;
  /** Whether the connection has ended; it is not restored. */
  readonly lost: boolean;
}

/** The broker may support MQTT 3.1.1 only. */
class OtherVersion extends GatecastError {}

/** The broker refused the user name, password or certificate. */
export class LoginRefused extends GatecastError {}

/** The certificate of the broker is signed by an authority that this machine does not trust. */
export class UnknownAuthority extends GatecastError {}

/** A link to the broker that is not restored when it is lost. */
interface SingleLink extends BrokerLink {
  /** @returns the filters that the broker refused */
  trySubscribe(filters: readonly string[], qos: 0 | 1): Promise<string[]>;
  /** Rejects with BROKER_UNREACHABLE when the connection ends; never resolves. */
  readonly ended: Promise<never>;
}

/** @throws GatecastError BROKER_UNREACHABLE, FILE_UNREADABLE */
export async function openLink(
  options: BrokerOptions,
  message: (message: Incoming) => void,
): Promise<SingleLink> {
  if (options.version !== 'auto') return attempt(options, options.version === '5' ? 5 : 4, message);
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
): Promise<SingleLink> {
  const [{ Connection }, { readSecrets }] = await Promise.all([
    import('../../mqtt/connection.ts'),
    import('../../mqtt/options.ts'),
  ]);
  let lost: GatecastError | null = null;
  /** Of requests without an answer. A race of each with `ended` would keep some memory of every request until the end. */
  const waiting = new Set<(error: GatecastError) => void>();
  let opened: () => void = () => {};
  const open = new Promise<void>((resolve) => {
    opened = resolve;
  });
  let ending: (error: GatecastError) => void = () => {};
  const ended = new Promise<never>((_, reject) => {
    ending = reject;
  });
  ended.catch(() => {});
  const connection = new Connection(
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
        ending(lost);
        for (const reject of waiting) reject(lost);
        waiting.clear();
      },
    },
  );
  /** The answer of the broker, unless the connection ends before. */
  const answer = <T>(ask: (done: (result: T) => void) => void): Promise<T> =>
    new Promise((resolve, reject) => {
      if (lost !== null) return reject(lost);
      waiting.add(reject);
      ask((result) => {
        waiting.delete(reject);
        resolve(result);
      });
    });
  const refusal = (text: string): GatecastError =>
    new GatecastError('BROKER_UNREACHABLE', text, { hint: 'check the access list of the broker' });
  const trySubscribe = (filters: readonly string[], qos: 0 | 1): Promise<string[]> =>
    answer((done) =>
      connection.subscribe(
        filters.map((filter) => ({ filter, qos })),
        done,
      ),
    );
  await Promise.race([open, ended]);
  return {
    publish: async (outgoing) => {
      const refused = await answer<PublishRefusal | null>((done) => connection.publish(outgoing, done));
      if (refused !== null) throw refusal(`the broker refused ${outgoing.topic}: ${refused.reason}`);
    },
    subscribe: async (filters) => {
      const refused = await trySubscribe(filters, 1);
      if (refused.length > 0) throw refusal(`the broker refused the subscription to ${refused.join(', ')}`);
    },
    trySubscribe,
    settled: () => answer<void>((done) => connection.ping(() => done())),
    get lost() {
      return lost !== null;
    },
    ended,
    close: () => new Promise((resolve) => (lost === null ? connection.close(resolve) : resolve())),
  };
}

/** What to do about a connection that failed. */
const HINTS: readonly (readonly [reason: RegExp, hint: string])[] = [
  [/altnames/i, 'the certificate is for another host: use a name in it as the host of the URL'],
  [
    /certificate has expired|not yet valid/i,
    'renew the certificate of the broker, or set the clock of this machine',
  ],
  [
    /(ENOTFOUND|EAI_AGAIN) \S+\.local$/,
    'use the address of the host, or install a resolver for names in .local (Debian: libnss-mdns)',
  ],
  [/ENOTFOUND|EAI_AGAIN/, 'check the name of the host, or use its address'],
];

function unreachable(url: string, end: ConnectionEnd): GatecastError {
  const text = `${url}: ${end.reason}`;
  const isPlain = /^(mqtt|ws):/.test(url);
  if (end.kind === 'version' || end.kind === 'hang-up')
    return new OtherVersion('BROKER_UNREACHABLE', text, {
      hint: isPlain
        ? 'is this the port of MQTT? A port with TLS, such as 8883, needs mqtts:// in the URL'
        : 'is this a port of MQTT with TLS?',
    });
  if (end.kind === 'refused')
    return new LoginRefused('BROKER_UNREACHABLE', text, {
      hint: 'check the user name, the password (--username and --password-file, or mqtt.username and mqtt.password_file) and the certificates',
    });
  if (end.kind === 'untrusted')
    return new UnknownAuthority('BROKER_UNREACHABLE', text, {
      hint: 'name the file of the authority that signed the broker: --ca, or mqtt.ca in the config',
    });
  const known = HINTS.find(([reason]) => reason.test(end.reason))?.[1];
  const other = isPlain
    ? 'A broker with TLS alone: mqtts:// and port 8883'
    : 'A port without TLS: mqtt:// instead of mqtts://';
  const hint = known ?? `is the broker running, and is this its address? ${other}`;
  return new GatecastError('BROKER_UNREACHABLE', text, { hint });
}
