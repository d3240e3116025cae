/**
 * A value that cannot be read is not absent: no part of the agent replaces what it kept in an earlier run, while the store cannot be
 * read. The first save after that merges both.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { KnownAhead } from '../../src/agent/known-ahead.ts';
import { sessionMemory } from '../../src/agent/link.ts';
import { type TuningMemory, tuningMemory } from '../../src/agent/tuning-memory.ts';
import { resolveTables, validateConfig } from '../../src/config/index.ts';
import { silentLogger } from '../../src/log.ts';
import { topicsOf } from '../../src/mqtt/topics.ts';
import { Announced } from '../../src/outputs/home-assistant/announced.ts';
import { JsonTopics } from '../../src/outputs/json/json-topics.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';

const KEPT_IN_STORE = /\.getMeta\(/;
/** Files that read such values, and why that needs no `StoredValue`. */
const READERS = {
  'agent/groups.ts': 'the configured model: the config has the value that replaces it',
  'system/stored-value.ts': 'the class',
};

class UnreadStore extends MemoryStore {
  unread = false;
  failedReads = 0;

  override getMeta(key: string): string | null {
    if (!this.unread) return super.getMeta(key);
    this.failedReads++;
    return null;
  }

  stored(key: string): unknown {
    this.unread = false;
    return JSON.parse(this.getMeta(key) ?? 'null');
  }
}

const SETTINGS = validateConfig({
  node: 'n',
  mqtt: { url: 'mqtt://broker' },
  publish: { at: ['2h'] },
  streams: [
    { match: 'a', covariates: ['old', 'new'].map((name) => ({ topic: `ahead/${name}`, list: 'points' })) },
  ],
});

const [OLD = '', NEW = ''] = resolveTables(SETTINGS).map(({ name }) => name);

const run = (startedMs: number) => ({
  ...{ status: 'refused', reason: '', trigger: null, startedMs, endedMs: startedMs, found: null },
});

interface Part {
  /** Of the part, at its start. @returns what it does later, which saves a value of its own */
  start(store: UnreadStore): () => void;
  readonly stored: unknown;
  readonly merged: unknown;
}

const session = { url: 'mqtt://here', clientId: 'a' };
const PARTS: Readonly<Record<string, Part>> = {
  'agent.session': {
    start: (store) => {
      const { remember } = sessionMemory(store, session);
      return () => remember(['new']);
    },
    stored: { ...session, filters: ['old/#'] },
    merged: { ...session, filters: ['new', 'old/#'] },
  },
  'agent.tuning.default': {
    start: (store) => {
      const memory = tuningMemory(store, 'default');
      let own: TuningMemory = { ...memory.read(), champion: { a: 2 }, runs: [tuningRun(2)] };
      return () => {
        own = memory.save(own) ?? own;
      };
    },
    stored: { tuner: null, champion: { a: 1 }, live: { model: 'm', ratios: { a: 0.5 } }, runs: [run(1)] },
    merged: {
      tuner: null,
      champion: { a: 2 },
      live: { model: 'm', ratios: { a: 0.5 } },
      runs: [run(1), run(2)],
    },
  },
  'agent.tables': {
    start: (store) => {
      const parts = { store, clock: new FakeClock(0), log: silentLogger, config: () => SETTINGS };
      const ahead = new KnownAhead({ ...parts, engine: { know: () => undefined } });
      void ahead.start();
      const payload = Buffer.from('{"points":[{"time":"1970-01-01T00:00:00Z","value":5}]}');
      return () => {
        ahead.receive({ topic: 'ahead/new', payload, retained: false, acknowledge: null });
        ahead.save();
      };
    },
    stored: { [OLD]: [0, 1], gone: [0, 2] },
    merged: { [OLD]: [0, 1], [NEW]: [0, 5] },
  },
  'agent.home-assistant': {
    start: (store) => {
      const announced = new Announced(store, (stream) => stream);
      let at = 0;
      return () => {
        announced.set('new', new Map([['b', [`sensor:${at++}`]]]));
        announced.save();
      };
    },
    stored: [
      [
        'new',
        [
          ['b', ['sensor:y']],
          ['c', ['sensor:z']],
        ],
      ],
      ['old', [['a', ['sensor:x']]]],
    ],
    merged: [
      ['old', [['a', ['sensor:x']]]],
      [
        'new',
        [
          ['b', ['sensor:y', 'sensor:1']],
          ['c', ['sensor:z']],
        ],
      ],
    ],
  },
  'agent.leads': {
    start: (store) => {
      const output = new JsonTopics({
        topics: topicsOf('gatecast', 'n'),
        config: () => SETTINGS,
        ...{
          store,
          send: () => undefined,
          streams: () => [],
          model: () => ({ id: 'm', version: '1' }),
          maxMessageBytes: () => 1e6,
        },
        ...{ version: '1', since: () => 0, session: 's' },
      });
      output.start();
      return () => output.stop();
    },
    stored: ['1h'],
    merged: ['1h', '2h'],
  },
};
const tuningRun = (startedMs: number): never => run(startedMs) as never;

test.each(Object.entries(PARTS))('%s', (key, { start, stored, merged }) => {
  const store = new UnreadStore();
  store.setMeta(key, JSON.stringify(stored));
  store.unread = true;
  const save = start(store);
  save();
  expect(store.stored(key)).toEqual(stored);
  save();
  expect(store.stored(key)).toEqual(merged);
  // And it stays, with later values of this run.
  save();
  if (key !== 'agent.home-assistant') expect(store.stored(key)).toEqual(merged);
});

test('every part that keeps a value in the store reads it with `StoredValue`', () => {
  const src = join(import.meta.dirname, '../../src');
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(
    (file) => file.endsWith('.ts') && KEPT_IN_STORE.test(readFileSync(join(src, file), 'utf8')),
  );
  expect(files.sort()).toEqual(Object.keys(READERS).sort());
});
