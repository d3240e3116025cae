import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { openDatabase, openReadOnly, quarantine, ReadCheck } from '../../src/store/database.ts';
import { samplesIn } from '../../src/store/reading.ts';
import { salvage } from '../../src/store/salvage.ts';
import { Segments } from '../../src/store/segments.ts';
import type { SqliteStore, SqliteStoreOptions, StoreFault } from '../../src/store/sqlite-store.ts';
import { Waiting } from '../../src/store/waiting.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { openStore } from '../support/stores.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();
const T0 = Date.UTC(2025, 0, 1);
const DAY = 86_400_000;

function open(dir: string, options: Partial<SqliteStoreOptions> = {}) {
  const faults: StoreFault[] = [];
  const clock = new FakeClock(T0);
  const onFault = (fault: StoreFault) => faults.push(fault);
  const store = openStore(dir, { maxBytes: 2 ** 28, clock, onFault, ...options });
  return { store, faults, clock, kinds: () => faults.map((f) => f.kind) };
}
function sample(stream: string, second: number, value = second) {
  return { stream, timeMs: T0 + second * 1000, value, arrivalMs: T0 };
}
const count = (store: SqliteStore, stream = 'a') => [...store.samples(stream, 0)].length;

const journalOf = (dir: string): string =>
  join(dir, readdirSync(dir).find((name) => name.endsWith('.journal')) ?? 'none');

/** What `kill -9` leaves: copies the files as they are while the store is open. */
function crashed(dir: string): string {
  const copy = temp();
  for (const name of readdirSync(dir)) {
    if (!name.endsWith('-shm')) writeFileSync(join(copy, name), readFileSync(join(dir, name)));
  }
  return copy;
}

it('reports a database that is empty although the store was in use', () => {
  const dir = temp();
  const { store } = open(dir);
  store.append(sample('a', 0));
  store.close();
  for (const suffix of ['-wal', '-shm']) rmSync(join(dir, `gatecast.db${suffix}`), { force: true });
  truncateSync(join(dir, 'gatecast.db'));
  const again = open(dir);
  again.store.append(sample('a', 1));
  again.store.settle();
  expect(again.kinds()).toEqual(['quarantined']);
  expect([...again.store.samples('a', T0)].length).toBe(1);
  again.store.close();
  expect(open(dir).kinds()).toEqual([]);
});

describe('renaming streams', () => {
  const rename = (store: SqliteStore, names: Record<string, string>) => [
    ...store.rename(new Map(Object.entries(names)), 'list', (done) => [...done].join()),
  ];

  it('moves stored, journalled and waiting data, at once and after a crash', () => {
    const dir = temp();
    const { store } = open(dir);
    store.append(sample('a', 0));
    store.settle();
    store.append(sample('a', 1));
    store.flush();
    store.append(sample('a', 2));
    store.mark('a', { fromMs: T0, toMs: T0 + 1, marks: 4 });
    store.anomaly('a', { timeMs: T0, observed: 1, score: 5 });
    store.setMeta('list', 'before');
    const journal = readdirSync(dir).find((name) => name.endsWith('.journal')) ?? 'none';
    const content = readFileSync(join(dir, journal));
    expect(rename(store, { a: 'b' })).toEqual(['a']);
    store.append(sample('b', 3));
    const expectMoved = (one: SqliteStore) => {
      expect([...one.samples('b', 0)].map(({ value, mark }) => [value, mark])).toEqual([
        [0, 4],
        [1, 0],
        [2, 0],
        [3, 0],
      ]);
      expect(count(one, 'a')).toBe(0);
      expect(one.anomaliesOf('b', 0, T0 + 1, 9).length).toBe(1);
      expect(one.getMeta('list')).toBe('a');
    };
    expectMoved(store);
    store.flush();
    const copy = crashed(dir);
    // The crash came before the journal of the former name was removed.
    writeFileSync(join(copy, journal), content);
    expectMoved(open(copy).store);
  });

  it('leaves out a stream whose new name has data, and one without data', () => {
    const { store } = open(temp());
    for (const name of ['a', 'b', 'c']) store.append(sample(name, 0));
    store.reject('taken', 'absurd-time', T0);
    expect(rename(store, { a: 'b', none: 'd' })).toEqual([]);
    expect(store.getMeta('list')).toBeNull();
    expect(rename(store, { a: 'taken', c: 'e' })).toEqual(['c']);
    expect(['a', 'b', 'c', 'e'].map((name) => count(store, name))).toEqual([1, 1, 0, 1]);
    // The former name is free: another stream does not get the data.
    store.append(sample('c', 1));
    store.settle();
    expect([count(store, 'c'), count(store, 'e')]).toEqual([1, 1]);
  });
});

describe('SqliteStore', () => {
  it('counts a sample that has no number or no time', () => {
    const { store } = open(temp());
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) store.append(sample('a', 1, value));
    store.append({ ...sample('a', 1), timeMs: Number.NaN });
    store.append(sample('a', 2));
    store.settle();
    expect([count(store), store.stats().refusedRows]).toEqual([1, 3]);
  });

  it('divides its rows into slices of limited size, also where many rows have one time', () => {
    const { store } = open(temp());
    for (let second = 0; second < 600; second++)
      for (let stream = 0; stream < 100; stream++) store.append(sample(`s${stream}`, second));
    for (let stream = 0; stream < 25_000; stream++) store.append(sample(`t${stream}`, 700));
    store.append(sample('s0', 800));
    store.settle();
    const slices: number[] = [];
    const rare: number[] = [];
    for (let atMs = 0; Number.isFinite(atMs); ) {
      const endMs = store.sliceEnd(atMs);
      slices.push([...store.since(atMs, undefined, endMs)].length);
      rare.push(...[...store.since(atMs, ['s0'], endMs)].map(({ value }) => value));
      atMs = endMs;
    }
    expect(slices).toEqual([20_000, 20_000, 20_000, 25_000, 1]);
    expect(rare).toEqual([...store.samples('s0', 0)].map(({ value }) => value));
  });

  it('keeps the last flushed value after a crash', () => {
    const dir = temp();
    const { store } = open(dir);
    for (const value of ['first', 'second', 'third']) {
      store.setMeta('k', value);
      store.flush();
    }
    const again = open(crashed(dir));
    expect(again.store.getMeta('k')).toBe('third');
  });

  it('keeps flushed data after a crash, without duplicates', () => {
    const dir = temp();
    const { store } = open(dir);
    for (let i = 0; i < 5000; i++) {
      store.append(sample('a', i));
      if (i % 7 === 0) store.flush();
    }
    store.setMeta('k', 'v');
    store.flush();
    store.append(sample('a', 9999));
    const again = open(crashed(dir));
    expect(count(again.store)).toBe(5000);
    expect(again.store.stats().samples).toBe(5000);
    expect(again.store.getMeta('k')).toBe('v');
    expect(again.faults).toEqual([]);
  });

  it('writes little however often it is flushed', () => {
    const { store } = open(temp());
    store.setMeta('k', 'v'.repeat(500));
    const before = store.stats().writtenBytes;
    for (let i = 0; i < 12_000; i++) {
      store.append(sample(`s${i % 10}${'x'.repeat(80)}`, Math.floor(i / 10)));
      store.flush();
    }
    const perSample = (store.stats().writtenBytes - before) / 12_000;
    expect(perSample).toBeGreaterThan(20);
    expect(perSample).toBeLessThan(100);
  });

  it('writes little where one sample in ten is marked, and has the marks after a crash', () => {
    const dir = temp();
    const { store } = open(dir);
    const before = store.stats().writtenBytes;
    for (let i = 0; i < 12_000; i++) {
      const stream = `s${i % 10}`;
      const second = Math.floor(i / 10);
      store.append(sample(stream, second));
      // A bucket closes, and is marked, two readings later.
      if (i % 100 < 10)
        store.mark(stream, {
          fromMs: T0 + (second - 2) * 1000,
          toMs: T0 + (second - 1) * 1000,
          marks: 1,
          ...(i % 200 < 10 && { timesMs: [T0 + (second - 2) * 1000] }),
        });
      store.flush();
    }
    expect((store.stats().writtenBytes - before) / 12_000).toBeLessThan(100);
    const again = open(crashed(dir));
    const marked = [...again.store.samples('s3', 0)].filter(({ mark }) => mark === 1);
    expect(marked.map(({ value }) => value)).toEqual(Array.from({ length: 119 }, (_, i) => 8 + 10 * i));
    expect(again.faults).toEqual([]);
  });

  it('returns all streams in one walk, including waiting rows', () => {
    const { store } = open(temp());
    for (let i = 0; i < 10_000; i++) store.append(sample(i % 2 ? 'a' : 'b', Math.floor(i / 2)));
    store.settle();
    store.append(sample('c', 2));
    store.append(sample('a', 3, -1));
    const rows = [...store.since(T0)];
    expect(rows.length).toBe(10_001);
    expect(rows.every((row, i) => i === 0 || row.timeMs >= rows[i - 1]!.timeMs)).toBe(true);
    expect(rows.filter((r) => r.stream === 'c').length).toBe(1);
    expect(rows.find((r) => r.stream === 'a' && r.timeMs === T0 + 3000)?.value).toBe(3);
    expect([...store.since(T0 + 4_999_000)].length).toBe(2);
  });

  it('returns the times of all samples, newest first, whether they are written to the database or not', () => {
    const { store } = open(temp());
    expect(store.newestMs()).toBeNull();
    for (let i = 0; i < 9000; i++) store.append(sample(i % 2 ? 'a' : 'b', i));
    store.settle();
    expect(store.newestMs()).toBe(T0 + 8_999_000);
    store.append(sample('c', 4000));
    store.append(sample('c', 9000));
    expect(store.newestMs()).toBe(T0 + 9_000_000);
    const rows = [...store.newestFirst()].flat();
    const times = rows.map(({ timeMs }) => (timeMs - T0) / 1000);
    const expected = [...Array.from({ length: 9001 }, (_, i) => 9000 - i), 4000].sort((a, b) => b - a);
    expect(times).toEqual(expected);
    const named = rows.map(({ stream, timeMs }) => `${stream} ${(timeMs - T0) / 1000}`).sort();
    const all = Array.from({ length: 9000 }, (_, i) => `${i % 2 ? 'a' : 'b'} ${i}`);
    expect(named).toEqual([...all, 'c 4000', 'c 9000'].sort());
  });

  it('sets a mark on a row of the database before and after the mark is written', () => {
    const { store } = open(temp());
    for (const stream of ['a', 'b']) for (const second of [1, 2, 3]) store.append(sample(stream, second));
    store.settle();
    store.mark('a', { fromMs: T0 + 2000, toMs: T0 + 3000, marks: 4 });
    const marks = () => ['a', 'b'].map((name) => [...store.samples(name, 0)].map(({ mark }) => mark));
    expect(marks()).toEqual([
      [0, 4, 0],
      [0, 0, 0],
    ]);
    expect([...store.since(0)].filter(({ mark }) => mark === 4).map(({ stream }) => stream)).toEqual(['a']);
    store.settle();
    expect(marks()[0]).toEqual([0, 4, 0]);
  });

  it('writes later marks to the journal after the oldest waiting ones were dropped', () => {
    const dir = temp();
    const { store } = open(dir, { maxPending: 3 });
    for (let second = 1; second <= 5; second++) {
      store.append(sample('a', second));
      store.settle();
    }
    for (let second = 1; second <= 5; second++) {
      store.mark('a', { fromMs: T0 + second * 1000, toMs: T0 + second * 1000 + 1, marks: 4 });
      if (second >= 3) store.flush();
    }
    const again = open(crashed(dir));
    expect([...again.store.samples('a', 0)].slice(2).map(({ mark }) => mark)).toEqual([4, 4, 4]);
  });

  it('can be read by another process, as of the last settle', () => {
    const dir = temp();
    const { store } = open(dir);
    store.append(sample('a', 1));
    store.settle();
    const read = [...samplesIn(join(dir, 'gatecast.db'), 0)];
    expect(read).toEqual([{ stream: 'a', timeMs: T0 + 1000, value: 1, mark: 0 }]);
  });

  it('ignores invalid numbers and times', () => {
    const { store } = open(temp());
    store.append(sample('a', 1, Number.NaN));
    store.append({ ...sample('a', 1), timeMs: Number.POSITIVE_INFINITY });
    store.append(sample('a', 2));
    expect(store.settle()).toBe(true);
    expect(count(store)).toBe(1);
  });
});

describe('limits', () => {
  it('removes rows older than the retention', () => {
    const { store } = open(temp(), { retentionMs: DAY });
    for (let hour = 0; hour < 72; hour++) store.append(sample('a', hour * 3600));
    store.settle();
    expect(store.trim(T0 + 3 * DAY)).toBe(47);
    expect(store.stats().samples).toBe(25);
  });

  it('is not emptied by a clock that jumps ahead', () => {
    const { store } = open(temp(), { retentionMs: DAY });
    for (let hour = 0; hour < 12; hour++) store.append(sample('a', hour * 3600));
    store.settle();
    expect(store.trim(T0 + 365 * DAY)).toBe(0);
  });

  describe('with a clock that may be wrong', () => {
    const HOUR = 3_600_000;
    const retentionMs = 20 * DAY;
    const year = 365 * DAY;
    /** A folder with a sample an hour for 20 days, as after a kill. */
    function filled(): string {
      const dir = temp();
      const { store } = open(dir, { retentionMs });
      for (let hour = 0; hour < 20 * 24; hour++) store.append(sample('a', hour * 3600));
      store.flush();
      return crashed(dir);
    }
    function start(dir: string, nowMs: number, options: Partial<SqliteStoreOptions> = {}) {
      const clock = new FakeClock(nowMs);
      const { store } = open(dir, { retentionMs, clock, ...options });
      /** A sample every four hours, and one at the end. @returns rows removed */
      const run = (hours: number): number => {
        let removed = store.trim(clock.now());
        for (let left = hours; left > 0; left -= 4) {
          clock.advance(Math.min(4, left) * HOUR);
          store.append({ ...sample('a', 0), timeMs: clock.now() });
          store.settle();
          removed += store.trim(clock.now());
        }
        return removed;
      };
      return { store, clock, run };
    }
    /** Age of the oldest sample, hours. */
    const oldest = ({ store, clock }: ReturnType<typeof start>): number =>
      Math.ceil((clock.now() - ([...store.samples('a', 0)][0]?.timeMs ?? 0)) / HOUR);

    it('keeps the retention exactly on a gateway that runs eight hours a day and is cut off', () => {
      let dir = filled();
      for (let day = 20; day < 24; day++) {
        const gateway = start(dir, day === 22 ? 0 : T0 + day * DAY);
        if (day === 22) {
          // Without a battery: the clock is set after the start.
          gateway.clock.advance(60_000);
          gateway.store.trim(gateway.clock.now());
          gateway.clock.jump(T0 + day * DAY - gateway.clock.now());
        }
        gateway.run(8);
        expect(oldest(gateway)).toBe(20 * 24);
        dir = crashed(dir);
      }
    });

    it('deletes nothing for a day after the clock jumps a year ahead, each time, and keeps the retention when it is put right', () => {
      const gateway = start(filled(), T0 + 20 * DAY);
      gateway.run(2);
      for (const _ of [1, 2]) {
        gateway.clock.jump(year);
        expect(gateway.run(23)).toBe(0);
        gateway.clock.jump(-year);
        expect(gateway.run(1)).toBeGreaterThan(22);
        expect(oldest(gateway)).toBe(20 * 24);
      }
      gateway.clock.jump(-year);
      expect(gateway.run(26)).toBe(0);
    });

    it.each([1, 3, 7])('keeps a retention of %i days where the machine is suspended each night', (days) => {
      const gateway = start(filled(), T0 + 20 * DAY, { retentionMs: days * DAY });
      for (let night = 0; night < 4; night++) {
        gateway.run(16);
        expect(oldest(gateway)).toBeLessThanOrEqual(days * 24);
        gateway.clock.jump(8 * HOUR);
      }
    });

    it('deletes nothing for a day after a start years ahead, also after further ones', () => {
      let dir = filled();
      for (let day = 20; day < 23; day++) {
        const ahead = start(dir, T0 + day * DAY + 10 * year);
        expect(ahead.run(2)).toBe(0);
        dir = crashed(dir);
      }
      const gateway = start(dir, T0 + 20 * DAY + 10 * year);
      gateway.clock.advance(60_000);
      expect(gateway.store.trim(gateway.clock.now())).toBe(0);
      gateway.clock.jump(-10 * year);
      expect(gateway.run(1)).toBe(2);
      expect(oldest(gateway)).toBe(20 * 24);
    });

    it('keeps the retention a day after a start if the gateway was off for a year', () => {
      const gateway = start(filled(), T0 + 20 * DAY + year);
      expect(gateway.run(23)).toBe(0);
      expect(gateway.run(1)).toBe(480);
    });

    it('keeps the retention from seven days after a gap where the gateway runs eight hours a day, also after a second jump', () => {
      let dir = filled();
      const removed: number[] = [];
      for (let day = 30; day < 39; day++) {
        const gateway = start(dir, T0 + day * DAY);
        removed.push(gateway.run(8));
        dir = crashed(dir);
      }
      // The 10 days off and 7 more have passed, and all since is older.
      expect(removed.map((rows) => rows > 0)).toEqual([...Array<boolean>(7).fill(false), true, true]);
      const gateway = start(dir, T0 + 39 * DAY + year);
      expect(gateway.run(20)).toBe(0);
      gateway.run(8);
      expect(oldest(gateway)).toBeLessThan(48);
      gateway.clock.jump(year);
      expect(gateway.run(23)).toBe(0);
    });

    it('keeps the size', () => {
      const { store } = start(filled(), T0 + 20 * DAY + year, { maxBytes: 20_000 });
      expect(store.trim(T0 + 20 * DAY + year)).toBeGreaterThan(0);
    });

    it('keeps the retention in an empty store at once', () => {
      const { store } = start(temp(), T0 + 30 * DAY);
      expect(store.trim(T0 + 30 * DAY)).toBe(0);
      for (let hour = 0; hour <= 30 * 24; hour++) store.append(sample('a', hour * 3600));
      store.settle();
      expect(store.trim(T0 + 30 * DAY)).toBe(240);
    });
  });

  it('stays within its size and keeps the newest', () => {
    const maxBytes = 400_000;
    const dir = temp();
    const { store } = open(dir, { maxBytes });
    for (let i = 0; i < 60_000; i++) {
      store.append(sample('a', i));
      if (i % 2000 === 0) store.flush();
    }
    store.settle();
    store.trim(T0);
    expect(statSync(join(dir, 'gatecast.db')).size).toBeLessThan(maxBytes * 1.3);
    const kept = [...store.samples('a', 0)];
    expect(kept.length).toBeGreaterThan(5000);
    expect(kept.at(-1)!.value).toBe(59_999);
    expect(store.stats().samples).toBe(kept.length);
  });

  it('frees pages after large deletions', () => {
    const dir = temp();
    const { store } = open(dir);
    for (let i = 0; i < 150_000; i++) store.append(sample(i % 3 ? 'a' : 'b', i));
    store.settle();
    const before = store.stats();
    store.forget('a');
    let removed = 0;
    for (let i = 0; i < 20; i++) removed += store.trim(T0);
    expect(removed).toBe(100_000);
    expect(store.stats().samples).toBe(50_000);
    expect(count(store, 'b')).toBe(50_000);
    store.append(sample('a', 1));
    store.settle();
    expect(count(store, 'a')).toBe(1);
    expect(store.stats().dbBytes).toBeLessThan(before.dbBytes);
  });
});

describe('faults', () => {
  it('moves a damaged database aside, reports it, and continues', () => {
    const dir = temp();
    const { store } = open(dir);
    for (let i = 0; i < 20_000; i++) store.append(sample('a', i));
    store.close();
    const path = join(dir, 'gatecast.db');
    const bytes = readFileSync(path);
    bytes.fill(0xa5, 4096, 60_000);
    writeFileSync(path, bytes);
    const again = open(dir);
    expect(again.kinds()).toEqual(['quarantined']);
    expect(readdirSync(dir).filter((n) => n.includes('.damaged-')).length).toBeGreaterThanOrEqual(1);
    again.store.append(sample('b', 1));
    expect(again.store.settle()).toBe(true);
    expect(count(again.store, 'b')).toBe(1);
  });

  it('deletes the oldest rows while the disk is full, no more than needed whatever the states take, and counts them', () => {
    const dir = temp();
    const { store, clock, kinds, faults } = open(dir, { steadyMs: 1000 });
    for (let i = 0; i < 20_000; i++) store.append(sample('a', i));
    const states = Array.from({ length: 40 }, (_, i) => ({
      stream: `s${i}`,
      modelHash: 'm',
      replayFromMs: T0,
      bytes: new Uint8Array(50_000),
    }));
    store.saveSnapshots(states);
    store.settle();
    const settleOnFullDisk = (i: number): void => {
      store.append(sample('a', i));
      const full = vi.spyOn(Sqlite.prototype, 'transaction').mockImplementationOnce(() => {
        throw new Sqlite.SqliteError('database or disk is full', 'SQLITE_FULL');
      });
      expect(store.settle()).toBe(true);
      full.mockRestore();
    };
    // The reserve is used, and as many old rows are deleted as new ones came.
    settleOnFullDisk(20_000);
    expect(store.stats()).toMatchObject({ samples: 20_000, deletedForSpace: 1 });
    expect(existsSync(join(dir, 'gatecast.db-reserve'))).toBe(false);
    // The reserve became free pages and a log, so that the store needs no more space from now on.
    const reader = openReadOnly(join(dir, 'gatecast.db'));
    expect(reader.pragma('freelist_count', { simple: true })).toBeGreaterThan(400);
    reader.close();
    expect(statSync(join(dir, 'gatecast.db-wal')).size).toBeGreaterThan(400_000);
    store.saveSnapshots(states.map((one) => ({ ...one, stream: `${one.stream}b` })));
    store.append(sample('a', 20_001));
    store.settle();
    expect(store.stats()).toMatchObject({ samples: 20_000, deletedForSpace: 2 });
    // Without a reserve, a tenth.
    settleOnFullDisk(20_002);
    expect(store.stats()).toMatchObject({ samples: 18_000, deletedForSpace: 2003 });
    expect([...store.samples('a', 0)].map(({ value }) => value)).toEqual(
      Array.from({ length: 18_000 }, (_, i) => 2003 + i),
    );
    expect(kinds()).toEqual(['disk-full']);
    for (const kept of [['disk-full'], ['disk-full', 'disk-free']]) {
      store.append(sample('a', 20_003 + kept.length));
      store.settle();
      expect(kinds()).toEqual(kept);
      clock.advance(1000);
    }
    store.append(sample('a', 20_006));
    store.settle();
    expect(store.stats()).toMatchObject({ samples: 18_002, deletedForSpace: 2004 });
    expect(faults.at(-1)?.message).toMatch(/^the disk has room again; 2004 of the oldest samples/);
  });

  /** A full disk on which the log has room for `logRows` rows, and transactions for `rows`. */
  function fullDisk(logRows: number, rows: number) {
    const disk = { rows };
    const full = (): never => {
      throw new Sqlite.SqliteError('database or disk is full', 'SQLITE_FULL');
    };
    let used = 0;
    const { prepare, pragma } = Sqlite.prototype;
    vi.spyOn(Sqlite.prototype, 'pragma').mockImplementation(function (
      this: Sqlite.Database,
      source,
      options,
    ) {
      const answer: unknown = pragma.call(this, source, options);
      if (source.startsWith('wal_checkpoint')) used = 0;
      return answer;
    });
    vi.spyOn(Sqlite.prototype, 'prepare').mockImplementation(function (
      this: Sqlite.Database,
      source: string,
    ) {
      const statement = prepare.call(this, source) as Sqlite.Statement<unknown[]>;
      const run = statement.run.bind(statement);
      if (source.startsWith('INSERT OR IGNORE INTO sample'))
        statement.run = (...values) => (++used > disk.rows ? full() : run(...values));
      if (source.startsWith('DELETE FROM sample'))
        statement.run = (...values) => {
          this.exec('SAVEPOINT deletion');
          const result = run(...values);
          used += result.changes;
          if (used > logRows) this.exec('ROLLBACK TO deletion');
          this.exec('RELEASE deletion');
          return used > logRows ? full() : result;
        };
      return statement;
    });
    onTestFinished(() => void vi.restoreAllMocks());
    return disk;
  }

  it('deletes and writes in parts where a full disk has little room for the log, and counts each', () => {
    const dir = temp();
    const { store } = open(dir);
    for (let i = 0; i < 60_000; i++) store.append(sample('a', i));
    store.settle();
    rmSync(join(dir, 'gatecast.db-reserve'));
    for (let i = 60_000; i < 75_000; i++) store.append(sample('a', i));
    fullDisk(3000, 3000);
    expect(store.settle()).toBe(true);
    // A tenth, and as many as came.
    expect(store.stats()).toMatchObject({ samples: 54_000, deletedForSpace: 21_000 });
    expect(store.samples('a', 0).next().value).toMatchObject({ value: 21_000 });
    expect(count(store)).toBe(54_000);
  });

  it('deletes no more while that does not help, counts what it deleted, and keeps the log', () => {
    const dir = temp();
    const { store, clock } = open(dir);
    for (let i = 0; i < 10_000; i++) store.append(sample('a', i));
    store.settle();
    rmSync(join(dir, 'gatecast.db-reserve'));
    store.append(sample('a', 10_000));
    const disk = fullDisk(20_000, 0);
    for (let attempt = 0; attempt < 5; attempt++) {
      expect(store.settle()).toBe(false);
      expect(store.stats()).toMatchObject({ samples: 9001, deletedForSpace: 1000 });
      clock.advance(20_000);
    }
    expect(existsSync(join(dir, 'gatecast.db-wal'))).toBe(true);
    disk.rows = 20_000;
    expect(store.settle()).toBe(true);
    expect(store.stats()).toMatchObject({ samples: 9000, deletedForSpace: 1001 });
    expect(count(store)).toBe(9000);
  });

  it('knows how many rows a large database has after a power cut, and deletes also where an older version did not', () => {
    const dir = temp();
    const { store } = open(dir);
    const db = new Sqlite(join(dir, 'gatecast.db'));
    db.prepare('INSERT INTO meta (key, value) VALUES (?, ?)').run('large', ' '.repeat(2 ** 25));
    for (let i = 0; i < 10_000; i++) store.append(sample('a', i));
    store.settle();
    const copy = crashed(dir);
    expect(open(copy).store.stats().samples).toBe(10_000);
    db.exec("DELETE FROM meta WHERE key = 'store.rows'");
    db.close();
    const former = crashed(dir);
    const again = open(former);
    expect(again.store.stats().samples).toBe(0);
    rmSync(join(former, 'gatecast.db-reserve'));
    again.store.append(sample('a', 10_000));
    vi.spyOn(Sqlite.prototype, 'transaction').mockImplementationOnce(() => {
      throw new Sqlite.SqliteError('database or disk is full', 'SQLITE_FULL');
    });
    onTestFinished(() => void vi.restoreAllMocks());
    expect(again.store.settle()).toBe(true);
    expect(again.store.stats()).toMatchObject({ samples: 9000, deletedForSpace: 1001 });
    expect(count(again.store)).toBe(9000);
  });

  it('says at its end how many samples it deleted and could not write', () => {
    const { store, faults } = open(temp());
    for (let i = 0; i < 2; i++) store.append(sample('a', i));
    store.settle();
    store.append(sample('a', 2));
    const full = (): never => {
      throw new Sqlite.SqliteError('database or disk is full', 'SQLITE_FULL');
    };
    const disks = [
      vi.spyOn(Waiting.prototype, 'write').mockImplementation(full),
      vi.spyOn(Sqlite.prototype, 'transaction').mockImplementation(full),
    ];
    store.close();
    for (const disk of disks) disk.mockRestore();
    const said = faults.map(({ kind, message }) => `${kind}: ${message}`).slice(-2);
    expect(said).toEqual([
      'disk-full: 1 of the oldest samples were deleted since the start',
      'dropping: 1 rows could not be written before the end; they are lost',
    ]);
  });

  it('copies the readable data of a damaged database, including the newest', () => {
    const dir = temp();
    const { store } = open(dir);
    for (let i = 0; i < 20_000; i++) store.append(sample('a', i));
    store.setMeta('k', 'v');
    store.saveSnapshots([{ stream: 'a', modelHash: 'm', replayFromMs: T0, bytes: new Uint8Array([7]) }]);
    store.close();
    const path = join(dir, 'gatecast.db');
    const bytes = readFileSync(path);
    // a stretch of old rows
    bytes.fill(0xa5, 100_000, 110_000);
    writeFileSync(path, bytes);
    const again = open(dir);
    expect(again.kinds()).toEqual(['quarantined']);
    const rows = [...again.store.samples('a', 0)];
    expect(again.faults[0]?.message).toMatch(
      `, and ${rows.length} samples were copied; unreadable ones are in that file only`,
    );
    expect(rows.length).toBeGreaterThan(10_000);
    expect(rows.at(-1)!.value).toBe(19_999);
    expect(again.store.stats().samples).toBe(rows.length);
    expect(again.store.getMeta('k')).toBe('v');
    expect(again.store.loadSnapshot('a')?.bytes).toEqual(new Uint8Array([7]));
    again.store.close();
    const third = open(dir);
    expect(third.faults).toEqual([]);
  });

  it('goes past damaged pages, wherever they are, and gives no stream the rows of another', () => {
    const dir = temp();
    const { store } = open(dir);
    const name = (i: number): string => `s${i % 200}-${'n'.repeat(100)}`;
    for (let i = 0; i < 20_000; i++) store.append(sample(name(i), i));
    const replayFromMs = T0 + 19_000_000;
    store.saveSnapshots([{ stream: name(0), modelHash: 'm', replayFromMs, bytes: new Uint8Array([7]) }]);
    store.close();
    const path = join(dir, 'gatecast.db');
    const db = openReadOnly(path);
    const pages = (table: string): number[] =>
      db
        .prepare("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path")
        .pluck()
        .all(table) as number[];
    const rows = pages('sample');
    const names = pages('stream');
    db.close();
    const bytes = readFileSync(path);
    const half = Math.floor(rows.length / 2);
    for (const page of [rows[0], ...rows.slice(half, half + 20), rows.at(-9), rows.at(-1), names.at(-1)])
      bytes.fill(0xa5, (page! - 1) * 1024, page! * 1024);
    writeFileSync(path, bytes);
    const again = open(dir);
    expect(again.kinds()).toEqual(['quarantined']);
    again.store.append(sample('new', 30_000));
    again.store.settle();
    expect([...again.store.samples('new', 0)].map(({ value }) => value)).toEqual([30_000]);
    const kept = new Set([...again.store.since(0)].map(({ value }) => value));
    // 24 pages of samples and one of nine names are lost.
    const lostNames = Array.from({ length: 200 }, (_, i) => i).filter(
      (i) => [...again.store.samples(name(i), 0)].length === 0,
    );
    expect(lostNames.length).toBeLessThan(12);
    expect(kept.size).toBeGreaterThan(20_000 - 24 * 60 - lostNames.length * 100);
    const [first = 0, last = 0] = [Math.min(...kept), Math.max(...[...kept].filter((v) => v < 30_000))];
    expect([first < 100, last > 19_900]).toEqual([true, true]);
  });

  it('does the same if the damage is found at run time', () => {
    const dir = temp();
    const { store } = open(dir);
    for (let i = 0; i < 250_000; i++) store.append(sample('a', i));
    store.close();
    const running = open(dir);
    const path = join(dir, 'gatecast.db');
    const bytes = readFileSync(path);
    // beyond what the page cache holds
    bytes.fill(0xa5, 2_000_000, 3_000_000);
    writeFileSync(path, bytes);
    expect(() => [...running.store.samples('a', 0)]).not.toThrow();
    running.store.append(sample('a', 300_000));
    expect(running.store.settle()).toBe(true);
    expect(running.kinds()).toEqual(['quarantined']);
    expect([...running.store.samples('a', 0)].at(-1)!.value).toBe(300_000);
  });

  it('copies the data of a damaged database at the next start if the process ended meanwhile', () => {
    const dir = temp();
    const { store } = open(dir);
    for (let i = 0; i < 20_000; i++) store.append(sample('a', i));
    store.close();
    const path = join(dir, 'gatecast.db');
    const aside = quarantine(path, T0);
    const next = openDatabase(path);
    // As after a kill: the copy has begun, with the names and some of the rows.
    next.prepare("INSERT INTO meta (key, value) VALUES ('store.salvage', ?)").run(aside);
    next.prepare("INSERT INTO stream (id, name) VALUES (1, 'a')").run();
    next.prepare('INSERT INTO sample VALUES (?, 1, 19999, 0)').run(T0 + 19_999_000);
    next.close();
    const again = open(dir);
    expect(again.kinds()).toEqual(['quarantined']);
    expect(count(again.store)).toBe(20_000);
    again.store.close();
    expect(open(dir).kinds()).toEqual([]);
  });

  it('reads a large database that seems damaged a part at a time, and journals readings meanwhile', () => {
    const dir = temp();
    const { store } = open(dir);
    for (let i = 0; i < 250_000; i++) store.append(sample('a', i));
    store.close();
    const running = open(dir);
    const path = join(dir, 'gatecast.db');
    const bytes = readFileSync(path);
    const intact = Buffer.from(bytes);
    // beyond what the page cache holds
    bytes.fill(0xa5, 2_000_000, 3_000_000);
    writeFileSync(path, bytes);
    const step = vi.spyOn(ReadCheck.prototype, 'step').mockReturnValue(null);
    expect(count(running.store)).toBeLessThan(250_000);
    // Opening it would succeed now.
    writeFileSync(path, intact);
    for (let turn = 0; turn < 5; turn++) {
      running.store.append(sample('a', 300_000 + turn));
      expect(running.store.flush()).toBe(true);
      expect(running.store.stats().pending).toBe(0);
      running.clock.advance(500);
    }
    expect(running.kinds()).toEqual(['unavailable']);
    expect(step.mock.calls.length).toBe(5);
    step.mockRestore();
    expect(running.store.settle()).toBe(true);
    expect(running.kinds()).toEqual(['unavailable', 'quarantined']);
    expect([...running.store.samples('a', T0 + 300_000_000)].length).toBe(5);
  });

  it('reads a database that seems damaged less and less often if it cannot be moved aside', () => {
    const dir = temp();
    open(dir).store.close();
    const path = join(dir, 'gatecast.db');
    const bytes = readFileSync(path);
    bytes.fill(0xa5, 100);
    writeFileSync(path, bytes);
    let finished = 0;
    // Each check takes two parts, and then the disk fails: until a minute has passed, the file stays.
    const step = vi.spyOn(ReadCheck.prototype, 'step').mockImplementation(function (this: ReadCheck) {
      if (!begun.delete(this)) {
        begun.add(this);
        return null;
      }
      finished++;
      return false;
    });
    const begun = new Set<ReadCheck>();
    const { store, clock, kinds } = open(dir);
    for (let turn = 0; turn < 110; turn++) {
      clock.advance(500);
      store.append(sample('a', turn));
      store.flush();
    }
    step.mockRestore();
    expect(kinds()).toEqual(['unavailable']);
    // After 1, 2, 4, 8, 15 and 15 s.
    expect(finished).toBeGreaterThanOrEqual(5);
    expect(finished).toBeLessThanOrEqual(7);
  });

  it('notices whether the system can read a file, a part at a time', () => {
    const path = join(temp(), 'gatecast.db');
    writeFileSync(path, '');
    writeFileSync(`${path}-wal`, 'x'.repeat(200_000));
    truncateSync(path, 2 ** 20);
    const check = new ReadCheck(path);
    let parts = 1;
    while (check.step(0) === null) parts++;
    expect(parts).toBeGreaterThanOrEqual(2 ** 20 / 2 ** 16);
    rmSync(path);
    expect(new ReadCheck(path).step(1000)).toBe(true);
    // Reading it fails, also for root.
    symlinkSync(path, path);
    expect(new ReadCheck(path).step(1000)).toBe(false);
  });

  it('copies the newest readable data that fits on the disk', () => {
    const dir = temp();
    const { store } = open(dir);
    for (let i = 0; i < 20_000; i++) store.append(sample('a', i));
    store.close();
    const into = openDatabase(join(temp(), 'gatecast.db'));
    into.pragma('max_page_count = 500');
    const { samples: rows, isLimited } = salvage(join(dir, 'gatecast.db'), into);
    expect(isLimited).toBe(true);
    expect(rows).toBeGreaterThan(1000);
    expect(rows).toBeLessThan(20_000);
    expect(into.prepare('SELECT count(*), max(time) FROM sample').raw().get()).toEqual([
      rows,
      T0 + 19_999_000,
    ]);
    into.close();
    expect(salvage(join(dir, 'gatecast.db'), into)).toEqual({ samples: 0, isLimited: false });
  });

  it('copies the newest samples of a large damaged database, and says whether that is all', () => {
    const dir = temp();
    const { store } = open(dir);
    for (let i = 0; i < 100; i++) store.append(sample('a', i));
    store.close();
    for (const [most, samples] of [
      [99, 99],
      [100, 100],
    ] as const) {
      const into = openDatabase(join(temp(), 'gatecast.db'));
      expect(salvage(join(dir, 'gatecast.db'), into, most)).toEqual({ samples, isLimited: most < 100 });
      expect(into.prepare('SELECT max(time) FROM sample').pluck().get()).toBe(T0 + 99_000);
      into.close();
    }
  });

  it.each(['gatecast.db', 'the journal'])(
    'notices that %s was removed while in use, and makes it anew',
    (which) => {
      const dir = temp();
      const { store, kinds } = open(dir);
      store.append(sample('a', 1));
      store.settle();
      store.append(sample('a', 2));
      store.flush();
      const journal = readdirSync(dir).find((name) => name.endsWith('.journal'));
      rmSync(join(dir, which === 'gatecast.db' ? which : journal!));
      store.append(sample('a', 3));
      store.flush();
      store.settle();
      store.append(sample('a', 4));
      store.flush();
      expect(kinds()).toEqual(['unavailable']);
      // As after a kill.
      const again = open(crashed(dir));
      const values = [...again.store.samples('a', 0)].map(({ value }) => value);
      expect(values).toEqual(which === 'gatecast.db' ? [2, 3, 4] : [1, 2, 3, 4]);
    },
  );

  it.each([
    ['a small', 10],
    ['a large', 60_000],
  ])('keeps all rows of a database that replaces the one in use, which has %s log', (_size, rows) => {
    const dir = temp();
    const otherDir = temp();
    const other = open(otherDir);
    for (let i = 0; i < 3000; i++) other.store.append(sample(i % 2 ? 'c' : 'b', i));
    other.store.close();
    const { store, clock, faults } = open(dir);
    for (let i = 0; i < rows; i++) store.append(sample(i % 2 ? 'a' : 'b', i, -1));
    store.settle();
    renameSync(join(otherDir, 'gatecast.db'), join(dir, 'gatecast.db'));
    store.append(sample('a', 70_000, 7));
    store.flush();
    store.settle();
    clock.advance(2000);
    expect(store.settle()).toBe(true);
    expect(faults.map(({ message }) => message)).toEqual([expect.stringMatching(/replaced by another file/)]);
    const values = (of: SqliteStore) =>
      ['a', 'b', 'c'].map((name) => [...of.samples(name, 0)].map(({ value }) => value));
    const even = Array.from({ length: 1500 }, (_, i) => 2 * i);
    const all = [[7], even, even.map((i) => i + 1)];
    expect(values(store)).toEqual(all);
    store.close();
    expect(readdirSync(dir).filter((name) => /\.damaged-.*-wal$/.test(name)).length).toBe(1);
    const again = open(dir);
    expect(values(again.store)).toEqual(all);
    expect(again.faults).toEqual([]);
  });

  it('keeps the open database while the system cannot tell whether its file is there', () => {
    const dir = join(temp(), 'data');
    const { store, kinds } = open(dir);
    store.append(sample('a', 1));
    store.settle();
    renameSync(dir, `${dir}.away`);
    // Looking for a file in it fails, also for root.
    symlinkSync(dir, dir);
    store.append(sample('a', 2));
    expect(() => store.settle()).not.toThrow();
    rmSync(dir);
    renameSync(`${dir}.away`, dir);
    store.append(sample('a', 3));
    store.settle();
    expect(kinds()).toEqual([]);
    expect(count(store)).toBe(3);
  });

  it('does the same with a file that is not a database', () => {
    const dir = temp();
    writeFileSync(join(dir, 'gatecast.db'), 'x'.repeat(5000));
    const { store, kinds } = open(dir);
    expect(kinds()).toEqual(['quarantined']);
    store.append(sample('a', 1));
    expect(store.settle()).toBe(true);
  });

  it('loses only the torn end of a journal', () => {
    const dir = temp();
    const { store } = open(dir);
    for (let i = 0; i < 100; i++) {
      store.append(sample('a', i));
      store.flush();
    }
    const copy = crashed(dir);
    const journal = journalOf(copy);
    truncateSync(journal, statSync(journal).size - 5);
    const again = open(copy);
    expect(count(again.store)).toBe(99);
    expect(again.kinds()).toEqual(['journal-damaged']);
  });

  it('reads the journal of a previous process later if it could not be read at the start', () => {
    const dir = temp();
    const { store } = open(dir);
    for (let i = 0; i < 100; i++) store.append(sample('a', i));
    store.setMeta('former', 'v');
    store.setMeta('both', 'former');
    store.flush();
    const copy = crashed(dir);
    store.close();
    const journal = journalOf(copy);
    renameSync(journal, `${journal}.away`);
    mkdirSync(journal);
    const again = open(copy);
    again.store.append(sample('a', 200));
    again.store.setMeta('both', 'now');
    // the database takes it without a journal
    expect(again.store.flush()).toBe(true);
    rmdirSync(journal);
    renameSync(`${journal}.away`, journal);
    again.clock.advance(20_000);
    again.store.append(sample('a', 201));
    expect(again.store.flush()).toBe(true);
    expect(count(again.store)).toBe(102);
    // nor does the next crash, or the next batch, cost any of it
    const third = open(crashed(copy));
    expect(count(third.store)).toBe(102);
    expect(third.store.getMeta('former')).toBe('v');
    expect(third.store.getMeta('both')).toBe('now');
  });

  it('never replaces newer data of the database by older data of the journal', () => {
    const dir = temp();
    const { store, kinds, clock } = open(dir);
    store.setMeta('k', 'old');
    store.flush();
    const append = vi.spyOn(Segments.prototype, 'append').mockImplementationOnce(() => {
      throw new Error('no space left');
    });
    store.setMeta('k', 'new');
    expect(store.flush()).toBe(true);
    append.mockRestore();
    store.flush();
    clock.advance(30_000);
    store.flush();
    expect(kinds()).toEqual(['unavailable', 'recovered']);
    const again = open(crashed(dir));
    expect(again.store.getMeta('k')).toBe('new');
  });

  it('reads nothing twice from a journal that could not be removed', () => {
    const dir = temp();
    const { store, faults } = open(dir);
    store.append(sample('a', 1));
    store.setMeta('k', 'old');
    store.reject('a', 'late', T0, 3);
    store.flush();
    const journal = journalOf(dir);
    const content = readFileSync(journal);
    rmSync(journal);
    mkdirSync(journal);
    expect(store.settle()).toBe(true);
    store.setMeta('k', 'new');
    expect(store.settle()).toBe(true);
    expect(faults).toEqual([]);
    rmdirSync(journal);
    writeFileSync(journal, content);
    const again = open(crashed(dir));
    expect(again.store.getMeta('k')).toBe('new');
    expect(count(again.store)).toBe(1);
    expect(again.store.stats().samples).toBe(1);
    const db = new Sqlite(join(dir, 'gatecast.db'), { readonly: true });
    expect(db.prepare('SELECT count FROM reject').pluck().all()).toEqual([3]);
    db.close();
  });

  it('refuses a database of a newer version and leaves it alone', () => {
    const dir = temp();
    open(dir).store.close();
    const db = new Sqlite(join(dir, 'gatecast.db'));
    db.pragma('user_version = 99');
    db.close();
    expect(() => open(dir)).toThrowError(expect.objectContaining({ code: 'STORE_NEWER' }));
    expect(readdirSync(dir).some((n) => n.includes('damaged'))).toBe(false);
  });

  it('uses the previous state if the newest is damaged, and reports it', () => {
    const dir = temp();
    const { store, kinds } = open(dir);
    const snapshot = (byte: number) => ({
      stream: 'a',
      modelHash: 'm',
      replayFromMs: T0,
      bytes: new Uint8Array(2000).fill(byte),
    });
    store.saveSnapshots([snapshot(1)]);
    store.saveSnapshots([snapshot(2)]);
    const db = new Sqlite(join(dir, 'gatecast.db'));
    db.prepare('UPDATE snapshot SET bytes = zeroblob(2000) WHERE saved = 2').run();
    expect(store.loadSnapshot('a')).toEqual(snapshot(1));
    expect(kinds()).toEqual(['snapshot-damaged']);
    db.prepare('UPDATE snapshot SET bytes = zeroblob(2000)').run();
    db.close();
    expect(store.loadSnapshot('a')).toBeNull();
  });

  it('refuses a backup while the database is not available', async () => {
    const dir = join(temp(), 'data');
    writeFileSync(dir, 'a file where the folder should be');
    const { store } = open(dir);
    await expect(store.backup(join(temp(), 'one.db'), [])).rejects.toMatchObject({
      code: 'STORE_FAILED',
      hint: expect.stringContaining('alert `store`'),
    });
  });

  it('keeps a bounded number of rows in memory without a disk, and writes them when it is available', () => {
    const dir = join(temp(), 'data');
    writeFileSync(dir, 'a file where the folder should be');
    const { store, kinds, clock } = open(dir, { maxPending: 100 });
    expect(kinds()).toEqual(['unavailable']);
    for (let i = 0; i < 150; i++) {
      store.append(sample('a', i));
      expect(store.flush()).toBe(false);
    }
    store.setMeta('k', 'v');
    expect(kinds()).toEqual(['unavailable', 'dropping']);
    expect(store.stats()).toMatchObject({ pending: 100, droppedPending: 50 });
    expect(count(store)).toBe(100);
    rmSync(dir);
    clock.advance(120_000);
    expect(store.flush()).toBe(true);
    expect(kinds()).toEqual(['unavailable', 'dropping']);
    clock.advance(30_000);
    expect(store.flush()).toBe(true);
    expect(kinds()).toEqual(['unavailable', 'dropping', 'recovered']);
    expect(count(store)).toBe(100);
    store.close();
    const again = open(dir);
    expect(count(again.store)).toBe(100);
    expect(again.store.getMeta('k')).toBe('v');
  });
});

it('a query that cannot read the database is told apart from one that finds nothing', () => {
  const { store, clock } = open(temp());
  const queries = [
    () => store.sliceStart(1e15),
    () => [...store.since(0)],
    () => store.loadSnapshot('unknown'),
    () => store.snapshotAbout('unknown'),
    () => store.getMeta('unknown'),
    () => [...store.newestFirst()],
  ];
  const failures = () =>
    queries.map((query) => {
      const before = store.failedReads;
      query();
      return store.failedReads > before;
    });
  expect(failures()).toEqual(queries.map(() => false));
  const prepare = vi.spyOn(Sqlite.prototype, 'prepare').mockImplementation(() => {
    throw new Sqlite.SqliteError('disk I/O error', 'SQLITE_IOERR_READ');
  });
  expect(failures()).toEqual(queries.map(() => true));
  prepare.mockRestore();
  clock.advance(20_000);
  store.settle();
  expect(failures()).toEqual(queries.map(() => false));
});
