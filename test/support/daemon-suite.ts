/** What most tests of the built program need: a broker, a client that records what is published, and daemons that end with the tests. */
import { afterAll, beforeAll } from 'vitest';
import { type Daemon, ensureBuilt, startDaemon } from './daemon.ts';
import { type Mosquitto, startMosquitto, type Watcher, watch } from './mosquitto.ts';

/** `broker` and `eyes` are there from `beforeAll` on. */
export interface DaemonSuite {
  readonly broker: Mosquitto;
  readonly eyes: Watcher;
  /** Starts the daemon; it is killed after the last test if it still runs. */
  start(dir: string, config: object): Promise<Daemon>;
  /** Has a daemon killed after the last test that was started otherwise. */
  add(daemon: Daemon): Daemon;
}

/** Call within `describe`. @param config further lines of mosquitto.conf @param filter what `eyes` records */
export function daemonSuite(config?: string, filter = 'gatecast/#'): DaemonSuite {
  const daemons: Daemon[] = [];
  const add = (daemon: Daemon): Daemon => {
    daemons.push(daemon);
    return daemon;
  };
  const suite: { -readonly [Key in keyof DaemonSuite]?: DaemonSuite[Key] } = {
    add,
    start: async (dir, settings) => add(await startDaemon(dir, settings)),
  };
  beforeAll(async () => {
    ensureBuilt();
    suite.broker = await startMosquitto(config);
    suite.eyes = await watch(suite.broker.url, filter);
  });
  afterAll(async () => {
    for (const daemon of daemons) daemon.process.kill('SIGKILL');
    await suite.eyes?.close();
    await suite.broker?.stop();
  });
  return suite as DaemonSuite;
}
