/**
 * Fine-tuning with everything real: the built program, Mosquitto, SQLite, the training worker. The model that the config
 * names has learnt nothing; after a fine-tuning on stored history the agent must forecast with another one, say so, keep
 * it over a kill, and give it back on request.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ModelRegistry } from '../../src/model/registry.ts';
import { ModelSlots } from '../../src/model/slots.ts';
import { forecastSpec } from '../../src/training/job.ts';
import { type Daemon, ensureBuilt, startDaemon } from '../support/daemon.ts';
import { recordMachines } from '../support/history.ts';
import { untrainedModel } from '../support/models.ts';
import { hasMosquitto, type Mosquitto, startMosquitto, type Watcher, watch } from '../support/mosquitto.ts';
import { stopwatch } from '../support/run-delay.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const LEADS = 12;
const PATIENCE_MS = 240_000;

interface GroupMessage {
  readonly champion: string;
  readonly version: string;
  readonly previous: string | null;
  readonly probation: { readonly since: string } | null;
  readonly holdout: Record<'champion' | 'candidate' | 'naive', number> | null;
  readonly last_run: { readonly status: string; readonly reason: string; readonly trigger: string | null };
}

describe.skipIf(!hasMosquitto)('fine-tuning', () => {
  const temp = tempDirs();
  const daemons: Daemon[] = [];
  let broker: Mosquitto;
  let eyes: Watcher;
  let dir: string;

  const config = (): Record<string, unknown> => ({
    node: 'n',
    mqtt: { url: broker.url, qos: 1 },
    data_dir: dir,
    timezone: 'UTC',
    lateness: '0s',
    model: { name: 'raw' },
    // Nothing begins by itself at some hour, and a busy machine is no reason to wait.
    finetune: { schedule: 'off', on_drift: false, max_time: '30s', max_load: 32, max_temperature: 110 },
    streams: [
      { match: 'slow/{n}', payload: 'number', interval: '1m', horizon: `${LEADS}m`, name: '{n}' },
      { match: 'fast/{n}', payload: 'number', interval: '200ms', horizon: '2s', name: '{n}' },
    ],
    http: { listen: 'off' },
  });

  beforeAll(async () => {
    ensureBuilt();
    broker = await startMosquitto();
    eyes = await watch(broker.url, 'gatecast/#');
    dir = temp();
    const network = forecastSpec({ cell: 'gru', layers: 1, hidden: 16, width: 16 });
    mkdirSync(join(dir, 'models'), { recursive: true });
    new ModelRegistry(join(dir, 'models'), null).save(untrainedModel(network, { name: 'raw', leads: LEADS }));
    recordMachines(dir, config());
  });
  afterAll(async () => {
    for (const { process } of daemons) if (process.exitCode === null) process.kill('SIGKILL');
    await eyes?.close();
    await broker?.stop();
  });

  const start = async (): Promise<Daemon> => {
    await eyes.caughtUp();
    eyes.seen.length = 0;
    const daemon = await startDaemon(dir, config());
    daemons.push(daemon);
    return daemon;
  };
  const messages = <T>(topic: string): T[] =>
    eyes.seen
      .filter((seen) => seen.topic === topic && !seen.retain && seen.text !== '')
      .map(({ text }) => JSON.parse(text) as T);
  const group = (): GroupMessage | undefined => messages<GroupMessage>('gatecast/n/model/default').at(-1);
  const forecasts = () =>
    messages<{ model: { id: string; version: string }; p50: number[] }>('gatecast/n/forecast/quick');
  const ask = async (verb: string): Promise<{ status: string; data: unknown; error: unknown }> => {
    const topic = `gatecast/n/response/${verb}`;
    const before = messages(topic).length;
    await eyes.client.publishAsync(`gatecast/n/request/${verb}`, '{}', { qos: 1 });
    await waitFor(`the answer to ${verb}`, () => messages(topic).length > before);
    return messages<{ status: string; data: unknown; error: unknown }>(topic).at(-1)!;
  };
  /** A sensor that goes on speaking until `condition` holds. */
  const speakUntil = async (what: string, condition: () => boolean): Promise<void> => {
    const endMs = performance.now() + PATIENCE_MS;
    for (let i = 0; !condition(); i++) {
      if (performance.now() > endMs)
        throw new Error(`${what} did not come: ${JSON.stringify(group())}\n${daemons.at(-1)!.output()}`);
      await eyes.client.publishAsync('fast/quick', String(20 + (i % 5)), { qos: 1 });
      await sleep(50);
    }
  };
  const ended = () => !['never', 'running', 'paused'].includes(group()?.last_run.status ?? 'never');

  test('a model is trained beside the forecasts, taken up, kept over a kill, and given back', async () => {
    const first = await start();
    await speakUntil('the first forecasts', () => forecasts().length > 5 && group() !== undefined);
    expect(group()).toMatchObject({ champion: 'raw', version: '1' });
    const asked = await ask('finetune');
    // As soon as there is enough it begins by itself, which may be now.
    expect(asked.status === 'ok' || JSON.stringify(asked.error).includes('BUSY')).toBe(true);
    await speakUntil('the run', () => group()?.last_run.status === 'running' || ended());
    const before = forecasts().length;
    await speakUntil('the end of the run', ended);
    expect(forecasts().length).toBeGreaterThan(before + 5);

    const promoted = group()!;
    expect(promoted.last_run, first.output()).toMatchObject({
      status: 'promoted',
      reason: expect.stringMatching(/better by/),
    });
    expect(promoted.champion).toMatch(/^default-\d{8}-\d{6}$/);
    expect(promoted.previous).toBe('raw');
    expect(promoted.probation).not.toBeNull();
    expect(promoted.holdout!.candidate).toBeLessThan(promoted.holdout!.champion);
    expect(promoted.holdout!.candidate).toBeLessThan(promoted.holdout!.naive);
    await speakUntil('a forecast of the new model', () => forecasts().at(-1)?.model.id === promoted.champion);
    expect(forecasts().at(-1)!.model).toMatchObject({ id: promoted.champion, version: promoted.version });
    expect(forecasts().at(-1)!.p50.every(Number.isFinite)).toBe(true);

    // A kill leaves one runnable model: the new one, still on probation.
    expect(await first.end('SIGKILL')).toBe('SIGKILL');
    const slots = new ModelSlots(join(dir, 'models', 'slots.json'));
    expect(slots.get('default', 'raw')).toMatchObject({
      current: promoted.champion,
      previous: 'raw',
      candidate: null,
    });
    const second = await start();
    await speakUntil('its forecasts', () => forecasts().length > 3 && group() !== undefined);
    expect(group()).toMatchObject({ champion: promoted.champion, last_run: { status: 'promoted' } });
    expect(forecasts().at(-1)!.model.id).toBe(promoted.champion);

    expect(await ask('rollback-model')).toMatchObject({ status: 'ok', data: { model: 'raw' } });
    await waitFor('the word of it', () => group()?.champion === 'raw');
    expect(group()).toMatchObject({ previous: null, probation: null, last_run: { status: 'rolled-back' } });
    await speakUntil('a forecast of the old model', () => forecasts().at(-1)?.model.id === 'raw');
    expect(await ask('rollback-model')).toMatchObject({ status: 'error' });

    // A run does not hold up the end of the agent.
    expect(await ask('finetune')).toMatchObject({ status: 'ok' });
    await waitFor('the run', () => group()?.last_run.status === 'running');
    const watch = stopwatch(second.process.pid);
    second.process.once('exit', watch.stop);
    expect(await second.end('SIGTERM')).toBe(0);
    expect(watch.stop()).toBeLessThan(5000);
  });
});
