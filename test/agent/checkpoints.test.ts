import { describe, expect, test } from 'vitest';
import { Checkpoints } from '../../src/agent/checkpoints.ts';
import type { ForecastEngine, StreamSnapshot } from '../../src/forecast/engine-contract.ts';

const engine = {
  snapshot: (stream: string): StreamSnapshot | null =>
    stream === 'learning' ? null : { stream, modelHash: 'm', replayFromMs: 0, bytes: new Uint8Array(1) },
} as unknown as ForecastEngine;

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
    const checkpoints = new Checkpoints(engine, store, { replay: 5, walk: 1000 });
    checkpoints.add('a', true, 2);
    for (let i = 0; i < 2; i++) checkpoints.accepted('a');
    checkpoints.save();
    expect(store.saved).toEqual([]);
    checkpoints.accepted('a');
    checkpoints.save();
    checkpoints.save();
    expect(store.saved).toEqual([['a']]);
  });

  test('a new stream is saved with its first forecast', () => {
    const store = recorder();
    const checkpoints = new Checkpoints(engine, store);
    checkpoints.add('a', false, 0);
    checkpoints.forecast('a');
    checkpoints.forecast('a');
    checkpoints.save();
    expect(store.saved).toEqual([['a']]);
  });

  test('a slow stream is saved before the walk to its samples gets too long', () => {
    const store = recorder();
    const checkpoints = new Checkpoints(engine, store, { replay: 1000, walk: 50 });
    checkpoints.add('slow', true, 0);
    checkpoints.add('fast', true, 0);
    checkpoints.accepted('slow');
    for (let i = 0; i < 200; i++) {
      checkpoints.accepted('fast');
      checkpoints.save();
    }
    expect(store.saved.flat().filter((name) => name === 'slow')).toHaveLength(4);
  });

  test('a failed save is tried again', () => {
    const store = recorder();
    const checkpoints = new Checkpoints(engine, store);
    checkpoints.add('a', false, 0);
    checkpoints.forecast('a');
    store.failing = true;
    expect(checkpoints.save()).toBe(false);
    store.failing = false;
    expect(checkpoints.save()).toBe(true);
    expect(store.saved).toEqual([['a']]);
  });

  test('at the end only what changed is saved, and a stream without a state does not matter', () => {
    const store = recorder();
    const checkpoints = new Checkpoints(engine, store);
    for (const name of ['a', 'b', 'learning']) checkpoints.add(name, true, 0);
    checkpoints.accepted('b');
    checkpoints.accepted('learning');
    expect(checkpoints.saveAll()).toBe(true);
    expect(store.saved).toEqual([['b']]);
  });
});
