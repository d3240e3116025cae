/** The small parts of the composition root. */
import { describe, expect, test } from 'vitest';
import { every } from '../../src/agent/every.ts';
import { Rate } from '../../src/agent/health.ts';
import { KnownStreams } from '../../src/agent/known-streams.ts';
import { sessionMemory } from '../../src/agent/link.ts';
import { Stops } from '../../src/agent/stops.ts';
import type { DiscoveredStream, StreamSource } from '../../src/ingest/rule.ts';
import { silentLogger } from '../../src/log.ts';
import { systemClock } from '../../src/system/clock.ts';
import { RateLimitedLog } from '../../src/system/rate-limited-log.ts';
import { parseListen } from '../../src/web/listen.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { testSpec } from '../support/specs.ts';

const stream = (name: string, unit: string | null = null): DiscoveredStream => ({
  spec: testSpec(name, { unit }),
  source: { topic: `t/${name}`, field: 'value' },
  rule: 0,
});
/** Reads every topic but those of `gone`; knows no units. */
const router = (gone: readonly string[] = []) => ({
  adopt: ({ topic }: StreamSource) => (gone.includes(topic) ? null : stream(topic.slice(2))),
  nameOf: () => null,
});

describe('KnownStreams', () => {
  test('are restored with the unit that was sent and a time before their oldest sample', () => {
    const store = new MemoryStore();
    const known = new KnownStreams(store);
    known.add(stream('a', '°C'), 10_000_000);
    known.add(stream('b'), 20_000_000);
    known.remove('b');
    known.save();
    const [only, ...more] = new KnownStreams(store).restore(router());
    expect(more).toEqual([]);
    expect(only?.spec).toMatchObject({ name: 'a', unit: '°C' });
    expect(only?.firstMs).toBeLessThanOrEqual(10_000_000);
  });

  test('a stream that the config no longer reads is left out permanently', () => {
    const store = new MemoryStore();
    const known = new KnownStreams(store);
    for (const name of ['a', 'b']) known.add(stream(name), 0);
    known.save();
    const second = new KnownStreams(store);
    expect(second.restore(router(['t/a'])).map(({ spec }) => spec.name)).toEqual(['b']);
    second.save();
    expect(new KnownStreams(store).restore(router()).map(({ spec }) => spec.name)).toEqual(['b']);
  });

  test('streams left out and streams with another name are listed', () => {
    const store = new MemoryStore();
    const known = new KnownStreams(store);
    for (const name of ['a', 'b', 'c']) known.add(stream(name), 0);
    known.save();
    const second = new KnownStreams(store);
    const renaming = {
      adopt: ({ topic }: StreamSource) =>
        topic === 't/a' ? null : stream(topic === 't/b' ? 'other' : topic.slice(2)),
      nameOf: () => null,
    };
    expect(second.restore(renaming).map(({ spec }) => spec.name)).toEqual(['other', 'c']);
    expect(second.gone).toEqual(['a', 'b']);
    second.save();
    const third = new KnownStreams(store);
    third.restore(renaming);
    expect(third.gone).toEqual([]);
  });

  test.each(['nonsense', '{}', '[[1,2,3,4],["t/a","value",null,0],null]', 'null'])('damaged: %s', (text) => {
    const store = new MemoryStore();
    store.setMeta('agent.streams', text);
    expect(new KnownStreams(store).restore(router()).length).toBe(text.includes('t/a') ? 1 : 0);
  });
});

test('the session is known to the data directory that has met this broker under this client id', () => {
  const store = new MemoryStore();
  const here = { url: 'mqtt://here', clientId: 'a' };
  const first = sessionMemory(store, here);
  expect(first.former).toBeNull();
  first.remember(['x', 'y']);
  expect(sessionMemory(store, here).former).toEqual(['x', 'y']);
  expect(sessionMemory(store, { ...here, url: 'mqtt://there' }).former).toBeNull();
  expect(sessionMemory(store, { ...here, clientId: 'b' }).former).toBeNull();
  for (const damaged of ['nonsense', 'null', '[]', '17']) {
    store.setMeta('agent.session', damaged);
    expect(sessionMemory(store, here).former).toBeNull();
  }
});

test('the session is kept if the store cannot be read', () => {
  const here = { url: 'mqtt://here', clientId: 'a' };
  const unreadable = {
    failedReads: 0,
    getMeta() {
      this.failedReads++;
      return null;
    },
    setMeta: () => {},
  };
  expect(sessionMemory(unreadable, here).former).toEqual([]);
});

test('a repeated log line is written at a limited rate, each kind by itself', () => {
  const clock = new FakeClock();
  const seldom = new RateLimitedLog(clock);
  const said: unknown[] = [];
  for (let minute = 0; minute < 25; minute++) {
    seldom.say('a', (omitted) => said.push(['a', minute, omitted]));
    if (minute % 20 === 0) seldom.say('b', (omitted) => said.push(['b', minute, omitted]));
    clock.advance(60_000);
  }
  expect(said).toEqual([
    ['a', 0, undefined],
    ['b', 0, undefined],
    ['a', 10, 9],
    ['a', 20, 9],
    ['b', 20, undefined],
  ]);
  for (let kind = 0; kind < 5000; kind++) seldom.say(`kind ${kind}`, () => undefined);
  seldom.say('b', () => said.push('forgotten'));
  expect(said.at(-1)).toBe('forgotten');
});

describe('Stops', () => {
  test('are run in reverse order, once, whatever fails', async () => {
    const done: string[] = [];
    const stops = new Stops(systemClock, silentLogger);
    stops.add('first', () => void done.push('first'));
    stops.add('fails', () => Promise.reject(new Error('no')));
    stops.add('throws', () => {
      throw new Error('no');
    });
    stops.add('last', async () => void done.push('last'));
    await stops.run();
    await stops.run();
    expect(done).toEqual(['last', 'first']);
  });

  test('one that hangs is abandoned after a time limit', async () => {
    const clock = new FakeClock();
    const done: string[] = [];
    const stops = new Stops(clock, silentLogger);
    stops.add('first', () => void done.push('first'));
    stops.add('hangs', () => new Promise(() => undefined));
    const stopped = stops.run();
    await Promise.resolve();
    clock.advance(2000);
    await stopped;
    expect(done).toEqual(['first']);
  });
});

test('every: runs again and again until cancelled', () => {
  const clock = new FakeClock();
  let count = 0;
  const cancel = every(clock, 100, () => count++, silentLogger);
  clock.advance(99);
  expect(count).toBe(0);
  clock.advance(901);
  expect(count).toBe(10);
  cancel();
  clock.advance(1000);
  expect(count).toBe(10);
});

test('every: an error is reported, and the next run still comes', () => {
  const clock = new FakeClock();
  const said: unknown[] = [];
  let count = 0;
  const action = (): void => {
    count++;
    throw new Error('no space left');
  };
  const cancel = every(clock, 100, action, { error: (_, fields) => void said.push(fields?.reason) });
  clock.advance(300);
  cancel();
  expect(count).toBe(3);
  expect(said).toEqual(['no space left', 'no space left', 'no space left']);
});

test('the rate looks back about ten seconds', () => {
  const rate = new Rate();
  expect(rate.of(100, 0)).toBe(0);
  for (let second = 1; second <= 30; second++) rate.of(100 + 5 * second, second * 1000);
  expect(rate.of(250, 30_000)).toBeCloseTo(5);
  for (let second = 31; second <= 45; second++) rate.of(250, second * 1000);
  expect(rate.of(250, 45_000)).toBe(0);
});

test('addresses of the page', () => {
  expect(parseListen('off')).toBeNull();
  expect(parseListen('127.0.0.1:8787')).toEqual({ host: '127.0.0.1', port: 8787 });
  expect(parseListen('[::1]:80')).toEqual({ host: '::1', port: 80 });
  expect(parseListen(':8787')).toEqual({ host: '', port: 8787 });
  expect(parseListen('8787')).toEqual({ host: '127.0.0.1', port: 8787 });
});
