// The promise of the restart: an engine that is restored from any point goes on exactly like one that never stopped.
import { describe, expect, test } from 'vitest';
import { Checkpoints } from '../../src/agent/checkpoints.ts';
import { restoreStreams } from '../../src/agent/restore.ts';
import { Engine } from '../../src/forecast/engine.ts';
import type { Forecast } from '../../src/forecast/forecast.ts';
import type { Sample } from '../../src/series/sample.ts';
import { seeded } from '../support/page.ts';
import { testSpec } from '../support/specs.ts';
import { openStore, tempFolder } from '../support/stores.ts';

const START = Date.UTC(2025, 0, 1);
const SPECS = [
  testSpec('a'),
  testSpec('b', { intervalMs: 2000, fill: 'hold', horizonMs: 20_000 }),
  testSpec('learnt', { intervalMs: null }),
];

/** Half-second readings with noise, holes, and some out of order. */
function samples(count: number): Sample[] {
  const random = seeded(7);
  const list: Sample[] = [];
  for (let i = 0; i < count; i++) {
    for (const { name } of SPECS) {
      if (name === 'a' && i % 90 > 80) continue;
      const swap = random() < 0.1 ? -300 : 0;
      const timeMs = START + i * 500 + swap;
      list.push({ stream: name, timeMs, value: 10 + Math.sin(i / 20) + random(), arrivalMs: timeMs });
    }
  }
  return list;
}

const key = (f: Forecast) => ({ ...f, quantiles: [...f.quantiles] });

async function feed(engine: Engine, list: readonly Sample[], store?: ReturnType<typeof openStore>) {
  const out: Forecast[] = [];
  for (const [i, sample] of list.entries()) {
    if (engine.push(sample) === 'accepted') store?.append(sample);
    if (i % 10 === 9) out.push(...(await engine.tick(null, true)));
  }
  return out;
}

describe('restoreStreams', () => {
  test.each([
    { cut: 3, snapshotAt: null },
    { cut: 500, snapshotAt: null },
    { cut: 1200, snapshotAt: 700 },
    { cut: 1201, snapshotAt: 1200 },
  ])(
    'cut after $cut samples, state saved at $snapshotAt: the rest is the same',
    async ({ cut, snapshotAt }) => {
      const list = samples(600);
      const whole = new Engine(null);
      for (const spec of SPECS) whole.add(spec);
      await feed(whole, list.slice(0, cut));
      const expected = (await feed(whole, list.slice(cut))).map(key);

      const dir = tempFolder();
      const store = openStore(dir);
      const first = new Engine(null);
      for (const spec of SPECS) first.add(spec);
      await feed(first, list.slice(0, snapshotAt ?? 0), store);
      if (snapshotAt !== null) {
        const checkpoints = new Checkpoints(first, store);
        for (const { name } of SPECS) {
          checkpoints.add(name, 'new', 100);
          checkpoints.accepted(name);
        }
        expect(checkpoints.saveAll(() => 0)).toBe(true);
      }
      await feed(first, list.slice(snapshotAt ?? 0, cut), store);
      store.flush();
      // No close: what a crash leaves.

      const second = new Engine(null);
      const reopened = openStore(dir);
      const restored = await restoreStreams(
        second,
        reopened,
        SPECS.map((spec) => ({ spec, firstMs: START - 1000 })),
      );
      expect(restored.map((s) => s.state)).toEqual(SPECS.map(() => (snapshotAt === null ? 'new' : 'saved')));
      const got = (await feed(second, list.slice(cut))).map(key);
      reopened.close();
      // Buckets that were over at the cut come out of the replay, which publishes nothing; all others must be there.
      const found = new Map(got.map((f) => [`${f.stream} ${f.originMs}`, f]));
      const missing = expected.filter((f) => !found.has(`${f.stream} ${f.originMs}`));
      expect(missing.length).toBeLessThanOrEqual(12);
      for (const wanted of expected)
        expect(found.get(`${wanted.stream} ${wanted.originMs}`) ?? wanted).toEqual(wanted);
    },
  );

  test('a state of another model is rebuilt from stored samples', async () => {
    const store = openStore(tempFolder());
    const engine = new Engine(null);
    engine.add(SPECS[0]!);
    const list = samples(400);
    await feed(engine, list, store);
    const snapshot = engine.snapshot('a')!;
    store.saveSnapshots([{ ...snapshot, modelHash: 'of another model' }]);
    const second = new Engine(null);
    const [result] = await restoreStreams(second, store, [{ spec: SPECS[0]!, firstMs: START }]);
    expect(result).toMatchObject({ name: 'a', state: 'rebuilt' });
    expect(result!.replayed).toBeGreaterThan(300);
    const next = samples(450).slice(list.length);
    const expected = (await feed(engine, next)).map(key);
    expect(expected.length).toBeGreaterThan(10);
    expect((await feed(second, next)).map(key)).toEqual(expected);
  });

  test('a rebuilt state does not learn from before a reset', async () => {
    const store = openStore(tempFolder());
    const engine = new Engine(null);
    engine.add(SPECS[0]!);
    await feed(engine, samples(400), store);
    const snapshot = engine.snapshot('a')!;
    store.saveSnapshots([{ ...snapshot, modelHash: 'of another model' }]);
    const resetMs = START + 150_000;
    const second = new Engine(null);
    await restoreStreams(second, store, [{ spec: SPECS[0]!, firstMs: resetMs }]);
    const since = [...store.samples('a', resetMs)];
    const fresh = new Engine(null);
    fresh.add(SPECS[0]!);
    for (const { timeMs, value } of since) fresh.push({ stream: 'a', timeMs, value, arrivalMs: Number.NaN });
    await fresh.tick(null);
    expect(second.streams()[0]!.bucketsSeen).toBe(fresh.streams()[0]!.bucketsSeen);
  });

  test.each([
    ['a stream that was live is forecast by the clock, also without a saved state', 5000, true],
    ['history is not', 86_400_000, false],
  ])('%s', async (_, sinceMs, isForecast) => {
    const store = openStore(tempFolder());
    const list = samples(100).filter(({ stream }) => stream === 'a');
    for (const sample of list) store.append(sample);
    const nowMs = list.at(-1)!.timeMs + sinceMs;
    const engine = new Engine(null);
    await restoreStreams(engine, store, [{ spec: SPECS[0]!, firstMs: START }], nowMs);
    const made = await engine.tick(nowMs + 5000);
    expect(made.map(({ stream }) => stream)).toEqual(isForecast ? ['a'] : []);
  });

  test('samples ahead of the clock are ignored', async () => {
    const store = openStore(tempFolder());
    const list = samples(300).filter(({ stream }) => stream === 'a');
    for (const sample of list) store.append(sample);
    const endMs = list.at(-1)!.timeMs;
    const yearMs = 365 * 86_400_000;
    store.append({ stream: 'a', timeMs: endMs + yearMs, value: 1, arrivalMs: endMs + yearMs });
    store.append({ stream: 'a', timeMs: endMs + yearMs + 5000, value: 1, arrivalMs: endMs + yearMs + 5000 });
    const engine = new Engine(null);
    await restoreStreams(engine, store, [{ spec: SPECS[0]!, firstMs: START }], endMs + 1000);
    expect(engine.streams()[0]!.lastObservedMs).toBe(endMs);
    const live = { stream: 'a', timeMs: endMs + 2000, value: 10, arrivalMs: endMs + 2000 };
    expect(engine.push(live)).toBe('accepted');
  });

  test('a running stream keeps its due bucket for the next tick while another is restored', async () => {
    const store = openStore(tempFolder());
    const [running, late] = [testSpec('running'), testSpec('late')];
    const engine = new Engine(null);
    engine.add(running);
    for (let i = 0; i < 5; i++) {
      const timeMs = START + i * 1000;
      engine.push({ stream: 'running', timeMs, value: i, arrivalMs: timeMs });
      store.append({ stream: 'late', timeMs, value: i, arrivalMs: timeMs });
    }
    store.flush();
    await restoreStreams(engine, store, [{ spec: late, firstMs: START }]);
    const seen = engine.streams().map(({ spec, bucketsSeen }) => [spec.name, bucketsSeen]);
    expect(seen).toEqual([
      ['running', 0],
      ['late', 4],
    ]);
    expect((await engine.tick(null)).map(({ stream }) => stream)).toEqual(['running']);
  });
});
