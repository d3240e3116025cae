/** What happens to streams while the agent runs, with a real engine, router and store. */
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { AgentStreams } from '../../src/agent/streams.ts';
import { validateConfig } from '../../src/config/index.ts';
import { Engine } from '../../src/forecast/engine.ts';
import { type Logger, silentLogger } from '../../src/log.ts';
import { openDatabase } from '../../src/store/database.ts';
import { DATABASE_FILE } from '../../src/store/sqlite-store.ts';
import { sparkplug } from '../ingest/sparkplug-messages.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { fakeModel } from '../support/fake-model.ts';
import { openStore, tempFolder } from '../support/stores.ts';

const START = Date.UTC(2025, 0, 1);

const configOf = (...rules: readonly Record<string, unknown>[]) =>
  validateConfig({
    node: 'n',
    mqtt: { url: 'mqtt://broker' },
    timezone: 'UTC',
    lateness: '0s',
    streams: (rules.length === 0 ? [{}] : rules).map((rule) => ({
      match: 'sensors/{place}',
      payload: 'number',
      interval: '1s',
      horizon: '10s',
      name: '{place}',
      ...rule,
    })),
  });

/** An agent's streams on `dir`, as after a start. */
async function open(dir: string, config = configOf(), nowMs = START, log: Logger = silentLogger) {
  const store = openStore(dir);
  const engine = new Engine(fakeModel());
  const clock = new FakeClock(nowMs);
  const streams = new AgentStreams({ config: () => config, engine, store, clock, log });
  await streams.start();
  const { gone } = streams;
  /** One reading a second of each place. */
  const speak = async (places: readonly string[], seconds: number, text?: string) => {
    let last: Awaited<ReturnType<Engine['tick']>> = [];
    for (let i = 0; i < seconds; i++) {
      const atMs = clock.now();
      for (const place of places) {
        const payload = Buffer.from(text ?? String(20 + Math.sin((atMs - START) / 5000)));
        const topic = place.includes('/') ? place : `sensors/${place}`;
        const { samples, discovered } = streams.message(topic, payload, atMs);
        if (discovered.length > 0)
          await streams.discovered(discovered.map((found) => ({ ...found, firstMs: atMs })));
        for (const reading of samples) {
          const sample = { ...reading, timeMs: atMs };
          const { late } = streams;
          const outcome = late.outcome(sample) ?? streams.outcomeBefore(sample) ?? engine.push(sample);
          if (outcome === 'accepted') store.append(sample);
        }
      }
      clock.advance(1000);
      const forecasts = await engine.tick(clock.now());
      if (forecasts.length > 0) last = forecasts;
    }
    return last;
  };
  /** As a config change does. @returns names of the streams that changed and of those that were removed */
  const reconfigure = async (next: ReturnType<typeof configOf>, onTrial = false) => {
    const before = streams.specs();
    const change = streams.prepare(next, undefined, { onTrial });
    change.apply?.();
    await change.settle?.();
    const after = streams.specs();
    const removed = before.map(({ name }) => name).filter((name) => !streams.has(name));
    const changed = after.filter((spec) => !before.includes(spec)).map(({ name }) => name);
    return { changed, removed };
  };
  const close = () => {
    streams.stop();
    store.close();
  };
  onTestFinished(() => store.close());
  const seen = (name: string) => engine.streams().find(({ spec }) => spec.name === name)?.bucketsSeen ?? null;
  const count = (name: string) => [...store.samples(name, 0)].length;
  const restoreAll = async () => {
    while (streams.late.size > 0) await streams.restoreSome();
  };
  return { store, engine, clock, streams, gone, speak, reconfigure, close, seen, count, restoreAll };
}

test('a stream that the database cannot delete is not reported as forgotten', async () => {
  const dir = tempFolder();
  const { streams, speak, seen, close } = await open(dir);
  await speak(['a'], 30);
  streams.checkpoints.saveAll(() => 0);
  const other = openDatabase(join(dir, DATABASE_FILE));
  other.exec('BEGIN IMMEDIATE');
  for (const verb of ['remove', 'reset'] as const)
    expect(() => streams[verb]('a')).toThrow(expect.objectContaining({ code: 'STORE_FAILED' }));
  expect([seen('a'), streams.has('a')]).toEqual([30, true]);
  other.exec('ROLLBACK');
  other.close();
  close();
  const again = await open(dir);
  expect([again.seen('a'), again.count('a')]).toEqual([30, 30]);
  expect(again.store.loadSnapshot('a')).not.toBeNull();
});

test('a forgotten stream leaves no data, and is new when it sends again', async () => {
  const { streams, speak, seen, count, store } = await open(tempFolder());
  await speak(['a', 'b'], 30);
  streams.checkpoints.saveAll(() => 0);
  streams.remove('a');
  expect([seen('a'), count('a'), store.loadSnapshot('a'), streams.has('a')]).toEqual([null, 0, null, false]);
  expect(seen('b')).toBeGreaterThan(25);
  expect(() => streams.remove('a')).toThrow(expect.objectContaining({ code: 'STREAM_UNKNOWN' }));
  expect(streams.board.streams().map(({ name }) => name)).toEqual(['b']);
  const [first] = (await speak(['a', 'b'], 10)).filter(({ stream }) => stream === 'a');
  expect(first?.seq).toBeLessThan(10);
});

test.each(['', ', after a restart'])(
  'a stream that the config reads again uses the readings from before%s',
  async (restart) => {
    const dir = tempFolder();
    const other = configOf({ match: 'others/{place}' });
    let agent = await open(dir);
    await agent.speak(['a', 'b'], 200);
    agent.streams.remove('b');
    expect((await agent.reconfigure(other)).removed).toEqual(['a']);
    if (restart !== '') {
      agent.close();
      agent = await open(dir, other, agent.clock.now());
      expect(agent.gone).toEqual([]);
    }
    await agent.reconfigure(configOf({ horizon: '20s' }));
    await agent.speak(['a', 'b'], 1);
    await agent.restoreAll();
    expect(agent.seen('a')).toBeGreaterThan(190);
    expect(agent.seen('b')).toBeLessThan(10);
    expect(agent.streams.firstMs('a')).toBeLessThan(START);
  },
);

test.each(['', ', also one that the agent starts with'])(
  'a push on probation%s misses no reading of the streams that it no longer reads',
  async (start) => {
    const dir = tempFolder();
    const narrow = configOf({ match: 'sensors/b', name: 'b' });
    let agent = await open(dir);
    await agent.speak(['a', 'b'], 100);
    if (start === '') await agent.reconfigure(narrow, true);
    else {
      agent.close();
      agent = await open(dir, narrow, agent.clock.now());
      agent.streams.beginTrial(configOf());
    }
    expect(agent.streams.filters()).toContain('sensors/+');
    await agent.speak(['a', 'b', 'new'], 20);
    await agent.speak(['a'], 1, 'unavailable');
    expect(agent.streams.specs().map(({ name }) => name)).toEqual(['b']);
    expect(agent.streams.dropped()).toEqual({ 'bad-number': 1 });
    await agent.reconfigure(configOf());
    await agent.speak(['a', 'b'], 1);
    agent.streams.endTrial();
    await agent.restoreAll();
    expect(['a', 'b', 'new'].map(agent.count)).toEqual([121, 121, 0]);
    expect(agent.seen('a')).toBeGreaterThan(115);
    await agent.reconfigure(narrow, true);
    agent.streams.endTrial();
    expect(agent.streams.filters()).toEqual(['sensors/b']);
    await agent.speak(['a', 'b'], 1);
    expect(['a', 'b'].map(agent.count)).toEqual([121, 122]);
  },
);

test('readings of a source that is first heard during a probation are stored under no name but its own', async () => {
  const agent = await open(tempFolder());
  await agent.speak(['a'], 50);
  await agent.reconfigure(configOf({ match: 'others/{place}' }), true);
  await agent.speak(['y'], 30);
  await agent.speak(['others/y'], 1);
  expect(agent.count('y')).toBe(1);
  await agent.reconfigure(FORMER);
  await agent.reconfigure(RENAMED, true);
  await agent.speak(['a', 'c'], 20);
  expect(['c', 'new-c'].map(agent.count)).toEqual([0, 20]);
  await agent.reconfigure(FORMER);
  await agent.speak(['c'], 1);
  expect(['c', 'new-c'].map(agent.count)).toEqual([21, 0]);
});

test('readings that only the config before a push reads are checked by its limits', async () => {
  const agent = await open(tempFolder(), configOf({ limits: { min: 0, max: 50 } }));
  await agent.speak(['a'], 50);
  await agent.reconfigure(configOf({ match: 'others/{place}' }), true);
  await agent.speak(['a'], 1, '-127');
  await agent.speak(['a'], 1, '19');
  expect(agent.count('a')).toBe(51);
});

test('the births of a node that only the config before a push reads are requested', async () => {
  const agent = await open(tempFolder());
  agent.streams.beginTrial(configOf({ match: 'spBv1.0/plant/+/{place}/pump', payload: 'sparkplug' }));
  const data = sparkplug([{ alias: 1, float: 21.5, time: START }], 2);
  const { requests } = agent.streams.message('spBv1.0/plant/DDATA/edge/pump', data, START);
  expect(requests.map(({ topic }) => topic)).toEqual(['spBv1.0/plant/NCMD/edge']);
});

test('a stream that returns under its name does not take the readings of a source that had it since', async () => {
  const agent = await open(tempFolder());
  const kitchenIs = (place: string) => configOf({ match: `sensors/${place}`, name: 'kitchen' });
  await agent.reconfigure(kitchenIs('x'));
  await agent.speak(['x'], 100);
  agent.streams.checkpoints.saveAll(() => 0);
  await agent.reconfigure(kitchenIs('z'));
  await agent.speak(['z'], 100);
  expect(agent.seen('kitchen')).toBeLessThan(105);
  agent.clock.advance(2 * 3_600_000);
  const backMs = agent.clock.now();
  await agent.reconfigure(kitchenIs('x'));
  await agent.speak(['x'], 5);
  await agent.restoreAll();
  expect(agent.seen('kitchen')).toBeLessThan(10);
  expect(agent.streams.firstMs('kitchen')).toBeGreaterThan(backMs - 2 * 3_600_000);
});

test.each(['', ', at a restart'])(
  'a renamed stream uses no readings and states of another that had the name%s',
  async (restart) => {
    const dir = tempFolder();
    const named = (x: string, z: string) =>
      configOf({ match: 'sensors/x', name: x }, { match: 'sensors/z', name: z });
    const former = named('x', 'z');
    const swapped = named('z', 'y');
    let agent = await open(dir, former);
    await agent.speak(['x', 'z'], 100);
    agent.streams.checkpoints.saveAll(() => 0);
    const change = async (config: typeof former) => {
      if (restart === '') await agent.reconfigure(config);
      else {
        agent.close();
        agent = await open(dir, config, agent.clock.now());
      }
    };
    await change(swapped);
    await agent.speak(['x', 'z'], 20);
    expect([agent.seen('z'), agent.seen('y')]).toEqual([20, 20]);
    expect(agent.count('z')).toBe(120);
    expect(agent.streams.firstMs('z')).toBeGreaterThan(START + 90_000);
    // It gets its name back, which no other had meanwhile.
    const dropped = vi.spyOn(agent.store, 'dropSnapshots');
    await change(former);
    await agent.speak(['x', 'z'], 1);
    await agent.restoreAll();
    expect(agent.seen('x')).toBeGreaterThan(99);
    expect(dropped).not.toHaveBeenCalledWith('x');
    expect(agent.seen('z')).toBeLessThan(5);
  },
);

test('a start before the clock is set learns nothing from readings of another source', async () => {
  const dir = tempFolder();
  const before = await open(
    dir,
    configOf({ match: 'sensors/x', name: 'k' }, { match: 'sensors/z', name: 'z' }),
  );
  await before.speak(['x', 'z'], 50);
  before.close();
  const after = await open(dir, configOf({ match: 'sensors/z', name: 'k' }), 0);
  await after.restoreAll();
  expect([after.count('k'), after.seen('k')]).toEqual([50, 0]);
});

const RENAMED = configOf({ name: 'new-{place}' });
const FORMER = configOf();

test('a renamed stream goes on under its new name, and under its former one again', async () => {
  const lines: unknown[][] = [];
  const log = { ...silentLogger, info: (...line: unknown[]) => lines.push(line) };
  const agent = await open(tempFolder(), FORMER, START, log);
  await agent.speak(['a', 'b'], 100);
  agent.store.anomaly('a', { timeMs: START, observed: 1, score: 5 });
  const before = agent.seen('a');
  const rebuilt = vi.spyOn(agent.store, 'dropSnapshots');
  expect(await agent.reconfigure(RENAMED)).toEqual({ changed: ['new-a', 'new-b'], removed: ['a', 'b'] });
  expect(lines).toContainEqual(['streams renamed with their history', { streams: 2, first: 'a -> new-a' }]);
  expect(agent.seen('new-a')).toBe(before);
  expect(rebuilt).not.toHaveBeenCalled();
  expect(agent.seen('a')).toBeNull();
  expect(agent.streams.board.streams().find(({ name }) => name === 'new-a')?.anomalies).toHaveLength(1);
  const [forecast] = await agent.speak(['a', 'b'], 10);
  expect(forecast).toMatchObject({ stream: 'new-a' });
  expect(forecast?.seq).toBeGreaterThan(100);
  expect(['a', 'new-a'].map(agent.count)).toEqual([0, 110]);
  await agent.reconfigure(FORMER);
  await agent.speak(['a', 'b'], 1);
  expect(agent.seen('a')).toBeGreaterThan(105);
  expect(['a', 'new-a'].map(agent.count)).toEqual([111, 0]);
  expect(agent.streams.firstMs('a')).toBeLessThan(START);
});

test.each([
  ['the same config', RENAMED, 'new-a', 'a'],
  ['the former config', FORMER, 'a', 'new-a'],
])(
  'after a restart that renames streams and is killed, %s finds their history',
  async (_, next, name, gone) => {
    const dir = tempFolder();
    const one = await open(dir);
    await one.speak(['a', 'b'], 100);
    one.close();
    const two = await open(dir, RENAMED, one.clock.now());
    expect(two.gone).toEqual(['a', 'b']);
    expect(two.seen('new-a')).toBeGreaterThan(90);
    two.store.close();
    const three = await open(dir, next, one.clock.now());
    expect(three.gone).toContain(gone);
    expect(three.gone).not.toContain(name);
    if (next === RENAMED) three.streams.beginTrial(FORMER);
    await three.speak(['a', 'b'], 1);
    expect(three.seen(name)).toBeGreaterThan(90);
    expect([three.count(name), three.count(gone)]).toEqual([101, 0]);
    three.close();
    const four = await open(dir, FORMER, three.clock.now());
    expect(four.count('a')).toBe(101);
    expect(four.seen('a')).toBeGreaterThan(90);
  },
);

test('a rollback gives renamed streams their former names, with the readings of the probation', async () => {
  const agent = await open(tempFolder());
  await agent.speak(['a'], 100);
  await agent.reconfigure(RENAMED, true);
  await agent.speak(['a'], 20);
  expect(['a', 'new-a'].map(agent.count)).toEqual([0, 120]);
  await agent.reconfigure(FORMER);
  agent.streams.endTrial();
  await agent.speak(['a'], 1);
  expect(['a', 'new-a'].map(agent.count)).toEqual([121, 0]);
  expect(agent.seen('a')).toBeGreaterThan(115);
});

test('streams that get one name begin anew, and a rollback separates their readings', async () => {
  const agent = await open(tempFolder());
  await agent.speak(['a', 'b'], 100);
  await agent.reconfigure(configOf({ name: 'all' }), true);
  await agent.speak(['a', 'b'], 20);
  expect(agent.seen('all')).toBeLessThan(25);
  await agent.reconfigure(FORMER);
  agent.streams.endTrial();
  await agent.speak(['a', 'b'], 1);
  await agent.restoreAll();
  expect(['a', 'b'].map(agent.count)).toEqual([121, 121]);
});

test.each([
  ['new names', { name: 'new-{place}' }, 'new-'],
  ['new thresholds', { thresholds: [{ name: 'hot', above: 30 }] }, ''],
])(
  'many streams with %s are restored in turns, with one scan of the stored readings',
  async (_, next, prefix) => {
    const minutes = { interval: '1m', horizon: '10m' };
    const agent = await open(tempFolder(), configOf(minutes));
    const places = Array.from({ length: 20 }, (_, i) => `s${i}`);
    await agent.speak(places, 150);
    const scans = vi.spyOn(agent.store, 'since');
    const rebuilt = vi.spyOn(agent.store, 'dropSnapshots');
    await agent.reconfigure(configOf({ ...minutes, ...next }));
    expect(agent.streams.late.size).toBe(20);
    await agent.speak(places, 10);
    await agent.restoreAll();
    expect(scans.mock.calls.length).toBeLessThan(10);
    expect(rebuilt).not.toHaveBeenCalled();
    expect(places.map((place) => agent.seen(prefix + place))).toEqual(places.map(() => 2));
    expect(agent.engine.streams()).toHaveLength(20);
    expect(agent.count(`${prefix}s0`)).toBe(160);
  },
);

test.each(['that has it already', 'found later'])(
  'the state of another source, which a locked database could not delete, is not used by the stream with its name, %s',
  async (kind) => {
    const dir = tempFolder();
    const rules = [
      { match: 'sensors/x', name: 'k' },
      { match: 'sensors/z', name: 'z' },
    ];
    const takes = configOf({ match: 'sensors/z', name: 'k' });
    const agent = await open(dir, configOf(...(kind === 'found later' ? rules.slice(0, 1) : rules)));
    await agent.speak(kind === 'found later' ? ['x'] : ['x', 'z'], 100);
    agent.streams.stop();
    agent.store.flush();
    agent.clock.advance(500);
    vi.spyOn(agent.store, 'dropSnapshots').mockReturnValue(false);
    await agent.reconfigure(takes);
    await agent.speak(['z'], 3);
    expect(agent.seen('k')).toBe(3);
    // Killed.
    agent.store.flush();
    agent.store.close();
    const next = await open(dir, takes, agent.clock.now());
    await next.restoreAll();
    expect(next.seen('k')).toBeLessThan(4);
  },
);

test('a stream that waits for its restore can be renamed', async () => {
  const agent = await open(tempFolder());
  await agent.speak(['a'], 100);
  await agent.reconfigure(configOf({ match: 'others/{place}' }));
  await agent.reconfigure(FORMER);
  await agent.speak(['a'], 1);
  expect(agent.streams.late.has('a')).toBe(true);
  await agent.reconfigure(RENAMED);
  expect(agent.streams.late.has('new-a')).toBe(true);
  await agent.restoreAll();
  expect(agent.seen('new-a')).toBeGreaterThan(95);
  expect(agent.count('new-a')).toBe(101);
});

test('a renamed stream begins anew while the database cannot be written', async () => {
  const agent = await open(tempFolder());
  await agent.speak(['a'], 100);
  vi.spyOn(agent.store, 'settle').mockReturnValue(false);
  await agent.reconfigure(RENAMED);
  expect(agent.streams.has('new-a')).toBe(true);
  expect(agent.seen('new-a')).toBe(0);
  await agent.speak(['a'], 5);
  expect(['a', 'new-a'].map(agent.count)).toEqual([100, 5]);
});

test('a stream that returns keeps its readings if another, found with it, cannot be taken up', async () => {
  const agent = await open(tempFolder());
  await agent.speak(['a'], 100);
  await agent.reconfigure(configOf({ match: 'others/{place}' }));
  await agent.reconfigure(configOf());
  const add = vi.spyOn(agent.engine, 'add').mockImplementation(() => {
    throw new Error('no memory');
  });
  const firstMs = agent.clock.now();
  const found = ['a', 'b'].flatMap((place) => [
    ...agent.streams.router.message(`sensors/${place}`, Buffer.from('20'), firstMs).discovered,
  ]);
  const together = agent.streams.discovered(found.map((one) => ({ ...one, firstMs })));
  await expect(together).rejects.toThrow('no memory');
  add.mockRestore();
  await agent.speak(['a', 'b'], 1);
  await agent.restoreAll();
  expect(agent.seen('a')).toBeGreaterThan(90);
});

test('a reset stream starts afresh, keeps its samples, and does not learn from them again after a restart', async () => {
  const dir = tempFolder();
  const one = await open(dir);
  await one.speak(['a'], 200);
  one.streams.checkpoints.saveAll(() => 0);
  one.streams.reset('a');
  expect(one.seen('a')).toBe(0);
  expect(one.count('a')).toBe(200);
  // Killed: nothing is saved in an orderly way.
  one.store.flush();
  one.store.close();
  const two = await open(dir);
  expect(two.seen('a')).toBe(0);
  expect(two.count('a')).toBe(200);
});

test('the old state of a reset stream does not return with a stop or a reload before its next bucket', async () => {
  const dir = tempFolder();
  const one = await open(dir);
  await one.speak(['a'], 200);
  one.streams.reset('a');
  await one.reconfigure(configOf({ limits: { max: 100 } }));
  expect(one.seen('a')).toBe(0);
  one.close();
  const two = await open(dir, configOf({ limits: { max: 100 } }), one.clock.now());
  expect(two.seen('a')).toBe(0);
  const [forecast] = await two.speak(['a'], 3);
  expect(forecast?.seq).toBeLessThan(3);
});

test('settings that do not affect the state keep it; others rebuild it from samples', async () => {
  const { reconfigure, engine, speak, seen } = await open(tempFolder());
  await speak(['a', 'b'], 100);
  const before = seen('a');
  expect(before).toBeGreaterThan(90);
  const kinder = configOf({ thresholds: [{ name: 'hot', above: 30 }], limits: { max: 100 } });
  expect(await reconfigure(kinder)).toEqual({ changed: ['a', 'b'], removed: [] });
  expect(seen('a')).toBe(before);
  const [forecast] = await speak(['a', 'b'], 2);
  expect(forecast?.crossings.map(({ name }) => name)).toEqual(['hot']);
  expect(forecast?.seq).toBeGreaterThan(90);
  expect(await reconfigure(kinder)).toEqual({ changed: [], removed: [] });

  expect((await reconfigure(configOf({ interval: '2s', horizon: '20s' }))).changed).toEqual(['a', 'b']);
  expect(engine.streams()[0]).toMatchObject({ intervalMs: 2000, horizonSteps: 10 });
  // Half as many buckets of the same readings.
  expect(Math.abs(seen('a')! - before! / 2)).toBeLessThan(4);
});

test('an open bucket keeps its readings when settings change that do not affect the state', async () => {
  const { streams, reconfigure, engine, store, clock } = await open(tempFolder());
  const push = (value: number) => {
    const sample = { stream: 'a', value, timeMs: clock.now(), arrivalMs: clock.now() };
    expect(engine.push(sample)).toBe('accepted');
    store.append(sample);
    clock.advance(100);
  };
  const found = {
    ...streams.router.message('sensors/a', Buffer.from('1'), clock.now()).discovered[0]!,
    firstMs: START,
  };
  await streams.discovered([found]);
  for (let i = 0; i < 35; i++) push(i);
  await engine.tick(clock.now());
  await reconfigure(configOf({ thresholds: [{ name: 'hot', above: 30 }] }));
  for (let i = 35; i < 40; i++) push(i);
  const [forecast] = await engine.tick(clock.now());
  // The mean of 30 to 39.
  expect(forecast).toMatchObject({ originMs: START + 3000, observed: 34.5 });
});

test('refused readings are counted since the start, across changes of the config', async () => {
  const { streams, reconfigure, close } = await open(tempFolder());
  const nonsense = () => streams.router.message('sensors/a', Buffer.from('nonsense'), START);
  nonsense();
  nonsense();
  await reconfigure(configOf({ horizon: '20s' }));
  expect(streams.dropped()).toEqual({ 'bad-number': 2 });
  nonsense();
  expect(streams.dropped()).toEqual({ 'bad-number': 3 });
  close();
});

test('streams with covariates continue after an orderly restart as if there had been none', async () => {
  const config = configOf({ covariates: ['a', 'b'] });
  const [dir, steadyDir] = [tempFolder(), tempFolder()];
  const steady = await open(steadyDir, config);
  await steady.speak(['a', 'b'], 150);
  const first = await open(dir, config);
  await first.speak(['a', 'b'], 145);
  // Fewer readings since than are worth a saved state otherwise.
  first.streams.checkpoints.saveAll(() => 0);
  await first.speak(['a', 'b'], 5);
  first.close();
  const second = await open(dir, config, first.clock.now());
  for (let i = 0; i < 30; i++) {
    const expected = await steady.speak(['a', 'b'], 1);
    expect(expected).toHaveLength(2);
    expect(await second.speak(['a', 'b'], 1)).toEqual(expected);
  }
});

test('a stream that could not be added is tried again at its next message', async () => {
  const { streams, store, engine, speak, seen } = await open(tempFolder());
  const { loadSnapshot } = store;
  store.loadSnapshot = () => {
    throw new Error('disk I/O error');
  };
  await expect(speak(['a'], 1)).rejects.toThrow('disk I/O error');
  expect([streams.has('a'), engine.streams(), streams.size]).toEqual([false, [], 0]);
  store.loadSnapshot = loadSnapshot;
  await speak(['a'], 5);
  expect([streams.has('a'), seen('a')]).toEqual([true, 5]);
});

test('streams that a new config does not read, or renames, are removed, now and at the next start', async () => {
  const dir = tempFolder();
  const { reconfigure, engine, speak, count, close } = await open(dir);
  await speak(['a', 'b'], 20);
  const { removed } = await reconfigure(configOf({ match: 'sensors/a', name: 'a' }));
  expect(removed).toEqual(['b']);
  expect(engine.streams().map(({ spec }) => spec.name)).toEqual(['a']);
  // What was read stays in the store for as long as samples are kept.
  expect(count('b')).toBe(20);
  close();
  const next = await open(dir, configOf({ match: 'sensors/a', name: 'other' }));
  expect(next.gone).toEqual(['a']);
  expect(next.engine.streams().map(({ spec }) => spec.name)).toEqual(['other']);
});

test('a stream with other covariates is made anew from its stored samples', async () => {
  const { reconfigure, speak, engine, seen } = await open(tempFolder());
  await speak(['a', 'b'], 60);
  await reconfigure(configOf({ covariates: ['b'] }));
  const specOf = (name: string) => engine.streams().find(({ spec }) => spec.name === name)?.spec;
  expect(specOf('a')?.covariates).toEqual([{ kind: 'stream', name: 'b' }]);
  expect(specOf('b')?.covariates).toEqual([]);
  expect(seen('a')).toBeGreaterThan(55);
  const [after] = (await speak(['a', 'b'], 10)).filter(({ stream }) => stream === 'a');
  expect(after?.kind).not.toBe('naive');
});

test('refused readings are logged at a limited rate for each reason', async () => {
  const told: unknown[] = [];
  const log: Logger = { ...silentLogger, warn: (text, fields) => void told.push([text, fields?.reason]) };
  const { streams, close } = await open(tempFolder(), configOf(), START, log);
  const send = (text: string) => streams.message('sensors/a', Buffer.from(text), START);
  expect(send('1').samples).toHaveLength(1);
  for (const text of ['one', 'two', '1e999', 'NaN']) send(text);
  expect(told).toEqual([
    ['not taken', 'bad-number'],
    ['not taken', 'not-finite'],
  ]);
  expect(streams.dropped()).toEqual({ 'bad-number': 2, 'not-finite': 2 });
  close();
});
