/**
 * Fault 7 from outside: the trainer of a running agent is killed, runs out of memory, or loses the agent. Only the trainer
 * ends; forecasts go on with the model in use, the failure is reported, and the agent's memory is what it was.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { beforeAll, describe, expect, test } from 'vitest';
import { canRun } from '../support/child.ts';
import type { Daemon } from '../support/daemon.ts';
import { daemonSuite } from '../support/daemon-suite.ts';
import { recordMachines } from '../support/history.ts';
import { hasMosquitto } from '../support/mosquitto.ts';
import { stopwatch } from '../support/run-delay.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const PRLIMIT = canRun('prlimit', ['--version'], 'a trainer without memory (util-linux)');
const PATIENCE_MS = 240_000;

describe.skipIf(!hasMosquitto || !PRLIMIT)('the trainer', () => {
  const temp = tempDirs();
  const suite = daemonSuite();
  let daemon: Daemon;
  let dir: string;

  const config = (): Record<string, unknown> => ({
    node: 'n',
    mqtt: { url: suite.broker.url, qos: 1 },
    data_dir: dir,
    timezone: 'UTC',
    lateness: '0s',
    finetune: { schedule: 'off', on_drift: false, max_time: '10m', max_load: 32, max_temperature: 110 },
    streams: [
      { match: 'slow/{n}', payload: 'number', interval: '1m', horizon: '12m', name: '{n}' },
      { match: 'fast/{n}', payload: 'number', interval: '200ms', horizon: '2s', name: '{n}' },
    ],
    http: { listen: 'off' },
  });

  beforeAll(async () => {
    dir = temp();
    recordMachines(dir, config());
    daemon = await suite.start(dir, config());
  });

  const pid = (): number => daemon.process.pid ?? 0;
  const status = (of: number): string => readFileSync(`/proc/${of}/status`, 'utf8');
  const residentMb = (of: number): number => Number(/^VmRSS:\s+(\d+)/m.exec(status(of))?.[1]) / 1024;
  const trainers = (): number[] =>
    readFileSync(`/proc/${pid()}/task/${pid()}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  const runs = (of: number): boolean => {
    try {
      return !/^State:\s+Z/m.test(status(of));
    } catch {
      return false;
    }
  };
  const lastRun = (): { status: string; reason: string } =>
    JSON.parse(suite.eyes.on('gatecast/n/model/default').at(-1)?.text ?? '{"last_run":{}}').last_run;
  const forecasts = (): number => suite.eyes.on('gatecast/n/forecast/quick').length;

  /** Speaks until forecasts have gone on for a while. */
  async function forecastsGoOn(): Promise<void> {
    const before = forecasts();
    const endMs = performance.now() + PATIENCE_MS;
    for (let at = 0; forecasts() < before + 10; at++) {
      if (performance.now() > endMs) throw new Error(`no forecasts:\n${daemon.output().slice(-2000)}`);
      await suite.eyes.client.publishAsync('fast/quick', String(20 + (at % 5)), { qos: 1 });
      await sleep(100);
    }
  }

  const offered = (of: number): number => Number(readFileSync(`/proc/${of}/oom_score_adj`, 'utf8'));

  /** Asks for a run. @returns the process of the trainer, which has started */
  async function train(): Promise<number> {
    await suite.eyes.client.publishAsync('gatecast/n/request/finetune', '{}', { qos: 1 });
    const [trainer = 0] = await waitFor(
      `the trainer\n${daemon.output().slice(-2000)}`,
      () => (lastRun().status === 'running' && trainers().length > 0 ? trainers() : null),
      PATIENCE_MS,
    );
    await waitFor('its start', () => offered(trainer) === 1000, PATIENCE_MS);
    return trainer;
  }

  test('row 7: has the lowest priority, and offers its memory before that of the agent', async () => {
    await forecastsGoOn();
    const trainer = await train();
    expect(getPriority(trainer)).toBe(19);
    expect(getPriority(pid())).toBeLessThan(19);
    expect(offered(trainer)).toBe(1000);
    expect(offered(pid())).toBeLessThan(1000);
    process.kill(trainer, 'SIGKILL');
    await waitFor('the report', () => lastRun().status === 'failed', PATIENCE_MS);
  });

  test('row 7: killed by the system, is reported, and forecasts go on', async () => {
    const trainer = await train();
    const before = residentMb(pid());
    process.kill(trainer, 'SIGKILL');
    await waitFor('the report', () => lastRun().status === 'failed', PATIENCE_MS);
    expect(lastRun().reason).toContain('killed');
    await forecastsGoOn();
    expect(trainers()).toEqual([]);
    // The memory of a run was never the agent's.
    expect(residentMb(pid())).toBeLessThan(1.25 * before);
    const alert = () => suite.eyes.on('gatecast/n/alert/finetune').at(-1)?.text ?? '';
    await waitFor('the alert', () => alert().includes('killed'), PATIENCE_MS);
    expect(daemon.process.exitCode).toBeNull();
  });

  test('row 7: without memory, is reported as such, and forecasts go on', async () => {
    const trainer = await train();
    // Whatever it allocates from now on is refused.
    expect(spawnSync('prlimit', ['--pid', String(trainer), '--as=1000000']).status).toBe(0);
    await waitFor('the report', () => lastRun().status === 'failed', PATIENCE_MS);
    await waitFor('its end', () => !runs(trainer), PATIENCE_MS);
    await forecastsGoOn();
    expect(daemon.process.exitCode).toBeNull();
    expect(daemon.output()).not.toMatch(/forecasting failed|UNEXPECTED/);
  });

  test('row 7: ignores what a terminal or systemd sends to the whole group', async () => {
    const trainer = await train();
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(trainer, signal);
    await forecastsGoOn();
    expect(runs(trainer)).toBe(true);
    expect(lastRun().status).toBe('running');
  });

  test('row 7: ends at once with the agent, stopped or killed', async () => {
    const [trainer = 0] = trainers();
    expect(runs(trainer)).toBe(true);
    const watch = stopwatch(pid());
    expect(await daemon.end('SIGTERM')).toBe(0);
    await waitFor('the end of the trainer', () => !runs(trainer), PATIENCE_MS);
    expect(watch.stop()).toBeLessThan(5000);

    suite.eyes.seen.length = 0;
    daemon = await suite.start(dir, config());
    await forecastsGoOn();
    const other = await train();
    await daemon.end('SIGKILL');
    await waitFor('the end of the trainer', () => !runs(other), PATIENCE_MS);
  });
});
