import { execFileSync } from 'node:child_process';
import fs, {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Command } from 'commander';
import mqtt from 'mqtt';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { registerCheck } from '../../../src/cli/check/check.ts';
import { addGlobals } from '../../../src/cli/shared/globals.ts';
import { loadConfig, parseConfig } from '../../../src/config/index.ts';
import { hasMosquitto, type Mosquitto, startMosquitto, watch } from '../../support/mosquitto.ts';

const folder = mkdtempSync(join(tmpdir(), 'gatecast-check-'));

/** The password that a person types at the terminal; null: there is no terminal. */
let typed: string | null = null;
vi.mock('../../../src/cli/shared/terminal.ts', () => ({
  terminal: () => ({ interactive: typed !== null, secret: () => Promise.resolve(typed) }),
}));

afterAll(() => rmSync(folder, { recursive: true }));
const write = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

async function run(...argv: string[]): Promise<{ out: string; err: string }> {
  const said = { out: '', err: '' };
  const program = new Command('gatecast').exitOverride();
  addGlobals(program);
  registerCheck(program);
  for (const command of [program, ...program.commands])
    command.exitOverride().configureOutput({
      writeOut: (text) => {
        said.out += text;
      },
      writeErr: (text) => {
        said.err += text;
      },
    });
  await program.parseAsync(['check', ...argv], { from: 'user' });
  return said;
}

describe('gatecast check', () => {
  it('shows what a valid config reads', async () => {
    const path = write(
      'ok.yaml',
      'node: n\nmqtt: { url: mqtt://b }\nstreams: [{ match: "s/{d}", interval: 5m, unit: W }]\n',
    );
    const { out } = await run('-c', path);
    expect(out).toContain('is valid: node n at mqtt://b, 1 rule');
    expect(out).toContain('[0] s/{d}\n      subscribes to s/+, reads auto: every number, in W');
    const own = write(
      'own.yaml',
      'node: n\nmqtt: { url: mqtt://b }\nstreams: [{ match: "s/{d}", fields: [t, { field: e, unit: kWh, aggregate: delta }], interval: 5m }]\n',
    );
    expect((await run('-c', own)).out).toContain('reads auto: t, e (kWh, delta)\n');
    const json = JSON.parse((await run('-c', path, '--json')).out) as object;
    expect(json).toMatchObject({ node: 'n', rules: [{ filter: 's/+', interval: '5m', horizon: '1d' }] });
  });

  it.each([
    ['--broker', 'mqtt://b'],
    ['--username', 'me'],
    ['--password-file', '/none'],
    ['--ca', '/none'],
    ['--cert', '/none'],
    ['--key', '/none'],
    ['--out', join(folder, 'none.yaml')],
  ])('refuses %s without --listen, which it would not use', async (flag, value) => {
    const path = write(
      'steps.yaml',
      'node: n\nmqtt: { url: mqtt://b }\nstreams: [{ match: s, interval: 1m, horizon: 336m }]\n',
    );
    expect((await run('-c', path)).out).toContain('forecasts 5h36m ahead (336 steps)');
    await expect(run('-c', path, flag, value)).rejects.toMatchObject({
      code: 'USAGE',
      message: `${flag} needs --listen`,
    });
  });

  it('warns of a password that cannot be read, without saying what it is', async () => {
    const path = write(
      'secret.yaml',
      'node: n\nmqtt: { url: mqtt://b, password_file: /none/secret }\nstreams: [{ match: s }]\n',
    );
    expect((await run('-c', path)).err).toMatch(/^warning: mqtt\.password_file: .*\/none\/secret/);
  });

  it('warns of a key file that does not exist: the daemon would not start', async () => {
    const keysOf = async (enabled: boolean): Promise<string> => {
      const path = write(
        'keys.yaml',
        `node: n\nmqtt: { url: mqtt://b }\nremote_config: { enabled: ${enabled}, keys: /none/keys.jwks }\nstreams: [{ match: s }]\n`,
      );
      return (await run('-c', path)).err;
    };
    expect(await keysOf(true)).toMatch(/^warning: remote_config\.keys: \/none\/keys\.jwks: no such file/m);
    expect(await keysOf(false)).not.toContain('keys.jwks');
  });

  it('warns of every other file that cannot be read', async () => {
    const path = write(
      'named.yaml',
      'node: n\nmqtt: { url: mqtt://b }\nhttp: { token_file: none.token }\nremote_config: { ca: none.pem }\nstreams: [{ match: s, covariates: [{ file: none.csv, column: price }] }]\n',
    );
    expect((await run('-c', path)).err.split('\n').filter((line) => line.includes('none.'))).toEqual(
      ['http.token_file', 'remote_config.ca', 'streams[].covariates[].file'].map(
        (key, at) =>
          `warning: ${key}: ${join(folder, `none.${['token', 'pem', 'csv'][at]}`)}: no such file or folder (ENOENT)`,
      ),
    );
  });

  it('warns of a covariate file that is larger than the agent reads', async () => {
    truncateSync(write('large.csv', ''), 2 ** 24 + 1);
    const path = write(
      'large.yaml',
      'node: n\nmqtt: { url: mqtt://b }\nstreams: [{ match: s, covariates: [{ file: large.csv, column: price }] }]\n',
    );
    expect((await run('-c', path)).err).toMatch(/covariates\[\]\.file: .* it is larger than 16 MB$/m);
  });

  it('warns of certificates that are not there, of a folder that cannot be used, and of the port', async () => {
    const path = write(
      'files.yaml',
      `node: n\nmqtt: { url: "mqtts://b:1883", ca: /none/ca.pem, password_file: /none/pw }\ndata_dir: ok.yaml\nstreams: [{ match: s }]\n`,
    );
    write('ok.yaml', '');
    const { err } = await run('-c', path);
    expect(err).toMatch(/^warning: mqtt\.url: .*8883/m);
    expect(err).toMatch(/^warning: mqtt\.ca: .*\/none\/ca\.pem/m);
    expect(err).toMatch(/^warning: mqtt\.password_file: .*\/none\/pw/m);
    expect(err).toContain(`warning: data_dir: ${join(folder, 'ok.yaml')} is not a folder`);
  });

  it.each([
    [
      'a folder below a file',
      'plain/x/y',
      /\/plain is not a folder, so .*\/plain\/x\/y cannot be created or used/,
    ],
    ['a name that is too long', 'x'.repeat(300), /cannot be created or used: ENAMETOOLONG/],
    ['a file system of the kernel', '/proc/gatecast', /(belongs to the kernel|cannot write)/],
  ])('warns of a data_dir that is %s', async (_, data_dir, warned) => {
    write('plain', '');
    const path = write(
      'folder.yaml',
      `node: n\nmqtt: { url: mqtt://b }\ndata_dir: ${data_dir}\nstreams: [{ match: s }]\n`,
    );
    const { err } = await run('-c', path);
    const [line = ''] = err.split('\n').filter((one) => one.startsWith('warning: data_dir: '));
    expect(line, err).toMatch(warned);
  });

  it('warns of a data_dir of this user that it may not write to', async () => {
    mkdirSync(join(folder, 'readonly'));
    const path = write(
      'readonly.yaml',
      'node: n\nmqtt: { url: mqtt://b }\ndata_dir: readonly\nstreams: [{ match: s }]\n',
    );
    const denied = Object.assign(new Error('denied'), { code: 'EACCES', syscall: 'access' });
    // Root may write anywhere, so the refusal is simulated.
    const access = vi.spyOn(fs, 'accessSync').mockImplementation(() => {
      throw denied;
    });
    syncBuiltinESMExports();
    onTestFinished(() => {
      access.mockRestore();
      syncBuiltinESMExports();
    });
    expect((await run('-c', path)).err).toContain('warning: data_dir: this user cannot write to');
  });

  it('says what the steps are, and warns of a model that is not there', async () => {
    const path = write(
      'steps.yaml',
      `node: n\nmqtt: { url: mqtt://b }\ndata_dir: ${join(folder, 'none')}\nmodel: { name: bose }\nstreams: [{ match: a, interval: 15m, horizon: 1d }, { match: b }]\n`,
    );
    const { out, err } = await run('-c', path);
    expect(out).toContain('every 15m, mean; gaps: model; forecasts 1d ahead (96 steps)');
    expect(out).toContain('interval learnt from the messages, mean; gaps: model; forecasts up to 1d ahead\n');
    expect(err).toMatch(/^warning: model\.name: there is no model bose, .*; available: base\n$/);
  });

  it('refuses an invalid config, and a command without anything to check', async () => {
    const path = write('wrong.yaml', 'node: n\nmqtt: { url: mqtt://b }\nstreams: [{ macth: x }]\n');
    await expect(run('-c', path)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      issues: [{ path: 'streams[0].match' }, { path: 'streams[0].macth' }],
    });
    await expect(run()).rejects.toMatchObject({ code: 'USAGE' });
    await expect(run('-c', path, '--out', join(folder, 'new.yaml'))).rejects.toThrow('--out needs --listen');
    await expect(run('--listen', 'soon')).rejects.toMatchObject({ code: 'commander.invalidArgument' });
    await expect(run('--listen', '1s', '--broker', 'http://x')).rejects.toMatchObject({ code: 'USAGE' });
  });

  it('says when there is no broker', async () => {
    const attempt = run('--listen', '1s', '--broker', 'mqtt://127.0.0.1:1');
    await expect(attempt).rejects.toMatchObject({
      code: 'BROKER_UNREACHABLE',
      hint: expect.stringMatching(/./),
    });
  });
});

describe.skipIf(!hasMosquitto)('gatecast check --listen on a real broker', () => {
  let broker: Mosquitto;
  let sensors: ReturnType<typeof setInterval>;
  let client: mqtt.MqttClient;
  beforeAll(async () => {
    broker = await startMosquitto();
    client = await mqtt.connectAsync(broker.url);
    await client.publishAsync('gatecast/n/status', '{"state":"online","since":1}', { retain: true });
    sensors = setInterval(() => {
      client.publish('zigbee2mqtt/cellar', '{"temperature":4.5,"humidity":81}');
      client.publish('zigbee2mqtt/attic', '{"temperature":99}');
      client.publish('zigbee2mqtt/broken', '{"temperature":');
      client.publish('meters/house/power', '1200');
    }, 200);
  });
  afterAll(async () => {
    clearInterval(sensors);
    await client.endAsync();
    await broker.stop();
  });
  const config = (): string =>
    `node: n\nmqtt: { url: ${broker.url}, client_id: the-daemon }\nstreams: [{ match: "zigbee2mqtt/{device}", fields: [temperature], limits: { max: 85 }, unit: °C }]\n`;

  it('shows what comes in for each rule, what does not decode, and suggests the rest', async () => {
    const daemon = await mqtt.connectAsync(broker.url, { clientId: 'the-daemon', reconnectPeriod: 0 });
    const all = await watch(broker.url, '#');
    const { out } = await run('-c', write('listen.yaml', config()), '--listen', '5s');
    expect(out).toMatch(/\[0\] zigbee2mqtt\/\{device\}: 2 streams/);
    expect(out).toMatch(
      /cellar\/temperature = 4\.5 °C \(\d+ readings, 4\.5 to 4\.5\) from zigbee2mqtt\/cellar/,
    );
    expect(out).toMatch(/attic\/temperature = 99 .*; \d+ outside its limits/);
    expect(out).toMatch(/zigbee2mqtt\/broken: bad-json \(\d+\)/);
    expect(out).toContain('# Topics that no rule reads');
    expect(out).toContain('"meters/house/power"');
    expect(out).not.toContain('gatecast/n/status');
    // It changes nothing: the daemon is still there, and nothing new was published.
    expect(daemon.connected).toBe(true);
    const strange = all.seen.filter(
      ({ topic }) => !/^(?:zigbee2mqtt|meters|gatecast\/n\/status)/.test(topic),
    );
    expect(strange).toEqual([]);
    await Promise.all([daemon.endAsync(), all.close()]);
  });

  it('reports that no message came, instead of success', async () => {
    const quiet = await startMosquitto();
    const path = write('quiet.yaml', `node: n\nmqtt: { url: ${quiet.url} }\nstreams: [{ match: s }]\n`);
    expect((await run('-c', path, '--listen', '1s')).err).toMatch(/no message arrived/);
    await quiet.stop();
  });

  it('writes a config that can be run, without one to begin with', async () => {
    const out = join(folder, 'suggested.yaml');
    await run('--listen', '5s', '--broker', broker.url, '--out', out);
    const suggested = parseConfig(readFileSync(out, 'utf8'));
    expect(suggested.mqtt.url).toBe(broker.url);
    expect(suggested.streams).toMatchObject([
      {
        match: 'zigbee2mqtt/{device}',
        fields: [
          { field: 'temperature', unit: '°C' },
          { field: 'humidity', unit: '%' },
        ],
      },
      { match: 'meters/house/power', fields: 'auto', unit: 'W' },
    ]);
    await expect(run('--listen', '1s', '--broker', broker.url, '--out', out)).rejects.toThrow(/exists/);
  });

  it('prints JSON, and hears a message once, also where a rule and the search for other topics both ask for it', async () => {
    let value = 0;
    const counter = setInterval(() => client.publish('counter/a', String(value++)), 50);
    const path = write('json.yaml', config().replace('streams: [', 'streams: [{ match: counter/+ }, '));
    const { out } = await run('-c', path, '--listen', '4s', '--json');
    clearInterval(counter);
    const result = JSON.parse(out) as {
      streams: { stream: string; count: number; min: number; max: number }[];
    };
    expect(result).toMatchObject({
      refused_subscriptions: [],
      topics_without_rule: [{ topic: 'meters/house/power' }],
      suggestion: expect.any(String),
    });
    const streams = new Map(result.streams.map((one) => [one.stream, one]));
    expect([...streams.keys()]).toEqual(expect.arrayContaining(['cellar/temperature', 'a']));
    const { count, min, max } = streams.get('a')!;
    expect(count).toBe(max - min + 1);
  });

  describe('about readings that cannot be used', () => {
    let out: string;
    beforeAll(async () => {
      await client.publishAsync('gone/temperature', '20', { retain: true });
      let n = 0;
      const sending = setInterval(() => {
        const local = new Date(Date.now() + 2 * 3_600_000).toISOString().slice(0, 19);
        client.publish('clock/local', JSON.stringify({ t: local, level: 1 }));
        client.publish('clock/unset', JSON.stringify({ t: '1970-01-01T00:01:00Z', level: 1 }));
        n += 1;
        client.publish('marks/a', n % 4 === 0 ? '-127' : String(20 + (n % 3)));
        client.publish('marks/b', n % 4 === 0 ? '-127' : String(20 + (n % 3)));
      }, 50);
      const rules = [
        'match: gone/+',
        'match: "clock/{d}", fields: [level], time: t, interval: 1m',
        'match: marks/a',
        'match: marks/b, limits: { min: -40 }',
      ].map((rule) => `{ ${rule} }`);
      const path = write(
        'unused.yaml',
        `node: n\nmqtt: { url: ${broker.url} }\nstreams: [${rules.join(', ')}]\n`,
      );
      out = (await run('-c', path, '--listen', '4s')).out;
      clearInterval(sending);
      await client.publishAsync('gone/temperature', '', { retain: true });
    });

    it('says what the clock of a sender looks like when every reading is refused for its time', () => {
      expect(out).toContain('its time is 2 h ahead, which fits a local time; set time_zone: +02:00');
      expect(out).toMatch(
        /its time is 57 years behind: its clock was never set, .* set the clock of the sender/,
      );
    });

    it('names marks of a missing value that the limits let through', () => {
      expect(
        out.match(/-127 is \d+ of \d+ readings, which looks like a mark .*limits: \{ min: -126 \}/g),
      ).toHaveLength(1);
      expect(out).toMatch(/marks\/b = .* outside its limits/);
    });

    it('reports a retained message as retained', () => {
      expect(out).toContain('[0] gone/+: no messages');
      expect(out).toContain('gone/temperature: only-retained (1)');
    });
  });
});

describe.skipIf(!hasMosquitto)('gatecast check --listen with a login', () => {
  let broker: Mosquitto;
  beforeAll(async () => {
    const passwords = write('passwords', '');
    chmodSync(passwords, 0o600);
    execFileSync('mosquitto_passwd', ['-b', passwords, 'me', 'right'], { stdio: 'ignore' });
    broker = await startMosquitto(`allow_anonymous false\npassword_file ${passwords}`);
  });
  afterAll(() => broker.stop());

  it('logs in, and takes the login over into the suggestion', async () => {
    const client = await mqtt.connectAsync(broker.url, { username: 'me', password: 'right' });
    await client.publishAsync('house/temperature', '21', { retain: true });
    const login = ['--broker', broker.url, '--username', 'me', '--password-file', write('right', 'right\n')];
    const { out } = await run('--listen', '4s', ...login);
    expect(parseConfig(out).mqtt).toMatchObject({ username: 'me', password_file: join(folder, 'right') });
    await client.endAsync();
  });

  it('suggests a file for a password that is typed, and writes it beside a written config', async () => {
    const client = await mqtt.connectAsync(broker.url, { username: 'me', password: 'right' });
    await client.publishAsync('house/temperature', '21', { retain: true });
    typed = 'right';
    onTestFinished(() => {
      typed = null;
    });
    const login = ['--broker', broker.url, '--username', 'me'];
    const written = join(folder, 'typed.yaml');
    const shown = await run('--listen', '2s', ...login);
    const kept = await run('--listen', '2s', ...login, '--out', written);
    expect(parseConfig(shown.out).mqtt.password_file).toBe(resolve('mqtt-password'));
    expect(shown.err).toContain(`put the password into ${resolve('mqtt-password')}`);
    const file = join(folder, 'mqtt-password');
    expect(loadConfig(written).mqtt).toMatchObject({ username: 'me', password_file: file });
    expect(kept.err).toContain(`wrote the password to ${file}`);
    expect([readFileSync(file, 'utf8'), statSync(file).mode & 0o777]).toEqual(['right\n', 0o600]);
    expect(`${shown.out}${kept.out}${readFileSync(written, 'utf8')}`).not.toContain('right');
    await expect(run('--listen', '1s', ...login, '--out', join(folder, 'second.yaml'))).rejects.toMatchObject(
      {
        code: 'USAGE',
        message: `${file} exists`,
      },
    );
    await client.endAsync();
  });

  it('says that the login was refused', async () => {
    const login = ['--broker', broker.url, '--username', 'me', '--password-file', write('wrong', 'wrong\n')];
    await expect(run('--listen', '1s', ...login)).rejects.toMatchObject({
      code: 'BROKER_UNREACHABLE',
      message: expect.stringContaining('the login was refused'),
    });
    const path = write('login.yaml', `node: n\nmqtt: { url: ${broker.url} }\nstreams: [{ match: s }]\n`);
    await expect(run('-c', path, '--listen', '1s')).rejects.toThrow(/the login was refused/);
    await expect(
      run('-c', path, '--listen', '1s', '--broker', 'mqtt://127.0.0.1:1'),
      'the broker of the options',
    ).rejects.toThrow(/^mqtt:\/\/127\.0\.0\.1:1: /);
    // Options go before the config.
    await expect(
      run('-c', path, '--listen', '1s', ...login.slice(2, 4), '--password-file', join(folder, 'right')),
    ).resolves.toBeDefined();
  });
});
