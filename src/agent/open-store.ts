/** The store of a data directory, with what ails it. */
import type { Config } from '../config/index.ts';
import type { Logger } from '../log.ts';
import { SqliteStore } from '../store/sqlite-store.ts';
import type { Clock } from '../system/clock.ts';

export interface OpenedStore {
  readonly store: SqliteStore;
  /** Why samples are in memory only; null when they are not. */
  readonly fault: () => string | null;
}

/** @param config asked for each time: limits may change while running. @throws GatecastError STORE_NEWER */
export function openStore(config: () => Config, clock: Clock, log: Logger): OpenedStore {
  let fault: string | null = null;
  const store = SqliteStore.open({
    dir: config().data_dir,
    get maxBytes() {
      return config().store.max_size;
    },
    get retentionMs() {
      return config().store.retention;
    },
    clock,
    onFault: ({ kind, message }) => {
      if (kind === 'unavailable') fault = message;
      if (kind === 'recovered') fault = null;
      log[kind === 'recovered' ? 'info' : 'error'](`store ${kind}`, { message });
    },
  });
  return { store, fault: () => fault };
}
