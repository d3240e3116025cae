/** Row 9: the watchdog of the whole daemon, seen where systemd would see it. */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ensureBuilt, spawnProgram } from '../support/daemon.ts';
import { hasMosquitto, startMosquitto } from '../support/mosquitto.ts';
import { stopwatch } from '../support/run-delay.ts';
import { sensorsConfig } from '../support/sensors.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const temp = tempDirs();
/** The daemon reports at half of this: on a busy machine, too, the start of a process takes much less than the other half. */
const WATCHDOG_MS = 4000;

/** Children that have ended, but whose end a stopped parent has not read, do not count. */
const hasChildren = (pid = 0): boolean =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .split(' ')
    .filter(Boolean)
    .some((child) => {
      try {
        return !/^State:\s+Z/m.test(readFileSync(`/proc/${child}/status`, 'utf8'));
      } catch {
        return false;
      }
    });

test.skipIf(!hasMosquitto)(
  'row 9: fed while sensors are quiet, not while the process stands still, again after it',
  async () => {
    ensureBuilt();
    const broker = await startMosquitto();
    const dir = temp();
    // Stands for systemd-notify: there is no systemd to speak to in a test.
    const log = join(dir, 'notified');
    writeFileSync(log, '');
    writeFileSync(join(dir, 'systemd-notify'), `#!/bin/sh\necho "$@" >> ${log}\n`);
    chmodSync(join(dir, 'systemd-notify'), 0o755);
    const fed = (): number => readFileSync(log, 'utf8').split('WATCHDOG=1').length - 1;
    const file = join(dir, 'gatecast.json');
    writeFileSync(file, JSON.stringify(sensorsConfig({ node: 'n', url: broker.url, dataDir: dir }, {})));
    const daemon = spawnProgram(['run', '-c', file], {
      PATH: `${dir}:${process.env.PATH}`,
      NOTIFY_SOCKET: join(dir, 'socket'),
      WATCHDOG_USEC: String(WATCHDOG_MS * 1000),
    });
    try {
      await waitFor('ready', () => readFileSync(log, 'utf8').includes('--ready'));
      // No sensor sends anything.
      const quiet = fed();
      const { pid } = daemon.process;
      const watch = stopwatch(pid);
      await waitFor('five signs of life', () => fed() - quiet >= 5);
      expect(watch.stop()).toBeLessThan(5 * WATCHDOG_MS);
      daemon.process.kill('SIGSTOP');
      // What it has started may still write.
      await waitFor('the end of what it has started', () => !hasChildren(pid));
      const still = fed();
      await sleep(3 * WATCHDOG_MS);
      expect(fed()).toBe(still);
      daemon.process.kill('SIGCONT');
      await waitFor('signs of life', () => fed() > still + 1);
      expect(await daemon.end('SIGTERM')).toBe(0);
      expect(readFileSync(log, 'utf8')).toContain('STOPPING=1');
    } finally {
      daemon.process.kill('SIGKILL');
      await broker.stop();
    }
  },
);
