/** A data directory as an agent leaves it after weeks: samples in the store, and the streams that it knew. */
import { KnownStreams } from '../../src/agent/known-streams.ts';
import { createRouter, validateConfig } from '../../src/config/index.ts';
import { SqliteStore } from '../../src/store/sqlite-store.ts';
import { systemClock } from '../../src/system/clock.ts';
import { normal } from './random.ts';
import { machine } from './series.ts';

export interface HistoryOptions {
  readonly dir: string;
  readonly config: Record<string, unknown>;
  /** Topic of each stream, matched by the config, with a plain number as payload; and its name. */
  readonly streams: readonly { readonly topic: string; readonly name: string }[];
  readonly stepMs: number;
  readonly buckets: number;
  /** Newest buckets that the next start replays into the streams' states; the others are only stored. */
  readonly replayed: number;
  /** Of stream s in bucket t, which starts at `timeMs`. */
  readonly value: (s: number, t: number, timeMs: number) => number;
}

/** Ends with the newest bucket that is over now. */
export function recordHistory({
  dir,
  config,
  streams,
  stepMs,
  buckets,
  replayed,
  value,
}: HistoryOptions): void {
  const store = SqliteStore.open({
    dir,
    maxBytes: 2 ** 30,
    retentionMs: 1e12,
    clock: systemClock,
    onFault: ({ message }) => {
      throw new Error(message);
    },
  });
  const router = createRouter(validateConfig(config));
  const known = new KnownStreams(store);
  const endMs = Math.floor(Date.now() / stepMs) * stepMs;
  for (const { topic } of streams) {
    const found = router.adopt({ topic, field: '' });
    if (found === null) throw new Error(`the config does not read ${topic}`);
    known.add(found, endMs - replayed * stepMs);
  }
  for (let t = 0; t < buckets; t++) {
    const startMs = endMs - (buckets - t) * stepMs;
    streams.forEach(({ name }, s) => {
      const timeMs = startMs + Math.floor(stepMs / 5);
      store.append({ stream: name, timeMs, value: value(s, t, startMs), arrivalMs: timeMs });
    });
    if (t % 40 === 39) store.settle();
  }
  known.save();
  store.flush();
  store.close();
}

/** Records 20 hours of three machines, one bucket a minute, which fine-tuning can learn; the config reads them on `slow/NAME`. */
export function recordMachines(dir: string, config: Record<string, unknown>): void {
  const names = ['boiler', 'pump', 'tank'];
  const noise = normal(1);
  const machines = names.map(() => machine(noise));
  recordHistory({
    dir,
    config,
    streams: names.map((name) => ({ topic: `slow/${name}`, name })),
    stepMs: 60_000,
    buckets: 1200,
    replayed: 400,
    value: (s) => 10 * (s + 1) + (machines[s]?.() ?? 0),
  });
}
