/** What happens to the daemon as a process: SIGHUP, which ends one that does not care, and a log that nobody reads any more. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Daemon, ensureBuilt, spawnProgram, startDaemon } from '../support/daemon.ts';
import { hasMosquitto, type Mosquitto, startMosquitto, type Watcher, watch } from '../support/mosquitto.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

describe.skipIf(!hasMosquitto)('the process', () => {
  const temp = tempDirs();
  let broker: Mosquitto;
  let eyes: Watcher;
  let dir: string;
  let daemon: Daemon | null = null;

  beforeAll(async () => {
    ensureBuilt();
    broker = await startMosquitto();
  });
  beforeEach(async () => {
    eyes = await watch(broker.url, 'gatecast/#');
    dir = temp();
    daemon = await startDaemon(dir, {
      node: 'n',
      mqtt: { url: broker.url },
      data_dir: dir,
      http: { listen: 'off' },
      streams: [{ match: 'sensors/+', payload: 'number' }],
    });
  });
  afterEach(async () => {
    daemon?.process.kill('SIGKILL');
    await eyes?.close();
  });
  afterAll(() => broker?.stop());

  const answers = () => eyes.on('gatecast/n/response/reload').map(({ text }) => JSON.parse(text));

  test('reads the config again at SIGHUP, and a bad one changes nothing', async () => {
    const file = join(dir, 'gatecast.json');
    writeFileSync(file, readFileSync(file, 'utf8').replace('sensors/+', 'others/+'));
    daemon!.process.kill('SIGHUP');
    await waitFor('the answer', () => answers().length === 1);
    expect(answers()[0]).toMatchObject({ status: 'ok', data: { hot: ['streams[0].match'] } });
    writeFileSync(file, '{');
    daemon!.process.kill('SIGHUP');
    await waitFor('the refusal', () => answers()[1]?.status === 'error');
    expect(await daemon!.end('SIGTERM')).toBe(0);
  });

  test('SIGHUP while the daemon loads does not end it, and the config is read again once it runs', async () => {
    expect(await daemon!.end('SIGTERM')).toBe(0);
    // When the program sets its first limit of the heap: the config is not read then, and the agent's code is not loaded.
    const hook = `import v8 from 'node:v8'; import { syncBuiltinESMExports } from 'node:module';
      const { setFlagsFromString } = v8;
      v8.setFlagsFromString = (flags) => {
        setFlagsFromString(flags);
        v8.setFlagsFromString = setFlagsFromString;
        syncBuiltinESMExports();
        setImmediate(() => process.kill(process.pid, 'SIGHUP'));
      };
      syncBuiltinESMExports();`;
    daemon = spawnProgram(['--debug', 'run', '-c', join(dir, 'gatecast.json')], {
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hook)}`,
    });
    await waitFor('the answer', () => answers().length === 1 || daemon!.closed());
    expect(daemon.output()).toMatch(/ request part=requests verb=reload status=ok/);
    expect(await daemon.end('SIGTERM')).toBe(0);
  });

  test('goes on without a reader of its log (a journald that is started again), and ends as it should', async () => {
    daemon!.process.stderr!.destroy();
    // each is answered after it has been logged
    for (let asked = 1; asked <= 3; asked++) {
      await eyes.client.publishAsync('gatecast/n/request/reload', '{}', { qos: 1 });
      await waitFor(`answer ${asked}`, () => answers().length === asked);
    }
    expect(await daemon!.end('SIGTERM')).toBe(0);
  });

  test('writes JSON lines, from the next reload on or from the start, also when it does not start', async () => {
    const file = join(dir, 'gatecast.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as object;
    const written = daemon!.output().length;
    writeFileSync(file, JSON.stringify({ ...config, log: { format: 'json' } }));
    daemon!.process.kill('SIGHUP');
    await waitFor('the answer', () => answers().length === 1);
    expect(answers()[0]).toMatchObject({ status: 'ok', data: { hot: ['log.format'] } });
    eyes.client.publish('sensors/a', 'a\n{"level":"error"}\u001b[2J');
    await waitFor('the reject', () => daemon!.output().includes('not taken'));
    // Another agent cannot take the data directory.
    const second = spawnProgram(['run', '-c', file]);
    await waitFor('its end', second.closed);
    expect(second.process.exitCode).toBe(1);
    expect(await daemon!.end('SIGTERM')).toBe(0);
    const entries = (daemon!.output().slice(written) + second.output())
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    for (const entry of entries)
      expect(entry).toMatchObject({
        time: expect.stringMatching(/^\d{4}-.*Z$/),
        level: expect.stringMatching(/^(error|warn|info)$/),
        message: expect.any(String),
        'service.instance.id': 'n',
      });
    const named = (message: string) => entries.find((entry) => entry.message === message);
    expect(named('config applied')).toMatchObject({ part: 'config' });
    expect(named('not taken')).toMatchObject({ part: 'streams', 'messaging.destination.name': 'sensors/a' });
    expect(named('the agent does not start')).toMatchObject({ level: 'error', 'error.type': 'LOCKED' });
    expect(named('stopped')).toBeDefined();
  });

  const lines = (text: string): Record<string, unknown>[] =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  test.each([
    ['an unknown key', '{"node": "n", "log": {"format": "json"}, "colour": 1}', 'n'],
    ['a missing bracket', '{"node": "n", "log": {"format": "json"}, "streams": [', 'n'],
    ['YAML with a duplicate key', 'log:\n  format: json\nnode: [1]\nnode: x\nmqtt: {url: 5}\n', undefined],
    ['the wrong level', 'node: n\nlog: { format: json, level: loud }\n', 'n'],
  ])('says in JSON that a config is invalid: %s', async (_, text, node) => {
    const file = join(dir, 'invalid.yaml');
    writeFileSync(file, text);
    const invalid = spawnProgram(['run', '-c', file]);
    await waitFor('its end', invalid.closed);
    expect(invalid.process.exitCode).toBe(2);
    expect(lines(invalid.output())).toEqual([
      expect.objectContaining({
        level: 'error',
        message: 'the agent does not start',
        'error.type': 'CONFIG_INVALID',
        errors: expect.any(String),
      }),
    ]);
    expect(lines(invalid.output())[0]?.['service.instance.id']).toBe(node);
  });

  test.each([
    ['an exception', "throw(Error('boom'))"],
    ['a rejected promise', "Promise.reject(Error('boom'))"],
    ['a value that is no error', "Promise.reject('boom')"],
  ])('crashes with one line of JSON: %s', async (_, cause) => {
    const file = join(dir, 'gatecast.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as object;
    expect(await daemon!.end('SIGTERM')).toBe(0);
    const crash = async (format: string): Promise<string> => {
      writeFileSync(file, JSON.stringify({ ...config, log: { format } }));
      daemon = spawnProgram(['run', '-c', file], {
        NODE_OPTIONS: `--import=data:text/javascript,process.on('SIGUSR2',()=>{${cause}})`,
      });
      await waitFor('the subscription', () => daemon!.output().includes('subscribed'));
      expect(await daemon.end('SIGUSR2')).toBe(1);
      return daemon.output();
    };
    const last = lines(await crash('json')).at(-1);
    expect(last).toMatchObject({
      level: 'error',
      message: 'crashed',
      reason: expect.stringContaining('boom'),
    });
    if (cause.includes('Error')) expect(last?.['exception.stacktrace']).toMatch(/Error: boom\n +at /);
    expect(await crash('text')).toMatch(/ error crashed reason=.*boom/);
  });
});
