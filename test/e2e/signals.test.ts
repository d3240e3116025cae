/** SIGHUP, which ends a process that does not care: the daemon reads its config file again. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Daemon, ensureBuilt, startDaemon } from '../support/daemon.ts';
import { hasMosquitto, type Mosquitto, startMosquitto, type Watcher, watch } from '../support/mosquitto.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

describe.skipIf(!hasMosquitto)('SIGHUP', () => {
  const temp = tempDirs();
  let broker: Mosquitto;
  let eyes: Watcher;
  let daemon: Daemon | null = null;

  beforeAll(async () => {
    ensureBuilt();
    broker = await startMosquitto();
    eyes = await watch(broker.url, 'gatecast/#');
  }, 180_000);
  afterAll(async () => {
    daemon?.process.kill('SIGKILL');
    await eyes?.close();
    await broker?.stop();
  });

  test('reads the config again, and a bad one changes nothing', async () => {
    const dir = temp();
    daemon = await startDaemon(dir, {
      node: 'n',
      mqtt: { url: broker.url },
      data_dir: dir,
      http: { listen: 'off' },
      streams: [{ match: 'sensors/+', payload: 'number' }],
    });
    const file = join(dir, 'gatecast.json');
    const answers = () => eyes.on('gatecast/n/response/reload').map(({ text }) => JSON.parse(text));
    const { process: child } = daemon;
    writeFileSync(file, readFileSync(file, 'utf8').replace('sensors/+', 'others/+'));
    child.kill('SIGHUP');
    await waitFor('the answer', () => answers().length === 1);
    expect(answers()[0]).toMatchObject({ status: 'ok', data: { hot: ['streams[0].match'] } });
    writeFileSync(file, '{');
    child.kill('SIGHUP');
    await waitFor('the refusal', () => answers()[1]?.status === 'error');
    expect(await daemon.end('SIGTERM')).toBe(0);
  }, 60_000);
});
