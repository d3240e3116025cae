/** A store read beside the agent that writes it, and the parts a store is made of: waiting rows and trimming. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { quarantine } from '../../src/store/database.ts';
import { inspectStore } from '../../src/store/inspection.ts';
import { PendingRows } from '../../src/store/pending.ts';
import { samplesIn } from '../../src/store/reading.ts';
import { Reserve } from '../../src/store/reserve.ts';
import { SCHEMA_VERSION } from '../../src/store/schema.ts';
import { DATABASE_FILE, type SqliteStoreOptions } from '../../src/store/sqlite-store.ts';
import { trimSize, trimSlice, usedBytes } from '../../src/store/trimming.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { openStore } from '../support/stores.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();
const T0 = Date.UTC(2025, 0, 1);
const DAY = 86_400_000;

const open = (dir: string, options: Partial<SqliteStoreOptions> = {}) =>
  openStore(dir, { maxBytes: 2 ** 28, clock: new FakeClock(T0), ...options });
const sample = (stream: string, second: number, value = second) => ({
  stream,
  timeMs: T0 + second * 1000,
  value,
  arrivalMs: T0,
});
/** Every file of a folder, by name. */
const contents = (dir: string) =>
  Object.fromEntries(
    readdirSync(dir).map((name) => [name, readFileSync(join(dir, name)).toString('base64')]),
  );

describe('the inspection of a store', () => {
  it('reads the database and the journal of a running agent, and changes nothing', () => {
    const dir = temp();
    const first = open(dir);
    for (let i = 0; i < 3000; i++) first.append(sample('b', i));
    first.reject('b', 'late', T0 + 5000, 3);
    first.setMeta('known', 'database');
    first.close();
    const running = open(dir);
    running.append(sample('b', 2999, -1));
    running.append(sample('b', 4000, 40), 2);
    running.append(sample('a', 10, 1));
    running.setMeta('fresh', 'journal');
    running.flush();
    const before = contents(dir);

    const seen = inspectStore(dir);
    expect(seen.streams()).toEqual(['a', 'b']);
    const rows = [...seen.samples('b')];
    expect(rows).toHaveLength(3001);
    expect(rows.map(({ timeMs }) => timeMs)).toEqual(
      [...rows.map(({ timeMs }) => timeMs)].sort((a, b) => a - b),
    );
    // The first of two values at one time is kept.
    expect(rows.slice(-2)).toEqual([
      { timeMs: T0 + 2_999_000, value: 2999, mark: 0 },
      { timeMs: T0 + 4_000_000, value: 40, mark: 2 },
    ]);
    expect([...seen.samples('a')]).toEqual([{ timeMs: T0 + 10_000, value: 1, mark: 0 }]);
    expect([...seen.samples('nobody')]).toEqual([]);
    expect(seen.rejects('b')).toMatchObject([{ reason: 'late', count: 3 }]);
    expect([seen.rejects('a'), seen.rejects('nobody')]).toEqual([[], []]);
    expect([seen.state('b'), seen.state('nobody')]).toEqual([null, null]);
    expect([seen.getMeta('known'), seen.getMeta('fresh'), seen.getMeta('none')]).toEqual([
      'database',
      'journal',
      null,
    ]);
    seen.close();
    expect(contents(dir)).toEqual(before);
  });

  it('has the newest snapshot of a stream, until its snapshots are dropped', () => {
    const dir = temp();
    const store = open(dir);
    for (let i = 0; i < 10; i++) for (const stream of ['a', 'b']) store.append(sample(stream, i));
    store.settle();
    const snapshot = (stream: string, replayFromMs: number) => ({
      stream,
      modelHash: 'model',
      replayFromMs,
      bytes: Uint8Array.of(1, 2, 3),
      about: { intervalMs: 1000, horizonSteps: 4, buckets: 9, observedMs: T0, unit: null, scores: [] },
    });
    store.saveSnapshots(['a', 'b'].map((stream) => snapshot(stream, T0 + 5000)));
    expect(store.dropSnapshots('a')).toBe(true);
    expect(store.dropSnapshots('unknown')).toBe(true);
    store.settle();
    const seen = inspectStore(dir);
    expect(seen.snapshot('a')).toBeNull();
    expect(seen.state('a')).toBeNull();
    expect(seen.snapshot('b')).toMatchObject({ modelHash: 'model', replayFromMs: T0 + 5000 });
    expect(seen.state('b')).toMatchObject({ modelHash: 'model', about: { intervalMs: 1000, buckets: 9 } });
    seen.close();
    expect(store.loadSnapshot('a')).toBeNull();
    expect(store.loadSnapshot('b')?.bytes).toEqual(Uint8Array.of(1, 2, 3));
  });

  it('reads a journal without a database', () => {
    const dir = temp();
    const store = open(dir);
    store.append(sample('a', 1, 7));
    store.setMeta('k', 'v');
    store.flush();
    const copy = temp();
    for (const name of readdirSync(dir))
      if (name.endsWith('.journal')) writeFileSync(join(copy, name), readFileSync(join(dir, name)));
    store.close();
    const seen = inspectStore(copy);
    expect(seen.streams()).toEqual(['a']);
    expect([...seen.samples('a')]).toEqual([{ timeMs: T0 + 1000, value: 7, mark: 0 }]);
    expect(seen.getMeta('k')).toBe('v');
    expect([seen.state('a'), seen.rejects('a'), seen.getMeta('none')]).toEqual([null, [], null]);
    expect([seen.snapshot('a'), seen.snapshot('b')]).toEqual([null, null]);
    seen.close();
    expect(existsSync(join(copy, DATABASE_FILE))).toBe(false);
  });

  it('reports the problem: no store, an older or newer one, another file', () => {
    const empty = temp();
    const failing = (dir: string) => {
      try {
        inspectStore(dir);
      } catch (error) {
        return error;
      }
      return null;
    };
    expect(failing(empty)).toMatchObject({
      code: 'FILE_UNREADABLE',
      hint: expect.stringContaining('data_dir'),
    });
    const withVersion = (version: number) => {
      const dir = temp();
      open(dir).close();
      const db = new Sqlite(join(dir, DATABASE_FILE));
      db.pragma(`user_version = ${version}`);
      db.close();
      return failing(dir);
    };
    expect(withVersion(SCHEMA_VERSION + 1)).toMatchObject({
      code: 'STORE_NEWER',
      message: expect.stringContaining(`schema ${SCHEMA_VERSION + 1}`),
    });
    expect(withVersion(SCHEMA_VERSION - 1)).toMatchObject({
      code: 'STORE_FAILED',
      hint: expect.stringContaining('updates the database'),
    });
    const garbage = temp();
    writeFileSync(join(garbage, DATABASE_FILE), 'x'.repeat(8192));
    expect(failing(garbage)).toMatchObject({
      code: 'STORE_FAILED',
      message: expect.stringContaining(garbage),
    });
    const folder = temp();
    mkdirSync(join(folder, DATABASE_FILE));
    expect(failing(folder)).toMatchObject({ code: 'STORE_FAILED' });
  });

  it.each(['stream', 'sample', 'snapshot', 'reject', 'meta'])(
    'reports that the table %s cannot be read',
    (table) => {
      const dir = temp();
      const store = open(dir);
      store.append(sample('a', 1, 7));
      store.close();
      const db = new Sqlite(join(dir, DATABASE_FILE));
      db.exec(`DROP TABLE ${table}`);
      db.close();
      const failures: unknown[] = [];
      const attempt = (read: (seen: ReturnType<typeof inspectStore>) => unknown): void => {
        try {
          const seen = inspectStore(dir);
          try {
            read(seen);
          } finally {
            seen.close();
          }
        } catch (error) {
          failures.push(error);
        }
      };
      attempt((seen) => seen.streams());
      attempt((seen) => [...seen.samples('a')]);
      attempt((seen) => seen.snapshot('a'));
      attempt((seen) => seen.state('a'));
      attempt((seen) => seen.rejects('a'));
      attempt((seen) => seen.getMeta('k'));
      expect(failures.length).toBeGreaterThan(0);
      for (const failure of failures)
        expect(failure).toMatchObject({ code: 'STORE_FAILED', message: expect.stringContaining(table) });
    },
  );
});

describe('waiting rows', () => {
  type Row = readonly [stream: number, time: number, value: number, mark: number];
  const rowsOf = (pending: PendingRows, from?: number) => {
    const rows: Row[] = [];
    pending.forEach((stream, time, value, mark, index) => {
      expect(index).toBe(rows.length + (from ?? 0));
      rows.push([stream, time, value, mark]);
    }, from);
    return rows;
  };

  it('are the last ones up to the bound, in order, with their marks, after any operations', () => {
    const action = fc.oneof(
      {
        weight: 60,
        arbitrary: fc.record({ kind: fc.constant('push' as const), count: fc.integer({ min: 1, max: 400 }) }),
      },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('clear' as const), count: fc.constant(0) }) },
      {
        weight: 20,
        arbitrary: fc.record({ kind: fc.constant('mark' as const), count: fc.integer({ min: 0, max: 900 }) }),
      },
    );
    fc.assert(
      fc.property(
        fc.array(action, { maxLength: 12 }),
        fc.integer({ min: 1, max: 1000 }),
        (actions, limit) => {
          const pending = new PendingRows(limit);
          let model: Row[] = [];
          let dropped = 0;
          let t = 0;
          for (const { kind, count } of actions) {
            if (kind === 'clear') {
              pending.clear();
              model = [];
            } else if (kind === 'mark') {
              pending.mark(1, count, count + 100, 4);
              model = model.map(([s, time, v, m]) => [
                s,
                time,
                v,
                s === 1 && time >= count && time < count + 100 ? m | 4 : m,
              ]);
            } else
              for (let i = 0; i < count; i++, t++) {
                const row: Row = [t % 3, t, t / 7, t % 2];
                const full = model.length === limit;
                expect(pending.push(...row)).toBe(full);
                if (full) dropped++;
                model = [...model.slice(full ? 1 : 0), row];
              }
            expect([pending.size, pending.dropped]).toEqual([model.length, dropped]);
            expect(rowsOf(pending)).toEqual(model);
          }
          expect(rowsOf(pending, 2)).toEqual(model.slice(2));
        },
      ),
      { numRuns: 30 },
    );
  });

  it('contain one row if the bound is zero', () => {
    const pending = new PendingRows(0);
    expect([pending.push(0, 1, 1, 0), pending.push(0, 2, 2, 0)]).toEqual([false, true]);
    expect(rowsOf(pending)).toEqual([[0, 2, 2, 0]]);
  });
});

describe('the reserve', () => {
  it('allocates three megabytes, which are released once and allocated again', () => {
    const path = join(temp(), 'reserve');
    const reserve = new Reserve(path);
    expect(reserve.release()).toBe(false);
    expect([reserve.take(), reserve.take()]).toEqual([true, true]);
    expect(readFileSync(path).length).toBe(3 * 2 ** 20);
    expect([reserve.release(), existsSync(path)]).toEqual([true, false]);
    expect(new Reserve(join(temp(), 'none', 'reserve')).take()).toBe(false);
  });
});

describe('trimming', () => {
  const LIMITS = { retentionMs: 10 * DAY, maxBytes: 2 ** 30 };
  /** A database with a row a minute of two streams, and a handle on it. */
  function filled(minutes: number) {
    const dir = temp();
    const store = open(dir);
    for (let i = 0; i < minutes; i++) {
      store.append(sample('a', 60 * i, i));
      store.append(sample('b', 60 * i + 1, i));
    }
    store.close();
    const db = new Sqlite(join(dir, DATABASE_FILE));
    const count = () => db.prepare('SELECT count(*) FROM sample').pluck().get() as number;
    const oldest = () => db.prepare('SELECT min(time) FROM sample').pluck().get() as number;
    return { db, count, oldest, newest: T0 + 60_000 * (minutes - 1) + 1000 };
  }

  it('removes rows older than the retention, relative to the newest row if the clock is ahead, in slices', () => {
    const { db, count, oldest, newest } = filled(15_000);
    expect(trimSlice(db, { ...LIMITS, retentionMs: 11 * DAY }, newest)).toBe(0);
    expect(trimSlice(db, { ...LIMITS, retentionMs: DAY }, T0 + 1000)).toBe(0);
    // A year ahead counts as the newest row; no more than a slice goes at once.
    expect(trimSlice(db, { ...LIMITS, retentionMs: DAY / 24 }, newest + 365 * DAY)).toBe(20_000);
    expect(trimSlice(db, { ...LIMITS, retentionMs: DAY / 24 }, newest + 365 * DAY)).toBe(
      30_000 - 20_000 - count(),
    );
    expect(oldest()).toBeGreaterThanOrEqual(newest - DAY / 24);
    expect(oldest()).toBeLessThan(newest - DAY / 24 + 60_000);
    expect(trimSlice(db, { ...LIMITS, retentionMs: DAY / 24 }, newest)).toBe(0);
    db.close();
  });

  it('removes the oldest rows until 95 % of the size are used, and nothing below that', () => {
    const { db, count, oldest } = filled(25_000);
    const used = usedBytes(db);
    expect(trimSize(db, used)).toBe(0);
    expect(trimSize(db, 2 * used)).toBe(0);
    const limit = 0.8 * used;
    let removed = 0;
    for (let i = 0; i < 20; i++) removed += trimSize(db, limit);
    expect(usedBytes(db)).toBeLessThanOrEqual(limit);
    expect(usedBytes(db)).toBeGreaterThan(0.8 * limit);
    expect(removed).toBe(50_000 - count());
    expect(oldest()).toBeGreaterThan(T0);
    // The last slice stays, whatever the limit.
    for (let i = 0; i < 20; i++) trimSize(db, 1000);
    expect(count()).toBeGreaterThan(0);
    expect(count()).toBeLessThanOrEqual(20_000);
    db.close();
  });

  it('removes a forgotten stream and leaves the others', () => {
    const { db, count } = filled(15_000);
    const id = db.prepare("SELECT id FROM stream WHERE name = 'a'").pluck().get();
    db.prepare('INSERT INTO forgotten (stream, cursor) VALUES (?, ?)').run(id, 0);
    let removed = 0;
    let slices = 0;
    while (db.prepare('SELECT count(*) FROM forgotten').pluck().get() !== 0) {
      removed += trimSlice(db, LIMITS, T0);
      slices++;
    }
    expect([removed, slices, count()]).toEqual([15_000, 2, 15_000]);
    expect(db.prepare('SELECT count(*) FROM sample WHERE stream = ?').pluck().get(id)).toBe(0);
    db.close();
  });
});

describe('a damaged database', () => {
  it('is moved aside with its log, each time under a new name, without losing data', () => {
    const dir = temp();
    const path = join(dir, DATABASE_FILE);
    const moved = ['one', 'two', 'three'].map((text) => {
      writeFileSync(path, text);
      writeFileSync(`${path}-wal`, `${text} log`);
      writeFileSync(`${path}-shm`, 'x');
      return quarantine(path, T0);
    });
    expect(new Set(moved).size).toBe(3);
    expect(readdirSync(dir)).toHaveLength(6);
    for (const [i, text] of ['one', 'two', 'three'].entries()) {
      expect(moved[i]).toMatch(/gatecast\.db\.damaged-2025-01-01T00-00-00-000Z(-[23])?$/);
      expect(readFileSync(moved[i] ?? '', 'utf8')).toBe(text);
      expect(readFileSync(`${moved[i]}-wal`, 'utf8')).toBe(`${text} log`);
    }
    expect(quarantine(join(dir, 'none.db'), T0)).toContain('none.db.damaged');
    expect(readdirSync(dir)).toHaveLength(6);
  });
});

describe('a reader of the database', () => {
  it('has the samples of every stream since a time', () => {
    const dir = temp();
    const store = open(dir);
    for (let i = 0; i < 10; i++) for (const stream of ['b', 'a']) store.append(sample(stream, i));
    store.close();
    const read = [...samplesIn(join(dir, DATABASE_FILE), T0 + 8000)];
    const since = read.map(({ stream, value }) => `${stream}${value}`);
    expect(since.slice(0, 2).sort()).toEqual(['a8', 'b8']);
    expect(since.slice(2).sort()).toEqual(['a9', 'b9']);
  });
});

describe('a flush', () => {
  it('survives a crash at once, and a power cut after the sync', async () => {
    for (const [durability, atOnce] of [
      ['crash', true],
      ['power', false],
    ] as const) {
      const store = open(temp(), { durability });
      store.append(sample('a', 1));
      let safe: boolean | null = null;
      const told = new Promise<void>((resolve) => {
        store.flush((value) => {
          safe = value;
          resolve();
        });
      });
      expect(safe).toBe(atOnce ? true : null);
      await told;
      expect(safe).toBe(true);
      // Nothing waits: nothing has to be synced.
      let again: boolean | null = null;
      store.flush((value) => {
        again = value;
      });
      expect(again).toBe(true);
      store.close();
    }
  });

  it('keeps the newest rows up to the bound after a crash, each once', () => {
    const dir = temp();
    const store = open(dir, { maxPending: 10 });
    for (let i = 0; i < 25; i++) {
      store.append(sample('a', i));
      if (i % 4 === 0) store.flush();
    }
    store.flush();
    const copy = temp();
    for (const name of readdirSync(dir))
      if (name.endsWith('.journal')) writeFileSync(join(copy, name), readFileSync(join(dir, name)));
    const again = open(copy, { maxPending: 10 });
    const values = [...again.samples('a', 0)].map(({ value }) => value);
    expect(values.slice(-10)).toEqual(Array.from({ length: 10 }, (_, i) => 15 + i));
    expect(new Set(values).size).toBe(values.length);
  });
});
