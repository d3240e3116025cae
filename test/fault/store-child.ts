/**
 * A process that stores numbered samples and prints `safe N` when N of them are. Arguments: folder, rows, rows a flush,
 * `power` to be safe from power cuts too. Goes on from where the store ends.
 */
import { SqliteStore } from '../../src/store/sqlite-store.ts';
import { systemClock } from '../../src/system/clock.ts';
import { NUMBERED_T0, numbered } from './store-numbered.ts';

const [dir, rows, perFlush, mode] = process.argv.slice(2);
/** There is an outage. */
let out = false;
const store = SqliteStore.open({
  dir: dir!,
  maxBytes: 2 ** 30,
  retentionMs: 1e13,
  durability: mode === 'power' ? 'power' : 'crash',
  steadyMs: 300,
  clock: systemClock,
  onFault: (fault) => {
    console.log(`fault ${fault.kind}`);
    out = fault.kind === 'unavailable' || (out && fault.kind !== 'recovered');
  },
});
let next = [...store.since(NUMBERED_T0)].length;
console.log(`safe ${next}`);
const end = Number(rows);
const round = (): void => {
  for (let i = 0; i < Number(perFlush) && next < end; i++) {
    const { stream, timeMs } = numbered(next);
    store.reject(stream, 'late', timeMs);
    store.append(numbered(next++));
  }
  if (next % 3 === 0) store.setMeta('newest', String(next));
  if (next % 5 === 0) {
    store.saveSnapshots([
      { stream: 's0', modelHash: 'm', replayFromMs: next, bytes: new Uint8Array(300).fill(next) },
    ]);
  }
  if (store.flush()) console.log(`safe ${next}`);
  if (next < end || out) setTimeout(round, next < end ? 1 : 100);
  else {
    store.close();
    console.log('done');
  }
};
round();
