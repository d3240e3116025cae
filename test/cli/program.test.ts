import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { version } from '../../package.json';
import { createProgram } from '../../src/cli/program.ts';
import { describeFailure } from '../../src/cli/shared/failure.ts';
import { GatecastError } from '../../src/errors.ts';
import { run } from '../support/run.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP', 'uncaughtException'] as const;

describe('the command line', () => {
  test('--version and --help end with 0', async () => {
    expect(await run('--version')).toMatchObject({ code: 0, out: `${version}\n`, err: '' });
    const help = await run('--help');
    expect(help).toMatchObject({ code: 0, err: '' });
    expect(help.out).toContain('demo');
  });

  test.skipIf(!existsSync('/dev/full'))('says that its output cannot be written, and ends with 1', () => {
    const full = openSync('/dev/full', 'w');
    const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
    const ended = spawnSync(process.execPath, ['--import', 'tsx', main, '--version'], {
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
    });
    closeSync(full);
    expect(ended.stderr).toMatch(/^gatecast: cannot write the output: ENOSPC.*\n$/);
    expect(ended.status).toBe(1);
  });

  test('says that Node is too old', () => {
    const old = encodeURIComponent(
      "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.18.3' } })",
    );
    const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
    const preloads = ['--import', 'tsx', '--import', `data:text/javascript,${old}`];
    const ended = spawnSync(process.execPath, [...preloads, main, '--version'], { encoding: 'utf8' });
    expect(ended.stderr).toMatch(/^gatecast: Node 20\.18\.3 is too old; 20\.19 or newer is needed: .*\n$/);
    expect(ended).toMatchObject({ status: 1, stdout: '' });
  });

  test('names a file where a folder is expected', async () => {
    const file = join(temp(), 'file');
    writeFileSync(file, '');
    const keygen = await run('config', 'keygen', '--kid', 'k', '--operator-dir', file);
    expect(keygen).toMatchObject({ code: 1, err: expect.stringContaining(`cannot write ${file}`) });
    expect(keygen.err).toContain('[FILE_UNWRITABLE]');
  });

  test('every command has a --help with an example', async () => {
    const program = createProgram({ out: () => undefined, err: () => undefined });
    const names = program.commands.map((command) => command.name());
    for (const name of ['demo', 'run', 'check', 'replay', 'backtest', 'train', 'model', 'doctor'])
      expect(names).toContain(name);
    const leaves = program.commands.flatMap((command) =>
      command.commands.length === 0
        ? [[command.name()]]
        : command.commands.map((inner) => [command.name(), inner.name()]),
    );
    for (const path of leaves) {
      const { code, out } = await run(...path, '--help');
      expect(code).toBe(0);
      expect(out, path.join(' ')).toMatch(/\n {2}\$ gatecast /);
    }
  });

  test('check --json says what is wrong with a config as JSON, and ends with 2', async () => {
    const file = join(temp(), 'bad.yaml');
    writeFileSync(file, 'node: n\nmqtt: { url: mqtt://b, prot: 4 }\nstreams: []\n');
    const { code, out, err } = await run('check', '-c', file, '--json');
    expect(code).toBe(2);
    expect(JSON.parse(out)).toMatchObject({
      config: file,
      valid: false,
      issues: [{ path: 'mqtt.prot' }, { path: 'streams' }],
    });
    expect(err).toContain('2 problems');
  });

  test.each([
    [[]],
    [['nonsense']],
    [['run']],
    [['run', '--config']],
    [['run', '-c', 'x', '--nonsense']],
    [['demo', '--broker-port', 'many']],
    [['replay']],
    [['backtest', 'x.csv', '--timezone', 'Mars/Olympus']],
    [['backtest', 'x.csv', '--delimiter', ';;']],
    [['backtest', 'x.csv', '--interval', '1h', '--horizon', '2', '--min', '5', '--max', '1']],
  ])('wrong usage ends with 2: %j', async (argv) => {
    const { code, err } = await run(...argv);
    expect(code).toBe(2);
    expect(err).not.toBe('');
    expect(err).not.toContain('    at ');
  });

  test('an invalid config ends with 2 and names every wrong key', async () => {
    const file = join(temp(), 'c.yaml');
    writeFileSync(file, 'node: a/b\nmqtt: { url: mqtt://x, qos: 7 }\nstreams: []\n');
    const { code, err } = await run('run', '-c', file);
    expect(code).toBe(2);
    for (const key of ['node', 'mqtt.qos', 'streams']) expect(err).toContain(key);
    expect(err.match(/mqtt\.qos/g)).toHaveLength(1);
  });

  test('a file that is not there ends with 1', async () => {
    const { code, err } = await run('run', '-c', join(temp(), 'none.yaml'));
    expect(code).toBe(1);
    expect(err).toContain('none.yaml');
    expect(err).toContain('FILE_UNREADABLE');
  });

  test('a file that cannot be written ends with 1 and its name, before anything long is done', async () => {
    const file = join(temp(), 'file');
    writeFileSync(file, '');
    const out = join(file, 'm');
    for (const argv of [
      ['model', 'export', 'base', '--out', out],
      ['train', '--generated', '3', '--out', out],
      ['train', '--generated', '3', '--diagnose', out],
    ]) {
      const { code, err } = await run(...argv);
      expect(code).toBe(1);
      expect(err).toContain(`cannot write ${out}`);
      expect(err).toContain('FILE_UNWRITABLE');
    }
  });

  test('model rollback finds the data directory in the config that -c names', async () => {
    const dir = temp();
    const file = join(dir, 'c.yaml');
    writeFileSync(
      file,
      `node: a\nmqtt: { url: mqtt://127.0.0.1:1 }\nstreams: [{ match: a }]\ndata_dir: ${join(dir, 'data')}\n`,
    );
    const { code, err } = await run('model', 'rollback', '-c', file);
    expect(code).toBe(1);
    expect(err).toContain('MODEL_UNKNOWN');
    expect((await run('model', 'rollback')).code).toBe(2);
  });

  test('an invalid broker URL is a usage error', async () => {
    const { code, err } = await run('replay', 'a.csv', '--time', 't', '--broker', 'http://x');
    expect(code).toBe(2);
    expect(err).toContain('--broker must be a URL');
  });

  test('a data directory that cannot be used ends with 1', async () => {
    const dir = temp();
    mkdirSync(join(dir, 'x'));
    writeFileSync(join(dir, 'file'), '');
    const file = join(dir, 'c.yaml');
    writeFileSync(
      file,
      'node: a\nmqtt: { url: mqtt://127.0.0.1:1 }\nstreams: [{ match: a }]\nhttp: { listen: off }\n',
    );
    const handlers = () => SIGNALS.map((name) => process.listenerCount(name));
    const before = handlers();
    const { code, err } = await run('--data-dir', join(dir, 'file', 'sub'), 'run', '-c', file);
    expect(code).toBe(1);
    expect(err).toContain('STORE_FAILED');
    // Handlers of an agent that did not start would end the process that called it.
    expect(handlers()).toEqual(before);
  });
});

describe('describeFailure', () => {
  test('an expected error: message, issues, hint', () => {
    const error = new GatecastError('CONFIG_INVALID', 'wrong', {
      hint: 'do this',
      issues: [{ path: 'a.b', message: 'is not c' }],
    });
    expect(describeFailure(error, false)).toEqual({
      text: 'gatecast: wrong [CONFIG_INVALID]\n  a.b: is not c\n  hint: do this\n',
      exitCode: 2,
    });
  });

  test('an unexpected error: one line, the stack with --debug only', () => {
    const error = new TypeError('x is not a function\nsecond line');
    expect(describeFailure(error, false)).toMatchObject({ exitCode: 1 });
    expect(describeFailure(error, false).text).not.toContain('second line');
    expect(describeFailure(error, false).text).not.toContain('    at ');
    expect(describeFailure(error, true).text).toContain('    at ');
    expect(describeFailure('just a text', true).text).toContain('just a text');
  });
});
