/**
 * The connection to NATS, and the streams, buckets and object stores of a site. The only file that loads the NATS clients, and only when it is called:
 * a gateway without a site never does.
 */
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream';
import type { KV, KvEntry } from '@nats-io/kv';
import type { ObjectStore } from '@nats-io/obj';
import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node';
import type { Config } from '../config/index.ts';
import { errorText, GatecastError } from '../errors.ts';
import { readInput } from '../system/files.ts';
import { bucketNames, inputStream, inputSubject, MOST_PARTITIONS, SETTINGS_KEY } from './names.ts';

export type SiteConfig = NonNullable<Config['site']>;

interface NatsLink {
  readonly nc: NatsConnection;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
}

/** What a site was created with; never changed. */
interface SiteSettings {
  readonly partitions: number;
  /** A member or an owner that is silent for this long is gone, ms. */
  readonly ttlMs: number;
}

type BucketName = 'members' | 'leases' | 'state';

export interface Site extends NatsLink, SiteSettings {
  readonly name: string;
  readonly members: KV;
  readonly leases: KV;
  readonly state: KV;
  readonly checkpoints: ObjectStore;
  readonly models: ObjectStore;
}

interface CreateOptions {
  readonly partitions: number;
  readonly ttlMs: number;
  readonly replicas: number;
  /** How long readings stay in the log, ms. */
  readonly retentionMs: number;
  /** Most bytes of each partition's log; 0: no limit. */
  readonly maxBytes: number;
}

const NANOS = 1e6;
const MOST_LOGIN_BYTES = 2 ** 20;
/** Time limit for answers of the server, ms. */
const TIMEOUT_MS = 5000;

/** @throws GatecastError SITE_UNREACHABLE, FILE_UNREADABLE */
async function connectNats(config: SiteConfig, name: string): Promise<NatsLink> {
  const [{ connect }, { jetstream, jetstreamManager }] = await Promise.all([
    import('@nats-io/transport-node'),
    import('@nats-io/jetstream'),
  ]);
  const options = await connectionOptions(config, name);
  try {
    const nc = await connect(options);
    try {
      const jsm = await jetstreamManager(nc, { timeout: TIMEOUT_MS });
      return { nc, js: jetstream(nc, { timeout: TIMEOUT_MS }), jsm };
    } catch (error) {
      await nc.close();
      throw error;
    }
  } catch (cause) {
    throw new GatecastError('SITE_UNREACHABLE', `NATS cannot be used: ${errorText(cause)}`, {
      hint: 'Check `site.servers`, the login, the certificates, and that the servers run with JetStream.',
      cause,
    });
  }
}

/** @throws GatecastError SITE_UNREACHABLE when the site was not created, or cannot be read */
export async function openSite(config: SiteConfig, member: string): Promise<Site> {
  const link = await connectNats(config, member);
  try {
    const [{ Kvm }, { Objm }] = await Promise.all([import('@nats-io/kv'), import('@nats-io/obj')]);
    const kvm = new Kvm(link.js);
    const objm = new Objm(link.js);
    const names = bucketNames(config.name);
    const state = await kvm.open(names.state);
    const found = entryValue(await state.get(SETTINGS_KEY));
    if (found === null) throw new Error('its settings are missing');
    const settings = settingsOf(found);
    return {
      ...link,
      ...settings,
      name: config.name,
      state,
      members: await kvm.open(names.members),
      leases: await kvm.open(names.leases),
      checkpoints: await objm.open(names.checkpoints),
      models: await objm.open(names.models),
    };
  } catch (cause) {
    await link.nc.close();
    const text = `The site ${config.name} cannot be opened: ${errorText(cause)}`;
    const hint = 'Create it once with `gatecast site create`; check the permissions of the login.';
    throw new GatecastError('SITE_UNREACHABLE', text, { hint, cause });
  }
}

function settingsOf(value: unknown): SiteSettings {
  const { partitions, ttlMs } = (value ?? {}) as Record<string, unknown>;
  const whole =
    Number.isInteger(partitions) && Number(partitions) >= 1 && Number(partitions) <= MOST_PARTITIONS;
  if (!whole || !(Number(ttlMs) >= 500)) throw new Error('its settings are damaged');
  return { partitions: Number(partitions), ttlMs: Number(ttlMs) };
}

/**
 * Makes the streams and buckets that are missing. Existing ones keep their settings, so that a second call completes a first one
 * that failed.
 * @throws GatecastError SITE_FAILED when the site exists with another number of partitions or another TTL
 */
export async function createSite(config: SiteConfig, options: CreateOptions): Promise<void> {
  const link = await connectNats(config, 'gatecast site create');
  try {
    await makeSite(link, config.name, options);
  } catch (cause) {
    if (cause instanceof GatecastError) throw cause;
    throw new GatecastError('SITE_FAILED', `The site was not created: ${errorText(cause)}`, {
      hint: 'Nothing is lost; run the command again when the cause is gone.',
      cause,
    });
  } finally {
    await link.nc.close();
  }
}

async function makeSite({ js, jsm }: NatsLink, site: string, options: CreateOptions): Promise<void> {
  const [{ Kvm }, { Objm, StorageType }, { RetentionPolicy, DiscardPolicy }] = await Promise.all([
    import('@nats-io/kv'),
    import('@nats-io/obj'),
    import('@nats-io/jetstream'),
  ]);
  const { partitions, ttlMs, replicas, retentionMs, maxBytes } = options;
  const names = bucketNames(site);
  const kvm = new Kvm(js);
  const file = StorageType.File;
  const state = await kvm.create(names.state, { replicas, history: 1, storage: file });
  const wanted: SiteSettings = { partitions, ttlMs };
  const entry = await state.get(SETTINGS_KEY);
  if (entry !== null) {
    const found = settingsOf(entry.json());
    if (found.partitions !== partitions || found.ttlMs !== ttlMs)
      throw new GatecastError(
        'SITE_FAILED',
        `The site exists with ${found.partitions} partitions and a TTL of ${found.ttlMs} ms.`,
        { hint: 'Both are fixed when a site is created: choose another name for another site.' },
      );
  }
  await kvm.create(names.members, { replicas, history: 1, ttl: ttlMs, storage: file });
  await kvm.create(names.leases, { replicas, history: 1, ttl: ttlMs, storage: file });
  const objm = new Objm(js);
  await objm.create(names.checkpoints, { replicas, storage: file });
  await objm.create(names.models, { replicas, storage: file });
  const known = new Set<string>();
  for await (const name of jsm.streams.names()) known.add(name);
  for (let partition = 0; partition < partitions; partition++) {
    const name = inputStream(site, partition);
    if (known.has(name)) continue;
    await jsm.streams.add({
      name,
      subjects: [inputSubject(site, partition)],
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.Old,
      storage: file,
      num_replicas: replicas,
      max_age: retentionMs * NANOS,
      max_bytes: maxBytes === 0 ? -1 : maxBytes,
    });
  }
  // Written last, so that no member opens a site that is only partly created.
  if (entry === null) await state.create(SETTINGS_KEY, JSON.stringify(wanted));
}

async function connectionOptions(config: SiteConfig, name: string): Promise<ConnectionOptions> {
  const { servers, credentials_file, user, password_file, tls } = config;
  const options: ConnectionOptions = {
    servers: [...servers],
    name,
    // An unreachable server is retried without end. A refused login ends the connection: the caller reports it and connects
    // again.
    maxReconnectAttempts: -1,
    reconnectTimeWait: 1000,
    timeout: TIMEOUT_MS,
    // A connection through a network that is gone is noticed within 15 s.
    pingInterval: 5000,
    maxPingOut: 2,
  };
  if (credentials_file !== undefined) {
    const { credsAuthenticator } = await import('@nats-io/transport-node');
    options.authenticator = credsAuthenticator(fileBytes(credentials_file));
  } else if (user !== undefined) {
    options.user = user;
    if (password_file !== undefined) options.pass = new TextDecoder().decode(fileBytes(password_file)).trim();
  }
  // Without these options the client would send the login to a server that offers no TLS.
  if (tls !== undefined || servers.some((url) => url.startsWith('tls:'))) {
    const files = {
      ...(tls?.ca_file !== undefined && { caFile: tls.ca_file }),
      ...(tls?.cert_file !== undefined && { certFile: tls.cert_file }),
      ...(tls?.key_file !== undefined && { keyFile: tls.key_file }),
    };
    // The client passes this on to Node. It gives Node no name for a server with an IP address: the name would be `localhost`.
    const checks = {
      checkServerIdentity: (_name: string, certificate: PeerCertificate) =>
        identityError(servers, certificate),
    };
    options.tls = { ...files, ...checks };
  }
  return options;
}

/** Why the certificate is that of none of the servers in the config; undefined: it is one of them. */
function identityError(servers: readonly string[], certificate: PeerCertificate): Error | undefined {
  const errors = servers.map((url) =>
    checkServerIdentity(new URL(url).hostname.replace(/^\[|\]$/g, ''), certificate),
  );
  return errors.includes(undefined) ? undefined : errors[0];
}

const fileBytes = (path: string): Uint8Array =>
  readInput(path, MOST_LOGIN_BYTES, `${path} cannot be read`, 'The login of `site` is read from it.');

/**
 * Keys of a bucket that have a value. Asked of the stream behind it: the client's own way reads one message after the other, and
 * waits for entries that expire meanwhile.
 * @param filter such as `drain.*`
 */
export async function keysOf(
  { jsm, name }: Pick<Site, 'jsm' | 'name'>,
  which: BucketName,
  filter = '>',
): Promise<string[]> {
  const bucket = bucketNames(name)[which];
  const prefix = `$KV.${bucket}.`;
  const { state } = await jsm.streams.info(`KV_${bucket}`, { subjects_filter: `${prefix}${filter}` });
  return Object.keys(state.subjects ?? {})
    .map((subject) => subject.slice(prefix.length))
    .sort();
}

/**
 * Removes an entry completely, so that `keysOf` does not list it. The client's own `delete` leaves a tombstone.
 * @param revision removes only this revision; left out: any
 */
export async function removeKey(
  { jsm, name }: Pick<Site, 'jsm' | 'name'>,
  which: BucketName,
  key: string,
  revision?: number,
): Promise<void> {
  const bucket = bucketNames(name)[which];
  const stream = `KV_${bucket}`;
  if (revision === undefined) await jsm.streams.purge(stream, { filter: `$KV.${bucket}.${key}` });
  else await jsm.streams.deleteMessage(stream, revision, false);
}

/** What an entry holds; null: there is none, or it was deleted. */
export const entryValue = <T>(entry: KvEntry | null): T | null =>
  entry?.operation === 'PUT' ? entry.json<T>() : null;

/** Writes an entry that still has this revision; 0: that does not exist. @returns its new revision */
export const writeKey = (bucket: KV, key: string, text: string, revision: number): Promise<number> =>
  revision === 0 ? bucket.create(key, text) : bucket.update(key, text, revision);

/** Removes a checkpoint completely. The client's own `delete` leaves a tombstone, and each checkpoint has a name of its own. */
export async function removeCheckpoint(
  { checkpoints, jsm, name }: Pick<Site, 'checkpoints' | 'jsm' | 'name'>,
  object: string,
): Promise<void> {
  await checkpoints.delete(object);
  const bucket = bucketNames(name).checkpoints;
  const encoded = Buffer.from(object).toString('base64').replaceAll('+', '-').replaceAll('/', '_');
  await jsm.streams.purge(`OBJ_${bucket}`, { filter: `$O.${bucket}.M.${encoded}` });
}

/** An update was refused because of its revision: another writer was faster, or the entry has expired. */
export function isConflict(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === WRONG_LAST_SEQUENCE;
}

const WRONG_LAST_SEQUENCE = 10071;
