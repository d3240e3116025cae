import { describe, expect, test } from 'vitest';
import { Checkpoints } from '../../src/agent/checkpoints.ts';
import type { StreamSnapshot } from '../../src/forecast/engine-contract.ts';

const engine = {
  snapshot: (stream: string): StreamSnapshot | null =>
    stream === 'learning' ? null : { stream, modelHash: 'm', replayFromMs: 0, bytes: new Uint8Array(1) },
};

const recorder = () => {
  const saved: string[][] = [];
  const store = {
    failing: false,
    saved,
    saveSnapshots(list: readonly StreamSnapshot[]) {
      if (!store.failing && list.length > 0) saved.push(list.map((s) => s.stream));
      return !store.failing;
    },
  };
  return store;
};

describe('Checkpoints', () => {
  test('a stream is saved when its replay would get too long', () => {
    const store = recorder();
    const checkpoints = new Checkpoints(engine, store, { replay: 5, first: 5, walk: 1000 });
    checkpoints.add('a', 'saved', 2);
    for (let i = 0; i < 2; i++) checkpoints.accepted('a');
    checkpoints.save();
    expect(store.saved).toEqual([]);
    checkpoints.accepted('a');
    checkpoints.save();
    checkpoints.save();
    expect(store.saved).toEqual([['a']]);
  });

  test('a state that can no longer be restored is saved again at once', () => {
    const store = recorder();
    const checkpoints = new Checkpoints(engine, store);
    checkpoints.add('a', 'rebuilt', 0);
    checkpoints.save();
    expect(store.saved).toEqual([['a']]);
  });

  test('a slow stream is saved before the search for its samples takes too long', () => {
    const store = recorder();
    const checkpoints = new Checkpoints(engine, store, { replay: 1000, first: 1000, walk: 50 });
    checkpoints.add('slow', 'saved', 0);
    checkpoints.add('fast', 'saved', 0);
    for (let i = 0; i < 200; i++) {
      checkpoints.accepted('fast');
      checkpoints.save();
    }
    expect(store.saved.flat().filter((name) => name === 'slow')).toHaveLength(4);
  });

  test('a new stream is saved soon, and in any case at the end', () => {
    const store = recorder();
    const checkpoints = new Checkpoints(engine, store, { replay: 100, first: 3, walk: 1000 });
    for (const name of ['a', 'b']) checkpoints.add(name, 'new', 0);
    for (let i = 0; i < 3; i++) checkpoints.accepted('a');
    checkpoints.save();
    for (let i = 0; i < 10; i++) checkpoints.accepted('a');
    checkpoints.save();
    expect(store.saved).toEqual([['a']]);
    checkpoints.saveAll(() => 0);
    expect(store.saved).toEqual([['a'], ['b']]);
  });

  test('a failed save is tried again', () => {
    const store = recorder();
    const checkpoints = new Checkpoints(engine, store);
    checkpoints.add('a', 'rebuilt', 0);
    store.failing = true;
    expect(checkpoints.save()).toBe(false);
    store.failing = false;
    expect(checkpoints.save()).toBe(true);
    expect(store.saved).toEqual([['a']]);
  });

  test('streams that see each other are saved at the same moment, unless they are many', () => {
    for (const [others, saved] of [
      [3, 4],
      [100, 1],
    ] as const) {
      const store = recorder();
      const limits = { replay: 5, first: 5, walk: 1000 };
      const checkpoints = new Checkpoints(engine, store, limits, {
        joined: (stream) => stream !== 'alone' && stream !== 'tariff',
        linked: (stream) => stream !== 'alone',
      });
      checkpoints.add('alone', 'saved', 0);
      checkpoints.add('tariff', 'saved', 0);
      checkpoints.add('a', 'saved', 0);
      for (let i = 0; i < others; i++) checkpoints.add(`b${i}`, 'saved', 0);
      for (let i = 0; i < 5; i++) checkpoints.accepted('a');
      checkpoints.save();
      expect(store.saved.flat()).toHaveLength(saved);
      expect(store.saved.flat()).not.toContain('alone');
      // One that sees a table alone need not wait for others, nor they for it.
      expect(store.saved.flat()).not.toContain('tariff');
      for (let i = 0; i < 5; i++) checkpoints.accepted('tariff');
      checkpoints.save();
      expect(store.saved.at(-1)).toEqual(['tariff']);
    }
  });

  test('at the end streams with covariates are saved first, however little they have to replay', () => {
    const store = recorder();
    const checkpoints = new Checkpoints(engine, store, undefined, {
      joined: (stream) => stream === 'a',
      linked: (stream) => stream !== 'long',
    });
    checkpoints.add('a', 'saved', 0);
    checkpoints.add('long', 'saved', 2000);
    checkpoints.add('b', 'saved', 3);
    expect(checkpoints.saveAll(() => 0)).toBe(true);
    expect(store.saved).toEqual([['a', 'b', 'long']]);
  });

  test('at the end the longest replays are saved first, short ones not, and only while there is time', () => {
    const store = recorder();
    const checkpoints = new Checkpoints(engine, store);
    checkpoints.add('short', 'saved', 3);
    checkpoints.add('learning', 'new', 100);
    for (let i = 0; i < 100; i++) checkpoints.add(`s${i}`, 'saved', 100 + i);
    let now = 0;
    const slowClock = () => {
      now += 600;
      return now;
    };
    expect(checkpoints.saveAll(slowClock)).toBe(true);
    const saved = store.saved.flat();
    expect(saved).toContain('s99');
    expect(saved.length).toBeGreaterThan(31);
    expect(saved.length).toBeLessThan(90);
    expect(checkpoints.saveAll(() => 0)).toBe(true);
    expect(store.saved.flat().sort()).toEqual(Array.from({ length: 100 }, (_, i) => `s${i}`).sort());
  });
});
