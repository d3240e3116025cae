/**
 * Turns the config into the options of one connection. Secrets are read at each connect, so that they can be changed
 * while the agent runs.
 */
import type { Config } from '../config/index.ts';
import { GatecastError } from '../errors.ts';
import { readInput } from '../system/files.ts';

export interface BrokerOptions {
  readonly url: string;
  readonly username?: string | undefined;
  readonly passwordFile?: string | undefined;
  /** Password given directly; has priority over `passwordFile`. */
  readonly password?: string | undefined;
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly clientId: string;
  /** `auto`: 5, or 3.1.1 if the broker refuses 5. */
  readonly version: 'auto' | '5' | '3.1.1';
  readonly keepaliveMs: number;
  readonly connectTimeoutMs: number;
  readonly maxBackoffMs: number;
  /** 0: the session ends with the connection. */
  readonly sessionExpiryMs: number;
  /** Most messages waiting for the broker. */
  readonly outbox: number;
  /** Largest packet from the broker, announced with MQTT 5. */
  readonly maxPacketBytes: number;
}

const TLS_SCHEMES = ['mqtts:', 'ssl:', 'tls:', 'wss:'];
/** Far above `ingest.max_payload`, so that a large payload still arrives and is rejected and counted; low enough for the memory. */
const MAX_PACKET_BYTES = 17 * 2 ** 20;

/** @throws CONFIG_INVALID if certificates are configured for an unencrypted connection */
export function brokerOptions(mqtt: Config['mqtt'], defaultClientId: string): BrokerOptions {
  const tls = TLS_SCHEMES.includes(new URL(mqtt.url).protocol);
  const named = (['ca', 'cert', 'key'] as const).filter((key) => mqtt[key] !== undefined);
  if (!tls && named.length > 0) {
    throw new GatecastError('CONFIG_INVALID', 'the broker connection is not encrypted', {
      hint: 'use mqtts:// (or wss://) in mqtt.url, or remove the certificates',
      issues: named.map((key) => ({ path: `mqtt.${key}`, message: 'has no effect with this mqtt.url' })),
    });
  }
  return {
    url: mqtt.url,
    username: mqtt.username,
    passwordFile: mqtt.password_file,
    ca: mqtt.ca,
    cert: mqtt.cert,
    key: mqtt.key,
    clientId: mqtt.client_id ?? defaultClientId,
    version: mqtt.version,
    keepaliveMs: mqtt.keepalive,
    connectTimeoutMs: mqtt.connect_timeout,
    maxBackoffMs: mqtt.max_backoff,
    sessionExpiryMs: mqtt.session_expiry,
    outbox: mqtt.outbox,
    maxPacketBytes: MAX_PACKET_BYTES,
  };
}

/** Options for commands that take only a broker's URL. */
export function plainBrokerOptions(url: string, clientId: string): BrokerOptions {
  return {
    url,
    clientId,
    version: 'auto',
    keepaliveMs: 30_000,
    connectTimeoutMs: 10_000,
    maxBackoffMs: 10_000,
    sessionExpiryMs: 0,
    outbox: 1000,
    maxPacketBytes: MAX_PACKET_BYTES,
  };
}

export type Secrets = Partial<Record<'password' | 'ca' | 'cert' | 'key', Buffer>>;

/** @throws FILE_UNREADABLE with the key and the file */
export function readSecrets(options: BrokerOptions): Secrets {
  const secrets: Secrets = {};
  if (options.password !== undefined) secrets.password = Buffer.from(options.password);
  else if (options.passwordFile !== undefined) {
    secrets.password = Buffer.from(
      readFile('password_file', options.passwordFile)
        .toString('utf8')
        .replace(/\r?\n$/, ''),
    );
  }
  for (const name of ['ca', 'cert', 'key'] as const) {
    const path = options[name];
    if (path !== undefined) secrets[name] = readFile(name, path);
  }
  return secrets;
}

/** Largest password or certificate file. */
const MOST_SECRET_BYTES = 2 ** 20;

const readFile = (key: string, path: string): Buffer =>
  readInput(
    path,
    MOST_SECRET_BYTES,
    `mqtt.${key}: ${path}`,
    'check that the file exists and that the user that gatecast runs as may read it',
  );
