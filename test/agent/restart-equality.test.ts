/** Whatever an owner does to streams: an agent that is stopped and started again now and then says what one says that never was. */
import { expect, test } from 'vitest';
import { AgentStreams } from '../../src/agent/streams.ts';
import { validateConfig } from '../../src/config/index.ts';
import { Engine } from '../../src/forecast/engine.ts';
import { silentLogger } from '../../src/log.ts';
import type { SqliteStore } from '../../src/store/sqlite-store.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { fakeModel } from '../support/fake-model.ts';
import { uniform } from '../support/random.ts';
import { openStore, tempFolder } from '../support/stores.ts';

const START = Date.UTC(2025, 0, 1);
const PLACES = ['a', 'b', 'c', 'd'];
const TURNS = 24;

/** Of all four places by two rules: one whose gaps are dropped, and one whose streams see others. */
const CONFIG = validateConfig({
  node: 'n',
  mqtt: { url: 'mqtt://broker' },
  timezone: 'UTC',
  lateness: '0s',
  streams: [
    { match: '0/{place}', horizon: '20s', gaps: { fill: 'drop', max: '30s' } },
    { match: '1/{place}', horizon: '10s', covariates: ['a', 'b'] },
  ].map((rule) => ({ ...rule, payload: 'number', interval: '1s', name: '{place}' })),
});

class Agent {
  /** By stream and origin. */
  readonly told = new Map<string, string>();
  private readonly folder = tempFolder();
  private readonly clock = new FakeClock(START);
  private parts: { store: SqliteStore; engine: Engine; streams: AgentStreams } | null = null;

  private get now() {
    if (this.parts === null) throw new Error('not started');
    return this.parts;
  }

  get streams(): AgentStreams {
    return this.now.streams;
  }

  async start(): Promise<void> {
    const { clock } = this;
    const store = openStore(this.folder);
    const engine = new Engine(fakeModel());
    const streams = new AgentStreams({ config: () => CONFIG, engine, store, clock, log: silentLogger });
    await streams.start();
    this.parts = { store, engine, streams };
  }

  stop(): void {
    this.now.streams.stop();
    this.now.store.close();
  }

  async hear(topic: string, value: number): Promise<void> {
    const { store, engine, streams } = this.now;
    const firstMs = this.clock.now();
    const { samples, discovered } = streams.router.message(topic, Buffer.from(String(value)), firstMs);
    if (discovered.length > 0) await streams.discovered(discovered.map((found) => ({ ...found, firstMs })));
    for (const reading of samples) {
      const sample = { ...reading, timeMs: firstMs };
      if (engine.push(sample) !== 'accepted') continue;
      store.append(sample);
      streams.checkpoints.accepted(sample.stream);
    }
  }

  async second(): Promise<void> {
    this.clock.advance(1000);
    for (const { stream, originMs, seq, kind, quantiles } of await this.now.engine.tick(this.clock.now()))
      this.told.set(`${stream} ${originMs - START}`, `${seq} ${kind} ${quantiles.join(' ')}`);
    this.now.streams.checkpoints.save();
  }
}

test.each([1, 2, 3, 4, 5, 6])(
  'a restarted agent forecasts like one that never stopped, whatever readings come (%i)',
  async (seed) => {
    const next = uniform(seed);
    const place = (): string => PLACES[Math.floor(next() * PLACES.length)] as string;
    const steady = new Agent();
    const restless = new Agent();
    const both = async (act: (agent: Agent) => void | Promise<void>): Promise<void> => {
      await act(steady);
      await act(restless);
    };
    await both((agent) => agent.start());
    let restarts = 0;
    for (let turn = 0; turn < TURNS; turn++) {
      const dice = next();
      if (dice < 0.15) {
        const name = place();
        if (steady.streams.has(name))
          await both(({ streams }) => streams[dice < 0.08 ? 'remove' : 'reset'](name));
      } else if (dice < 0.5) {
        restarts++;
        restless.stop();
        await restless.start();
      } else {
        const speakers = PLACES.filter(() => next() < 0.8);
        for (let seconds = Math.floor(5 + next() * 50); seconds > 0; seconds--) {
          for (const name of speakers) {
            const value = 20 + next() + (next() < 0.02 ? 60 : 0);
            if (next() < 0.9) await both((agent) => agent.hear(`${PLACES.indexOf(name) % 2}/${name}`, value));
          }
          await both((agent) => agent.second());
        }
      }
    }
    expect(restarts).toBeGreaterThan(3);
    expect(steady.told.size).toBeGreaterThan(200);
    expect(restless.told).toEqual(steady.told);
    await both((agent) => agent.stop());
  },
);
