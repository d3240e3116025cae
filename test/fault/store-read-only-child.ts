/** Stores before, while and after its disk is read-only; prints what can be read at each time. Runs where it may remount. */
import { execFileSync } from 'node:child_process';
import { SqliteStore } from '../../src/store/sqlite-store.ts';
import { sleep } from '../support/wait.ts';
import { countNumbered, keepAll, NUMBERED_T0, numbered } from './store-numbered.ts';

const dir = process.argv[2]!;
const faults: string[] = [];
const options = { ...keepAll(dir, ({ kind }) => faults.push(kind)), steadyMs: 0 };
let next = 0;
const add = (store: SqliteStore, until: number): void => {
  while (next < until) store.append(numbered(next++));
};
const first = SqliteStore.open(options);
add(first, 1000);
first.settle();
console.log(`before ${countNumbered(first.since(NUMBERED_T0))}`);
first.close();

execFileSync('mount', ['-o', 'remount,ro', dir]);
const store = SqliteStore.open(options);
// what the disk has cannot be reached, what comes is kept
add(store, 1500);
if (store.flush()) throw new Error('nothing can be safe on a read-only disk');
console.log(`read-only ${1000 + [...store.since(NUMBERED_T0)].length}`);

execFileSync('mount', ['-o', 'remount,rw', dir]);
await sleep(1100);
add(store, 2000);
store.flush();
store.settle();
console.log(faults.join('\n'));
console.log(`after ${countNumbered(store.since(NUMBERED_T0))}`);
store.close();
