/** `gatecast init` against a real Mosquitto with a login, on which the devices of all families send. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Bonjour } from 'bonjour-service';
import mqtt from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { browse, localBroker, urlOf } from '../../../src/cli/init/brokers.ts';
import { init } from '../../../src/cli/init/run.ts';
import { runProgram } from '../../../src/cli/program.ts';
import type { Terminal } from '../../../src/cli/shared/terminal.ts';
import { formatDuration, loadConfig } from '../../../src/config/index.ts';
import { CASES } from '../../config/suggest/families.ts';
import { bytes, routed, START_MS, suggested } from '../../config/suggest/heard.ts';
import { canRun } from '../../support/child.ts';
import { freePort, hasMosquitto, type Mosquitto, startMosquitto } from '../../support/mosquitto.ts';
import { waitFor } from '../../support/wait.ts';

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const hasTerminal = spawnSync('script', ['--version']).status === 0;
if (!hasTerminal)
  console.warn('SKIPPED: the test of a typed password needs script (apt-get install bsdutils)');

const folder = mkdtempSync(join(tmpdir(), 'gatecast-init-'));
const file = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

/** Longer than a busy machine lets sensors and broker wait. */
const LISTEN_MS = 4000;

/** Answers questions in order; what is asked is kept. */
function person(...answers: readonly string[]): Terminal & { readonly asked: string[] } {
  const left = [...answers];
  const asked: string[] = [];
  const answer = (question: string): Promise<string> => {
    asked.push(question);
    const next = left.shift();
    return next === undefined
      ? Promise.reject(new Error(`not expected: ${question}`))
      : Promise.resolve(next);
  };
  return {
    interactive: true,
    asked,
    ask: async (question, preset = '') => (await answer(question)) || preset,
    confirm: async (question) => (await answer(question)) === 'y',
    secret: answer,
  };
}

const nobody: Terminal = {
  interactive: false,
  ask: () => Promise.reject(new Error('asked')),
  confirm: () => Promise.reject(new Error('asked')),
  secret: () => Promise.reject(new Error('asked')),
};

function collected(): {
  out: string;
  err: string;
  write: { out(text: string): void; err(text: string): void };
} {
  const said = {
    out: '',
    err: '',
    write: {
      out: (text: string) => {
        said.out += text;
      },
      err: (text: string) => {
        said.err += text;
      },
    },
  };
  return said;
}

type Found = { readonly url: string; readonly from: string };

/** @param found brokers on this machine and on the network */
async function run(
  flags: Partial<Parameters<typeof init>[0]>,
  terminal: Terminal = nobody,
  found: readonly Found[] = [],
  said = collected(),
) {
  await init({ listen: LISTEN_MS, ...flags }, { ...said.write, terminal, find: async () => [...found] });
  return said;
}

describe.skipIf(!hasMosquitto)('gatecast init on a real broker with a login', () => {
  let broker: Mosquitto;
  let client: mqtt.MqttClient;
  let sensors: ReturnType<typeof setInterval>;
  let sending = Object.values(CASES);
  beforeAll(async () => {
    const passwords = file('passwords');
    writeFileSync(passwords, '', { mode: 0o600 });
    execFileSync('mosquitto_passwd', ['-b', passwords, 'me', 'right'], { stdio: 'ignore' });
    writeFileSync(file('right'), 'right\n');
    writeFileSync(file('wrong'), 'wrong\n');
    broker = await startMosquitto(`allow_anonymous false\npassword_file ${passwords}`);
    client = await mqtt.connectAsync(broker.url, { username: 'me', password: 'right' });
    let at = 0;
    sensors = setInterval(() => {
      for (const { messages } of sending)
        for (const [topic, payload, retain = false] of messages(at, Date.now()))
          client.publish(topic, bytes(payload), { retain });
      at += 1;
    }, 200);
  });
  afterAll(async () => {
    clearInterval(sensors);
    await client?.endAsync(true);
    await broker?.stop();
  });
  const login = () => ({ broker: broker.url, username: 'me', passwordFile: file('right') });

  it('writes the right config for every family without a question, and checks it', async () => {
    const path = file('all.yaml');
    const { out, err } = await run({ ...login(), config: path, node: 'cellar', listen: 8000 });
    const config = loadConfig(path);
    expect(config).toMatchObject({
      node: 'cellar',
      mqtt: { url: broker.url, username: 'me', password_file: file('right') },
      data_dir: join(folder, 'gatecast-data'),
    });
    // The same rules as the cases of the families ask for, one by one.
    const wanted = Object.values(CASES).flatMap(({ matches }) => matches);
    expect(config.streams.map(({ match }) => match).sort()).toEqual([...wanted].sort());
    // In everything else too: payload, names, fields, units, aggregates, limits, gaps and what is left out.
    const all = (at: number, nowMs: number) =>
      Object.values(CASES).flatMap(({ messages }) => messages(at, nowMs));
    const byMatch = (rules: typeof config.streams) =>
      [...rules].sort((a, b) =>
        JSON.stringify([a.match, a.fields]).localeCompare(JSON.stringify([b.match, b.fields])),
      );
    expect(byMatch(config.streams)).toEqual(byMatch(suggested(all).config.streams));
    // The rules of the file make the streams that each case lists: unit, aggregate, limits, interval and horizon; no other field.
    const expected = Object.entries(CASES).flatMap(([family, { streams, everyMs }]) =>
      Object.entries(streams).map(([stream, text]) => [
        family === 'rtl_433' ? `rtl_433/${stream}` : stream,
        // The devices of all families send as often as the others here.
        everyMs === undefined ? text : text.replace(` ${formatDuration(everyMs)}/`, ' 5m/'),
      ]),
    );
    const made = routed(config, all, (at) => START_MS + at * 10_000);
    expect(made.streams).toEqual(Object.fromEntries(expected));
    expect(made.rejects).toEqual([]);
    for (const family of [
      'Zigbee2MQTT',
      'Tasmota',
      'ESPHome',
      'DSMR / P1',
      'Victron',
      'rtl_433',
      'ChirpStack',
      'Sparkplug B',
    ])
      expect(out).toMatch(new RegExp(`^${family} +\\d+ +\\d+$`, 'm'));
    expect(out).toMatch(/^not read: \d+ topics without a known measurement: N\/c0619ab1\/heartbeat, /m);
    expect(out).not.toContain('rejected');
    expect(err).toContain(`wrote ${path}`);
    expect(err).toMatch(/\d messages? on \d+ topics?/);
    expect(err).toContain(`next: gatecast run -c ${path}\nthen: the page is on http://127.0.0.1:8787`);
    expect(readFileSync(path, 'utf8')).not.toContain('right\n');
  });

  it('gives the streams that each family should have', async () => {
    const said = collected();
    const code = await runProgram(
      [
        'init',
        '-c',
        file('json.yaml'),
        '--broker',
        broker.url,
        '--username',
        'me',
        '--password-file',
        file('right'),
        '--listen',
        '8s',
        '--yes',
        '--json',
      ],
      said.write,
    );
    expect([code, said.err]).toEqual([0, expect.stringContaining('wrote')]);
    const result = JSON.parse(said.out) as {
      streams: { stream: string; unit: string | null }[];
      rejects: object[];
      not_read: string[];
    };
    const units = Object.fromEntries(result.streams.map(({ stream, unit }) => [stream, unit ?? '-']));
    const wanted = Object.entries(CASES).flatMap(([family, { streams }]) =>
      Object.entries(streams).map(([stream, text]) => [
        family === 'rtl_433' ? `rtl_433/${stream}` : stream,
        text.split(' ')[0],
      ]),
    );
    expect(units).toEqual(Object.fromEntries(wanted));
    expect(result.rejects).toEqual([]);
    expect(result.not_read).toContain('N/c0619ab1/heartbeat');
    const steps = loadConfig(file('json.yaml')).streams.map(({ interval }) => formatDuration(interval ?? 0));
    expect(new Set(steps)).toEqual(new Set(['5m', '1h']));
  });

  it('asks for a login that the broker wants, and keeps the password in a private file', async () => {
    const path = file('asked.yaml');
    const someone = person('me', 'wrong', 'me', 'right');
    const { err } = await run({ broker: broker.url, config: path }, someone);
    expect(someone.asked).toEqual(['user name', 'password of me', 'user name', 'password of me']);
    expect(err).toContain('requires a login');
    expect(err).toContain('the login was refused');
    const kept = file('mqtt-password');
    expect(loadConfig(path).mqtt).toMatchObject({ username: 'me', password_file: kept });
    expect(statSync(kept).mode & 0o777).toBe(0o600);
    expect(readFileSync(kept, 'utf8')).toBe('right\n');
    expect(`${err}${readFileSync(path, 'utf8')}`).not.toMatch(/right\b(?!\/)/);
  });

  /** `gatecast init` in a pseudo-terminal. */
  function inTerminal(config: string, flags: readonly string[]) {
    const words = [MAIN, 'init', '-c', config, '--listen', '4s', ...flags];
    const command = `${process.execPath} --import tsx ${words.join(' ')}`;
    const child = spawn('script', ['-qec', command, '/dev/null'], { stdio: 'pipe' });
    let shown = '';
    child.stdout.on('data', (data) => {
      shown += data;
    });
    return { child, shown: () => shown, ended: new Promise((resolve) => child.on('exit', resolve)) };
  }

  it.skipIf(!hasTerminal)('Ctrl-C at a question ends it, and leaves no file behind', async () => {
    const own = mkdtempSync(join(folder, 'interrupted-'));
    const old = join(own, 'old.yaml');
    const before = `node: pi\nmqtt: { url: "${broker.url}" }\nstreams: [{ match: "a/+" }]\n`;
    writeFileSync(old, before);
    const interrupted = async (name: string, flags: readonly string[], ...said: (string | RegExp)[]) => {
      const { child, shown, ended } = inTerminal(join(own, name), flags);
      // Answers 'me' to all questions but the last.
      for (const [at, question] of said.entries()) {
        await waitFor(String(question), () => shown().match(question));
        child.stdin.write(at < said.length - 1 ? 'me\n' : '\x03');
      }
      return [await ended, shown().includes('interrupted')];
    };
    const login = ['--broker', broker.url];
    const results = await Promise.all([
      interrupted('none.yaml', [], /(number or )?URL of the broker/),
      interrupted('none.yaml', login, 'user name: '),
      interrupted('none.yaml', login, 'user name: ', 'password of me: '),
      interrupted('old.yaml', login, 'Add rules'),
    ]);
    for (const [code, isSaid] of results) expect([code, isSaid]).toEqual([2, true]);
    expect(readdirSync(own)).toEqual(['old.yaml']);
    expect(readFileSync(old, 'utf8')).toBe(before);
  });

  it.skipIf(!hasTerminal)('shows nothing of a password that is typed', async () => {
    const path = file('typed.yaml');
    const { child, shown, ended } = inTerminal(path, ['--broker', broker.url]);
    await waitFor('the question for the user', () => shown().includes('user name: '));
    child.stdin.write('me\n');
    await waitFor('the question for the password', () => shown().includes('password of me: '));
    // A slip is taken back.
    child.stdin.write('rigth\x7f\x7fht\n');
    await waitFor('the listening', () => shown().includes('listening for 4 s'));
    await ended;
    expect(shown()).not.toMatch(/rig|ht\r/);
    expect(shown()).toContain(`wrote ${path}`);
    expect(shown()).toMatch(/█+░* +\d+% {2}\d s left, \d+ messages? on \d+ topics?/);
    expect(readFileSync(file('mqtt-password'), 'utf8')).toBe('right\n');
  });

  describe('chooses the broker', () => {
    const elsewhere: Found = { url: 'mqtt://192.0.2.7:1883', from: 'attic' };
    const here = (): Found => ({ url: broker.url, from: 'cellar' });
    const question = 'number or URL of the broker';
    /** @returns the URL in the written config, and what was asked and said */
    async function choose(found: readonly Found[], ...answers: readonly string[]) {
      const [path, someone] = [file(`chosen${chosen++}.yaml`), person(...answers)];
      const { err } = await run(
        { username: 'me', passwordFile: file('right'), config: path, listen: LISTEN_MS },
        answers.length === 0 ? nobody : someone,
        found,
      );
      return { url: loadConfig(path).mqtt.url, asked: someone.asked, err };
    }
    let chosen = 0;

    it('by its number among several, or by its URL', async () => {
      const { url, asked, err } = await choose([elsewhere, here()], '2');
      expect(url).toBe(broker.url);
      expect(asked).toEqual([question]);
      expect(err).toContain('  1  mqtt://192.0.2.7:1883  (attic)\n  2  ');
      expect((await choose([elsewhere], broker.url)).url).toBe(broker.url);
      // A host without a scheme.
      expect((await choose([elsewhere], `127.0.0.1:${broker.port}`)).url).toBe(broker.url);
      expect((await choose([here()], '')).url).toBe(broker.url);
    });

    it('asks again after a number that is not in the list, and after no answer', async () => {
      const { asked, err } = await choose([here(), elsewhere], '3', '0', '1');
      expect(asked).toEqual([question, question, question]);
      expect(err).toContain("'3' is not in the list");
      const none = await choose([], '', 'mqtt://', broker.url);
      expect(none.asked).toEqual(Array(3).fill('URL of the broker, such as mqtt://192.168.1.5'));
      expect(none.err).toContain("an answer is needed\n'mqtt://' must be a URL");
    });

    it('without a terminal: that of this machine, else the only one, else none', async () => {
      expect((await choose([elsewhere, { ...here(), from: 'this machine' }])).url).toBe(broker.url);
      expect((await choose([here()])).url).toBe(broker.url);
      await expect(choose([here(), elsewhere])).rejects.toMatchObject({
        code: 'USAGE',
        message: 'several brokers were found',
        hint: expect.stringContaining('--broker'),
      });
      await expect(choose([])).rejects.toMatchObject({ message: 'no broker was found' });
    });

    it('gives up after three wrong passwords', async () => {
      const someone = person('me', 'wrong', 'me', 'wronger');
      const said = collected();
      const attempt = run({ broker: broker.url, config: file('never.yaml') }, someone, [], said);
      await expect(attempt).rejects.toMatchObject({
        code: 'BROKER_UNREACHABLE',
        message: expect.stringContaining('the login was refused'),
      });
      expect(said.err).toContain('requires a login');
      expect(() => statSync(file('never.yaml'))).toThrow();
    });
  });

  it('says that the login was refused where nobody can be asked', async () => {
    const attempt = run({ ...login(), passwordFile: file('wrong'), config: file('refused.yaml') });
    await expect(attempt).rejects.toMatchObject({
      code: 'BROKER_UNREACHABLE',
      message: expect.stringContaining('the login was refused'),
    });
    await expect(run({ broker: broker.url, config: file('refused.yaml') })).rejects.toThrow(
      /login was refused/,
    );
  });

  it('adds rules for devices that the config does not read yet, and changes nothing else', async () => {
    const path = file('merge.yaml');
    const before = `# mine\nnode: pi\nmqtt: { url: "${broker.url}", username: me, password_file: ${file('right')} }\nstreams:\n  # the freezers\n  - match: "zigbee2mqtt/{device}"\n    fields: [temperature]\n    interval: 10m\n`;
    writeFileSync(path, before);
    await expect(run({ config: path })).rejects.toMatchObject({
      code: 'USAGE',
      hint: expect.stringContaining('--merge'),
    });
    const { err } = await run({ config: path }, person('y'));
    const text = readFileSync(path, 'utf8');
    expect(text.startsWith('# mine\nnode: pi\n')).toBe(true);
    expect(text).toContain('  # the freezers\n');
    const config = loadConfig(path);
    expect(config.streams[0]).toMatchObject({ match: 'zigbee2mqtt/{device}', interval: 600_000 });
    expect(err).toContain(`added ${config.streams.length - 1} rules`);
    expect(config.streams.map(({ match }) => match)).toContain('tele/{device}/SENSOR');
    expect(config.streams.filter(({ match }) => match === 'zigbee2mqtt/{device}')).toHaveLength(1);
    // Nothing is left to add.
    await expect(run({ config: path, merge: true })).rejects.toThrow(/already read by a rule/);
  });

  it('writes nothing when nothing comes', async () => {
    sending = [];
    for (const { messages } of Object.values(CASES))
      for (const [topic, , retained] of messages(0, 0))
        if (retained) await client.publishAsync(topic, '', { retain: true });
    const attempt = run({ ...login(), config: file('silent.yaml'), listen: LISTEN_MS });
    await expect(attempt).rejects.toMatchObject({ hint: expect.stringContaining('--listen') });
    expect(() => statSync(file('silent.yaml'))).toThrow();
    sending = Object.values(CASES);
  });
});

describe('gatecast init without a broker', () => {
  it('says so, and writes nothing', async () => {
    await expect(run({ broker: 'mqtt://127.0.0.1:1', config: file('none.yaml') })).rejects.toMatchObject({
      code: 'BROKER_UNREACHABLE',
    });
    await expect(run({ broker: 'http://x', config: file('none.yaml') })).rejects.toMatchObject({
      code: 'USAGE',
    });
    expect(() => statSync(file('none.yaml'))).toThrow();
  });
});

describe.skipIf(!hasMosquitto || !canRun('openssl', ['version'], 'TLS'))('gatecast init over TLS', () => {
  let broker: Mosquitto;
  beforeAll(async () => {
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
    const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    const files = ['-keyout', file('tls.key'), '-out', file('tls.pem')];
    execFileSync('openssl', ['req', '-x509', ...curve, ...names, ...files], { stdio: 'pipe' });
    broker = await startMosquitto(
      `allow_anonymous true\ncertfile ${file('tls.pem')}\nkeyfile ${file('tls.key')}`,
    );
  });
  afterAll(() => broker.stop());

  const url = (host = 'localhost', scheme = 'mqtts') => `${scheme}://${host}:${broker.port}`;
  it.each([
    ['a plain URL for a port with TLS', () => ({ broker: url('localhost', 'mqtt') }), 'mqtts://'],
    [
      'another host than the certificate names',
      () => ({ broker: url('127.0.0.1'), ca: file('tls.pem') }),
      'another host',
    ],
    ['no such host', () => ({ broker: url('nowhere.invalid') }), 'the name of the host'],
    ['no resolver for .local', () => ({ broker: url('nowhere.local') }), 'libnss-mdns'],
  ])('says what is wrong: %s', async (_what, flags, hint) => {
    await expect(run({ ...flags(), config: file('wrong.yaml') })).rejects.toMatchObject({
      code: 'BROKER_UNREACHABLE',
      hint: expect.stringContaining(hint),
    });
    expect(() => statSync(file('wrong.yaml'))).toThrow();
  });

  it('asks for the authority that signed the certificate, and gives up without an answer', async () => {
    const client = await mqtt.connectAsync(url(), { ca: readFileSync(file('tls.pem')) });
    await client.publishAsync('house/temperature', '21', { retain: true });
    await client.endAsync();
    const someone = person(file('tls.pem'));
    await run({ broker: url(), config: file('authority.yaml'), listen: LISTEN_MS }, someone);
    expect(someone.asked).toEqual([expect.stringContaining('file of the authority')]);
    expect(loadConfig(file('authority.yaml')).mqtt).toMatchObject({ url: url(), ca: file('tls.pem') });
    await expect(run({ broker: url(), config: file('no-authority.yaml') }, person(''))).rejects.toThrow(
      /not signed by a trusted authority: set mqtt\.ca/,
    );
  });

  it('finds the broker of this machine where it has only a port with TLS', async () => {
    expect(await localBroker('mqtt://127.0.0.1:1', url())).toBe(url());
    expect(await localBroker('mqtt://127.0.0.1:1', 'mqtts://localhost:1')).toBeNull();
    expect(urlOf('192.168.1.5:8883')).toBe('mqtts://192.168.1.5:8883');
    expect(urlOf('192.168.1.5')).toBe('mqtt://192.168.1.5');
    expect(urlOf('ws://192.168.1.5:8883')).toBe('ws://192.168.1.5:8883');
  });

  it('connects to the announced name of a broker, because its certificate is not for the address', async ({
    skip,
  }) => {
    const client = await mqtt.connectAsync(url(), { ca: readFileSync(file('tls.pem')) });
    await client.publishAsync('house/temperature', '21', { retain: true });
    await client.endAsync();
    const options = { port: await freePort(), bind: '0.0.0.0', interface: '127.0.0.1' };
    const errors: unknown[] = [];
    const announcer = new Bonjour(options, (error: unknown) => errors.push(error));
    const service = { name: 'safe', type: 'secure-mqtt', port: broker.port, probe: false };
    announcer.publish({ ...service, host: 'localhost' });
    const found = await browse(options, 1500);
    await new Promise<void>((resolve) => announcer.destroy(() => resolve()));
    if (found.length === 0 && errors.length > 0) {
      console.warn('SKIPPED: this machine has no multicast on its loopback', errors[0]);
      skip();
    }
    expect(found).toEqual([{ url: url(), from: 'safe' }]);
    await run({ ca: file('tls.pem'), config: file('announced.yaml'), listen: LISTEN_MS }, nobody, found);
    expect(loadConfig(file('announced.yaml')).mqtt).toMatchObject({ url: url(), ca: file('tls.pem') });
  });

  it('says what is missing without the authority, and writes it into the config with it', async () => {
    await expect(run({ broker: url(), config: file('tls.yaml') })).rejects.toMatchObject({
      code: 'BROKER_UNREACHABLE',
      hint: expect.stringContaining('--ca'),
    });
    const ca = readFileSync(file('tls.pem'));
    const client = await mqtt.connectAsync(url(), { ca });
    await client.publishAsync('house/temperature', '21', { retain: true });
    await run({ broker: url(), ca: file('tls.pem'), config: file('tls.yaml'), listen: LISTEN_MS });
    expect(loadConfig(file('tls.yaml')).mqtt).toMatchObject({ url: url(), ca: file('tls.pem') });
    await client.endAsync();
  });
});
