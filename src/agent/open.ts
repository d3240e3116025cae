/**
 * Opens the resources that all parts use, in this order: the lock of the data directory (one agent per directory),
 * the store, the models, and the engine with its model. Without a model the engine makes naive forecasts.
 */
import { join } from 'node:path';
import type { Config } from '../config/index.ts';
import { Engine } from '../forecast/engine.ts';
import type { Logger } from '../log.ts';
import { ModelRegistry } from '../model/registry.ts';
import { ModelSlots } from '../model/slots.ts';
import { lockDataDir } from '../store/lock.ts';
import { SqliteStore, type StoreFault } from '../store/sqlite-store.ts';
import type { Clock } from '../system/clock.ts';
import { type Facts, factsReader } from '../system/facts.ts';
import type { Condition } from './alerts.ts';
import type { AgentOptions } from './contract.ts';
import { every } from './every.ts';
import { chooseGroupModel } from './groups.ts';
import type { AgentModels } from './model.ts';
import type { Stops } from './stops.ts';

interface Opened {
  readonly store: SqliteStore;
  /** Current problems of the store. */
  readonly storeConditions: () => readonly Condition[];
  readonly models: AgentModels;
  readonly engine: Engine;
  /** Facts about the machine. */
  readonly facts: () => Facts;
}

/** Past inputs stored for each stream, so that another model can start with a warm state. */
const WARM_UP_STEPS = 32;
/**
 * An agent with more streams does not keep the objects of each, which take 14 kB: with 1,000 streams at 1 Hz this saved 6 MB and cost
 * a quarter more of the processor, so only agents whose memory needs it pay for it (decision 29).
 */
const PACK_ABOVE = 2000;
/** Time between two checks of the lock, ms. */
const LOCK_MS = 5000;
/** Shortest time between two readings of the machine's facts, ms. */
const FACTS_MS = 1000;

/** @param config called each time: limits may change while running. @throws GatecastError LOCKED, STORE_NEWER */
export function openData(options: AgentOptions, config: () => Config, stops: Stops): Opened {
  const { clock } = options;
  const log = options.log.with({ part: 'model' });
  const { data_dir: dataDir, model } = options.config;
  const lock = lockDataDir(dataDir);
  stops.add('lock', () => lock.release());
  const checkLock = (): void => {
    if (!lock.isHeld()) options.onRestart?.('another agent uses the data_dir');
  };
  stops.add('check of the lock', every(clock, LOCK_MS, checkLock, options.log));
  const { store, storeConditions } = openStore(config, clock, options.log.with({ part: 'store' }));
  stops.add('store', () => store.close());
  const registry = new ModelRegistry(join(dataDir, 'models'));
  const slots = new ModelSlots(join(dataDir, 'models', 'slots.json'));
  const configured = model.name;
  const { remote } = options;
  // A rollback of remote config may go back to any of these.
  const keep = (): Set<string> =>
    new Set(remote === undefined ? [] : [...remote.opened.life.modelNames(), remote.local.model.name]);
  const current = chooseGroupModel({ registry, slots, store, configured, keep: keep(), log });
  if (current.model !== null)
    log.info('model loaded', { id: current.model.id, version: current.model.version });
  else log.error('no model, naive forecasts only', { reason: current.problem });
  const engine = new Engine(current.model, { warmUpSteps: WARM_UP_STEPS, packAbove: PACK_ABOVE });
  stops.add('engine', () => engine.release());
  const models: AgentModels = {
    registry,
    slots,
    configured,
    current,
    keep,
    pushOnTrial: () => remote?.opened.life.modelOnTrial() ?? false,
  };
  const facts = factsReader(clock.monotonic, { leastMs: FACTS_MS });
  return { store, storeConditions, models, engine, facts };
}

/** Faults that are logged as information. */
const INFO: ReadonlySet<StoreFault['kind']> = new Set(['recovered', 'disk-free']);

/** Logs the faults of the store, and keeps those that last for health and alerts. */
function openStore(
  config: () => Config,
  clock: Clock,
  log: Logger,
): Pick<Opened, 'store' | 'storeConditions'> {
  let unavailable: string | null = null;
  let full = false;
  const store = SqliteStore.open({
    dir: config().data_dir,
    get maxBytes() {
      return config().store.max_size;
    },
    get retentionMs() {
      return config().store.retention;
    },
    get durability() {
      return config().store.durability;
    },
    clock,
    onFault: ({ kind, message }) => {
      if (kind === 'unavailable') unavailable = message;
      if (kind === 'recovered') unavailable = null;
      if (kind === 'disk-full') full = true;
      if (kind === 'disk-free') full = false;
      log[INFO.has(kind) ? 'info' : 'error'](`store ${kind}`, { reason: message });
    },
  });
  return {
    store,
    storeConditions: () => [
      ...(unavailable === null
        ? []
        : [error('store', `samples are, or were until recently, in memory only: ${unavailable}`)]),
      ...(full ? [error('disk-full', 'the disk is full: the oldest samples are deleted')] : []),
    ],
  };
}

const error = (id: Condition['id'], text: string): Condition => ({ id, severity: 'error', text });
