/** Stores more than its disk holds, flushing often; prints what became of it. */
import { SqliteStore } from '../../src/store/sqlite-store.ts';
import { sleep } from '../support/wait.ts';
import { keepAll, NUMBERED_T0, numbered } from './store-numbered.ts';

const faults: string[] = [];
const store = SqliteStore.open(
  keepAll(process.argv[2]!, ({ kind, message }) => faults.push(`${kind}: ${message}`)),
);
let flushed = 0;
for (let n = 0; n < 700_000; n++) {
  store.append(numbered(n));
  if (n % 500 !== 0) continue;
  if (store.flush()) flushed++;
  // an outage is tried again after a second at the earliest
  else if (n % 50_000 === 0) await sleep(1100);
}
for (let i = 0; i < 10 && !store.flush(); i++) await sleep(1100);
const rows = [...store.since(NUMBERED_T0)];
console.log(
  JSON.stringify({
    flushed,
    rows: rows.length,
    newest: rows.at(-1)!.value - 0.5,
    faults: faults.slice(0, 20),
    deleted: store.stats().deletedForSpace,
  }),
);
