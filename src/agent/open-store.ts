/** Opens the store of a data directory, logs its faults, and keeps those that last for health and alerts. */
import type { Config } from '../config/index.ts';
import type { Logger } from '../log.ts';
import { SqliteStore, type StoreFault } from '../store/sqlite-store.ts';
import type { Clock } from '../system/clock.ts';
import type { Condition } from './alerts.ts';

export interface OpenedStore {
  readonly store: SqliteStore;
  /** What does not work now. */
  readonly conditions: () => Condition[];
}

/** Good news. */
const INFO: ReadonlySet<StoreFault['kind']> = new Set(['recovered', 'disk-free']);

/** @param config asked for each time: limits may change while running. @throws GatecastError STORE_NEWER */
export function openStore(config: () => Config, clock: Clock, log: Logger): OpenedStore {
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
      log[INFO.has(kind) ? 'info' : 'error'](`store ${kind}`, { message });
    },
  });
  return {
    store,
    conditions: () => [
      ...(unavailable === null
        ? []
        : [error('store', `samples are in memory only, or were until a moment ago: ${unavailable}`)]),
      ...(full ? [error('disk-full', 'the disk is full: the oldest samples are deleted')] : []),
    ],
  };
}

const error = (id: Condition['id'], text: string): Condition => ({ id, severity: 'error', text });
