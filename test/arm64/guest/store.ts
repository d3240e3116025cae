// Writes to the store and dies by SIGKILL between flushes (`write`), or prints what a store holds (`read`).
import { SqliteStore } from '../../../src/store/sqlite-store.ts';
import { systemClock } from '../../../src/system/clock.ts';

const [mode, dir = ''] = process.argv.slice(2);
const store = SqliteStore.open({
  dir,
  maxBytes: 64 * 2 ** 20,
  retentionMs: 10 * 365 * 86_400_000,
  clock: systemClock,
  onFault: (fault) => console.error(fault),
});
// Recent, so that nothing is too old to be kept.
const start = Math.floor(Date.now() / 86_400_000) * 86_400_000;
if (mode === 'write') {
  const append = (from: number, to: number) => {
    for (let i = from; i < to; i++) {
      const timeMs = start + i * 1000;
      store.append({ stream: `s${i % 3}`, timeMs, value: i / 8, arrivalMs: timeMs });
    }
  };
  append(0, 3000);
  const bytes = Uint8Array.from({ length: 300 }, (_, i) => i % 256);
  store.saveSnapshots([{ stream: 's0', modelHash: 'abc/1.1', replayFromMs: start, bytes }]);
  if (!store.flush()) throw new Error('the flush failed');
  append(3000, 3300);
  process.kill(process.pid, 'SIGKILL');
} else {
  const samples = [...store.samples('s1', 0)];
  const snapshot = store.loadSnapshot('s0');
  console.log(
    JSON.stringify({
      samples: samples.length,
      sum: samples.reduce((sum, { value }) => sum + value, 0),
      ordered: samples.every(({ timeMs }, i) => i === 0 || timeMs > samples[i - 1]!.timeMs),
      snapshot: snapshot && { modelHash: snapshot.modelHash, bytes: [...snapshot.bytes] },
    }),
  );
  store.close();
}
