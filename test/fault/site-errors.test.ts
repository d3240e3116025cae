// What goes wrong at NATS while a site runs: the member says so, raises an alert, does not spin, and goes on when it is mended.
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { inputStream, inputSubject } from '../../src/site/names.ts';
import { openSite, type Site } from '../../src/site/nats.ts';
import { type Daemon, ensureBuilt } from '../support/daemon.ts';
import { hasMosquitto, type Mosquitto, startMosquitto, type Watcher, watch } from '../support/mosquitto.ts';
import { hasNats, type NatsServer, startNatsServer } from '../support/nats.ts';
import { listen, type Published, siteConfig } from '../support/site.ts';
import { command, type MemberOptions, memberFile, Sensors, startMember } from '../support/site-process.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const tempDir = tempDirs();
const STREAMS = 8;

describe.skipIf(!hasNats || !hasMosquitto)('a site', () => {
  beforeAll(() => ensureBuilt());

  let nats: NatsServer;
  let broker: Mosquitto;
  let observer: Site;
  let seen: Published[];
  let sensors: Sensors;
  let alerts: Watcher;
  let member: Daemon;

  async function begin(create: readonly string[] = []): Promise<void> {
    const dir = tempDir();
    nats = await startNatsServer();
    broker = await startMosquitto();
    const options: MemberOptions = {
      node: 'both',
      role: ['bridge', 'worker'],
      mqttUrl: broker.url,
      natsUrls: [nats.url],
      dir,
    };
    await command([
      'site',
      'create',
      '-c',
      memberFile(options),
      '--partitions',
      '2',
      '--ttl',
      '2s',
      ...create,
    ]);
    observer = await openSite(siteConfig([nats.url]), 'observer');
    seen = listen(observer.nc);
    alerts = await watch(broker.url, 'gatecast/both/alert/#');
    member = await startMember(options);
    sensors = await Sensors.connect(broker.url, STREAMS);
    sensors.start();
    await waitFor('forecasts of all', () => new Set(seen.map(({ stream }) => stream)).size === STREAMS);
  }

  afterEach(async () => {
    member?.process.kill('SIGKILL');
    await sensors?.stop().catch(() => {});
    await alerts?.close();
    await observer?.nc.close();
    await nats?.stop();
    await broker?.stop();
  });

  const alert = (id: string) => alerts.on(`gatecast/both/alert/${id}`).at(-1)?.text ?? '';
  const cpuSeconds = async (): Promise<number> => {
    const { readFileSync } = await import('node:fs');
    const fields = readFileSync(`/proc/${member.process.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) / 100;
  };
  /** Work and log lines of some seconds in which nothing can succeed. */
  async function isCalm(): Promise<void> {
    const [cpu, lines] = [await cpuSeconds(), member.output().split('\n').length];
    await sleep(5000);
    expect((await cpuSeconds()) - cpu).toBeLessThan(2.5);
    expect(member.output().split('\n').length - lines).toBeLessThan(60);
  }

  it('of which a log was deleted says so, serves the rest, and goes on when the log is there again', async () => {
    await begin();
    const name = inputStream('plant', 0);
    await observer.jsm.streams.delete(name);
    await waitFor('the alert', () => alert('site-partitions').includes('partition 0'));
    await isCalm();
    await observer.jsm.streams.add({ name, subjects: [inputSubject('plant', 0)] });
    await waitFor('the end of the alert', () => alert('site-partitions') === '');
    const before = seen.length;
    await waitFor(
      'forecasts of all again',
      () => new Set(seen.slice(before).map(({ stream }) => stream)).size === STREAMS,
    );
  });

  it('whose server has no space left keeps the readings at the MQTT broker, and says so', async () => {
    await begin();
    const names = [0, 1].map((partition) => inputStream('plant', partition));
    for (const name of names) {
      const { config, state } = await observer.jsm.streams.info(name);
      await observer.jsm.streams.update(name, {
        ...config,
        discard: 'new' as typeof config.discard,
        max_bytes: state.bytes + 1000,
      });
    }
    await waitFor('the alert', () => /wait at the MQTT broker.*maximum bytes/.test(alert('site-partitions')));
    await isCalm();
    for (const name of names) {
      const { config } = await observer.jsm.streams.info(name);
      await observer.jsm.streams.update(name, {
        ...config,
        discard: 'old' as typeof config.discard,
        max_bytes: -1,
      });
    }
    await waitFor('the end of the alert', () => alert('site-partitions') === '');
    await sensors.stop();
    await waitFor('all readings', async () => {
      const { undisturbed } = await import('../support/site.ts');
      return (await undisturbed(observer, null)).readings === sensors.sent;
    });
  });

  it('whose server is away is an alert, without a hot loop', async () => {
    await begin();
    nats.signal('SIGKILL');
    await waitFor('the alert', () => alert('site') !== '');
    await isCalm();
    await nats.restart();
    await waitFor('the end of the alert', () => alert('site') === '');
    const before = seen.length;
    await waitFor('forecasts again', () => seen.length > before + STREAMS);
  });

  it.each([
    ['does not answer', 'SIGSTOP'],
    ['is away', 'SIGKILL'],
  ] as const)('is left in time while its server %s, which is no error', async (_, signal) => {
    await begin();
    nats.signal(signal);
    // A round begins every half second, and waits 5 s for an answer: the stop comes in between.
    await sleep(1500);
    const from = member.output().length;
    expect(await member.end('SIGTERM')).toBe(0);
    const said = member.output().slice(from);
    expect(said).toContain('stopped');
    // The fault itself may be logged until the part is stopped.
    expect(said).not.toMatch(/ error (?!readings not stored|site not available)/);
  });
});
