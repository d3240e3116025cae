// Faults of NATS while a site runs: the member raises an alert, does not spin, and resumes when the fault is over.
import { readFileSync } from 'node:fs';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { inputStream, inputSubject, partitionOf } from '../../src/site/names.ts';
import { type Daemon, ensureBuilt } from '../support/daemon.ts';
import { hasMosquitto, type Watcher, watch } from '../support/mosquitto.ts';
import { hasNats } from '../support/nats.ts';
import { SiteRun } from '../support/site-run.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';

const tempDir = tempDirs();
const STREAMS = 8;

describe.skipIf(!hasNats || !hasMosquitto)('a site', () => {
  beforeAll(() => ensureBuilt());

  let run: SiteRun;
  let alerts: Watcher;
  let member: Daemon;

  async function begin(checkpoint = '2s'): Promise<void> {
    run = await SiteRun.single(tempDir());
    const options = run.member('both', ['bridge', 'worker'], { site: { checkpoint } });
    await run.create(options, 2, '2s');
    await run.open();
    alerts = await watch(run.broker.url, 'gatecast/both/alert/#');
    member = await run.start(options);
    await run.startSensors(STREAMS);
    await run.forecastsOf(STREAMS);
  }

  afterEach(async () => {
    await alerts?.close();
    await run?.end();
  });

  const alert = (id: string) => alerts.on(`gatecast/both/alert/${id}`).at(-1)?.text ?? '';
  const cpuSeconds = (): number => {
    const fields = readFileSync(`/proc/${member.process.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) / 100;
  };
  /** Work and log lines of some seconds in which nothing can succeed. */
  async function isCalm(): Promise<void> {
    const parts: { readonly cpu: number; readonly lines: number }[] = [];
    const lineCount = (): number => member.output().split('\n').length;
    for (let part = 0; part < 5; part++) {
      const [cpu, lines, fromMs] = [cpuSeconds(), lineCount(), performance.now()];
      await sleep(1500);
      // On a busy machine the pause is longer.
      const seconds = (performance.now() - fromMs) / 1000;
      parts.push({ cpu: (cpuSeconds() - cpu) / seconds, lines: (lineCount() - lines) / seconds });
    }
    // The median: after a pause of the machine, a part has more to do.
    const median = (of: 'cpu' | 'lines') => parts.map((part) => part[of]).sort((a, b) => a - b)[2];
    expect(median('cpu')).toBeLessThan(0.5);
    expect(median('lines')).toBeLessThan(12);
  }

  it.each([
    ['after a checkpoint', '2s'],
    ['before the first checkpoint', '1h'],
  ])(
    'whose log was deleted raises an alert, serves the other partition, and resumes when the log is back (%s)',
    async (_, checkpoint) => {
      await begin(checkpoint);
      const name = inputStream('plant', 0);
      await run.observer.jsm.streams.delete(name);
      await waitFor('the alert', () => alert('site-partitions').includes('partition 0'));
      const failed = run.seen.length;
      await isCalm();
      await waitFor('forecasts of the other partition', () =>
        run.seen.slice(failed).some(({ stream }) => partitionOf(stream, 2) === 1),
      );
      await run.observer.jsm.streams.add({ name, subjects: [inputSubject('plant', 0)] });
      await waitFor('the end of the alert', () => alert('site-partitions') === '');
      const before = run.seen.length;
      await run.forecastsOf(STREAMS, (_, at) => at >= before);
    },
  );

  it('whose server has no space left leaves the readings at the MQTT broker, and raises an alert', async () => {
    await begin();
    const names = [0, 1].map((partition) => inputStream('plant', partition));
    for (const name of names) {
      const { config, state } = await run.observer.jsm.streams.info(name);
      await run.observer.jsm.streams.update(name, {
        ...config,
        discard: 'new' as typeof config.discard,
        max_bytes: state.bytes + 1000,
      });
    }
    await waitFor('the alert', () => /wait at the MQTT broker.*maximum bytes/.test(alert('site-partitions')));
    await isCalm();
    for (const name of names) {
      const { config } = await run.observer.jsm.streams.info(name);
      await run.observer.jsm.streams.update(name, {
        ...config,
        discard: 'old' as typeof config.discard,
        max_bytes: -1,
      });
    }
    await waitFor('the end of the alert', () => alert('site-partitions') === '');
    await run.sensors.stop();
    await run.allLogged();
  });

  it('whose server is away is an alert, without a hot loop', async () => {
    await begin();
    run.nats.signal('SIGKILL');
    await waitFor('the alert', () => alert('site') !== '');
    await isCalm();
    await run.nats.restart();
    await waitFor('the end of the alert', () => alert('site') === '');
    const before = run.seen.length;
    await waitFor('forecasts again', () => run.seen.length > before + STREAMS);
  });

  it.each([
    ['does not answer', 'SIGSTOP'],
    ['is away', 'SIGKILL'],
  ] as const)('is left in time while its server %s, which is no error', async (_, signal) => {
    await begin();
    run.nats.signal(signal);
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
