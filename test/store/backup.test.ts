import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { expect, test } from 'vitest';
import { backupName, filesBelow, pruneBackups } from '../../src/store/backup.ts';
import { openStore, tempFolder } from '../support/stores.ts';

const sample = (n: number) => ({ stream: `s${n % 3}`, timeMs: n * 1000, value: n, arrivalMs: n * 1000 });

test('a backup contains all samples and files, and an agent can continue from it', async () => {
  const dir = tempFolder();
  const store = openStore(dir);
  for (let n = 0; n < 5000; n++) store.append(sample(n));
  store.setMeta('key', 'value');
  mkdirSync(join(dir, 'models', 'mine'), { recursive: true });
  writeFileSync(join(dir, 'models', 'mine', 'weights'), Uint8Array.of(1, 2, 3));
  writeFileSync(join(dir, 'models', 'slots.json'), '{}');
  const files = filesBelow(join(dir, 'models'), 'models');
  expect(files.map(({ name }) => name).sort()).toEqual(['models/mine/weights', 'models/slots.json']);

  const path = join(dir, 'backups', 'one.db');
  const written = store.backup(path, files);
  // Meanwhile it goes on.
  for (let n = 5000; n < 9000; n++) {
    store.append(sample(n));
    if (n % 100 === 0) await new Promise(setImmediate);
  }
  store.settle();
  const bytes = await written;
  store.close();
  expect(bytes).toBe(readFileSync(path).length);
  expect(readdirSync(join(dir, 'backups'))).toEqual(['one.db']);

  const db = new Sqlite(path, { readonly: true });
  expect(db.pragma('integrity_check', { simple: true })).toBe('ok');
  expect(db.prepare('SELECT data FROM sqlar WHERE name = ?').pluck().get('models/mine/weights')).toEqual(
    Buffer.from([1, 2, 3]),
  );
  db.close();

  const other = tempFolder();
  writeFileSync(join(other, 'gatecast.db'), readFileSync(path));
  const again = openStore(other);
  expect([...again.since(0)].length).toBeGreaterThanOrEqual(5000);
  expect(again.getMeta('key')).toBe('value');
  again.close();
  const tool = spawnSync('sqlite3', [path, '-A', '-t'], { encoding: 'utf8' });
  if (tool.error === undefined) expect(tool.stdout).toContain('models/slots.json');
});

test('a failed backup leaves no file and is reported', async () => {
  const dir = tempFolder();
  const store = openStore(dir);
  store.append(sample(1));
  const missing = [{ name: 'x', path: join(dir, 'no-such-file') }];
  await expect(store.backup(join(dir, 'backups', 'one.db'), missing)).rejects.toMatchObject({
    code: 'STORE_FAILED',
    message: expect.stringMatching(/^The backup failed: .*no-such-file/),
  });
  expect(readdirSync(join(dir, 'backups'))).toEqual([]);
  writeFileSync(join(dir, 'file'), '');
  // Fails after the database has been copied.
  const twice = [1, 2].map(() => ({ name: 'same', path: join(dir, 'file') }));
  await expect(store.backup(join(dir, 'backups', 'one.db'), twice)).rejects.toMatchObject({
    message: expect.stringMatching(/UNIQUE constraint/),
  });
  expect(readdirSync(join(dir, 'backups'))).toEqual([]);
  await expect(store.backup(join(dir, 'file', 'one.db'), [])).rejects.toMatchObject({ code: 'STORE_FAILED' });
});

test('the newest backups are kept; partial ones of a crash are removed; other files are not touched', () => {
  const dir = tempFolder();
  const names = Array.from({ length: 8 }, (_, n) => {
    const name = backupName(dir, Date.UTC(2025, 0, 1, 0, 0, 7 - n));
    writeFileSync(join(dir, name), '');
    // Written in this order, whatever the clock said.
    utimesSync(join(dir, name), 1000 + n, 1000 + n);
    return name;
  });
  expect(names[0]).toBe('gatecast-20250101T000007Z.db');
  expect(backupName(dir, Date.UTC(2025, 0, 1, 0, 0, 7))).toBe('gatecast-20250101T000007Z-2.db');
  const others = ['mine.db', 'old-gatecast-20200101T000000Z.db', 'gatecast-20200101T000000Z.db.bak'];
  for (const name of others) writeFileSync(join(dir, name), '');
  writeFileSync(join(dir, `${names[0]}.partial`), '');
  expect(pruneBackups(dir, 5).sort()).toEqual([...names.slice(0, 3), `${names[0]}.partial`].sort());
  expect(readdirSync(dir).sort()).toEqual([...names.slice(3), ...others].sort());
  expect(pruneBackups(join(dir, 'none'), 5)).toEqual([]);
  expect(existsSync(join(dir, 'none'))).toBe(false);
});

test('the newest backups are those written last, also of names with a number', () => {
  const dir = tempFolder();
  const names = Array.from({ length: 12 }, (_, n) => {
    const name = backupName(dir, Date.UTC(2025, 0, 1));
    writeFileSync(join(dir, name), '');
    utimesSync(join(dir, name), 1000 + n, 1000 + n);
    return name;
  });
  expect(names.at(-1)).toBe('gatecast-20250101T000000Z-12.db');
  expect(pruneBackups(dir, 4).sort()).toEqual(names.slice(0, 8).sort());
  expect(readdirSync(dir).sort()).toEqual(names.slice(8).sort());
});
