/** Remote config without an agent: a host that does what it is told, a folder in memory, a clock moved by hand. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { type Config, configHash, diffConfig, takeHot } from '../../src/config/index.ts';
import { createLogger } from '../../src/log.ts';
import { ModelRegistry } from '../../src/model/registry.ts';
import type { Have, Reported } from '../../src/remote/contract.ts';
import type { KeySet } from '../../src/remote/keys.ts';
import { parseJwks } from '../../src/remote/keys.ts';
import { effectiveConfig, type LocalFile } from '../../src/remote/layers.ts';
import { bytesOf, chunkAt } from '../../src/remote/model-claim.ts';
import { ModelIntake, type ModelIntakeParts, type Models } from '../../src/remote/model-intake.ts';
import { openRemote } from '../../src/remote/open.ts';
import type { AgentVitals, ModelVerdict } from '../../src/remote/probation.ts';
import type { PushLifecycle } from '../../src/remote/push-lifecycle.ts';
import type { Folder } from '../../src/remote/push-state.ts';
import { RemoteConfig } from '../../src/remote/remote-config.ts';
import { sign } from '../../src/remote/sign.ts';
import { problem } from '../../src/remote/verify.ts';
import { FEATURES } from '../../src/series/features.ts';
import type { FakeClock } from '../support/fake-clock.ts';
import { type Files, quickTrial } from './models.ts';

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

/** A gateway without a disk for models. */
const NO_MODELS: Models = {
  isHere: () => false,
  refusal: () => ({ code: 503, problem: problem('model', 'there is no disk') }),
  receive: () => {},
  cancel: () => {},
  progress: () => null,
  remove: () => {},
  tidy: () => {},
  stop: async () => {},
};

export const NOBODY: AgentVitals = {
  connected: true,
  streams: [],
  rssMb: 100,
  alerts: [],
  stepFailures: 0,
  modelProblem: null,
};

/** One run of an agent: from a start to its end. */
export class Gateway {
  readonly reports: { readonly reported: Reported; readonly retain: boolean }[] = [];
  readonly remote: RemoteConfig;
  readonly life: PushLifecycle;
  readonly registry: ModelRegistry;
  /** What the agent runs. */
  running: Config;
  restarts = 0;
  trialsEnded = 0;
  /** Takes models; null: without a disk. */
  readonly intake: ModelIntake | null;
  readonly haves: (Have & { readonly name: string })[] = [];
  judgeModel: (elapsedMs: number, lengthMs: number) => ModelVerdict = () => ({ type: 'confirm', reason: '' });
  vitals: AgentVitals = NOBODY;
  clockIsSet = true;
  restoring = false;
  /** What `prepare` of a part says about a config. */
  refuse: (config: Config) => string | null = () => null;
  /** Why a new broker cannot be used; null: it can. */
  brokerFault: string | null = null;
  /** The agent is stopping, and applies nothing any more. */
  stopping = false;
  /** Second connections made. */
  proofs = 0;

  constructor(
    readonly folder: Folder,
    readonly clock: FakeClock,
    keys: KeySet,
    local: Config = LOCAL,
    readonly file: LocalFile = FILE,
    /** Folder for models. */
    disk: string | null = null,
    more: Partial<ModelIntakeParts> = {},
  ) {
    const registry = new ModelRegistry(disk === null ? null : join(disk, 'models'), null);
    this.registry = registry;
    const log = createLogger({
      level: () => 'error',
      write: () => {},
      now: () => clock.now(),
      journald: false,
    });
    this.intake =
      disk === null
        ? null
        : new ModelIntake({
            folder: join(disk, 'remote', 'model'),
            registry,
            features: FEATURES,
            clock,
            log,
            have: (name, have) => this.haves.push({ name, ...have }),
            changed: () => {},
            trial: quickTrial,
            ...more,
          });
    const opened = openRemote(folder, file, local, () => clock.now());
    this.life = opened.life;
    this.running = opened.config;
    this.remote = new RemoteConfig({
      life: opened.life,
      clock,
      log,
      file: () => file,
      local,
      keys,
      models: this.intake ?? NO_MODELS,
      host: {
        configure: async (wanted, { dryRun, connect }) => {
          const { reconnect, restart } = diffConfig(this.running, wanted);
          const wrong = this.refuse(wanted);
          if (wrong !== null) return { errors: [{ path: 'model.name', message: wrong }], reconnect, restart };
          const { name } = wanted.model;
          if (disk !== null && name !== 'base' && !registry.has(name))
            return {
              errors: [{ path: 'model.name', message: `there is no model '${name}'` }],
              reconnect,
              restart,
            };
          if (connect && reconnect.length > 0) {
            this.proofs += 1;
            if (this.brokerFault !== null)
              return { errors: [{ path: 'mqtt.url', message: this.brokerFault }], reconnect, restart };
          }
          if (this.stopping && !dryRun)
            return { errors: [{ path: '', message: 'is stopping' }], reconnect, restart, stopping: true };
          if (!dryRun) {
            this.running = restart.length === 0 ? wanted : takeHot(this.running, wanted);
            // As the agent does when any config has been applied. A report may go out at that moment.
            this.clock.advance(200);
            this.remote.runs(configHash(this.running));
            await Promise.resolve();
          }
          return { errors: [], reconnect, restart };
        },
        restart: () => {
          this.restarts += 1;
        },
        vitals: () => this.vitals,
        restoring: () => this.restoring,
        clockIsSet: () => this.clockIsSet,
        report: (reported, retain) => this.reports.push({ reported, retain }),
        trialEnded: () => {
          this.trialsEnded += 1;
        },
        judgeModel: (elapsedMs, lengthMs) => this.judgeModel(elapsedMs, lengthMs),
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

  /** Hands over chunks of a model, all that are missing unless a number says how many, and waits for what becomes of it. */
  async send(name: string, files: Files, most = Number.POSITIVE_INFINITY): Promise<Reported> {
    const all = bytesOf(files);
    await this.until(() => this.haves.some((have) => have.name === name));
    let left = most;
    const before = this.intake?.progress()?.received ?? 0;
    let sent = 0;
    for (const [first, last] of this.haves.at(-1)?.missing ?? [])
      for (let number = first; number <= last && left > 0; number++, left--) {
        sent += chunkAt(all, number).length;
        this.intake?.chunk(name, number, chunkAt(all, number));
      }
    if (left > 0) await this.until(() => this.intake?.progress() === null);
    else await this.until(() => this.intake?.progress()?.received === before + sent);
    return this.settle();
  }

  /** Real time, for what reads and writes files. */
  async until(condition: () => boolean): Promise<void> {
    for (let turn = 0; !condition() && turn < 2000; turn++) {
      await new Promise<void>((resolve) => setTimeout(resolve, 1));
      this.clock.advance(1);
    }
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
