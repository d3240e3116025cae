/**
 * docs/remote-config.md, command by command: the built program as the operator's command and as two gateways, on a Mosquitto with
 * the access list of the page. Time runs 60 times faster: every duration of the page is divided by 60, and where a command names
 * no probation, its ten minutes become ten seconds.
 */
import { spawnSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import mqtt, { type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Reported } from '../../src/remote/contract.ts';
import { shippedVariant, writeModelFolder } from '../remote/models.ts';
import { type Daemon, ensureBuilt, spawnProgram } from '../support/daemon.ts';
import { hasMosquitto, type Mosquitto, startMosquitto, type Watcher, watch } from '../support/mosquitto.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

const tempDir = tempDirs();
const faster = (text: string): string =>
  text.replaceAll(
    /\b(\d+)([mh])\b/g,
    (_, count: string, unit: string) => `${count}${unit === 'h' ? 'm' : 's'}`,
  );
const page = faster(readFileSync('docs/remote-config.md', 'utf8'));
const blocks = [...page.matchAll(/^```(\w+) ?(\S*)\n([\s\S]*?)^```$/gm)].map(
  ([, kind = '', name = '', text = '']) => ({ kind, name, text }),
);
const commands = blocks.filter(({ kind }) => kind === 'sh').flatMap(({ text }) => text.trim().split('\n'));
const acl = blocks
  .filter(({ kind }) => kind === 'conf')
  .map(({ text }) => text)
  .join('');
const named = (name: string): string => blocks.find((block) => block.name === name)?.text ?? '';
const requests = blocks.find(({ text }) => text.startsWith('requests:'))?.text ?? '';

/** Words as a shell would split them. */
const words = (line: string): string[] =>
  [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');

const GATEWAYS = ['cellar', 'attic'] as const;
const USERS = ['ops', ...GATEWAYS, 'sensors'];

describe.skipIf(!hasMosquitto)('docs/remote-config.md', () => {
  const desk = tempDir();
  const dirs = Object.fromEntries(GATEWAYS.map((name) => [name, tempDir()])) as Record<string, string>;
  const agents = new Map<string, Daemon>();
  let broker: Mosquitto;
  let watcher: Watcher;
  let feeding: NodeJS.Timeout;
  const clients = new Map<string, MqttClient>();

  beforeAll(async () => {
    ensureBuilt();
    const files = {
      passphrase: 'a b c\n',
      'ops.password': 'secret-ops\n',
      'longer.yaml': named('longer.yaml'),
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(desk, name), text, { mode: 0o600 });
    writeModelFolder(join(desk, 'models', 'pumps-v2'), shippedVariant('pumps-v2', 1));
    const passwords = join(desk, 'passwords');
    writeFileSync(passwords, '');
    for (const user of USERS)
      expect(spawnSync('mosquitto_passwd', ['-b', passwords, user, `secret-${user}`]).status).toBe(0);
    // The rights on the topics of the sensors, which the page leaves to its reader.
    const sensors =
      'pattern read pumps/#\nuser sensors\ntopic write pumps/#\ntopic write watcher/#\ntopic read #\n';
    writeFileSync(join(desk, 'acl'), `${acl}\n${sensors}`);
    broker = await startMosquitto(`password_file ${passwords}\nacl_file ${join(desk, 'acl')}`);
    watcher = await watch(broker.url, 'gatecast/#', { username: 'sensors', password: 'secret-sensors' });
    for (const name of GATEWAYS) {
      const dir = dirs[name] ?? '';
      mkdirSync(join(dir, 'data'));
      const config = named('gatecast.yaml')
        .replaceAll('mqtt://127.0.0.1:1883', broker.url)
        .replaceAll('cellar', name);
      const more = 'http: { listen: "off" }\npublish: { home_assistant: false }\n';
      writeFileSync(join(dir, 'gatecast.yaml'), `${config}${more}`);
      writeFileSync(join(dir, `${name}.password`), `secret-${name}\n`);
    }
    let at = 0;
    feeding = setInterval(() => {
      at += 1;
      watcher.client.publish('pumps/a', String(20 + Math.sin(at / 7)));
    }, 400);
  });
  afterAll(async () => {
    clearInterval(feeding);
    for (const client of clients.values()) await client.endAsync(true);
    for (const agent of agents.values()) await agent.end('SIGKILL');
    await watcher?.close();
    await broker?.stop();
  });

  /** Starts a gateway, or stops it and starts it again. */
  async function restart(name: string): Promise<void> {
    await agents.get(name)?.end('SIGTERM');
    const agent = spawnProgram(['run', '-c', 'gatecast.yaml'], {}, dirs[name]);
    agents.set(name, agent);
    await waitFor(`${name}\n${agent.output()}`, () => {
      if (agent.process.exitCode !== null) throw new Error(agent.output());
      return agent.output().includes(' subscribed ');
    });
  }
  async function command(line: string): Promise<{ code: number | null; output: string }> {
    let argv = words(line.replaceAll('mqtts://broker.lan', broker.url)).slice(1);
    const [, verb = ''] = argv;
    const signs = ['push', 'sign', 'rollback'].includes(verb) && !argv.includes('--signed');
    if (signs && !argv.includes('--probation')) argv = [...argv, '--probation', '10s'];
    const onGateway = verb === 'show';
    const cwd = onGateway ? dirs.cellar : desk;
    const program = spawnProgram(argv, { GATECAST_OPERATOR_DIR: desk }, cwd);
    await waitFor(`the end of ${line}`, program.closed, 240_000);
    // The command has read reports on a connection of its own.
    await watcher.caughtUp();
    return { code: program.process.exitCode, output: program.output() };
  }
  const reported = (name: string): Reported =>
    JSON.parse(watcher.on(`gatecast/${name}/config/reported`).at(-1)?.text ?? '{}') as Reported;
  const leads = (name: string): number =>
    (
      JSON.parse(watcher.on(`gatecast/${name}/forecast/a`).at(-1)?.text ?? '{"p50":[]}') as {
        p50: number[];
      }
    ).p50.length;
  const untilLeads = (name: string, count: number): Promise<unknown> =>
    waitFor(`forecasts of ${count} steps of ${name}`, () => leads(name) === count).catch((cause) => {
      const topics = [...new Set(watcher.seen.map(({ topic }) => topic))].join(' ');
      throw new Error(`${leads(name)} steps; ${topics}\n${agents.get(name)?.output().slice(-3000)}`, {
        cause,
      });
    });

  /** What the page tells the reader to do by hand before a command, and what is so after the command. */
  const BEFORE: readonly (readonly [RegExp, () => Promise<void>])[] = [
    [
      /config show/,
      async () => {
        for (const name of GATEWAYS)
          cpSync(join(desk, 'keys', 'keys.jwks'), join(dirs[name] ?? '', 'keys.jwks'));
      },
    ],
    [
      /--dry-run/,
      async () => {
        for (const name of GATEWAYS) await restart(name);
        for (const name of GATEWAYS) await untilLeads(name, 60);
      },
    ],
  ];
  const AFTER: readonly (readonly [RegExp, (output: string) => Promise<void>])[] = [
    [/keygen .*ops-2026/, async (output) => expect(output).toContain('ops-2026')],
    [/config show/, async (output) => expect(output).toMatch(/streams\.pumps\.horizon +1m +file/)],
    [
      /--dry-run/,
      async () => {
        expect(reported('cellar').effective.version).toBeNull();
        expect(leads('cellar')).toBe(60);
      },
    ],
    [
      /--to cellar --patch longer.yaml --probation/,
      async () => {
        expect(reported('cellar')).toMatchObject({ status: 'applied', version: 1, layer: 'node' });
        await untilLeads('cellar', 120);
        await untilLeads('attic', 60);
      },
    ],
    [/config status/, async (output) => expect(output).toMatch(/cellar +applied 200 +1 +node +ops-2026/)],
    [
      /--fleet pumps --config/,
      async () => {
        for (const name of GATEWAYS)
          expect(reported(name)).toMatchObject({ status: 'applied', version: 2, layer: 'fleet:pumps' });
        await untilLeads('attic', 120);
      },
    ],
    [/config history/, async (output) => expect(output).toMatch(/fleet pumps/)],
    [
      /config rollback --fleet/,
      async () => {
        await untilLeads('attic', 60);
        await untilLeads('cellar', 120);
      },
    ],
    [
      /keygen .*ops-2027/,
      async () => {
        for (const name of GATEWAYS) {
          cpSync(join(desk, 'keys', 'keys.jwks'), join(dirs[name] ?? '', 'keys.jwks'));
          // Section 7 is set up in the same restart.
          appendFileSync(join(dirs[name] ?? '', 'gatecast.yaml'), requests);
          await restart(name);
        }
      },
    ],
    [
      /push --to cellar --patch longer.yaml --signing-key/,
      async () =>
        expect(reported('cellar')).toMatchObject({ status: 'applied', version: 1, kid: 'ops-2027' }),
    ],
    [
      /--signed push.jws/,
      async () => {
        expect(reported('cellar')).toMatchObject({ status: 'applied', version: 3, kid: 'ops-2027' });
        await untilLeads('cellar', 120);
      },
    ],
    [
      /--model models/,
      async () => {
        expect(reported('cellar')).toMatchObject({ status: 'applied', kid: 'ops-2027' });
        await waitFor('the group with the model', () => {
          const groups = watcher.on('gatecast/cellar/model/default');
          return JSON.parse(groups.at(-1)?.text ?? '{}').champion === 'pumps-v2';
        });
      },
    ],
  ];

  it('has the commands of an operator', () => {
    const verbs = commands.map((line) => words(line)[2]);
    for (const verb of ['keygen', 'show', 'sign', 'push', 'status', 'history', 'rollback'])
      expect(verbs).toContain(verb);
    expect(commands.every((line) => line.startsWith('gatecast '))).toBe(true);
  });

  it('every command ends with 0 and does what the page says', async () => {
    const startedMs = performance.now();
    for (const line of commands) {
      for (const [which, prepare] of BEFORE) if (which.test(line)) await prepare();
      const { code, output } = await command(line);
      const logs = [...agents].map(([name, agent]) => `${name}:\n${agent.output().slice(-1500)}`).join('\n');
      expect(code, `${line}\n${output}\n${logs}`).toBe(0);
      const checks = AFTER.filter(([which]) => which.test(line));
      for (const [, check] of checks) await check(output);
    }
    console.log(`${commands.length} commands in ${Math.round((performance.now() - startedMs) / 1000)} s`);
  });

  const may = async (user: string, topic: string): Promise<boolean> => {
    let client = clients.get(user);
    if (client === undefined) {
      const login = { username: user, password: `secret-${user}` };
      client = await mqtt.connectAsync(broker.url, { protocolVersion: 5, clientId: `acl-${user}`, ...login });
      clients.set(user, client);
    }
    try {
      await client.publishAsync(topic, '', { qos: 1 });
      return true;
    } catch (error) {
      expect(String(error)).toMatch(/not authorized/i);
      return false;
    }
  };
  /** A topic that each of these hears, and a user that may publish on it. */
  const HEARD: Readonly<Record<string, readonly [topic: string, writer: string]>> = {
    ops: ['gatecast/attic/response/backup', 'attic'],
    cellar: ['gatecast/cellar/request/backup', 'ops'],
  };
  /** Whether a message on the topic reaches a subscriber. */
  const hears = async (user: string, topic: string): Promise<boolean> => {
    await may(user, 'gatecast/x');
    const client = clients.get(user);
    const [audible = '', of = ''] = HEARD[user] ?? [];
    const end = `the end of ${topic}`;
    let heard = false;
    let ended = false;
    client?.on('message', (on, payload) => {
      if (payload.toString() === end) ended = true;
      else if (on === topic) heard = true;
    });
    for (const one of [topic, audible]) await client?.subscribeAsync(one, { qos: 1 }).catch(() => {});
    // The broker's own tool writes with all rights of the operator, a gateway, or the sensors.
    for (const writer of USERS) await may(writer, topic);
    // What the broker passes on, it passes on in this order.
    await may(of, 'gatecast/x');
    await clients.get(of)?.publishAsync(audible, end, { qos: 1 });
    await waitFor(end, () => ended);
    return heard;
  };

  it.each([
    ['ops', 'gatecast/attic/config/desired', true],
    ['ops', 'gatecast/fleet/pumps/config/desired', true],
    ['ops', 'gatecast/cellar/model/m/chunk/0', true],
    ['ops', 'gatecast/cellar/request/backup', true],
    ['ops', 'gatecast/cellar/config/reported', false],
    ['ops', 'gatecast/cellar/forecast/x', false],
    ['ops', 'pumps/a', false],
    ['cellar', 'gatecast/cellar/config/reported', true],
    ['cellar', 'gatecast/cellar/forecast/x', true],
    ['cellar', 'gatecast/cellar/model/m/have', true],
    ['cellar', 'gatecast/cellar/trial', true],
    ['cellar', 'gatecast/attic/config/reported', false],
    ['cellar', 'gatecast/attic/config/desired', false],
    ['cellar', 'gatecast/fleet/pumps/config/desired', false],
    ['cellar', 'gatecast/attic/request/backup', false],
    ['sensors', 'gatecast/cellar/config/desired', false],
    ['sensors', 'gatecast/fleet/pumps/config/desired', false],
    ['sensors', 'gatecast/cellar/request/backup', false],
  ])('the access list: %s may publish on %s: %s', async (user, topic, allowed) => {
    expect(await may(user, topic)).toBe(allowed);
  });

  it.each([
    ['ops', 'gatecast/attic/config/reported', true],
    ['ops', 'gatecast/attic/model/m/have', true],
    ['ops', 'gatecast/attic/response/backup', true],
    ['ops', 'gatecast/attic/forecast/x', false],
    ['cellar', 'gatecast/cellar/config/desired', true],
    ['cellar', 'gatecast/fleet/pumps/config/desired', true],
    ['cellar', 'gatecast/cellar/model/m/chunk/0', true],
    ['cellar', 'gatecast/cellar/request/backup', true],
    ['cellar', 'gatecast/attic/config/desired', false],
    ['cellar', 'gatecast/attic/request/backup', false],
    ['cellar', 'gatecast/attic/model/m/chunk/0', false],
    ['cellar', 'gatecast/attic/config/reported', false],
  ])('the access list: %s hears %s: %s', async (user, topic, allowed) => {
    expect(await hears(user, topic)).toBe(allowed);
  });
});
