/** A config change of the running agent: applied by all parts, or by none. With real brokers and a real store. */
import { describe, expect, test } from 'vitest';
import { Configurer } from '../../src/agent/configure.ts';
import type { Agent, AgentOptions } from '../../src/agent/contract.ts';
import type { Change, Part } from '../../src/agent/part.ts';
import { handlersOf, type VerbParts } from '../../src/agent/verbs.ts';
import { startAgent } from '../../src/agent.ts';
import { type Config, validateConfig } from '../../src/config/index.ts';
import { GatecastError } from '../../src/errors.ts';
import { createLogger, silentLogger } from '../../src/log.ts';
import { cleanupsOfTest } from '../support/cleanups.ts';
import { hasMosquitto, startMosquitto, watch } from '../support/mosquitto.ts';
import { recordWork } from '../support/run-delay.ts';
import { tempDirs } from '../support/temp.ts';
import { unloadedClock } from '../support/unloaded-clock.ts';
import { sleep, waitFor } from '../support/wait.ts';

const temp = tempDirs();
const cleanups = cleanupsOfTest();

/** The interval of the streams, ms. */
const STEP_MS = 200;

const configOf = (url: string, dataDir: string, change: Record<string, unknown> = {}) =>
  validateConfig({
    node: 'test',
    mqtt: { url },
    data_dir: dataDir,
    lateness: '0s',
    streams: [
      { match: 'sensors/{place}', payload: 'number', interval: '200ms', horizon: '2s', name: '{place}' },
    ],
    http: { listen: 'off' },
    ...change,
  });

/** Streams, publish and fine-tuning change at once: every part has something to do. */
const OTHER = {
  streams: [
    { match: 'sensors/tank', payload: 'number', interval: '200ms', horizon: '2s', name: 'tank' },
    { match: 'more/{place}', payload: 'number', interval: '400ms', horizon: '2s', name: 'more/{place}' },
  ],
  publish: { at: ['1s'] },
  finetune: { schedule: '5 4 * * *' },
};

async function setUp(more: Partial<AgentOptions> = {}) {
  const broker = await startMosquitto();
  cleanups.push(() => broker.stop());
  const eyes = await watch(broker.url, 'gatecast/#');
  cleanups.push(() => eyes.close());
  const dir = temp();
  const made: { readonly stream: string; readonly seq: number; readonly atMs: number }[] = [];
  const work = recordWork(broker.pid);
  cleanups.push(work.stop);
  const agent: Agent = await startAgent({
    config: configOf(broker.url, dir),
    version: '1.2.3',
    clock: unloadedClock(),
    log: silentLogger,
    onForecast: ({ stream, seq }) => made.push({ stream, seq, atMs: Date.now() }),
    ...more,
  });
  cleanups.push(() => agent.stop());
  let speaking = true;
  const speech = (async () => {
    for (let i = 0; speaking; i++) {
      for (const place of ['tank', 'pump'])
        await eyes.client.publishAsync(`sensors/${place}`, String(10 + (i % 7)), { qos: 1 });
      await sleep(50);
    }
  })();
  cleanups.push(async () => {
    speaking = false;
    await speech;
  });
  const published = (stream: string) => eyes.on(`gatecast/test/forecast/${stream}`).length;
  /**
   * Forecasts go on, and none was missed since the first. Those that were made are counted: if the process hardly runs, a waiting
   * message is replaced by the next of its topic. While a broker is held up forecasts wait, and then the newest is made of several.
   */
  const goesOn = async (stream: string) => {
    const before = published(stream);
    await waitFor('more forecasts', () => published(stream) > before + 2);
    const all = made.filter((forecast) => forecast.stream === stream);
    const missed = all.slice(1).filter(({ seq, atMs }, at) => {
      const { seq: before, atMs: fromMs } = all[at] ?? { seq, atMs };
      return seq !== before + 1 && work.between(fromMs, atMs) > 0.9 * STEP_MS * (seq - before);
    });
    expect(missed).toEqual([]);
  };
  await waitFor('the first forecasts', () => published('tank') > 2 && published('pump') > 2);
  return { broker, eyes, agent, dir, goesOn };
}

/** Counts what is done with its changes. */
class Probe implements Part {
  readonly name = 'probe';
  readonly done: string[] = [];

  prepare(next: Config): Change {
    this.done.push('prepare');
    return {
      apply: () => void this.done.push(`apply ${next.publish.at.join()}`),
      discard: () => void this.done.push('discard'),
    };
  }
}

describe.skipIf(!hasMosquitto)('a config change', () => {
  test('that any part refuses changes nothing; the error names the part, the key and a remedy', async () => {
    const probe = new Probe();
    const lines: string[] = [];
    const log = createLogger({ level: () => 'warn', now: Date.now, write: (line) => lines.push(line) });
    const { agent, broker, dir, goesOn } = await setUp({ moreParts: [probe], log });
    const { context, parts } = agent;
    const running = context.config();
    const next = configOf(broker.url, dir, OTHER);
    const specs = () => parts.find(({ name }) => name === 'streams');
    expect(specs()).toBeDefined();
    for (const part of parts) {
      probe.done.length = 0;
      const real = part.prepare;
      part.prepare = () => {
        throw new GatecastError('CONFIG_INVALID', 'refused', {
          issues: [{ path: 'publish.at', message: `is not for ${part.name}` }],
          hint: 'take another',
        });
      };
      const result = await context.configure(next);
      if (real === undefined) delete part.prepare;
      else part.prepare = real;
      expect(result.errors).toEqual([
        { part: part.name, path: 'publish.at', message: `is not for ${part.name}`, hint: 'take another' },
      ]);
      expect(result.removed).toEqual([]);
      expect([context.config(), result.running]).toEqual([running, running]);
      expect(context.config()).toBe(running);
      expect(probe.done).toEqual(part === probe ? [] : ['prepare', 'discard']);
    }
    const elsewhere = { ...running, data_dir: `${dir}/elsewhere` };
    expect(await context.configure(elsewhere)).toMatchObject({ errors: [], hot: [], restart: ['data_dir'] });
    expect(context.config()).toBe(running);
    expect(lines.join('')).toMatch(/takes effect after a restart .*restart=data_dir/);
    await goesOn('tank');
    await goesOn('pump');
  });

  test('is applied by all parts; an unchanged stream misses no forecast; a rollback is applied the same way', async () => {
    const probe = new Probe();
    const { agent, broker, dir, goesOn, eyes } = await setUp({ moreParts: [probe] });
    const { context } = agent;
    const former = context.config();
    const tried = await context.configure(configOf(broker.url, dir, OTHER), { dryRun: true });
    expect(tried).toMatchObject({ errors: [], removed: [] });
    expect(context.config()).toBe(former);
    expect(probe.done).toEqual(['prepare', 'discard']);
    const result = await context.configure(configOf(broker.url, dir, OTHER));
    expect(result).toMatchObject({ errors: [], removed: ['pump'], former, restart: [], reconnect: [] });
    expect(result.hot.length).toBeGreaterThan(2);
    expect(context.config().publish.at).toEqual([1000]);
    expect(probe.done.slice(2)).toEqual(['prepare', 'apply 1000']);
    await goesOn('tank');
    await waitFor('the plain number', () => eyes.on('gatecast/test/forecast/tank/at/1s').length > 0);
    await waitFor(
      'what was retained of pump to be cleared',
      () => eyes.on('gatecast/test/forecast/pump').at(-1)?.text === '',
    );
    const back = await context.configure(result.former);
    expect(back).toMatchObject({ errors: [], removed: [] });
    expect(context.config()).toEqual(former);
    await goesOn('tank');
    await waitFor(
      'the plain number to be cleared',
      () => eyes.on('gatecast/test/forecast/tank/at/1s').at(-1)?.text === '',
    );
  });

  test('to a broker that does not answer is refused; to one that answers it is made, and forecasts continue there', async () => {
    const { agent, broker, dir, goesOn } = await setUp();
    const { context } = agent;
    const dead = await context.configure(configOf('mqtt://127.0.0.1:1', dir));
    expect(dead.errors).toMatchObject([{ part: 'broker', path: 'mqtt.url' }]);
    expect(dead.errors[0]?.hint).not.toBe('');
    expect(context.config().mqtt.url).toBe(broker.url);
    await goesOn('tank');
    const other = await startMosquitto();
    cleanups.unshift(() => other.stop());
    const eyes = await watch(other.url, 'gatecast/#');
    cleanups.unshift(() => eyes.close());
    const result = await context.configure(configOf(other.url, dir));
    expect(result).toMatchObject({ errors: [], reconnect: ['mqtt.url'], hot: [], restart: [] });
    await waitFor(
      'the birth',
      () => eyes.on('gatecast/test/status').at(-1)?.text.includes('online') === true,
    );
    const before = eyes.on('gatecast/test/forecast/tank').length;
    await waitFor('forecasts there', async () => {
      await eyes.client.publishAsync('sensors/tank', '12', { qos: 1 });
      await sleep(50);
      return eyes.on('gatecast/test/forecast/tank').length > before + 2;
    });
  });
});

test('a reload that a part refuses for the moment is answered with BUSY and the hint, another one with CONFIG_INVALID', async () => {
  const config = configOf('mqtt://127.0.0.1:1', 'd');
  let code: 'BUSY' | 'MODEL_UNKNOWN' = 'BUSY';
  const part: Part = {
    name: 'models',
    prepare: () => {
      const issues = [{ path: 'model.name', message: 'not now' }];
      throw new GatecastError(code, 'not now', { hint: 'Repeat the request.', issues });
    },
  };
  const configurer = new Configurer({
    running: { config },
    parts: () => [part],
    streams: () => [],
    between: async (action) => action(),
    forget: () => {},
    onConfig: undefined,
    log: silentLogger,
  });
  const { reload } = handlersOf({
    configFile: { path: 'c.yaml', read: () => configOf('mqtt://127.0.0.1:1', 'd', OTHER) },
    configure: (wanted: Config) => configurer.configure(wanted),
  } as unknown as VerbParts);
  const ask = { stream: null, group: null } as Parameters<typeof reload>[0];
  const answer = async () => reload(ask);
  const refused = { hint: 'Repeat the request.', issues: [{ path: 'model.name' }] };
  await expect(answer()).rejects.toMatchObject({ code: 'BUSY', ...refused });
  code = 'MODEL_UNKNOWN';
  await expect(answer()).rejects.toMatchObject({ code: 'CONFIG_INVALID', ...refused });
});
