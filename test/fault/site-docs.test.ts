// docs/site.md, executed: its config and its commands, in its order, with three servers, three workers and a bridge on loopback.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import mqtt, { type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { canRun } from '../support/child.ts';
import { type Daemon, spawnProgram } from '../support/daemon.ts';
import { hasMosquitto } from '../support/mosquitto.ts';
import { hasNats } from '../support/nats.ts';
import { command } from '../support/site-process.ts';
import { SiteRun } from '../support/site-run.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

const tempDir = tempDirs();
const hasOpenssl = canRun('openssl', ['version'], 'the docs of a site');
const PASSWORDS: Readonly<Record<string, string>> = {
  operator: 'change-me-1',
  bridge: 'change-me-2',
  worker: 'change-me-3',
};
const page = readFileSync('docs/site.md', 'utf8');
interface PageConfig {
  readonly node: string;
  readonly streams: readonly object[];
  readonly site: { readonly role: readonly string[]; readonly user: string };
}
/** The config of a worker, and what differs for a bridge. */
const [shipped, bridge] = [...page.matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(
  ([, text]) => parse(text) as PageConfig,
);
const SENSORS = ['line1/pressure', 'line1/flow', 'line2/power'];

/** Every command of the page, in its order. */
const commands = [...page.matchAll(/^(gatecast site .*)$|`(gatecast site (?:\w+ )+-c [^`]*)`/gm)].map(
  (match) => match[1] ?? match[2],
);

describe.skipIf(!hasNats || !hasMosquitto || !hasOpenssl)('docs/site.md', () => {
  let run: SiteRun;
  let sensors: MqttClient;
  let timer: NodeJS.Timeout;
  const members: Daemon[] = [];

  /** The config of the page, with the addresses and files of this test and a shorter interval. @param change as in the page */
  function configFile(name: string, change: { readonly site?: Partial<PageConfig['site']> } = {}): string {
    const site = { ...shipped.site, ...change.site };
    const password = join(run.dir, `${site.user}.password`);
    writeFileSync(password, `${PASSWORDS[site.user]}\n`);
    const config = {
      ...shipped,
      node: name,
      mqtt: { url: run.broker.url },
      data_dir: join(run.dir, name),
      http: { listen: 'off' },
      streams: shipped.streams.map((one) => ({ ...one, interval: '1s', horizon: '5s' })),
      site: {
        ...site,
        servers: run.servers.map(({ url }) => url),
        password_file: password,
        tls: { ca_file: join(run.dir, 'ca.pem') },
      },
    };
    const file = join(run.dir, `${name}.json`);
    writeFileSync(file, JSON.stringify(config));
    return file;
  }

  beforeAll(async () => {
    run = await SiteRun.cluster(tempDir());
  });

  afterAll(async () => {
    clearInterval(timer);
    await sensors?.endAsync(true);
    for (const { process } of members) process.kill('SIGKILL');
    await run?.end();
  });

  it('leads to a site that runs, and to one that is changed', async () => {
    const operator = configFile('operator', { site: { user: 'operator' } });
    const worker = configFile(shipped.node);
    const execute = (text: string): Promise<string> => {
      const args = text.split(' ').slice(1);
      return command(
        args.map(
          (word) =>
            ({ 'operator.yaml': operator, 'gatecast.yaml': worker, FOLDER: 'models/base' })[word] ?? word,
        ),
      );
    };
    /** Again until it succeeds: a cluster needs a moment to find a leader. */
    const until = (text: string, isDone: (said: string) => boolean) =>
      waitFor(text, async () => isDone(await execute(text).catch(() => '')), 120_000);
    const [create, status, list, last, drain, undo, set, rollback, show, tune, ...others] = commands;
    expect(others).toEqual([]);
    await until(create, (said) => said.includes('is ready: 64 partitions, 3 replicas'));
    for (const file of [
      worker,
      configFile('plant-2'),
      configFile('plant-3'),
      configFile(bridge.node, bridge),
    ])
      members.push(spawnProgram(['run', '-c', file]));
    sensors = await mqtt.connectAsync(run.broker.url);
    sensors.on('error', () => {});
    timer = setInterval(() => {
      for (const [at, sensor] of SENSORS.entries())
        sensors.publish(`plant/${sensor}`, String(20 + at + Math.random()), { qos: 1 });
    }, 500);
    await until(status, (said) =>
      said.includes('3 workers, 1 bridge, 3 streams; every partition has an owner'),
    );
    expect(await execute(list)).toMatch(/plant-1 +worker[\s\S]*plant-2 +worker[\s\S]*plant-3 +worker/);
    expect(last).toContain(SENSORS[0]);
    await until(last, (said) => said.includes('"p50"'));
    await execute(drain);
    await until(status, (said) => !said.includes('plant-2') && said.includes('every partition has an owner'));
    await execute(undo);
    await until(status, (said) => said.includes('plant-2') && said.includes('every partition has an owner'));
    expect(await execute(set)).toContain('All partitions are forecast by it');
    await until(show, (said) => /^Model 1, base[\s\S]*On probation[\s\S]*plant-\d is responsible/.test(said));
    expect(await execute(tune)).toMatch(/plant-\d will fine-tune the model later: a model is on probation/);
    // The site had the model of the config before, which is not in its store.
    expect(await command(rollback.split(' ').slice(1, -1).concat(operator), 1)).toContain(
      'no other model before',
    );
    for (const { output } of members) expect(output()).not.toMatch(/permissions violation/i);
  });
});
