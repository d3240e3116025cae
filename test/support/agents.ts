/** Agents in the test's own process, each with a real broker; stopped at the end of the file, so that tests may run side by side. */
import { afterAll } from 'vitest';
import type { Agent, AgentOptions } from '../../src/agent/contract.ts';
import { startAgent } from '../../src/agent.ts';
import { type Config, validateConfig } from '../../src/config/index.ts';
import { silentLogger } from '../../src/log.ts';
import { systemClock } from '../../src/system/clock.ts';
import { type Mosquitto, startMosquitto, type Watcher, watch } from './mosquitto.ts';
import { sleep, waitFor } from './wait.ts';

export const agentConfig = (url: string, dataDir: string, change: Record<string, unknown> = {}): Config =>
  validateConfig({
    node: 'test',
    mqtt: { url, qos: 1 },
    data_dir: dataDir,
    lateness: '0s',
    streams: [
      { match: 'sensors/{place}', payload: 'number', interval: '100ms', horizon: '2s', name: '{place}' },
    ],
    http: { listen: '127.0.0.1:0' },
    ...change,
  });

export function agentsOfFile() {
  const running = new Set<Agent>();
  const cleanups: (() => unknown)[] = [];
  afterAll(async () => {
    for (const agent of running) await agent.stop();
    for (const cleanup of cleanups.reverse()) await cleanup();
  });
  return {
    cleanups,
    async setUp(): Promise<{ broker: Mosquitto; eyes: Watcher }> {
      const broker = await startMosquitto();
      cleanups.push(() => broker.stop());
      const eyes = await watch(broker.url, 'gatecast/#');
      cleanups.push(() => eyes.close());
      return { broker, eyes };
    },
    async start(config: Config, more: Partial<AgentOptions> = {}): Promise<Agent> {
      const agent = await startAgent({
        config,
        version: '1.2.3',
        clock: systemClock,
        log: silentLogger,
        ...more,
      });
      running.add(agent);
      return agent;
    },
    async stop(agent: Agent): Promise<void> {
      running.delete(agent);
      await agent.stop();
    },
  };
}

/** The messages on a topic. */
export const json = (eyes: Watcher, topic: string): Record<string, unknown>[] =>
  eyes.on(topic).map(({ text }) => JSON.parse(text) as Record<string, unknown>);

/** Publishes a reading every 50 ms until `enough`. */
export async function speak(eyes: Watcher, enough: () => boolean): Promise<void> {
  let i = 0;
  await waitFor('enough of the readings', async () => {
    if (enough()) return true;
    await eyes.client.publishAsync('sensors/tank', String(10 + (i++ % 7)), { qos: 1 });
    await sleep(50);
    return false;
  });
}
