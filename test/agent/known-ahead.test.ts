import { rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { KnownAhead } from '../../src/agent/known-ahead.ts';
import { resolveTables, validateConfig } from '../../src/config/index.ts';
import { type LogFields, silentLogger } from '../../src/log.ts';
import type { TablePoint } from '../../src/series/covariate-sources.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

const temp = tempDirs();

const configOf = (covariates: unknown[]) =>
  validateConfig({
    node: 'n',
    mqtt: { url: 'mqtt://broker' },
    ingest: { max_payload: '1KB' },
    streams: [
      { match: 'a/{x}', covariates },
      { match: 'b/{x}', covariates },
    ],
  });

function rig(store = new MemoryStore()) {
  const known = new Map<string, readonly TablePoint[]>();
  const warned: string[] = [];
  const fields: LogFields[] = [];
  const clock = new FakeClock(0);
  const log = {
    ...silentLogger,
    warn: (event: string, more: LogFields = {}) => {
      warned.push(event);
      fields.push(more);
    },
  };
  const engine = { know: (name: string, points: readonly TablePoint[]) => known.set(name, points) };
  const settings = { config: configOf([]) };
  const part = new KnownAhead({ config: () => settings.config, engine, store, clock, log });
  const ahead = {
    use: async (config: ReturnType<typeof configOf>) => {
      const change = part.prepare(config, settings.config);
      settings.config = config;
      change?.apply?.();
      await change?.settle?.();
    },
    start: async () => {
      await part.start();
      return () => part.stop();
    },
    filters: () => part.filters(),
    receive: (topic: string, payload: Uint8Array) =>
      part.receive({ topic, payload, retained: false, acknowledge: null }),
    save: () => part.save(),
    dropped: () => part.dropped(),
  };
  return { store, known, warned, fields, clock, ahead };
}

describe('what is known ahead', () => {
  const topic = { topic: 'weather', list: 'points' };
  const say = (value: number): Buffer =>
    Buffer.from(`{"points":[{"time":"2025-01-01T00:00:00Z","value":${value}}]}`);

  it('comes from topics, each table once, however many rules name it', async () => {
    const { ahead, known } = rig();
    const config = configOf([topic, 'other/stream']);
    await ahead.use(config);
    expect(ahead.filters()).toEqual(['weather']);
    expect(ahead.receive('weather', say(1))).toBe(true);
    expect(ahead.receive('sensor', say(1))).toBe(false);
    expect([...known]).toEqual([
      [resolveTables(config)[0]?.name, [{ timeMs: Date.UTC(2025, 0, 1), value: 1 }]],
    ]);
  });

  it('is unchanged by a message that cannot be used, which is logged once', async () => {
    const { ahead, known, warned } = rig();
    await ahead.use(configOf([topic]));
    ahead.receive('weather', say(1));
    const before = [...known];
    for (const text of ['no', 'no', ' '.repeat(2000)]) {
      expect(ahead.receive('weather', Buffer.from(text))).toBe(true);
    }
    ahead.receive('weather', Buffer.alloc(0));
    expect([...known]).toEqual(before);
    expect(warned).toHaveLength(1);
    expect(ahead.dropped()).toEqual({ 'table-unusable': 3 });
  });

  it('with good and bad messages in turns is logged at a limited rate, with the count', async () => {
    const { ahead, warned, clock, fields } = rig();
    await ahead.use(configOf([topic]));
    for (let i = 0; i < 100; i++) {
      ahead.receive('weather', say(i));
      ahead.receive('weather', Buffer.from('no'));
      clock.advance(12_000);
    }
    expect(warned).toHaveLength(2);
    expect(fields.map(({ omitted }) => omitted)).toEqual([undefined, 49]);
  });

  it('received on a topic is restored after a restart while the config names it', async () => {
    const first = rig();
    await first.ahead.use(configOf([topic]));
    first.ahead.receive('weather', say(7));
    first.ahead.save();
    const again = rig(first.store);
    await again.ahead.use(configOf([topic]));
    expect([...again.known]).toEqual([...first.known]);
    expect(again.known.size).toBe(1);
    // Nothing new came: it is not forgotten.
    again.ahead.save();
    const third = rig(first.store);
    await third.ahead.use(configOf([topic]));
    expect([...third.known]).toEqual([...first.known]);
    await third.ahead.use(configOf(['other/stream']));
    third.ahead.save();
    const other = rig(first.store);
    await other.ahead.use(configOf([topic]));
    expect(other.known.size).toBe(0);
    for (const damaged of ['no', '[]', '17', '{"x":1}']) {
      first.store.setMeta('agent.tables', damaged);
      await rig(first.store).ahead.use(configOf([topic]));
    }
  });

  it('is restored after a crash too, and is written only after a new message', async () => {
    const first = rig();
    await first.ahead.use(configOf([topic]));
    const end = await first.ahead.start();
    first.ahead.receive('weather', say(7));
    first.clock.advance(60_000);
    const again = rig(first.store);
    await again.ahead.use(configOf([topic]));
    expect([...again.known]).toEqual([...first.known]);
    expect(again.known.size).toBe(1);
    first.store.setMeta('agent.tables', 'untouched');
    first.clock.advance(600_000);
    expect(first.store.getMeta('agent.tables')).toBe('untouched');
    end();
  });

  it('comes from files, again when they change', async () => {
    const { ahead, known, warned, clock } = rig();
    const file = join(temp(), 'tariff.csv');
    const write = (value: number, atMs: number): void => {
      writeFileSync(file, `time,price,other\n2025-01-01T00:00:00Z,${value},1\n2025-01-01T01:00:00Z,2,1\n`);
      utimesSync(file, atMs, atMs);
    };
    write(1, 1000);
    await ahead.use(configOf([{ file, column: 'price' }]));
    const values = (): (number | undefined)[] => [...known.values()].flat().map(({ value }) => value);
    expect(values()).toEqual([1, 2]);
    const end = await ahead.start();
    write(5, 2000);
    clock.advance(60_000);
    await waitFor('the file to be read again', () => values()[0] === 5);
    // Another content of the same size and time of change: as with another set of rights, only the entry has changed.
    write(7, 2000);
    clock.advance(60_000);
    await waitFor('the file to be read once more', () => values()[0] === 7);
    rmSync(file);
    clock.advance(60_000);
    await waitFor('a warning', () => warned.length === 1);
    expect(values()).toEqual([7, 2]);
    end();
  });

  it('is not read from a file that is too large once unpacked, or never ends', async () => {
    const { ahead, fields } = rig();
    const bomb = join(temp(), 'tariff.csv.gz');
    writeFileSync(bomb, gzipSync(Buffer.alloc(17 * 2 ** 20, 'time,price\n')));
    await ahead.use(configOf([{ file: bomb, column: 'price' }]));
    await ahead.use(configOf([{ file: '/dev/zero', column: 'price' }]));
    expect(fields.map(({ reason }) => reason)).toEqual([
      expect.stringContaining('larger than 16777216 bytes'),
      expect.stringContaining('larger than 16 MB'),
    ]);
  });
});
