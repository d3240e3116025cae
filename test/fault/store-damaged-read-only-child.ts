/** A database that shows its damage while the disk is read-only, as a dying card does; then the disk takes data again. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SqliteStore } from '../../src/store/sqlite-store.ts';
import { sleep } from '../support/wait.ts';
import { keepAll, NUMBERED_T0, numbered } from './store-numbered.ts';

const dir = process.argv[2]!;
const faults: string[] = [];
const options = { ...keepAll(dir, ({ kind }) => faults.push(kind)), steadyMs: 0 };
const first = SqliteStore.open(options);
for (let i = 0; i < 250_000; i++) {
  first.append(numbered(i));
  if (i % 50_000 === 0) first.settle();
}
first.close();

const store = SqliteStore.open(options);
const path = join(dir, 'gatecast.db');
const bytes = readFileSync(path);
// beyond what the page cache holds
bytes.fill(0xa5, 2_000_000, 3_000_000);
writeFileSync(path, bytes);
// A reader beside: this process has the file open for writing, which keeps the mount from turning read-only.
execFileSync('mount', ['-o', 'bind', dir, dir]);
execFileSync('mount', ['-o', 'remount,bind,ro', dir]);
for (const _ of store.since(NUMBERED_T0)) if (faults.length > 0) break;
store.append(numbered(260_000));
store.flush();

execFileSync('umount', [dir]);
await sleep(1100);
store.flush();
store.settle();
console.log(faults.join('\n'));
console.log(`newest ${[...store.since(NUMBERED_T0)].at(-1)!.value}`);
store.close();
