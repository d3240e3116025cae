/**
 * An agent with many streams is online before their states are restored. Whatever happens meanwhile (readings, kills, another start),
 * it then forecasts like an agent that never stopped.
 */
import { cpSync } from 'node:fs';
import Database from 'better-sqlite3';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { LateRestore } from '../../src/agent/late-restore.ts';
import { Pipeline } from '../../src/agent/pipeline.ts';
import type { ScannedStore } from '../../src/agent/replay-scan.ts';
import { AgentStreams } from '../../src/agent/streams.ts';
import { validateConfig } from '../../src/config/index.ts';
import { Engine } from '../../src/forecast/engine.ts';
import { silentLogger } from '../../src/log.ts';
import type { SqliteStore } from '../../src/store/sqlite-store.ts';
import { testHold } from '../support/clock-hold.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { fakeModel } from '../support/fake-model.ts';
import { uniform } from '../support/random.ts';
import { testSpec } from '../support/specs.ts';
import { openStore, tempFolder } from '../support/stores.ts';
import { tempDirs } from '../support/temp.ts';

const START = Date.UTC(2025, 0, 1);
/** More than two turns; the last ones see each other. */
const PLACES = Array.from({ length: 72 }, (_, i) => `p${i}`);
const LINKED = PLACES.slice(-4);
const SILENT = PLACES.slice(0, 5);

const withFill = (fill: string) =>
  validateConfig({
    node: 'n',
    mqtt: { url: 'mqtt://broker' },
    timezone: 'UTC',
    lateness: '0s',
    streams: [
      { match: 'linked/{place}', horizon: '5s', covariates: [LINKED[0]] },
      { match: 'alone/{place}', horizon: '10s', gaps: { fill, max: '30s' }, limits: { max: 100 } },
    ].map((rule) => ({ ...rule, payload: 'number', interval: '1s', name: '{place}' })),
  });
const CONFIG = withFill('model');
const topicOf = (place: string): string => `${LINKED.includes(place) ? 'linked' : 'alone'}/${place}`;

const newFolder = tempDirs();
/** Data folders of agents that are stopped, by the number of seconds in which every place has sent readings. */
const stopped = new Map<number, Promise<string>>();

class Agent {
  /** By stream and origin. */
  readonly told = new Map<string, string>();
  readonly folder = tempFolder();
  readonly clock: FakeClock;
  /** Of the model; another one cannot use the saved states. */
  hash = 'fake';
  /** For the gaps of all streams; null: as configured. States with another setting cannot be used. */
  fill: 'hold' | null = null;
  /** Whether the config has the rule of the streams that are not linked. */
  readsAll = true;
  readonly logged: string[] = [];
  readonly forgotten: string[] = [];
  private parts: { store: SqliteStore; engine: Engine; streams: AgentStreams } | null = null;

  constructor(private readonly atOnce?: number) {
    this.clock = new FakeClock(START);
  }

  get now() {
    if (this.parts === null) throw new Error('not started');
    return this.parts;
  }

  async start(): Promise<void> {
    const { clock, atOnce } = this;
    const store = openStore(this.folder, { clock });
    const info = (event: string): void => void this.logged.push(event);
    const log = { ...silentLogger, info, error: info };
    const engine = new Engine(fakeModel({ hash: this.hash }), { packAbove: 8 });
    const config = () => {
      const all = this.fill === null ? CONFIG : withFill(this.fill);
      return this.readsAll ? all : { ...all, streams: all.streams.slice(0, 1) };
    };
    const forget = (stream: string) => void this.forgotten.push(stream);
    const parts = { config, engine, store, clock, log, atOnce, forget };
    const streams = new AgentStreams(parts);
    await streams.start();
    this.parts = { store, engine, streams };
  }

  stop(): void {
    this.now.streams.stop();
    this.now.store.close();
  }

  /** What was acknowledged is in the journal; nothing else is saved, and the store is not closed. */
  kill(): void {
    this.now.store.flush();
  }

  async hear(place: string, value: number): Promise<void> {
    const { store, engine, streams } = this.now;
    const firstMs = this.clock.now();
    const { samples, discovered } = streams.router.message(
      topicOf(place),
      Buffer.from(String(value)),
      firstMs,
    );
    if (discovered.length > 0) await streams.discovered(discovered.map((found) => ({ ...found, firstMs })));
    for (const reading of samples) {
      const sample = { ...reading, timeMs: firstMs };
      if ((streams.late.outcome(sample) ?? engine.push(sample)) !== 'accepted') continue;
      store.append(sample);
      streams.checkpoints.accepted(sample.stream);
    }
  }

  /** Every place sends a reading in each of these seconds. */
  async hearAll(seconds: number): Promise<void> {
    for (let i = 0; i < seconds; i++) {
      for (const place of PLACES) await this.hear(place, 20 + (i % 5));
      await this.second();
    }
  }

  /** Every place has sent readings; then the agent was stopped. Tests work with copies of the same folder. */
  static async stopped(seconds: number, atOnce?: number): Promise<Agent> {
    const made = stopped.get(seconds) ?? Agent.makeStopped(seconds);
    stopped.set(seconds, made);
    const agent = new Agent(atOnce);
    cpSync(await made, agent.folder, { recursive: true });
    agent.clock.advance(1000 * seconds);
    return agent;
  }

  private static async makeStopped(seconds: number): Promise<string> {
    const agent = new Agent(0);
    await agent.start();
    await agent.hearAll(seconds);
    agent.stop();
    const folder = newFolder();
    cpSync(agent.folder, folder, { recursive: true });
    return folder;
  }

  /** As `stopped`, and started again. */
  static async restarted(): Promise<Agent> {
    const agent = await Agent.stopped(12, 0);
    await agent.start();
    return agent;
  }

  async restoreAll(): Promise<void> {
    const { streams } = this.now;
    for (let turns = 0; streams.late.size > 0; turns++) {
      if (turns > 1000) throw new Error(`${streams.late.size} streams wait`);
      await streams.restoreSome();
    }
  }

  buckets(stream: string): number | undefined {
    return this.now.engine.streams().find(({ spec }) => spec.name === stream)?.bucketsSeen;
  }

  async second(): Promise<void> {
    this.clock.advance(1000);
    for (const { stream, originMs, seq, kind, quantiles } of await this.now.engine.tick(this.clock.now()))
      this.told.set(`${stream} ${originMs - START}`, `${seq} ${kind} ${quantiles.join(' ')}`);
    this.now.streams.checkpoints.save();
  }
}

describe('streams that are restored after the start', () => {
  test.each([1, 2])('forecast like those of an agent that never stopped (%i)', async (seed) => {
    const next = uniform(seed);
    const steady = new Agent();
    const restless = new Agent(0);
    const both = async (act: (agent: Agent) => void | Promise<void>): Promise<void> => {
      await act(steady);
      await act(restless);
    };
    const seconds = async (count: number, silent: readonly string[], turns: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        for (const place of PLACES) {
          // Also readings that are refused: too large for the stream.
          const value = next() < 0.02 ? 1000 : 20 + 5 * Math.sin(i / 5) + next();
          if (next() < 0.9 && !silent.includes(place)) await both((agent) => agent.hear(place, value));
        }
        await both((agent) => agent.second());
        if (next() < turns && restless.now.streams.late.size > 0) await restless.now.streams.restoreSome();
      }
    };
    await both((agent) => agent.start());
    await seconds(14, [], 1);
    for (let restart = 0; restart < 3; restart++) {
      if (restart % 2 === 0) restless.kill();
      else restless.stop();
      await restless.start();
      const { late } = restless.now.streams;
      expect(late.size).toBe(PLACES.length - LINKED.length);
      expect(
        restless.now.streams
          .specs()
          .map(({ name }) => name)
          .sort(),
      ).toEqual([...PLACES].sort());
      // The second start is killed before all are restored.
      await seconds(restart === 1 ? 2 : 6, SILENT, restart === 1 ? 0.5 : 0.7);
      while (restart !== 1 && late.size > 0) await restless.now.streams.restoreSome();
      if (restart !== 1) await seconds(2, SILENT, 1);
    }
    const fromMs = steady.clock.now() - START;
    await seconds(6, [], 1);
    // After a kill, streams that see others continue from states of other times: restored late or not, nearly the same.
    const alone = [...restless.told].filter(([key]) => !LINKED.some((name) => key.startsWith(`${name} `)));
    expect(alone.filter(([key, text]) => text !== steady.told.get(key))).toEqual([]);
    expect(alone.length).toBeGreaterThan(500);
    const newest = [...steady.told.keys()].filter((key) => Number(key.split(' ')[1]) >= fromMs);
    expect(newest.length).toBeGreaterThanOrEqual(5 * PLACES.length);
    expect(newest.filter((key) => !restless.told.has(key))).toEqual([]);
    await both((agent) => agent.stop());
  });

  test('those with new readings come first, and those that are removed or reset do not come back', async () => {
    const agent = await Agent.restarted();
    const { streams, engine } = agent.now;
    await agent.hear('p60', 21);
    streams.remove('p1');
    streams.reset('p2');
    await streams.restoreSome();
    const restored = () => engine.streams().map(({ spec }) => spec.name);
    expect(restored()).toContain('p60');
    expect(restored()).not.toContain('p59');
    await agent.restoreAll();
    expect(restored()).not.toContain('p1');
    expect(engine.streams().find(({ spec }) => spec.name === 'p2')?.bucketsSeen).toBe(0);
    expect(engine.streams().find(({ spec }) => spec.name === 'p3')?.bucketsSeen).toBeGreaterThan(8);
    expect(restored().length).toBe(PLACES.length - 1);
  });

  test('their former readings are known before and after their turn, for a backlog without time stamps', async () => {
    const agent = await Agent.restarted();
    const lastMs = agent.clock.now() - 1000;
    const { streams } = agent.now;
    await streams.restoreSome();
    expect(streams.late.has('p0')).toBe(false);
    expect(streams.late.has('p60')).toBe(true);
    await streams.former.load({ breathe: () => undefined, stopped: () => false });
    for (const place of ['p0', 'p60', 'p71'])
      expect(streams.former.take(place), place).toEqual({ lastMs, spacingMs: 1000 });
    expect(streams.former.take('unknown')).toBeNull();
  });

  test('a stopped turn loses nothing: its streams wait again, and the next start restores them', async () => {
    const steady = new Agent();
    const agent = new Agent(0);
    const both = async (act: (agent: Agent) => Promise<void>): Promise<void> => {
      for (const one of [steady, agent]) await act(one);
    };
    const seconds = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        for (const place of PLACES) await both((one) => one.hear(place, 20 + (i % 5)));
        await both((one) => one.second());
      }
    };
    await both((one) => one.start());
    await seconds(14);
    agent.stop();
    agent.hash = 'another';
    await agent.start();
    const { streams, engine, store } = agent.now;
    const saved = () => PLACES.map((place) => store.loadSnapshot(place)?.modelHash);
    const waiting = streams.late.size;
    const restored = engine.streams().length;
    let breaths = 0;
    await streams.restoreSome({ breathe: () => undefined, stopped: () => ++breaths > 3 });
    expect(breaths).toBe(4);
    expect(streams.late.size).toBe(waiting);
    expect(engine.streams().length).toBe(restored);
    // As at a stop: the last round forecasts, and the states are saved.
    await agent.second();
    await steady.second();
    expect([...agent.told.keys()].filter((key) => !steady.told.has(key))).toEqual([]);
    streams.stop();
    const expected = PLACES.map((place) => (LINKED.includes(place) ? agent.hash : steady.hash));
    expect(saved().map((hash) => hash?.split(/\W/)[0])).toEqual(expected);
    store.close();
    await agent.start();
    await agent.restoreAll();
    const buckets = (one: Agent) =>
      Object.fromEntries(one.now.engine.streams().map(({ spec, bucketsSeen }) => [spec.name, bucketsSeen]));
    await seconds(3);
    expect(buckets(agent)).toEqual(buckets(steady));
    await both(async (one) => one.stop());
  });

  test('a reading that is older than the saved state is late, as it is after the restore', async () => {
    const agent = await Agent.restarted();
    const { streams, engine, store } = agent.now;
    const stateMs = store.replayFromMs('p3') ?? Number.NaN;
    expect(stateMs).toBeGreaterThan(START);
    const arrivalMs = agent.clock.now();
    // Before the start of the state: between two of its readings, and one of them.
    const times = [stateMs - 5500, stateMs - 1, stateMs, stateMs + 10, arrivalMs];
    const samples = times.map((timeMs) => ({ stream: 'p3', timeMs, value: 21, arrivalMs }));
    const ahead = { stream: 'p3', timeMs: stateMs - 3_600_000, value: 21, arrivalMs: stateMs - 3_600_000 };
    const outcomes = samples.map((sample) => streams.late.outcome(sample));
    expect(outcomes).toEqual(['late', 'late', 'accepted', 'accepted', 'accepted']);
    // The state of a clock that was ahead makes no reading late.
    expect(streams.late.outcome(ahead)).toBe('accepted');
    streams.reset('p4');
    expect(streams.late.outcome({ ...ahead, stream: 'p4', arrivalMs })).toBe('accepted');
    await agent.restoreAll();
    expect(streams.late.outcome(ahead)).toBeNull();
    expect(samples.slice(0, 2).map((sample) => engine.push(sample))).toEqual(['late', 'late']);
  });

  test('streams whose samples cannot be read do not affect the others', async () => {
    const agent = await Agent.restarted();
    const { engine, store } = agent.now;
    const load = store.loadSnapshot.bind(store);
    store.loadSnapshot = (stream) => {
      if (stream === 'p3') throw new Error('disk');
      return load(stream);
    };
    await agent.restoreAll();
    const buckets = (stream: string) =>
      engine.streams().find(({ spec }) => spec.name === stream)?.bucketsSeen;
    expect(buckets('p3')).toBe(0);
    expect(PLACES.filter((place) => place !== 'p3' && !((buckets(place) ?? 0) > 8))).toEqual([]);
  });

  test('a covariate that cannot be restored with a new stream is not lost', async () => {
    const agent = new Agent(0);
    await agent.start();
    for (const place of PLACES) await agent.hear(place, 20);
    agent.stop();
    await agent.start();
    const { streams, engine, store } = agent.now;
    const load = store.loadSnapshot.bind(store);
    const seen = streams.late.get('p1');
    const spec = testSpec('new', { covariates: [{ kind: 'stream', name: 'p1' }] });
    const found = { spec, rule: 0, source: { topic: 'linked/new', field: '' }, firstMs: START };
    store.loadSnapshot = () => {
      throw new Error('disk');
    };
    await expect(streams.discovered([found])).rejects.toThrow('disk');
    expect(seen).toBeDefined();
    expect(streams.late.get('p1')).toEqual(seen);
    store.loadSnapshot = load;
    await agent.restoreAll();
    expect(engine.streams().map(({ spec: { name } }) => name)).toContain('p1');
  });

  test('rounds of the pipeline restore them, store and acknowledge their readings, and a stop ends that', async () => {
    const agent = new Agent(0);
    await agent.start();
    await agent.hearAll(12);
    agent.kill();
    agent.clock.advance(5000);
    await agent.start();
    const { streams, engine, store } = agent.now;
    const { clock } = agent;
    const hold = testHold({ clock, streams: () => streams.lastReadings(), probe: (a) => a(false) });
    // The messages have waited at the broker since the end of the former run.
    hold.backlogFrom = () => START + 11_500;
    let turns = 0;
    let endless = false;
    const pipeline = new Pipeline({
      ...{ clock, engine, store, hold },
      router: streams,
      checkpoints: streams.checkpoints,
      late: streams.late,
      former: streams.former,
      restoreSome: async (pace) => {
        turns++;
        while (endless && !pace.stopped()) await new Promise((resolve) => setImmediate(resolve));
        if (endless) return;
        const { progress } = pipeline;
        // A restore that takes long is no hang.
        const breathe = () => {
          clock.advance(100);
          return pace.breathe();
        };
        await streams.restoreSome({ ...pace, breathe });
        expect(pipeline.progress).toBeGreaterThan(progress);
      },
      batchMs: 20,
      flushMs: 50,
      discovered: (found) => streams.discovered(found),
      request: () => undefined,
      forecasts: () => undefined,
      failed: (error) => {
        throw error;
      },
    });
    const settle = async (): Promise<void> => {
      for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
    };
    pipeline.start();
    const before = store.stats().samples;
    let acknowledged = 0;
    pipeline.receive({
      topic: topicOf('p7'),
      payload: Buffer.from('22'),
      retained: false,
      acknowledge: () => acknowledged++,
    });
    const restored = () => PLACES.length - streams.late.size;
    for (let i = 0; i < 100 && (streams.late.size > 0 || acknowledged === 0); i++) {
      clock.advance(20);
      await settle();
    }
    expect(restored()).toBe(PLACES.length);
    expect(turns).toBeGreaterThanOrEqual(2);
    expect(acknowledged).toBe(1);
    expect(store.stats().samples).toBe(before + 1);
    const stored = [...store.samples('p7', START + 11_001)].map(({ timeMs }) => timeMs - START);
    expect(stored).toEqual([12_000]);
    streams.late.put({ spec: testSpec('later'), firstMs: START });
    endless = true;
    const finished = turns;
    while (turns === finished) {
      clock.advance(20);
      await settle();
    }
    await pipeline.stop();
    expect(streams.late.size).toBe(1);
  });
});

/** Queries of SQLite that contain `sql` fail from now on. @returns ends that */
function failQueries(sql: string): () => void {
  const prepare = Database.prototype.prepare;
  const spy = vi.spyOn(Database.prototype, 'prepare').mockImplementation(function (
    this: Database.Database,
    text: string,
  ) {
    if (text.includes(sql)) throw new Database.SqliteError('disk I/O error', 'SQLITE_IOERR_READ');
    return prepare.call(this, text);
  });
  onTestFinished(() => spy.mockRestore());
  return () => spy.mockRestore();
}

describe('a store that cannot be read', () => {
  const FAILURES = [
    ['the scan', 'time DESC LIMIT 1 OFFSET'],
    ['the samples', 'FROM sample s'],
    ['the states', 'bytes FROM snapshot'],
    ['everything', ''],
  ] as const;

  test.each(FAILURES)(
    'for some seconds: the streams wait, and nothing is missing then: %s',
    async (_, sql) => {
      const agent = await Agent.restarted();
      const { streams } = agent.now;
      const waiting = streams.late.size;
      const end = failQueries(sql);
      for (let i = 0; i < 5; i++) {
        await streams.restoreSome();
        expect(streams.late.size).toBe(waiting);
        expect(streams.late.dueInMs(agent.clock.monotonic())).toBe(1000);
        for (const place of PLACES) await agent.hear(place, 20);
        await agent.second();
      }
      end();
      for (let i = 0; streams.late.size > 0; i++) {
        expect(i).toBeLessThan(60);
        agent.clock.advance(1000);
        await streams.restoreSome();
      }
      for (const place of PLACES) expect(agent.buckets(place), place).toBeGreaterThanOrEqual(16);
      expect(streams.dropped()).toEqual({});
    },
  );

  test.each(FAILURES)('for long: streams that begin anew are counted and logged: %s', async (_, sql) => {
    const agent = await Agent.restarted();
    const { streams } = agent.now;
    const waiting = streams.late.size;
    const end = failQueries(sql);
    for (let i = 0; i < 70 && streams.late.size > 0; i++) {
      await streams.restoreSome();
      if (i < 59) expect(streams.late.size).toBe(waiting);
      agent.clock.advance(1000);
    }
    expect(streams.late.size).toBe(0);
    // Without the states alone, they are made again from the stored readings.
    const isRebuilt = sql === 'bytes FROM snapshot';
    expect(streams.dropped()).toEqual(isRebuilt ? {} : { 'history-unread': waiting });
    expect(agent.logged.includes('streams begin without their stored readings')).toBe(!isRebuilt);
    if (isRebuilt) for (const place of PLACES) expect(agent.buckets(place), place).toBeGreaterThanOrEqual(11);
    end();
  });

  test('at the start: the streams are restored later', async () => {
    const agent = await Agent.stopped(12);
    const end = failQueries('bytes FROM snapshot');
    await agent.start();
    const { streams } = agent.now;
    expect(streams.late.size).toBe(PLACES.length);
    end();
    agent.clock.advance(20_000);
    await agent.restoreAll();
    for (const place of PLACES) expect(agent.buckets(place), place).toBeGreaterThanOrEqual(11);
    expect(streams.dropped()).toEqual({});
  });
});

test('streams that a new stream brings along wait on if their states cannot be read', async () => {
  const agent = new Agent(0);
  await agent.start();
  // The last of the linked streams is found only after the next start.
  const former = PLACES.slice(0, -1);
  for (let i = 0; i < 12; i++) {
    for (const place of former) await agent.hear(place, 20 + (i % 5));
    await agent.second();
  }
  agent.stop();
  await agent.start();
  const { streams, engine } = agent.now;
  for (const { spec } of engine.streams()) streams.late.put({ spec, firstMs: START });
  for (const { name } of streams.late.specs()) engine.remove(name);
  const waiting = streams.late.size;
  const end = failQueries('bytes FROM snapshot');
  await agent.hear(PLACES.at(-1) ?? '', 20);
  expect(streams.late.size).toBe(waiting);
  end();
  agent.clock.advance(20_000);
  await agent.restoreAll();
  for (const place of former) expect(agent.buckets(place), place).toBeGreaterThanOrEqual(11);
  expect(streams.dropped()).toEqual({});
});

test('topics of streams that are gone are cleared when the list is read later', async () => {
  const agent = new Agent(0);
  await agent.start();
  await agent.hearAll(2);
  agent.stop();
  const end = failQueries('');
  agent.readsAll = false;
  await agent.start();
  end();
  agent.clock.advance(20_000);
  agent.now.streams.readMissedList();
  expect(agent.forgotten).toEqual(PLACES.filter((place) => !LINKED.includes(place)));
  expect(agent.now.streams.specs().map(({ name }) => name)).toEqual(LINKED);
});

test.each(['read later', 'unread until the end'])(
  'a list of streams that cannot be read at the start is not replaced: %s',
  async (how) => {
    const agent = await Agent.stopped(12, 0);
    const end = failQueries('');
    await agent.start();
    const speaking = PLACES.slice(0, 4);
    for (let i = 0; i < 5; i++) {
      for (const place of [...speaking, 'newcomer']) await agent.hear(place, 20);
      await agent.second();
    }
    expect(agent.now.engine.streams().length).toBe(5);
    expect(() => agent.now.streams.reset('p0')).toThrow(expect.objectContaining({ code: 'STORE_FAILED' }));
    if (how !== 'read later') agent.stop();
    end();
    agent.clock.advance(20_000);
    if (how !== 'read later') await agent.start();
    const { streams } = agent.now;
    streams.readMissedList();
    if (how === 'read later') {
      expect(streams.late.size).toBe(PLACES.length);
      expect(agent.buckets('newcomer')).toBeGreaterThanOrEqual(4);
    }
    await agent.hear('newcomer', 20);
    const names = () => streams.specs().map(({ name }) => name);
    expect(names().sort()).toEqual([...PLACES, 'newcomer'].sort());
    await agent.restoreAll();
    expect(streams.late.size).toBe(0);
    for (const place of PLACES) expect(agent.buckets(place), place).toBeGreaterThanOrEqual(11);
    if (how === 'read later')
      for (const place of speaking) expect(agent.buckets(place), place).toBeGreaterThanOrEqual(16);
    agent.stop();
    await agent.start();
    expect(agent.now.streams.specs().length).toBe(PLACES.length + 1);
  },
);

test.each(['forgotten', 'left out of the config'])(
  'the restore ends when the last stream that waits is %s',
  async (how) => {
    const agent = await Agent.restarted();
    const { streams, engine } = agent.now;
    const ended = () => agent.logged.filter((event) => event === 'streams restored').length;
    const before = ended();
    const drop = vi.spyOn(engine, 'dropMissingCovariates');
    if (how === 'forgotten') for (const { name } of streams.late.specs()) streams.remove(name);
    else {
      const change = streams.prepare({ ...CONFIG, streams: CONFIG.streams.slice(0, 1) });
      change.apply?.();
      await change.settle?.();
    }
    expect(streams.late.size).toBe(0);
    expect(ended()).toBe(before + 1);
    expect(drop).toHaveBeenCalledTimes(1);
  },
);

/** A late restore of streams with a state from before all samples, and the samples that each turn replays. */
function lateRestore(store: ScannedStore, streams: number) {
  const late = new LateRestore({
    atOnce: 0,
    store,
    startOf: () => ({ state: 'saved', fromMs: [START] }),
    replayFromMs: () => START,
  });
  late.defer(Array.from({ length: streams }, (_, i) => ({ spec: testSpec(`${i}`), firstMs: START })));
  return late;
}

test('a turn replays as many samples as its time allows', async () => {
  const rows = Array.from({ length: 3000 }, (_, i) => ({ stream: `${i}`, timeMs: START, value: 1, mark: 0 }));
  const late = lateRestore(
    { failedReads: 0, sliceStart: () => Number.NEGATIVE_INFINITY, since: () => rows },
    3000,
  );
  let nowMs = 0;
  const taken: number[] = [];
  const pace = { monotonicMs: () => nowMs, breathe: () => undefined };
  for (const msEach of [0.1, 0.1, 0.1, 0.1, 2, 2, 50, 50, 1])
    await late.turn(pace, async (streams) => {
      expect(streams.every(({ samples }) => samples?.length === 1)).toBe(true);
      taken.push(streams.length);
      nowMs += msEach * streams.length;
    });
  // Loading a state counts as 8 samples. A turn after the first replays at least 1,024.
  expect(taken).toEqual([29, 57, 114, 228, 456, 228, 114, 114, 114]);
  expect(late.size).toBe(3000 - taken.reduce((sum, one) => sum + one, 0));
});

test('many streams that begin anew while the store cannot be read need one scan a second, not one a turn', async () => {
  const streams = 2000;
  let starts = 0;
  const store = {
    failedReads: 0,
    sliceStart() {
      this.failedReads++;
      return Number.NEGATIVE_INFINITY;
    },
    since: () => [],
  };
  const late = new LateRestore({
    atOnce: 0,
    store,
    startOf: () => {
      starts++;
      return { state: 'saved', fromMs: [START] };
    },
    replayFromMs: () => START,
  });
  late.defer(Array.from({ length: streams }, (_, i) => ({ spec: testSpec(`${i}`), firstMs: START })));
  let nowMs = 0;
  let restored = 0;
  const turn = (): Promise<void> =>
    late.turn({ monotonicMs: () => nowMs, breathe: () => undefined }, async (some, isIncomplete) => {
      expect(isIncomplete).toBe(true);
      restored += some.length;
      nowMs += some.length / 10;
    });
  for (; nowMs < 60_000; nowMs += 1000) await turn();
  expect([restored, starts]).toEqual([0, 60 * streams]);
  let turns = 0;
  for (; late.size > 0; turns++) await turn();
  expect(turns).toBeGreaterThan(5);
  expect([restored, starts]).toEqual([streams, 61 * streams]);
});

describe('the work of a restore', () => {
  /** A store that counts the samples read. */
  const counted = (store: ScannedStore) => {
    const count = { samples: 0 };
    const since = store.since.bind(store);
    store.since = function* (fromMs, streams, toMs) {
      for (const sample of since(fromMs, streams, toMs)) {
        count.samples++;
        yield sample;
      }
    };
    return count;
  };

  test.each(['saved states', 'no states', 'states of another model'])(
    'every stored sample is read once, however slow the turns are: %s',
    async (states) => {
      const agent = states === 'no states' ? new Agent(0) : await Agent.stopped(40, 0);
      if (states === 'no states') {
        await agent.start();
        await agent.hearAll(40);
        agent.kill();
      }
      if (states === 'states of another model') agent.hash = 'another';
      await agent.start();
      const { streams, store, engine } = agent.now;
      const stored = store.stats().samples;
      const count = counted(store);
      let turns = 0;
      // As on a machine that has no time for it: every turn is too long.
      const breathe = () => void agent.clock.advance(300);
      for (; streams.late.size > 0; turns++) await streams.restoreSome({ breathe, stopped: () => false });
      expect(turns).toBeGreaterThan(2);
      expect(count.samples).toBeLessThanOrEqual(stored);
      expect(count.samples).toBeGreaterThan(PLACES.length);
      const seen = engine.streams().map(({ bucketsSeen }) => bucketsSeen);
      expect(Math.min(...seen)).toBeGreaterThanOrEqual(39);
    },
  );

  test('states with other settings need a second scan, not one for each turn', async () => {
    const agent = await Agent.stopped(40, 0);
    agent.fill = 'hold';
    await agent.start();
    const { store, engine } = agent.now;
    const stored = store.stats().samples;
    const count = counted(store);
    await agent.restoreAll();
    expect(count.samples).toBeLessThanOrEqual(2 * stored);
    const seen = engine.streams().map(({ bucketsSeen }) => bucketsSeen);
    expect(Math.min(...seen)).toBeGreaterThanOrEqual(39);
  });

  test('a stream that was silent for long is restored last, and the others do not wait for its samples', async () => {
    const DAY_MS = 86_400_000;
    const slices: number[] = [];
    const late = new LateRestore({
      atOnce: 0,
      store: {
        failedReads: 0,
        sliceStart: (beforeMs) => Math.min(beforeMs, START) - DAY_MS,
        since: (fromMs) => {
          slices.push(fromMs);
          return [];
        },
      },
      startOf: ({ firstMs }) => ({ state: 'saved', fromMs: [firstMs] }),
      replayFromMs: () => START,
    });
    const firstMs = (i: number): number => START - (i === 2 ? 30 : 1) * DAY_MS;
    late.defer([0, 1, 2, 3].map((i) => ({ spec: testSpec(`${i}`), firstMs: firstMs(i) })));
    const restored: string[] = [];
    let nowMs = 0;
    const breathe = () => {
      nowMs += 1000;
      return undefined;
    };
    const pace = { monotonicMs: () => nowMs, breathe };
    while (late.size > 0)
      await late.turn(pace, async (streams) => {
        restored.push(`${streams.map(({ spec }) => spec.name)} after ${slices.length}`);
      });
    expect(restored).toEqual(['0,1,3 after 1', '2 after 30']);
  });
});

test('states that must be rebuilt do not delay the start of an agent with few streams, and the others are restored at once', () => {
  const deferred = (rebuilt: number, saved: number): number[] => {
    const late = new LateRestore({
      store: { failedReads: 0, sliceStart: () => Number.NEGATIVE_INFINITY, since: () => [] },
      startOf: ({ spec }) => ({ state: Number(spec.name) < rebuilt ? 'rebuilt' : 'saved', fromMs: [START] }),
      replayFromMs: () => START,
    });
    const streams = Array.from({ length: rebuilt + saved }, (_, i) => ({
      // The last stream sees the first, so both are restored together.
      spec: testSpec(`${i}`, i === 199 ? { covariates: [{ kind: 'stream', name: '0' }] } : {}),
      firstMs: START,
    }));
    const names = late.defer(streams).map(({ spec }) => spec.name);
    expect(new Set(names).size).toBe(names.length);
    return [names.length, late.size];
  };
  expect([deferred(16, 0), deferred(17, 0), deferred(0, 256), deferred(17, 180), deferred(0, 257)]).toEqual([
    [16, 0],
    [0, 17],
    [256, 0],
    [180, 17],
    [2, 255],
  ]);
  expect(deferred(17, 183)).toEqual([184, 16]);
});
