// The operator's commands against a real broker and gateways that report as the contract says.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JWK } from 'jose';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Claims } from '../../src/remote/contract.ts';
import { bytesOf } from '../../src/remote/model-claim.ts';
import { shippedVariant, writeModelFolder } from '../remote/models.ts';
import { ensureBuilt } from '../support/daemon.ts';
import { hasMosquitto, type Mosquitto, startMosquitto, watch } from '../support/mosquitto.ts';
import { startProxy } from '../support/proxy.ts';
import { run } from '../support/run.ts';
import { runDelayMs } from '../support/run-delay.ts';
import { type NodeScript, type ScriptedNode, scriptedNode } from '../support/scripted-node.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

const temp = tempDirs();

interface Desk {
  readonly dir: string;
  readonly key: JWK;
  file(name: string, content: unknown): string;
}

/** @param kid one for each desk: a broker's retained reports say which versions of a key were used */
async function desk(kid = 'ops'): Promise<Desk> {
  const dir = temp();
  const { out, code } = await run('config', 'keygen', '--kid', kid, '--operator-dir', dir, '--json');
  expect(code).toBe(0);
  return {
    dir,
    key: JSON.parse(out).jwk,
    file: (name, content) => {
      const path = join(dir, name);
      writeFileSync(path, JSON.stringify(content));
      return path;
    },
  };
}

describe('config keygen', () => {
  test('a private key has mode 0600, is never overwritten, and can be read again; public keys are added', async () => {
    const { dir } = await desk();
    const path = join(dir, 'keys', 'ops.key');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(dir, 'keys')).mode & 0o777).toBe(0o700);
    const before = readFileSync(path, 'utf8');
    const again = await run('config', 'keygen', '--kid', 'ops', '--operator-dir', dir);
    expect(again.code).toBe(1);
    expect(again.err).toContain('FILE_UNWRITABLE');
    expect(readFileSync(path, 'utf8')).toBe(before);
    await run('config', 'keygen', '--kid', 'next', '--roles', 'config,model', '--operator-dir', dir);
    const { keys } = JSON.parse(readFileSync(join(dir, 'keys', 'keys.jwks'), 'utf8'));
    expect(keys).toMatchObject([{ kid: 'ops' }, { kid: 'next', roles: ['config', 'model'] }]);
    for (const key of keys) expect(key).not.toHaveProperty('d');
    const two = await run('config', 'sign', '--to', 'a', '--patch', path, '--operator-dir', dir);
    expect(two).toMatchObject({ code: 2 });
    expect(two.err).toContain('several keys');
  });

  test('an encrypted key holds no readable secret, and opens with its passphrase alone', async () => {
    const dir = temp();
    const good = join(dir, 'pass');
    const bad = join(dir, 'other');
    writeFileSync(good, 'correct horse\n');
    writeFileSync(bad, 'wrong\n');
    await run('config', 'keygen', '--kid', 'ops', '--passphrase-file', good, '--operator-dir', dir);
    const patch = join(dir, 'p.json');
    writeFileSync(patch, '{"log":{"level":"debug"}}');
    const stored = JSON.parse(readFileSync(join(dir, 'keys', 'ops.key'), 'utf8'));
    expect(Object.keys(stored).sort()).toEqual(['encrypted', 'kid']);
    const sign = (file: string) =>
      run('config', 'sign', '--to', 'a', '--patch', patch, '--operator-dir', dir, '--passphrase-file', file);
    const { code, out } = await sign(good);
    expect(code).toBe(0);
    expect(out.split('.')).toHaveLength(3);
    const refused = await sign(bad);
    expect(refused.code).toBe(2);
    expect(refused.err).toContain('wrong passphrase');
  });

  test('a key that others may read is not used', async () => {
    const { dir, file } = await desk();
    const patch = file('p.json', {});
    const { chmodSync } = await import('node:fs');
    chmodSync(join(dir, 'keys', 'ops.key'), 0o644);
    const { code, err } = await run('config', 'sign', '--to', 'a', '--patch', patch, '--operator-dir', dir);
    expect(code).toBe(2);
    expect(err).toContain('other users may read');
  });

  test('a signature that cannot be written uses up no version', async () => {
    const { dir, file } = await desk();
    const patch = file('p.json', { log: {} });
    const sign = (...args: string[]) =>
      run('config', 'sign', '--to', 'a', '--patch', patch, '--operator-dir', dir, ...args);
    const { code, err } = await sign('--out', dir);
    expect(code, err).toBe(1);
    expect(err).toContain('FILE_UNWRITABLE');
    const [, claims = ''] = (await sign()).out.split('.');
    expect(JSON.parse(Buffer.from(claims, 'base64url').toString())).toMatchObject({ version: 1 });
  });
});

describe('wrong usage of config push ends with 2', () => {
  test.each([
    '--to a',
    '--patch P',
    '--to a --fleet b --patch P',
    '--to a --patch P --config P',
    '--to a --patch P --canary 5%',
    '--to a/b --patch P',
    '--to + --patch P',
    '--fleet a --patch P --canary 200%',
    '--fleet a --patch P --rate 10',
    '--fleet a --patch P --abort-after never',
    '--to a --patch P --probation 48h',
    '--to a --patch LIST',
    '--resume',
  ])('%s', async (words) => {
    const { dir, file } = await desk();
    const paths: Record<string, string> = { P: file('p.json', {}), LIST: file('l.json', { streams: [] }) };
    const argv = words.split(' ').map((word) => paths[word] ?? word);
    const url = broker?.url ?? 'mqtt://127.0.0.1:1';
    const { code, err } = await run('config', 'push', ...argv, '--operator-dir', dir, '--broker', url);
    expect(err).not.toBe('');
    expect(code).toBe(2);
  });
});

let broker: Mosquitto | undefined;
beforeAll(async () => {
  ensureBuilt();
  if (hasMosquitto) broker = await startMosquitto();
});
afterAll(() => broker?.stop());

describe.skipIf(!hasMosquitto)('config push', () => {
  const url = () => broker?.url ?? '';
  let groups = 0;

  /** A desk and a fleet of its own. */
  async function fleet(
    count: number,
    script: (name: string, at: number) => Partial<NodeScript> = () => ({}),
  ) {
    const group = `g${++groups}`;
    const { dir, key, file } = await desk(group);
    const names = Array.from({ length: count }, (_, at) => `${group}-n${at}`);
    const nodes = new Map<string, ScriptedNode>();
    for (const [at, name] of names.entries())
      nodes.set(
        name,
        await scriptedNode({ url: url(), name, group, keys: () => [key], ...script(name, at) }),
      );
    onTestFinished(async () => {
      await Promise.all([...nodes.values()].map((node) => node.close()));
    });
    /** @param words the command and options without spaces; options with spaces follow one by one */
    const config = (words: string, ...more: string[]) =>
      run('config', ...words.split(' '), ...more, '--operator-dir', dir, '--broker', url());
    return { group, names, nodes, file, dir, config };
  }
  /** Waits until the broker sends a retained message of the topic. */
  async function retained(topic: string): Promise<void> {
    const watcher = await watch(url(), topic);
    await waitFor('the retained push', () => watcher.seen[0]?.retain);
    await watcher.close();
  }
  const seen = (nodes: ReadonlyMap<string, ScriptedNode>): number =>
    [...nodes.values()].filter(({ pushes }) => pushes.length > 0).length;
  const harmful = ({ patch }: Claims) =>
    patch?.harmful === true
      ? ({ status: 'rolled_back', code: 500, text: 'have no forecasts' } as const)
      : ({ status: 'applied', code: 200 } as const);

  test('to one gateway: retained, for it alone, versions count up, and it is in the history', async () => {
    const f = await fleet(1);
    const [name = ''] = f.names;
    const patch = f.file('p.json', { log: { level: 'debug' } });
    const first = await f.config('push', '--to', name, '--patch', patch, '--probation', '1s', '--json');
    expect(first.code).toBe(0);
    expect(JSON.parse(first.out)).toMatchObject({
      version: 1,
      result: 'applied',
      nodes: [{ node: name, status: 'applied', code: 200 }],
    });
    const second = await f.config('push', '--to', name, '--patch', patch);
    expect(second.code).toBe(0);
    expect(second.out).toContain('version 2: applied by all 1');
    expect(f.nodes.get(name)?.pushes).toMatchObject([
      { aud: `node:gatecast/${name}`, version: 1, probation: '1s', patch: { log: { level: 'debug' } } },
      { version: 2, probation: '10m' },
    ]);
    await retained(`gatecast/${name}/config/desired`);
    const listed = await run('config', 'history', '--operator-dir', f.dir);
    expect(listed.out.split('\n').filter((line) => line.includes('applied'))).toHaveLength(2);
    const status = await run('config', 'status', name, '--broker', url());
    expect(status.out).toMatch(new RegExp(`${name} +applied 200 +2 +node +${f.group}`));
  });

  test('a gateway that refuses it: code 1 and the reason; one that is away: code 1', async () => {
    const f = await fleet(1, () => ({
      judge: () => ({ status: 'rejected', code: 400, text: 'is \u001b[31mwrong' }),
    }));
    const [name = ''] = f.names;
    const patch = f.file('p.json', { a: 1 });
    const refused = await f.config('push', '--to', name, '--patch', patch);
    expect(refused.code).toBe(1);
    expect(refused.out).toContain('streams.pumps is \\x1b[31mwrong');
    const away = await f.config('push', '--to', 'nobody', '--patch', patch, '--wait', '1s', '--json');
    expect(away.code).toBe(1);
    expect(JSON.parse(away.out)).toMatchObject({ result: 'aborted', nodes: [{ status: 'no answer' }] });
  });

  test('a dry run is validated everywhere and applied nowhere', async () => {
    const f = await fleet(3, (_, at) =>
      at === 1 ? { judgeDryRun: () => ({ status: 'rejected', code: 400, text: 'no' }) } : {},
    );
    const patch = f.file('p.json', { a: 1 });
    const dry = await f.config('push', '--fleet', f.group, '--patch', patch, '--dry-run', '--json');
    expect(dry.code).toBe(1);
    expect(JSON.parse(dry.out).nodes.map(({ status }: { status: string }) => status)).toEqual([
      'applied',
      'rejected',
      'applied',
    ]);
    // Without --dry-run a fleet is asked first as well: where one refuses, none gets it.
    const wet = await f.config('push', '--fleet', f.group, '--patch', patch);
    expect(wet.code).toBe(1);
    expect(seen(f.nodes)).toBe(0);
    expect([...f.nodes.values()].every(({ dryRuns }) => dryRuns.length === 2)).toBe(true);
  });

  test('a push to a fleet is one retained message, applied by all', async () => {
    const f = await fleet(5);
    const config = f.file('c.json', { log: { level: 'debug' } });
    const { code, out } = await f.config('push', '--fleet', f.group, '--config', config);
    expect(code).toBe(0);
    expect(out).toContain('applied by all 5');
    for (const { pushes } of f.nodes.values())
      expect(pushes).toMatchObject([{ aud: `fleet:gatecast/${f.group}`, version: 1 }]);
  });

  test('a harmful push reaches the canaries only, and exit code is 1', async () => {
    const f = await fleet(20, () => ({ judge: harmful }));
    const patch = f.file('p.json', { harmful: true });
    const { code, out } = await f.config(`push --fleet ${f.group} --patch ${patch} --canary 10% --json`);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ result: 'aborted' });
    expect(seen(f.nodes)).toBe(2);
    // Nothing was left on the topic of the fleet.
    const watcher = await watch(url(), `gatecast/fleet/${f.group}/config/desired`);
    await watcher.caughtUp();
    expect(watcher.seen).toEqual([]);
    await watcher.close();
  });

  test('a good push goes to the canary first, then at the rate, then stays on the topic of the fleet', async () => {
    const times = new Map<string, number>();
    const f = await fleet(6, (name) => ({
      judge: () => {
        times.set(name, performance.now());
        return { status: 'applied', code: 200, afterMs: 300 };
      },
    }));
    const patch = f.file('p.json', { a: 1 });
    const startMs = performance.now();
    const { code } = await f.config(`push --fleet ${f.group} --patch ${patch} --canary 1% --rate 5/1s`);
    expect(code).toBe(0);
    const order = [...times.values()].sort((a, b) => a - b);
    expect(order).toHaveLength(6);
    const [first = 0, second = 0] = order;
    expect(second - first).toBeGreaterThan(280);
    // From the begin on: one that a busy machine delivers late may be followed by the next at once.
    for (const [at, time] of order.entries())
      if (at > 1) expect(time - startMs).toBeGreaterThan(280 + 180 * (at - 1));
    for (const { pushes } of f.nodes.values()) expect(pushes).toHaveLength(1);
    await retained(`gatecast/fleet/${f.group}/config/desired`);
  });

  test('a fleet of 50: a good push is applied by all within 30 s, a bad one nowhere, a harmful one by canaries only', async () => {
    const refuse = ({ patch }: Claims) =>
      patch?.bad === true
        ? ({ status: 'rejected', code: 400, text: 'is unknown' } as const)
        : ({ status: 'applied', code: 200 } as const);
    const f = await fleet(50, () => ({ judge: harmful, judgeDryRun: refuse }));
    const startMs = performance.now() - runDelayMs();
    const good = await f.config('push', '--fleet', f.group, '--patch', f.file('good.json', { a: 1 }));
    expect(good.out).toContain('applied by all 50');
    expect(performance.now() - runDelayMs() - startMs).toBeLessThan(30_000);
    const bad = await f.config('push', '--fleet', f.group, '--patch', f.file('bad.json', { bad: true }));
    expect(bad.code).toBe(1);
    const pushes = () => [...f.nodes.values()].map((node) => node.pushes.length);
    expect(pushes()).toEqual(Array(50).fill(1));
    const patch = f.file('harmful.json', { harmful: true });
    const third = await f.config('push', '--fleet', f.group, '--patch', patch, '--canary', '5%', '--json');
    expect(third.code).toBe(1);
    expect(JSON.parse(third.out)).toMatchObject({ result: 'aborted' });
    expect(pushes().filter((count) => count === 2)).toHaveLength(3);
  });

  test('--abort-after: goes on below the limit, and stops at it', async () => {
    const judge = (at: number) => () =>
      at < 2
        ? ({ status: 'rolled_back', code: 500, text: 'bad' } as const)
        : ({ status: 'applied', code: 200 } as const);
    const below = await fleet(8, (_, at) => ({ judge: judge(at) }));
    const patch = below.file('p.json', { a: 1 });
    const words = `push --fleet ${below.group} --patch ${patch} --rate 20/1s --abort-after`;
    const through = await below.config(words, '3 failures');
    expect(through.code).toBe(1);
    expect(through.out).toContain('applied by 6 of 8');
    const at = await fleet(20, (_, index) => ({ judge: judge(index) }));
    const file = at.file('p.json', { a: 1 });
    const shared = `push --fleet ${at.group} --patch ${file} --rate 1/6s --json --abort-after`;
    const stopped = await at.config(shared, '10 %');
    expect(JSON.parse(stopped.out)).toMatchObject({ result: 'aborted' });
    expect(seen(at.nodes)).toBeLessThan(6);
  });

  test('an interrupted rollout goes on where it was, with the same signed message and without the key', async () => {
    const f = await fleet(4);
    const patch = f.file('p.json', { a: 1 });
    const words = `push --fleet ${f.group} --patch ${patch} --rate 1/3s --operator-dir ${f.dir} --broker ${url()}`;
    const program = ['dist/gatecast.js', 'config', ...words.split(' ')];
    const child = spawn(process.execPath, program, { stdio: 'ignore' });
    const ended = new Promise((resolve) => child.on('close', resolve));
    await waitFor('two gateways', () => seen(f.nodes) >= 2);
    child.kill('SIGKILL');
    await ended;
    const { rmSync } = await import('node:fs');
    rmSync(join(f.dir, 'keys'), { recursive: true });
    const [name = ''] = readdirSync(join(f.dir, 'rollouts'));
    const path = join(f.dir, 'rollouts', name);
    expect(existsSync(path)).toBe(true);
    const rollout = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(
      path,
      JSON.stringify({ ...rollout, plan: { ...rollout.plan, rate: { count: 100, periodMs: 1000 } } }),
    );
    const { code, out } = await f.config('push', '--resume');
    expect(out).toContain('version 1: applied by all 4');
    expect(code).toBe(0);
    for (const { pushes } of f.nodes.values()) expect(pushes).toHaveLength(1);
    expect((await f.config('push', '--resume')).code).toBe(2);
  });

  test('a lost connection in the middle: it connects again and goes on; every gateway gets the push once', async () => {
    const f = await fleet(4);
    const proxy = await startProxy(broker?.port ?? 0);
    const patch = f.file('p.json', { a: 1 });
    const words = ['--fleet', f.group, '--patch', patch, '--rate', '1/4s', '--broker', proxy.url];
    const pushing = run('config', 'push', ...words, '--operator-dir', f.dir, '--wait', '8s');
    await waitFor('the first gateway', () => seen(f.nodes) >= 1);
    proxy.cut();
    // Longer than a gateway may take to answer: nobody is given up for the operator's own outage.
    await new Promise((resolve) => setTimeout(resolve, 9000));
    expect(seen(f.nodes)).toBeLessThan(4);
    proxy.restore();
    const { code, out } = await pushing;
    expect(out).toContain('reconnecting');
    expect(out).toContain('reconnected');
    expect(out).toContain('version 1: applied by all 4');
    expect(code).toBe(0);
    for (const { pushes } of f.nodes.values()) expect(pushes).toHaveLength(1);
    await proxy.stop();
  });

  test('a lost connection and Ctrl-C: it ends with 1 and says how to go on; --resume does', async () => {
    const f = await fleet(4);
    const proxy = await startProxy(broker?.port ?? 0);
    const patch = f.file('p.json', { a: 1 });
    const words = ['--fleet', f.group, '--patch', patch, '--rate', '1/4s', '--broker', proxy.url];
    const pushing = run('config', 'push', ...words, '--operator-dir', f.dir);
    await waitFor('the first gateway', () => seen(f.nodes) >= 1);
    proxy.cut();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    process.emit('SIGINT');
    const { code, out } = await pushing;
    expect(code).toBe(1);
    expect(out).toMatch(/stopped; applied by [01] of 4\. To resume: gatecast config push --resume/);
    expect((await f.config('push', '--resume')).out).toContain('version 1: applied by all 4');
    for (const { pushes } of f.nodes.values()) expect(pushes).toHaveLength(1);
    await proxy.stop();
  });

  test('where there is no terminal, each change of a gateway is a line', async () => {
    // Also a change that lasts for a millisecond.
    const f = await fleet(2, () => ({ judge: () => ({ status: 'applied', code: 200, afterMs: 1 }) }));
    const { out } = await f.config('push', '--fleet', f.group, '--patch', f.file('p.json', { a: 1 }));
    expect(out).not.toContain('\u001b');
    for (const name of f.names) {
      const lines = out.split('\n').filter((line) => line.startsWith(`${name}  `));
      expect(lines.some((line) => line.includes('probation 202'))).toBe(true);
      expect(lines.at(-1)).toMatch(new RegExp(`^${name} +1 +applied 200$`));
    }
  });

  test('rollback pushes the former content with a new version', async () => {
    const f = await fleet(1);
    const [name = ''] = f.names;
    await f.config(
      `push --to ${name} --config`,
      f.file('1.json', { log: { level: 'info' }, store: { retention: '7d' } }),
    );
    await f.config(`push --to ${name} --patch`, f.file('2.json', { log: { level: 'debug' }, store: null }));
    const back = await f.config('rollback', '--to', name);
    expect(back.code).toBe(0);
    const third = await f.config('rollback', '--to', name, '--to-version', '2');
    expect(third.code).toBe(0);
    expect(f.nodes.get(name)?.pushes.slice(2)).toMatchObject([
      { version: 3, config: { log: { level: 'info' }, store: { retention: '7d' } } },
      { version: 4, config: { log: { level: 'debug' } } },
    ]);
    expect(f.nodes.get(name)?.pushes[3]?.config).not.toHaveProperty('store');
  });

  test('a push that was signed elsewhere is delivered without a key: a config, a dry run, a fleet, a model', async () => {
    const f = await fleet(2);
    const [name = ''] = f.names;
    const away = temp();
    const desk = (verb: string, ...argv: string[]) =>
      run('config', verb, ...argv, '--operator-dir', away, '--broker', url());
    const signedFile = async (file: string, ...argv: string[]): Promise<string> => {
      const path = join(f.dir, file);
      const made = await run('config', 'sign', ...argv, '--out', path, '--operator-dir', f.dir);
      expect(made.err).toBe('');
      return path;
    };
    const patch = f.file('p.json', { a: 1 });
    const first = await signedFile('1.jws', '--to', name, '--patch', patch, '--probation', '1s');
    expect((await desk('push', '--signed', first)).out).toContain('version 1: applied by all 1');
    expect(f.nodes.get(name)?.pushes).toMatchObject([{ version: 1, patch: { a: 1 } }]);
    const dry = await signedFile('2.jws', '--fleet', f.group, '--patch', patch, '--dry-run');
    expect((await desk('push', '--signed', dry, '--nodes', f.names.join(','))).out).toContain('2 of 2 would');
    const both = await signedFile('3.jws', '--fleet', f.group, '--patch', patch);
    const unknown = await desk('push', '--signed', both);
    expect(unknown.code).toBe(2);
    expect(unknown.err).toContain('--nodes');
    const all = await desk('push', '--signed', both, '--nodes', f.names.join(','), '--canary', '50%');
    expect(all.out).toContain('applied by all 2');
    // A model: its bytes come from the delivering machine.
    const files = shippedVariant('m', 1);
    const folder = writeModelFolder(join(f.dir, 'm'), files);
    const model = await signedFile('4.jws', '--to', name, '--model', folder);
    const without = await desk('push', '--signed', model);
    expect(without.code).toBe(2);
    expect(without.err).toContain('--model');
    const other = writeModelFolder(join(f.dir, 'other'), shippedVariant('m', 2));
    expect((await desk('push', '--signed', model, '--model', other)).err).toContain('has changed');
    expect((await desk('push', '--signed', model, '--model', folder)).out).toContain('applied by all 1');
    expect(f.nodes.get(name)?.models.get('m')).toEqual(Buffer.from(bytesOf(files)));
    for (const argv of [
      ['--signed', first, '--to', name],
      ['--signed', f.file('junk', 'x')],
      ['--signed', first, '--base', 'elsewhere'],
    ])
      expect((await desk('push', ...argv)).code).toBe(2);
  });

  test('a wrong password: the message says that the login was refused', async () => {
    const closed = await startMosquitto('allow_anonymous false');
    const { code, err } = await run('config', 'status', '--broker', closed.url);
    expect(code).toBe(1);
    expect(err).toContain('the login was refused');
    await closed.stop();
  });

  test('on a terminal the table is redrawn in place, in colour unless NO_COLOR is set', async () => {
    const f = await fleet(3);
    const patch = f.file('p.json', { a: 1 });
    const child = (env: Record<string, string>) =>
      new Promise<string>((resolve) => {
        const command = `config push --fleet ${f.group} --patch ${patch} --operator-dir ${f.dir} --broker ${url()}`;
        let text = '';
        const line = `'${process.execPath}' dist/gatecast.js ${command}`;
        const process_ = spawn('script', ['-qec', line, '/dev/null'], {
          env: { ...process.env, TERM: 'xterm', NO_COLOR: '', ...env },
        });
        process_.stdout.on('data', (data) => {
          text += data;
        });
        process_.on('close', () => resolve(text));
      });
    const coloured = await child({});
    expect(coloured).toContain('\u001b[J');
    expect(coloured).toContain('\u001b[32m');
    expect(coloured).toMatch(/node +version +status +reason/);
    const plain = await child({ NO_COLOR: '1' });
    expect(plain).toContain('\u001b[J');
    expect(plain).not.toContain('\u001b[32m');
  });
});
