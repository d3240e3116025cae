/**
 * Faults 4 and 5 from outside: the disk takes nothing any more (the kernel refuses every write beyond a size) while
 * messages come at QoS 1. Forecasting goes on although nothing is acknowledged; the owner is told; and when the disk is back,
 * all that came meanwhile is on it.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { describe, expect, test } from 'vitest';
import { canRun } from '../support/child.ts';
import type { Daemon } from '../support/daemon.ts';
import { daemonSuite } from '../support/daemon-suite.ts';
import { hasMosquitto } from '../support/mosquitto.ts';
import { sensorsConfig } from '../support/sensors.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const PRLIMIT = canRun('prlimit', ['--version'], 'a disk that takes nothing (util-linux)');
/** Mosquitto's own, and small, so that the test is about it. */
const IN_FLIGHT = 20;

describe.skipIf(!hasMosquitto || !PRLIMIT)('while nothing can be stored', () => {
  const temp = tempDirs();
  const startMs = Math.floor(Date.now() / 60_000) * 60_000 - 900 * 60_000;
  const suite = daemonSuite(`allow_anonymous true\nmax_inflight_messages ${IN_FLIGHT}`);
  let sent = 0;

  const start = (dir: string): Promise<Daemon> =>
    suite.start(dir, sensorsConfig({ node: 'n', url: suite.broker.url, dataDir: dir }, { horizon: '10m' }));
  const send = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const time = new Date(startMs + sent * 60_000 + 1000).toISOString();
      await suite.eyes.client.publishAsync('sensors/a', JSON.stringify({ value: sent++, time }), { qos: 1 });
      await sleep(5);
    }
  };
  /** Bytes a file may have; further ones are refused with EFBIG. */
  const limit = ({ process: { pid } }: Daemon, bytes: string): void => {
    expect(spawnSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:`]).status).toBe(0);
  };
  const newest = (): number => {
    const text = suite.eyes.on('gatecast/n/forecast/a').at(-1)?.text;
    return text === undefined ? -1 : (Date.parse(JSON.parse(text).origin) - startMs) / 60_000;
  };
  const alert = (): string | undefined => suite.eyes.on('gatecast/n/alert/store').at(-1)?.text;
  const stored = (dir: string): number[] => {
    const db = new Sqlite(join(dir, 'gatecast.db'), { readonly: true });
    const values = db.prepare('SELECT value FROM sample ORDER BY time').pluck().all() as number[];
    db.close();
    return values;
  };

  test('forecasts go on, the alert comes and goes, and all is stored in the end', async () => {
    const dir = temp();
    const daemon = await start(dir);
    await send(60);
    await waitFor('forecasts', () => newest() >= 58);
    limit(daemon, '1');
    // Ten times what the broker sends to one that does not acknowledge.
    await send(10 * IN_FLIGHT);
    await waitFor('forecasts of what came meanwhile', () => newest() >= sent - 2);
    await waitFor('the alert', () => alert()?.includes('memory only'));
    limit(daemon, 'unlimited');
    // An outage counts as over when the disk has worked for half a minute.
    await waitFor('the end of the alert', () => alert() === '');
    await send(10);
    await waitFor('the last forecast', () => newest() >= sent - 2);
    expect(await daemon.end('SIGTERM')).toBe(0);
    // Readings that the broker held back when the disk went come when it is back: too late for their bucket, and counted.
    const values = stored(dir);
    expect(values.length).toBeGreaterThan(sent - 2 * IN_FLIGHT);
    expect(new Set(values).size).toBe(values.length);
  });

  test('killed meanwhile, what was not acknowledged comes again', async () => {
    const dir = temp();
    const daemon = await start(dir);
    await send(30);
    await waitFor('forecasts', () => newest() >= sent - 2);
    const before = sent;
    limit(daemon, '1');
    await send(IN_FLIGHT);
    await waitFor('forecasts of what came meanwhile', () => newest() >= sent - 2);
    await daemon.end('SIGKILL');
    const again = await start(dir);
    await send(2);
    await waitFor('the last forecast', () => newest() >= sent - 2);
    expect(await again.end('SIGTERM')).toBe(0);
    const values = stored(dir);
    // All that was acknowledged, and of the rest what the broker had sent at QoS 1: the first of them at least.
    for (let n = before - 30; n <= before; n++) expect(values).toContain(n);
  });
});
