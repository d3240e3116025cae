/** What every output must keep, whatever it publishes. A new output is tested by being in the list of `outputsOf`. */
import { describe, expect, test } from 'vitest';
import { validateConfig } from '../../src/config/index.ts';
import type { Forecast } from '../../src/forecast/forecast.ts';
import { silentLogger } from '../../src/log.ts';
import type { ClientStatus } from '../../src/mqtt/client.ts';
import type { Outgoing } from '../../src/mqtt/outbox.ts';
import { isTopicName, topicsOf } from '../../src/mqtt/topics.ts';
import type { HealthInput, Output } from '../../src/outputs/output.ts';
import { Outputs, outputsOf } from '../../src/outputs/outputs.ts';
import { Q } from '../../src/quantiles.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { plainForecast } from '../support/forecasts.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { testSpec } from '../support/specs.ts';

const T0 = Date.UTC(2025, 0, 1);
const NAMES = ['tank', 'pump/temperature', 'Käse & "Öl"'];

const forecastOf = (stream: string, change: Partial<Forecast> = {}): Forecast =>
  plainForecast(stream, {
    unit: '°C',
    originMs: T0,
    input: { quality: 'good', observedMs: T0, ageMs: 0 },
    ...change,
  });

function setUp(
  publish: Record<string, unknown> = {},
  store = new MemoryStore(),
  names: readonly string[] = NAMES,
) {
  const sent: Outgoing[] = [];
  const clock = new FakeClock(T0);
  const configOf = (more: Record<string, unknown>) =>
    validateConfig({
      node: 'n',
      mqtt: { url: 'mqtt://b' },
      streams: [{ match: 'a' }],
      sparkplug: { enabled: true },
      publish: more,
    });
  const state = { config: configOf(publish), specs: names.map((name) => testSpec(name)) };
  const outputs = outputsOf({
    version: '1',
    clock,
    log: silentLogger,
    store,
    topics: topicsOf('gatecast', 'n'),
    config: () => state.config,
    send: (message) => sent.push(message),
    streams: () => state.specs,
    maxMessageBytes: () => Number.POSITIVE_INFINITY,
    model: () => ({ id: 'base', version: '1' }),
    group: 'default',
    since: () => T0,
    session: 's',
    // The connection of an output of its own.
    edgeClient: ({ birth, changed }) => ({
      start: () => {
        for (const message of birth()) sent.push(message);
        changed?.({ connected: true } as ClientStatus);
      },
      stop: async (farewell) => void sent.push(...farewell),
      publish: (message) => void sent.push(message),
      setSubscriptions: () => {},
      switchTo: () => {},
      status: () => ({ dropped: {} }) as ClientStatus,
    }),
  });
  /** What a broker retains after all that was sent. */
  const retained = () => {
    const kept = new Map<string, string>();
    for (const { topic, payload, retain } of sent)
      if (retain) {
        if (payload.length === 0) kept.delete(topic);
        else kept.set(topic, String(payload));
      }
    return kept;
  };
  return { outputs, sent, clock, state, configOf, retained, store };
}

const HEALTH: HealthInput = {
  state: 'ok',
  degraded: [],
  rssMb: 1,
  cpuPct: 1,
  dbBytes: 1,
  writtenBytesDay: 1,
  streams: 1,
  model: { id: 'base', version: '1' },
  finetune: { status: 'never', reason: '' },
  configVersion: null,
  dropped: {},
};

/** Everything that the agent may tell an output, once. */
function tellAll(output: Output, clock: FakeClock): void {
  output.connected?.({ again: false, resumed: false });
  output.streams?.(NAMES.map((name) => testSpec(name)));
  for (const name of NAMES) {
    output.forecast?.(forecastOf(name), T0);
    output.anomaly?.(name, { timeMs: T0, observed: 1, p50: 0, low: -1, high: 0.5, score: 5 });
    output.score?.(name, [], 100);
  }
  output.health?.(HEALTH);
  output.alert?.('store', { severity: 'error', text: 'x', sinceMs: T0 });
  clock.advance(10_000);
}

/** Outputs that leave retained messages of each stream with the broker. */
const RETAINING = ['JSON topics', 'Home Assistant'];
const count = setUp().outputs.length;

describe.each(Array.from({ length: count }, (_, i) => [setUp().outputs[i]?.name ?? '', i] as const))(
  'output %s',
  (_name, at) => {
    const start = async (...args: Parameters<typeof setUp>) => {
      const rig = setUp(...args);
      const output = rig.outputs[at];
      if (output === undefined) throw new Error('no output');
      await output.start?.({} as Parameters<NonNullable<Output['start']>>[0]);
      return { ...rig, output };
    };

    test('publishes to safe topics only', async () => {
      const { output, sent, clock } = await start({ at: ['1m'] });
      tellAll(output, clock);
      expect(sent.length).toBeGreaterThan(0);
      expect(sent.filter(({ topic }) => !isTopicName(topic))).toEqual([]);
    });

    test('clears all that the broker retains of a stream that is forgotten, in this run and in the next', async () => {
      const { output, clock, retained, state } = await start({ at: ['1m'] });
      tellAll(output, clock);
      const [gone, ...rest] = NAMES;
      const ofGone = (topics: Iterable<string>) =>
        [...topics].filter((topic) => topic.includes(`/${gone}`) || topic.endsWith(`_${gone}/config`));
      const before = ofGone(retained().keys());
      if (RETAINING.includes(output.name)) expect(before).not.toEqual([]);
      state.specs = rest.map((name) => testSpec(name));
      output.forget?.(gone ?? '');
      expect(ofGone(retained().keys())).toEqual([]);
      // The next run, on the same store, forgets a stream that the former one published.
      const first = await start({ at: ['1m'] });
      tellAll(first.output, first.clock);
      await first.output.stop?.();
      const next = await start({ at: ['1m'] }, first.store, rest);
      next.output.forget?.(gone ?? '');
      const cleared = new Set(
        next.sent.filter(({ payload }) => payload.length === 0).map(({ topic }) => topic),
      );
      const left = ofGone(first.retained().keys());
      expect(left.filter((topic) => !cleared.has(topic))).toEqual([]);
    });

    test('prepare changes nothing and publishes nothing; apply takes the new config', async () => {
      const { output, sent, clock, state, configOf } = await start({ at: ['1m'] });
      tellAll(output, clock);
      const before = sent.length;
      const next = configOf({ at: ['2m'] });
      const change = await output.prepare?.(next, state.config, {});
      await change?.discard?.();
      expect(sent.length).toBe(before);
      const again = await output.prepare?.(next, state.config, {});
      state.config = next;
      again?.apply?.();
      await again?.settle?.();
      clock.advance(10_000);
      if (again != null) expect(sent.length).toBeGreaterThan(before);
      expect((await output.prepare?.(next, next, {})) ?? null).toBeNull();
    });

    test('keeps no array of a forecast: the engine writes over it', async () => {
      const { output, sent } = await start();
      const forecast = forecastOf('tank');
      output.forecast?.(forecast, T0);
      const texts = sent.map(({ payload }) => String(payload));
      forecast.quantiles.fill(Number.NaN);
      expect(sent.map(({ payload }) => String(payload))).toEqual(texts);
    });

    test('a forecast that is no number is not published', async () => {
      const { output, sent } = await start({ at: ['1m'] });
      const before = sent.length;
      output.forecast?.(forecastOf('tank', { quantiles: new Float64Array(2 * Q).fill(Number.NaN) }), T0);
      expect(sent.length).toBe(before);
    });

    test('leaves a message that is not its own to others, and does not acknowledge it', async () => {
      const { output } = await start();
      let acknowledged = 0;
      const taken = output.receive?.({
        topic: 'sensors/tank',
        payload: Buffer.from('1'),
        retained: false,
        acknowledge: () => acknowledged++,
      });
      expect([taken ?? false, acknowledged]).toEqual([false, 0]);
      for (const filter of output.filters?.() ?? []) {
        const own = output.receive?.({
          topic: filter,
          payload: Buffer.from([0xff, 0x00]),
          retained: false,
          acknowledge: () => acknowledged++,
        });
        expect(own).toBe(true);
      }
      expect(acknowledged).toBe(output.filters?.().length ?? 0);
    });
  },
);

test('an output that throws costs neither the others nor the caller, and is told of', () => {
  const failed: string[] = [];
  const heard: string[] = [];
  const bad: Output = {
    name: 'bad',
    forecast: () => {
      throw new Error('no');
    },
    health: () => {
      throw new Error('no');
    },
  };
  const good: Output = {
    name: 'good',
    forecast: () => void heard.push('forecast'),
    health: () => void heard.push('health'),
  };
  const outputs = new Outputs([bad, good], (output, reason) => failed.push(`${output}: ${reason}`));
  outputs.forecast(forecastOf('tank'), T0);
  outputs.health(HEALTH);
  expect(heard).toEqual(['forecast', 'health']);
  expect(failed).toEqual(['bad: no', 'bad: no']);
  expect(outputs.dropped()).toContainEqual({ 'output-failed': 2 });
});

test('exactly one output gives the last will, and birth and farewell are on its topic', () => {
  const { outputs } = setUp();
  expect(outputs.filter((output) => (output.will?.() ?? null) !== null)).toHaveLength(1);
  const all = new Outputs(outputs, () => {});
  expect(new Set([...all.birth(), ...all.farewell(), all.will()].map((message) => message?.topic))).toEqual(
    new Set(['gatecast/n/status']),
  );
});
