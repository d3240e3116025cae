/**
 * Two agents of the built program on one Mosquitto with the same sensors: `cellar` takes pushes, `twin` takes none. What a
 * push must not touch is compared between them.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Reported } from '../../src/remote/contract.ts';
import { newKey, signed, type TestKey } from '../remote/gateway.ts';
import { type Daemon, ensureBuilt, startDaemon } from './daemon.ts';
import { freePort, type Mosquitto, startMosquitto, type Watcher, watch } from './mosquitto.ts';
import { recordWork, type WorkRecord } from './run-delay.ts';
import { plainConfig, SECONDS } from './sensors.ts';
import { waitFor } from './wait.ts';

const DESIRED = 'gatecast/cellar/config/desired';
const REPORTED = 'gatecast/cellar/config/reported';
/** The interval of the streams, and their lateness, ms. */
const STEP_MS = 1000;
const LATENESS_MS = 2000;

export interface TwinOptions {
  /** Folders of their own, for `cellar` and `twin`. */
  readonly dirs: readonly [string, string];
  /** How `cellar` is started. */
  readonly startCellar?: (dir: string, config: object) => Promise<Daemon>;
  /** Further keys of both configs. */
  readonly more?: object;
}

/** Call `close` at the end, also where it fails. */
export class Twins {
  version = 0;
  readonly key: TestKey = newKey('ops-2026');
  private feeding: NodeJS.Timeout | undefined;
  /** Of `cellar` and the broker. */
  private work: WorkRecord | undefined;

  private constructor(
    readonly broker: Mosquitto,
    /** A second address of the same broker. */
    readonly otherUrl: string,
    readonly watcher: Watcher,
  ) {}

  cellar!: Daemon;
  twin!: Daemon;
  dirs!: readonly [string, string];

  static async start({ dirs, startCellar = startDaemon, more = {} }: TwinOptions): Promise<Twins> {
    ensureBuilt();
    const otherPort = await freePort();
    const broker = await startMosquitto(
      `allow_anonymous true\nmax_queued_messages 0\nlistener ${otherPort} 127.0.0.1`,
    );
    const watcher = await watch(broker.url, 'gatecast/#');
    const twins = new Twins(broker, `mqtt://127.0.0.1:${otherPort}`, watcher);
    twins.dirs = dirs;
    for (const dir of dirs) mkdirSync(join(dir, 'data'));
    const keys = join(dirs[0], 'keys.jwks');
    writeFileSync(keys, JSON.stringify({ keys: [twins.key.jwk] }));
    const streams = ['kept', 'changed'].map((id) => ({
      id,
      match: `${id}/{n}`,
      name: `${id}/{n}`,
      ...SECONDS,
    }));
    const config = (node: string, dir: string, own: object): object =>
      plainConfig({ node, url: broker.url, dataDir: join(dir, 'data') }, streams, { ...more, ...own });
    const remote = { remote_config: { enabled: true, keys } };
    try {
      twins.cellar = await startCellar(dirs[0], config('cellar', dirs[0], remote));
      twins.twin = await startDaemon(dirs[1], config('twin', dirs[1], {}));
      twins.feed();
      twins.work = recordWork(twins.cellar.process.pid, broker.pid);
      await waitFor(
        'forecasts of both',
        () => twins.forecasts('cellar').size > 2 && twins.forecasts('twin').size > 2,
      );
    } catch (error) {
      await twins.close();
      throw error;
    }
    return twins;
  }

  /** A reading of both streams twice a second. */
  private feed(): void {
    let at = 0;
    this.feeding = setInterval(() => {
      if (this.quiet) return;
      at += 1;
      this.spokenMs = Date.now();
      const body = JSON.stringify({ v: 20 + Math.sin(at / 7), t: this.spokenMs });
      for (const topic of ['kept/a', 'changed/b']) this.watcher.client.publish(topic, body, { qos: 1 });
    }, 500);
  }

  private quiet = false;
  private spokenMs = 0;

  /** Runs something while no sensor speaks, and when both agents have taken what was said before. */
  async inQuiet(run: () => Promise<unknown>): Promise<void> {
    this.quiet = true;
    const lastMs = this.spokenMs;
    const passed = (node: 'cellar' | 'twin'): boolean =>
      [...this.forecasts(node).keys()].some((origin) => Date.parse(origin) + STEP_MS > lastMs);
    await waitFor('forecasts from the last readings', () => passed('cellar') && passed('twin'));
    await run();
    this.quiet = false;
  }

  async push(content: Record<string, unknown>): Promise<void> {
    this.version += 1;
    const payload = await signed(this.key, { nowMs: Date.now(), version: this.version }, content);
    await this.send(payload);
  }

  /** Number of reports before the newest push. */
  private before = 0;

  async send(payload: string, retain = true): Promise<void> {
    this.before = this.watcher.on(REPORTED).length;
    await this.watcher.client.publishAsync(DESIRED, payload, { qos: 1, retain });
  }

  get last(): Reported {
    return JSON.parse(this.watcher.on(REPORTED).at(-1)?.text ?? '{}') as Reported;
  }

  /** Waits for a report with these members since the newest push, also one that another has followed. */
  async reported(what: string, wanted: Partial<Reported>): Promise<Reported> {
    const matching = (): Reported | undefined =>
      this.watcher
        .on(REPORTED)
        .slice(this.before)
        .map(({ text }) => JSON.parse(text) as Reported)
        .find((one) => Object.entries(wanted).every(([key, value]) => one[key as keyof Reported] === value));
    try {
      // An agent that goes back while its machine has more to do than it can takes minutes.
      return await waitFor(what, matching, 240_000);
    } catch (cause) {
      const log = this.cellar.output().slice(-3000);
      throw new Error(`${what}; last report: ${JSON.stringify(this.last)}\n${log}`, { cause });
    }
  }

  /** By origin, oldest first: medians of the stream that no push touches. */
  forecasts(node: 'cellar' | 'twin', stream = 'kept/a'): Map<string, readonly number[]> {
    const messages = this.watcher.on(`gatecast/${node}/forecast/${stream}`).filter(({ text }) => text !== '');
    return new Map(
      messages.map(({ text }) => {
        const { origin, p50 } = JSON.parse(text) as { origin: string; p50: number[] };
        return [origin, p50];
      }),
    );
  }

  /**
   * Compares the stream that no push touches, from an origin on: there must be `least` forecasts of both beyond it first. Origins of the
   * twin that `cellar` has not, and origins whose forecasts differ. Where an agent or its broker could not work for an interval, a newer
   * forecast takes the place of one that waits; such a one is not missing.
   */
  async compare(fromOrigin: string, least = 4): Promise<{ missing: string[]; different: string[] }> {
    await waitFor('forecasts of both', () => {
      const twin = this.forecasts('twin');
      const both = [...this.forecasts('cellar').keys()].filter((origin) => twin.has(origin));
      return both.filter((origin) => origin > fromOrigin).length >= least;
    });
    const mine = this.forecasts('cellar');
    const end = [...mine.keys()].at(-1) ?? '';
    const theirs = [...this.forecasts('twin')].filter(([origin]) => origin >= fromOrigin && origin <= end);
    const missing = theirs
      .filter(([origin]) => !mine.has(origin) && !this.wasHeldUp(origin))
      .map(([origin]) => origin);
    const common = theirs.filter(([origin]) => mine.has(origin));
    const different = common
      .filter(([origin, p50]) => JSON.stringify(p50) !== JSON.stringify(mine.get(origin)))
      .map(([origin]) => `${this.told('cellar', origin)}; ${this.told('twin', origin)}; ${this.dropped()}`);
    return { missing, different };
  }

  /** Whether `cellar` or the broker was held up between the time at which a forecast was due, and that of the next one there is. */
  private wasHeldUp(origin: string): boolean {
    const dueMs = Date.parse(origin) + STEP_MS + LATENESS_MS;
    const next = this.watcher
      .on('gatecast/cellar/forecast/kept/a')
      .filter(({ text }) => text !== '')
      .map(({ text }) => JSON.parse(text) as { origin: string; issued: string })
      .find((one) => one.origin > origin);
    const workedMs = this.work?.between(dueMs, Date.parse(next?.issued ?? '')) ?? Number.NaN;
    return next !== undefined && workedMs < 0.9 * STEP_MS;
  }

  /** What a node has published for an origin, in short, to find out why both differ. */
  private told(node: string, origin: string): string {
    const { text = '{}' } =
      this.watcher
        .on(`gatecast/${node}/forecast/kept/a`)
        .findLast((one) => one.text.includes(`"origin":"${origin}"`)) ?? {};
    const { issued, seq, model, input, p10, p50 } = JSON.parse(text) as Record<string, unknown>;
    return `${node} ${JSON.stringify({ origin, issued, seq, model, input, p10, p50 })}`;
  }

  /** What both have dropped, such as late readings. */
  private dropped(): string {
    const of = (node: string): string =>
      JSON.stringify(JSON.parse(this.watcher.on(`gatecast/${node}/health`).at(-1)?.text ?? '{}').dropped);
    return `dropped ${of('cellar')}, twin ${of('twin')}`;
  }

  /** The newest origin that both have. */
  get now(): string {
    const twin = this.forecasts('twin');
    return [...this.forecasts('cellar').keys()].findLast((origin) => twin.has(origin)) ?? '';
  }

  async close(): Promise<void> {
    clearInterval(this.feeding);
    this.work?.stop();
    for (const daemon of [this.cellar, this.twin])
      if (daemon?.process.exitCode === null) await daemon.end('SIGKILL');
    await this.watcher.close();
    await this.broker.stop();
  }
}
