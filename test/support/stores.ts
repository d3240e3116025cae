/** Real stores in a temporary folder, removed after the test. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { SqliteStore, type SqliteStoreOptions } from '../../src/store/sqlite-store.ts';
import { systemClock } from '../../src/system/clock.ts';

export function tempFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'gatecast-test-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Closed after the test at the latest. */
export function openStore(dir: string, options: Partial<SqliteStoreOptions> = {}): SqliteStore {
  const store = SqliteStore.open({
    dir,
    maxBytes: 64e6,
    retentionMs: 60 * 86_400_000,
    clock: systemClock,
    onFault: () => undefined,
    ...options,
  });
  onTestFinished(() => store.close());
  return store;
}
