// faults.md row 29: what an older version left is taken over, what a newer one left is refused and not touched.
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { restoreStreams } from '../../src/agent/restore.ts';
import { Engine } from '../../src/forecast/engine.ts';
import { SCHEMA_VERSION } from '../../src/store/schema.ts';
import { readSnapshotAbout } from '../../src/store/snapshots.ts';
import { openStore } from '../support/stores.ts';
import { tempDirs } from '../support/temp.ts';
import { FORMER_SPECS, formerSamples } from './former.ts';

const temp = tempDirs();
const T0 = Date.UTC(2025, 0, 1);
const FIXTURES = new URL('fixtures/', import.meta.url).pathname;
const fixture = (name: string): string => {
  const dir = temp();
  cpSync(join(FIXTURES, name), dir, { recursive: true });
  return dir;
};

describe('a store of schema 1: sixty settled samples of two streams, five in the journal, one saved state', () => {
  it('is migrated with all its data, and is written like a new one', () => {
    const dir = fixture('schema-1');
    const store = openStore(dir);
    const warm = [...store.samples('cellar/temperature', T0)];
    expect(warm).toHaveLength(65);
    expect(warm.at(-1)).toEqual({ timeMs: T0 + 64 * 60_000, value: 26.4, mark: 0 });
    expect([...store.samples('cellar/humidity', T0)].map(({ mark }) => mark).indexOf(1)).toBe(30);
    expect(store.getMeta('agent.streams')).toContain('zigbee2mqtt/cellar');
    const state = store.loadSnapshot('cellar/temperature');
    expect([...state!.bytes]).toEqual([1, 2, 3]);
    store.mark('cellar/temperature', { fromMs: T0, toMs: T0 + 60_000, marks: 2 });
    store.reject('cellar/temperature', 'late', T0);
    expect(store.saveSnapshots([{ ...state!, stream: 'cellar/humidity' }])).toBe(true);
    store.close();

    const db = new Sqlite(join(dir, 'gatecast.db'));
    expect(db.pragma('user_version', { simple: true })).toBe(SCHEMA_VERSION);
    expect(db.pragma('integrity_check', { simple: true })).toBe('ok');
    expect(db.prepare('SELECT mark FROM sample WHERE time = ? ORDER BY stream').pluck().all(T0)).toEqual([
      2, 0,
    ]);
    expect(db.prepare('SELECT reason, count FROM reject').all()).toEqual([{ reason: 'late', count: 1 }]);
    // The older version did not say when it saved.
    expect(readSnapshotAbout(db, 1)).toMatchObject({ bytes: 3, savedMs: null, about: null });
    expect(readSnapshotAbout(db, 2)?.savedMs).toBeGreaterThan(T0);
    db.close();
  });
});

describe('a store of gatecast 0.1 as a crash leaves it: database, log, one saved state a stream, journal of version 1', () => {
  it('is migrated with all its data, and forecasts continue as before the upgrade', async () => {
    const dir = fixture('schema-2');
    const store = openStore(dir);
    expect(readdirSync(dir).filter((name) => name.endsWith('.journal'))).toEqual([]);
    const list = formerSamples(300);
    const cut = 560;
    for (const { name } of FORMER_SPECS) {
      const expected = list.slice(0, cut + 40).filter(({ stream }) => stream === name);
      const byTime = new Map(expected.map(({ timeMs, value }) => [Math.round(timeMs), value]));
      expect(new Map([...store.samples(name, 0)].map((s) => [s.timeMs, s.value]))).toEqual(byTime);
    }
    expect([...store.samples('a', 0)].slice(0, 3).map(({ mark }) => mark)).toEqual([2, 2, 2]);
    expect(store.getMeta('former')).toBe('newest');

    const whole = new Engine(null);
    for (const spec of FORMER_SPECS) whole.add(spec);
    for (const one of list) whole.push(one);
    await whole.tick(null, true);
    const restored = new Engine(null);
    await restoreStreams(
      restored,
      store,
      FORMER_SPECS.map((spec) => ({ spec, firstMs: 0 })),
    );
    // The next readings: no forecast is missing, none is made twice.
    const next = formerSamples(400).slice(list.length);
    const forecasts = async (engine: Engine) => {
      for (const one of next) engine.push(one);
      return (await engine.tick(null, true)).map(({ stream, originMs }) => `${stream} ${originMs}`);
    };
    const expected = await forecasts(whole);
    expect(expected.length).toBeGreaterThan(70);
    expect(await forecasts(restored)).toEqual(expected);
  });
});

it('refuses a store of a newer schema and leaves it as it was', () => {
  const dir = fixture('schema-1');
  const path = join(dir, 'gatecast.db');
  const db = new Sqlite(path);
  db.pragma(`user_version = ${SCHEMA_VERSION + 1}`);
  db.close();
  const before = [readFileSync(path), readFileSync(join(dir, 'samples.journal'))];
  expect(() => openStore(dir)).toThrow(expect.objectContaining({ code: 'STORE_NEWER' }));
  expect([readFileSync(path), readFileSync(join(dir, 'samples.journal'))]).toEqual(before);
});
