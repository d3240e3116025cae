/** A site of processes for tests: MQTT broker, nats-servers, members, sensors, and an observer that records every forecast. */
import { expect } from 'vitest';
import { openSite, type Site, type SiteConfig } from '../../src/site/nats.ts';
import { readPartitions } from '../../src/site/status.ts';
import { type Daemon, ensureBuilt } from './daemon.ts';
import { type Mosquitto, startMosquitto } from './mosquitto.ts';
import { type NatsServer, startNatsServer } from './nats.ts';
import {
  LoggedReadings,
  listen,
  type Outage,
  type Published,
  siteConfig,
  textOf,
  type Undisturbed,
  undisturbed,
  verdict,
} from './site.ts';
import { makeCertificates, startShippedServers } from './site-cluster.ts';
import {
  command,
  type MemberOptions,
  memberFile,
  Sensors,
  shippedModel,
  startMember,
} from './site-process.ts';
import { sleep, waitFor } from './wait.ts';

export class SiteRun {
  readonly members = new Map<string, Daemon>();
  /** Forecasts since `open`. */
  seen: Published[] = [];
  private opened: Site | null = null;
  private connected: Sensors | null = null;

  constructor(
    readonly dir: string,
    readonly broker: Mosquitto,
    readonly servers: readonly NatsServer[],
  ) {}

  /** With one nats-server. @param mosquitto lines of the broker's configuration */
  static async single(dir: string, mosquitto?: string): Promise<SiteRun> {
    ensureBuilt();
    const servers = [await startNatsServer()];
    return new SiteRun(dir, await startMosquitto(mosquitto), servers);
  }

  /** With three nats-servers that have the shipped configuration: TLS, and accounts with least rights. */
  static async cluster(dir: string): Promise<SiteRun> {
    ensureBuilt();
    makeCertificates(dir);
    const broker = await startMosquitto();
    return new SiteRun(dir, broker, await startShippedServers(dir));
  }

  /** The nats-server of a site that has one. */
  get nats(): NatsServer {
    return this.servers[0];
  }

  get observer(): Site {
    if (this.opened === null) throw new Error('the site was not opened');
    return this.opened;
  }

  get sensors(): Sensors {
    if (this.connected === null) throw new Error('no sensors were started');
    return this.connected;
  }

  /** The options of a member, which may have been started or not. */
  member(node: string, role: MemberOptions['role'], more: Partial<MemberOptions> = {}): MemberOptions {
    const natsUrls = this.servers.map(({ url }) => url);
    return { node, role, mqttUrl: this.broker.url, natsUrls, dir: this.dir, ...more };
  }

  /** `gatecast site create` with the config of a member. */
  create(options: MemberOptions, partitions: number, ttl: string, ...more: string[]): Promise<string> {
    const numbers = ['--partitions', String(partitions), '--ttl', ttl];
    return command(['site', 'create', '-c', memberFile(options), ...numbers, ...more]);
  }

  /** Opens the site, and records what is published from now on. */
  async open(servers = this.servers.map(({ url }) => url), login: Partial<SiteConfig> = {}): Promise<void> {
    this.opened = await openSite(siteConfig(servers, login), 'observer');
    this.seen = listen(this.opened.nc);
  }

  async start(options: MemberOptions): Promise<Daemon> {
    const daemon = await startMember(options);
    this.members.set(options.node, daemon);
    return daemon;
  }

  async startSensors(count: number): Promise<void> {
    this.connected = await Sensors.connect(this.broker.url, count);
    this.connected.start();
  }

  async owners(): Promise<(string | null)[]> {
    return (await readPartitions(this.observer)).map(({ owner }) => owner);
  }

  /** @param by all must be owned by these */
  async allOwned(by?: readonly string[]): Promise<void> {
    const isOwned = (owner: string | null): boolean =>
      owner !== null && (by === undefined || by.includes(owner));
    await waitFor('all partitions to have an owner', async () =>
      (await this.owners().catch(() => [null])).every(isOwned),
    );
  }

  /** @param isCounted which of the forecasts count */
  async forecastsOf(
    streams: number,
    isCounted: (forecast: Published, at: number) => boolean = () => true,
  ): Promise<void> {
    await waitFor(
      'forecasts of all streams',
      () => new Set(this.seen.filter(isCounted).map(({ stream }) => stream)).size === streams,
    );
  }

  /** Every reading that the MQTT broker has acknowledged is in the logs, once. */
  async allLogged(): Promise<void> {
    const readings = new LoggedReadings(this.observer);
    let logged = -1;
    await waitFor('all readings in the logs', async () => {
      await sleep(300);
      logged = await readings.count().catch(() => -1);
      return logged === this.sensors.sent;
    }).catch((cause) => {
      const bridge = this.members.get('bridge')?.output().slice(-4000);
      throw new Error(`${logged} of ${this.sensors.sent} readings in the logs\n${bridge}`, { cause });
    });
  }

  /** Ends the input: all that was sent is in the logs, the last buckets close, and time stands still. */
  async finish(): Promise<void> {
    await this.sensors.stop();
    await this.allLogged();
    await sleep(6000);
    expect(await this.members.get('bridge')?.end('SIGTERM')).toBe(0);
  }

  /** What one undisturbed process with the shipped model publishes, under the name that the members give that model. */
  undisturbed(): Promise<Undisturbed> {
    const { model } = JSON.parse(this.seen[0].text) as { model: { id: string; version: string } };
    return undisturbed(this.observer, shippedModel(), textOf(model));
  }

  /** Waits for all forecasts but those that may have been lost in an outage, then compares. */
  verdict(outages: readonly Outage[] = []): Promise<Undisturbed & { readonly violations: string[] }> {
    const { model } = JSON.parse(this.seen[0].text) as { model: { id: string; version: string } };
    return verdict(this.observer, this.seen, shippedModel(), { text: textOf(model), outages });
  }

  async end(): Promise<void> {
    for (const { process } of this.members.values()) {
      process.kill('SIGCONT');
      process.kill('SIGKILL');
    }
    await this.connected?.stop().catch(() => {});
    await this.opened?.nc.close();
    await Promise.all(this.servers.map((server) => server.stop()));
    await this.broker.stop();
  }
}
