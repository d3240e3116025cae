/** What every Store keeps. The memory store of the tests stands in for the real one, so it is held to the same. */
import { describe, expect, it } from 'vitest';
import { OUT_OF_RANGE } from '../../src/series/quality.ts';
import { SqliteStore } from '../../src/store/sqlite-store.ts';
import type { Store, StoredSample } from '../../src/store/store-contract.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();
const T0 = Date.UTC(2025, 0, 1);

const makers: [string, () => Store][] = [
  ['MemoryStore', () => new MemoryStore()],
  [
    'SqliteStore',
    () =>
      SqliteStore.open({
        dir: temp(),
        maxBytes: 2 ** 28,
        retentionMs: 60 * 86_400_000,
        clock: new FakeClock(T0),
        onFault: (fault) => {
          throw new Error(fault.message);
        },
      }),
  ],
];

describe.each(makers)('%s', (_, make) => {
  const sample = (stream: string, second: number, value: number) => {
    const timeMs = T0 + second * 1000;
    return { stream, timeMs, value, arrivalMs: timeMs };
  };
  const rows = (all: Iterable<StoredSample>) =>
    [...all].map((s) => [(s.timeMs - T0) / 1000, s.value, s.mark]);

  it('returns samples by time, from inclusive, to exclusive', () => {
    const store = make();
    for (const second of [3, 1, 2, 5, 4]) store.append(sample('a', second, second / 3));
    const expected = [
      [2, 2 / 3, 0],
      [3, 1, 0],
      [4, 4 / 3, 0],
    ];
    expect(rows(store.samples('a', T0 + 2000, T0 + 5000))).toEqual(expected);
    expect(store.flush()).toBe(true);
    expect(rows(store.samples('a', T0 + 2000, T0 + 5000))).toEqual(expected);
    expect(rows(store.samples('a', T0)).length).toBe(5);
    expect(rows(store.samples('nobody', T0))).toEqual([]);
    store.close();
  });

  it('keeps the first of two with the same stream and time, flushed between or not', () => {
    const store = make();
    store.append(sample('a', 1, 10), 2);
    store.append(sample('a', 1, 11));
    store.append(sample('b', 1, 12));
    expect(rows(store.samples('a', T0))).toEqual([[1, 10, 2]]);
    store.flush();
    store.append(sample('a', 1, 13));
    expect(rows(store.samples('a', T0))).toEqual([[1, 10, 2]]);
    store.flush();
    expect(rows(store.samples('a', T0))).toEqual([[1, 10, 2]]);
    expect(rows(store.samples('b', T0))).toEqual([[1, 12, 0]]);
    store.close();
  });

  it('sets the bits of a mark on the rows of its span, stored or not, and adds them to others', () => {
    const store = make();
    for (const second of [1, 2]) store.append(sample('a', second, second));
    store.saveSnapshots([]);
    store.flush();
    store.trim(T0);
    for (const second of [3, 4]) store.append(sample('a', second, second), second === 3 ? 8 : 0);
    store.append(sample('b', 2, 5));
    const span = { fromMs: T0 + 2000, toMs: T0 + 4000, marks: 1 };
    store.mark('a', span);
    // With the times of its samples it is the same, only found faster.
    store.mark('a', { ...span, timesMs: [T0 + 2000, T0 + 3000] });
    const expected = [
      [1, 1, 0],
      [2, 2, 1],
      [3, 3, 9],
      [4, 4, 0],
    ];
    expect(rows(store.samples('a', T0))).toEqual(expected);
    store.flush();
    expect(rows(store.samples('a', T0))).toEqual(expected);
    expect(rows(store.samples('b', T0))).toEqual([[2, 5, 0]]);
    store.close();
  });

  it('replaces a refused reading by a good one of the same time, and never the other way', () => {
    for (const flushed of [false, true]) {
      const store = make();
      store.append(sample('a', 1, 900), OUT_OF_RANGE);
      if (flushed) store.flush();
      store.append(sample('a', 1, 20));
      if (flushed) store.flush();
      store.append(sample('a', 1, 900), OUT_OF_RANGE);
      expect(rows(store.samples('a', T0))).toEqual([[1, 20, 0]]);
      store.flush();
      expect(rows(store.samples('a', T0))).toEqual([[1, 20, 0]]);
      store.close();
    }
  });

  it('allows appends and flushes during a walk', () => {
    const store = make();
    for (let i = 0; i < 5000; i++) store.append(sample('a', i, i));
    store.flush();
    let walked = 0;
    for (const row of store.samples('a', T0, T0 + 5_000_000)) {
      if (walked++ % 1000 === 0) {
        store.append(sample('b', walked, row.value));
        store.flush();
      }
    }
    expect(walked).toBe(5000);
    expect(rows(store.samples('b', T0)).length).toBe(5);
    store.close();
  });

  it('holds the newest snapshot of each stream', () => {
    const store = make();
    const snapshot = (stream: string, byte: number) => ({
      stream,
      modelHash: `m${byte}`,
      replayFromMs: T0 + byte,
      bytes: new Uint8Array([byte, 255, 0]),
    });
    expect(store.loadSnapshot('a')).toBeNull();
    expect(store.saveSnapshots([])).toBe(true);
    for (const byte of [1, 2, 3])
      expect(store.saveSnapshots([snapshot('a', byte), snapshot('b', 9)])).toBe(true);
    expect(store.loadSnapshot('a')).toEqual(snapshot('a', 3));
    expect(store.loadSnapshot('b')).toEqual(snapshot('b', 9));
    store.close();
  });

  it('forgets one stream and leaves the others', () => {
    const store = make();
    for (const stream of ['a', 'b']) {
      store.append(sample(stream, 1, 1));
      store.saveSnapshots([{ stream, modelHash: 'm', replayFromMs: T0, bytes: new Uint8Array(3) }]);
    }
    store.append(sample('a', 2, 1));
    expect(store.forget('a')).toBe(true);
    expect(rows(store.samples('a', T0))).toEqual([]);
    expect(store.loadSnapshot('a')).toBeNull();
    expect(rows(store.samples('b', T0)).length).toBe(1);
    expect(store.loadSnapshot('b')).not.toBeNull();
    store.append(sample('a', 1, 7));
    store.flush();
    expect(rows(store.samples('a', T0))).toEqual([[1, 7, 0]]);
    store.close();
  });

  it('remembers meta values', () => {
    const store = make();
    expect(store.getMeta('k')).toBeNull();
    store.setMeta('k', 'one');
    expect(store.getMeta('k')).toBe('one');
    store.flush();
    store.setMeta('k', 'two');
    expect(store.getMeta('k')).toBe('two');
    store.close();
  });

  it('counts', () => {
    const store = make();
    for (let i = 0; i < 10; i++) store.append(sample('a', i, i));
    expect(store.stats()).toMatchObject({ samples: 10, droppedPending: 0 });
    store.flush();
    expect(store.stats()).toMatchObject({ samples: 10, pending: 0 });
    store.close();
  });
});
