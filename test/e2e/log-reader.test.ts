/** The log's reader goes (a journald that is started again, a pipe that is closed): the daemon goes on. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Daemon, ensureBuilt, startDaemon } from '../support/daemon.ts';
import { hasMosquitto, type Mosquitto, startMosquitto, type Watcher, watch } from '../support/mosquitto.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

describe.skipIf(!hasMosquitto)('without a reader of its log', () => {
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

  test('the daemon goes on, and ends as it should', async () => {
    const dir = temp();
    daemon = await startDaemon(dir, {
      node: 'n',
      mqtt: { url: broker.url },
      data_dir: dir,
      http: { listen: 'off' },
      streams: [{ match: 'sensors/+', payload: 'number' }],
    });
    daemon.process.stderr!.destroy();
    const answers = () => eyes.on('gatecast/n/response/reload').length;
    // each is answered after it has been logged
    for (let asked = 1; asked <= 3; asked++) {
      await eyes.client.publishAsync('gatecast/n/request/reload', '{}', { qos: 1 });
      await waitFor(`answer ${asked}`, () => answers() === asked);
    }
    expect(await daemon.end('SIGTERM')).toBe(0);
  }, 60_000);
});
