/** Remote config without an agent: a host that does what it is told, a folder in memory, a clock moved by hand. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { type Config, configHash, diffConfig, takeHot } from '../../src/config/index.ts';
import { createLogger } from '../../src/log.ts';
import type { Reported } from '../../src/remote/contract.ts';
import type { KeySet } from '../../src/remote/keys.ts';
import { parseJwks } from '../../src/remote/keys.ts';
import { effectiveConfig, type LocalFile } from '../../src/remote/layers.ts';
import { openRemote } from '../../src/remote/open.ts';
import type { Vitals } from '../../src/remote/probation.ts';
import type { PushLife } from '../../src/remote/push-life.ts';
import type { Folder } from '../../src/remote/push-state.ts';
import { RemoteConfig } from '../../src/remote/remote-config.ts';
import { sign } from '../../src/remote/sign.ts';
import type { FakeClock } from '../support/fake-clock.ts';

export interface TestKey {
  readonly kid: string;
  readonly key: KeyObject;
  readonly jwk: Record<string, unknown>;
}

export function newKey(kid: string, roles?: readonly string[]): TestKey {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid, ...(roles === undefined ? {} : { roles }) };
  return { kid, key: privateKey, jwk };
}

export const keySetOf = (...keys: readonly TestKey[]): KeySet =>
  parseJwks(JSON.stringify({ keys: keys.map(({ jwk }) => jwk) }), 'the test keys');

export const DOCUMENT = {
  node: 'cellar',
  mqtt: { url: 'mqtt://127.0.0.1:1883' },
  streams: [
    { id: 'pumps', match: 'pumps/{name}', interval: '1m', horizon: '1h' },
    { match: 'zigbee2mqtt/{device}', interval: '5m' },
  ],
  remote_config: { enabled: true, keys: '/etc/gatecast/keys.jwks', groups: ['north', 'south'] },
};
export const FILE: LocalFile = { document: DOCUMENT };
export const LOCAL: Config = effectiveConfig(FILE, {}, []).config;

/** Files in memory. `failAt` makes the write of that number throw and every later one too, as a crash does. */
export class MemoryFolder implements Folder {
  readonly files = new Map<string, Uint8Array>();
  writes = 0;
  failAt = Number.POSITIVE_INFINITY;

  read(name: string): Uint8Array | null {
    return this.files.get(name) ?? null;
  }
  write(name: string, bytes: Uint8Array): void {
    this.writes += 1;
    if (this.writes >= this.failAt) throw new Crash();
    this.files.set(name, Uint8Array.from(bytes));
  }
  remove(name: string): void {
    this.files.delete(name);
  }
  list(): string[] {
    return [...this.files.keys()];
  }
}

export class Crash extends Error {}

const NOBODY: Vitals = { connected: true, streams: [], rssMb: 100, errors: [] };

/** One run of an agent: from a start to its end. */
export class Gateway {
  readonly reports: { readonly reported: Reported; readonly retain: boolean }[] = [];
  readonly remote: RemoteConfig;
  readonly life: PushLife;
  /** What the agent runs. */
  running: Config;
  restarts = 0;
  vitals: Vitals = NOBODY;
  clockIsSet = true;
  /** What `prepare` of a part says about a config. */
  refuse: (config: Config) => string | null = () => null;
  /** Why a new broker cannot be used; null: it can. */
  brokerFault: string | null = null;
  /** Second connections made. */
  proofs = 0;

  constructor(
    readonly folder: Folder,
    readonly clock: FakeClock,
    keys: KeySet,
    local: Config = LOCAL,
    readonly file: LocalFile = FILE,
  ) {
    const opened = openRemote(folder, file, local, () => clock.now());
    this.life = opened.life;
    this.running = opened.config;
    this.remote = new RemoteConfig({
      life: opened.life,
      clock,
      log: createLogger({ level: () => 'error', write: () => {}, now: () => clock.now(), journald: false }),
      file: () => file,
      local,
      keys,
      host: {
        configure: async (wanted, { dryRun, connect }) => {
          const { reconnect, restart } = diffConfig(this.running, wanted);
          const wrong = this.refuse(wanted);
          if (wrong !== null) return { errors: [{ path: 'model.name', message: wrong }], reconnect, restart };
          if (connect && reconnect.length > 0) {
            this.proofs += 1;
            if (this.brokerFault !== null)
              return { errors: [{ path: 'mqtt.url', message: this.brokerFault }], reconnect, restart };
          }
          if (!dryRun) this.running = restart.length === 0 ? wanted : takeHot(this.running, wanted);
          return { errors: [], reconnect, restart };
        },
        restart: () => {
          this.restarts += 1;
        },
        vitals: () => this.vitals,
        clockIsSet: () => this.clockIsSet,
        report: (reported, retain) => this.reports.push({ reported, retain }),
        model: () => null,
      },
    });
    this.remote.start(opened.hash);
  }

  get reported(): Reported {
    return this.life.reported();
  }

  get runningHash(): string {
    return configHash(this.running);
  }

  /** Hands a message over and waits until it is worked off. */
  async push(
    payload: string | Uint8Array,
    layer: 'node' | `fleet:${string}` = 'node',
    retained = false,
  ): Promise<Reported> {
    this.remote.receive(layer, typeof payload === 'string' ? Buffer.from(payload) : payload, retained);
    return this.settle();
  }

  async settle(): Promise<Reported> {
    const done = this.remote.settled();
    let open = true;
    void done.then(() => {
      open = false;
    });
    // The pause between two changes is a timer of the test's clock.
    for (let turn = 0; open && turn < 2000; turn += 1) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (turn % 20 === 19) this.clock.advance(200);
    }
    await done;
    return this.reported;
  }

  /** Lets time pass in steps, as timers need it. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 500) {
      this.clock.advance(500);
      await new Promise<void>((resolve) => setImmediate(resolve));
      await this.remote.settled();
    }
  }
}

export interface ClaimOptions {
  readonly nowMs: number;
  readonly version: number;
}

/** A signed push to the node `cellar`. */
export function signed(
  key: TestKey,
  { nowMs, version }: ClaimOptions,
  content: Record<string, unknown>,
): Promise<string> {
  const iat = Math.floor(nowMs / 1000);
  return sign({ aud: 'node:gatecast/cellar', iat, exp: iat + 3600, version, ...content }, key);
}
