import { expect, test } from 'vitest';
import { type FormerReadings, FormerStreams } from '../../src/agent/former-readings.ts';
import { Inbox } from '../../src/agent/inbox.ts';
import { openDatabase } from '../../src/store/database.ts';
import { TIMES_BACKWARDS } from '../../src/store/reading.ts';
import type { SqliteStore } from '../../src/store/sqlite-store.ts';
import { testHold } from '../support/clock-hold.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { uniform } from '../support/random.ts';
import { testSpec } from '../support/specs.ts';
import { openStore, tempFolder } from '../support/stores.ts';

const START = Date.UTC(2025, 0, 1);
const PACE = { breathe: () => undefined, stopped: () => false };

interface Known {
  readonly name: string;
  readonly intervalMs: number;
  /** Null for a stream that is restored after the start. */
  readonly lastMs: number | null;
}

/** The definition, with one query for each stream. */
function oneByOne(store: SqliteStore, { name, intervalMs, lastMs }: Known): FormerReadings | null {
  const savedMs = store.loadSnapshot(name)?.replayFromMs ?? START;
  const fromMs = lastMs === null ? Math.max(START, savedMs - 32 * intervalMs) : lastMs - 32 * intervalMs;
  const toMs = lastMs === null ? undefined : lastMs + 1;
  const times = [...store.samples(name, fromMs, toMs)].slice(-33).map(({ timeMs }) => timeMs);
  const gaps = times.slice(1).map((timeMs, i) => timeMs - (times[i] ?? 0));
  gaps.sort((a, b) => a - b);
  const newestMs = lastMs ?? times.at(-1);
  return newestMs === undefined
    ? null
    : { lastMs: newestMs, spacingMs: gaps[gaps.length >> 1] ?? intervalMs };
}

test.each([1, 2, 3, 4, 5])('one scan finds what a query for each stream finds (%i)', async (seed) => {
  const next = uniform(seed);
  const store = openStore(tempFolder());
  const known: Known[] = [];
  const rows: { stream: string; timeMs: number }[] = [];
  for (let s = 0; s < 40; s++) {
    const name = `s${s}`;
    const intervalMs = 1000 * Math.ceil(20 * next());
    // Denser and rarer than its buckets.
    const spacingMs = intervalMs * (0.3 + 2 * next());
    const count = Math.floor(90 * next() ** 2);
    let timeMs = START + Math.floor(60_000 * next());
    for (let i = 0; i < count; i++) {
      timeMs += Math.ceil(spacingMs * (next() < 0.1 ? 5 : 0.5 + next()));
      rows.push({ stream: name, timeMs });
      if (next() < 0.1) rows.push({ stream: name, timeMs });
    }
    const isLate = next() < 0.5;
    if (isLate && count > 10 && next() < 0.7) {
      const bytes = new Uint8Array(8);
      store.saveSnapshots([{ stream: name, modelHash: 'm', replayFromMs: timeMs - 10 * spacingMs, bytes }]);
    }
    // Also a stored reading that the stream has not taken.
    const lastMs = timeMs - (next() < 0.2 ? intervalMs : 0);
    known.push({ name, intervalMs, lastMs: isLate ? null : lastMs });
  }
  rows.sort((a, b) => a.timeMs - b.timeMs);
  // In the database; in the memory; and, out of order, in both.
  for (const [i, { stream, timeMs }] of rows.entries()) {
    if (i === Math.floor(rows.length * 0.8)) store.settle();
    store.append({ stream, timeMs, value: 1, arrivalMs: timeMs });
  }
  for (const { stream, timeMs } of rows.slice(0, 20))
    store.append({ stream, timeMs, value: 1, arrivalMs: timeMs });
  const former = new FormerStreams(store);
  const views = known.map(({ name, intervalMs, lastMs: lastObservedMs }) => ({
    spec: testSpec(name, { intervalMs }),
    intervalMs,
    lastObservedMs,
  }));
  former.start(
    views,
    views.filter((one) => one.lastObservedMs === null).map(({ spec }) => ({ spec, firstMs: START })),
  );
  expect(former.needs('s0')).toBe(true);
  await former.load(PACE);
  expect(former.needs('s0')).toBe(false);
  const expected = new Map(known.map((one) => [one.name, oneByOne(store, one)]));
  const found = new Map(known.map(({ name }) => [name, former.take(name)]));
  expect(found).toEqual(expected);
  expect([...found.values()].filter((one) => one !== null).length).toBeGreaterThan(20);
  expect(former.take('s0')).toBeNull();
});

test('the scan reads the newest rows only, in pages, between which other tasks run and a stop ends it', async () => {
  const store = openStore(tempFolder());
  const names = Array.from({ length: 500 }, (_, i) => `s${i}`);
  for (let t = 0; t < 100; t++)
    for (const stream of names)
      store.append({ stream, timeMs: START + 1000 * t, value: 1, arrivalMs: START + 1000 * t });
  store.settle();
  const pages: number[] = [];
  const counted = {
    replayFromMs: (stream: string) => store.replayFromMs(stream),
    *newestFirst() {
      for (const page of store.newestFirst()) {
        pages.push(page.length);
        yield page;
      }
    },
  };
  const load = async (stopped: () => boolean) => {
    pages.length = 0;
    const former = new FormerStreams(counted);
    const views = names.map((name) => ({
      spec: testSpec(name, { intervalMs: 60_000 }),
      intervalMs: 60_000,
      lastObservedMs: START + 99_000,
    }));
    former.start(views);
    let breaths = 0;
    const breathe = async () => void breaths++;
    await former.load({ breathe, stopped });
    return { former, breaths };
  };
  const { former, breaths } = await load(() => false);
  // 33 readings of each stream.
  const rows = pages.reduce((sum, one) => sum + one, 0);
  expect(rows).toBeGreaterThanOrEqual(33 * 500);
  expect(rows).toBeLessThan(34 * 500 + Math.max(...pages));
  expect(Math.max(...pages)).toBeLessThanOrEqual(4096);
  expect(breaths).toBeGreaterThanOrEqual(pages.length - 1);
  expect(former.take('s499')).toEqual({ lastMs: START + 99_000, spacingMs: 1000 });
  const ended = await load(() => true);
  expect(pages.length).toBe(1);
  expect(ended.former.take('s499')).toEqual({ lastMs: START + 99_000, spacingMs: 1000 });
});

test('a page of the scan is found by the primary key, without sorting', () => {
  const db = openDatabase(`${tempFolder()}/gatecast.db`);
  const plan = db.prepare(`EXPLAIN QUERY PLAN ${TIMES_BACKWARDS}`).all(START, 1, 10) as { detail: string }[];
  expect(plan.map(({ detail }) => detail)).toEqual(['SEARCH sample USING PRIMARY KEY ((time,stream)<(?,?))']);
  db.close();
});

test('the messages of a backlog wait for the scan in their order, and are timed as of their arrival', async () => {
  const clock = new FakeClock(START + 60_000);
  const store = openStore(tempFolder());
  for (let t = 0; t <= 10; t++)
    store.append({ stream: 'a', timeMs: START + 1000 * t, value: t, arrivalMs: START + 1000 * t });
  const former = new FormerStreams(store);
  former.start([{ spec: testSpec('a'), intervalMs: 1000, lastObservedMs: START + 10_000 }]);
  const hold = testHold({ clock });
  let backlogFromMs: number | null = START + 10_000;
  hold.backlogFrom = () => backlogFromMs;
  const inbox = new Inbox(
    {
      clock,
      router: {
        message: (stream, _payload, arrivalMs) => ({
          samples: [{ stream, timeMs: null, value: clock.monotonic(), arrivalMs }],
          discovered: [],
          requests: [],
          rejects: [],
        }),
      },
      hold,
      former,
      request: () => {},
    },
    () => {},
  );
  const receive = (topic: string) =>
    inbox.receive({ topic, payload: new Uint8Array(), retained: false, acknowledge: null });
  receive('b');
  expect(inbox.needsFormer).toBe(false);
  for (const topic of ['a', 'b', 'a']) receive(topic);
  expect([inbox.needsFormer, inbox.isEmpty]).toEqual([true, false]);
  const before = inbox.take();
  await former.load(PACE);
  // The backlog is over, but these messages came before.
  backlogFromMs = null;
  clock.advance(5000);
  inbox.time();
  receive('a');
  const times = [...before, ...inbox.take()].map(({ samples: [sample] }) => [
    sample?.stream,
    (sample?.timeMs ?? 0) - START,
  ]);
  expect(times).toEqual([
    ['b', 60_000],
    ['a', 11_000],
    ['b', 60_000],
    ['a', 12_000],
    ['a', 65_000],
  ]);
  expect(inbox.needsFormer).toBe(false);
});
