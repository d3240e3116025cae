/** Model pushes with the built program, the operator's command, a real Mosquitto and a real https server. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Reported } from '../../src/remote/contract.ts';
import { shippedVariant, writeModelFolder } from '../remote/models.ts';
import { type Daemon, ensureBuilt, startDaemon } from '../support/daemon.ts';
import { hasMosquitto, type Mosquitto, startMosquitto, type Watcher, watch } from '../support/mosquitto.ts';
import { run } from '../support/run.ts';
import { recordWork } from '../support/run-delay.ts';
import { plainConfig, SECONDS } from '../support/sensors.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

const tempDir = tempDirs();
const REPORTED = 'gatecast/cellar/config/reported';

describe.skipIf(!hasMosquitto)('a model push to a running agent', () => {
  const dir = tempDir();
  const desk = join(dir, 'desk');
  let broker: Mosquitto;
  let watcher: Watcher;
  let daemon: Daemon;
  let server: Server;
  let feeding: NodeJS.Timeout;
  let config: object;

  const last = (): Reported => JSON.parse(watcher.on(REPORTED).at(-1)?.text ?? '{}') as Reported;
  const champion = (): string =>
    (JSON.parse(watcher.on('gatecast/cellar/model/default').at(-1)?.text ?? '{}') as { champion: string })
      .champion;
  const forecasts = (): { seq: number; issued: string }[] =>
    watcher
      .on('gatecast/cellar/forecast/s/a')
      .map(({ text }) => JSON.parse(text) as { seq: number; issued: string });
  /** @param words the command and its options, separated by spaces */
  const operator = async (words: string): Promise<{ code: number; out: string }> => {
    const argv = words.split(' ');
    const { code, both } = await run('config', ...argv, '--operator-dir', desk, '--broker', broker.url);
    // The operator has read reports on a connection of its own.
    await watcher.caughtUp();
    return { code, out: both };
  };
  const folder = (name: string, spoil = 1): string =>
    writeModelFolder(join(dir, name), shippedVariant(name, spoil));

  beforeAll(async () => {
    ensureBuilt();
    broker = await startMosquitto();
    watcher = await watch(broker.url, 'gatecast/#');
    mkdirSync(join(dir, 'data'));
    await run('config', 'keygen', '--kid', 'ops', '--operator-dir', desk);
    const certificate = spawnSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-days',
        '2',
        '-subj',
        '/CN=127.0.0.1',
      ].concat([
        '-addext',
        'subjectAltName=IP:127.0.0.1',
        '-keyout',
        join(dir, 'key.pem'),
        '-out',
        join(dir, 'cert.pem'),
      ]),
    );
    expect(certificate.status).toBe(0);
    const tls = { key: readFileSync(join(dir, 'key.pem')), cert: readFileSync(join(dir, 'cert.pem')) };
    server = createServer(tls, (request, response) => {
      const path = join(dir, decodeURIComponent(request.url ?? ''));
      if (request.url?.startsWith('/moved/')) {
        response.writeHead(302, { location: request.url.slice('/moved'.length) }).end();
      } else if (request.url?.startsWith('/plain/')) {
        response.writeHead(302, { location: `http://127.0.0.1:1${request.url}` }).end();
      } else if (existsSync(path)) response.end(readFileSync(path));
      else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    config = plainConfig(
      { node: 'cellar', url: broker.url, dataDir: join(dir, 'data') },
      [{ id: 's', match: 's/{n}', name: 's/{n}', ...SECONDS }],
      { remote_config: { enabled: true, keys: join(desk, 'keys', 'keys.jwks'), ca: join(dir, 'cert.pem') } },
    );
    daemon = await startDaemon(dir, config);
    let at = 0;
    feeding = setInterval(() => {
      at += 1;
      watcher.client.publish('s/a', JSON.stringify({ v: 20 + Math.sin(at / 7), t: Date.now() }), { qos: 1 });
    }, 500);
    await waitFor('forecasts', () => forecasts().length > 3);
  });

  afterAll(async () => {
    clearInterval(feeding);
    await daemon?.end('SIGTERM');
    server?.close();
    await watcher?.close();
    await broker?.stop();
  });

  const url = (path: string): string => {
    const address = server.address();
    return `https://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/${path}`;
  };
  const models = (): string[] =>
    readdirSync(join(dir, 'data', 'models')).filter((name) => !name.endsWith('.json'));

  it('over MQTT: arrives in chunks, forecasts, and is committed; no forecast is missed', async () => {
    const work = recordWork(daemon.process.pid, broker.pid);
    const { code, out } = await operator(
      `push --to cellar --model ${folder('good')} --probation 3s --rate 1MB/s`,
    );
    expect(out + daemon.output()).toContain('applied by all 1');
    expect(code).toBe(0);
    expect(last()).toMatchObject({ status: 'applied', code: 200, needs: 'hot' });
    expect(out).toContain('model good: ');
    await waitFor('the group', () => champion() === 'good');
    expect(models()).toEqual(['good']);
    work.stop();
    // A newer forecast replaces one that waits for a broker that is held up.
    const missed = forecasts().flatMap(({ seq, issued }, at, all) => {
      const before = all[at - 1] ?? { seq: seq - 1, issued };
      const workedMs = work.between(Date.parse(before.issued), Date.parse(issued));
      return seq === before.seq + 1 || workedMs < 900 * (seq - before.seq) ? [] : [seq];
    });
    expect(missed).toEqual([]);
  });

  it('a worse model is rolled back by its live score', async () => {
    const { effective_hash: good } = last();
    const { code, out } = await operator(
      `push --to cellar --model ${folder('worse', 400)} --probation 3s --json`,
    );
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ nodes: [{ status: 'rolled_back', code: 500 }] });
    expect(last()).toMatchObject({ status: 'rolled_back', effective_hash: good });
    expect(last().errors[0]?.text).toContain('the model is worse');
    await waitFor('the group', () => champion() === 'good');
    expect(models()).toEqual(['good']);
  });

  it('from https, also after a redirect to https', async () => {
    const path = folder('fetched');
    const { code, out } = await operator(
      `push --to cellar --model ${path} --model-url ${url('moved/fetched')} --probation 2s`,
    );
    expect(out + daemon.output()).toContain('applied by all 1');
    expect(code).toBe(0);
    expect(models().sort()).toEqual(['fetched', 'good']);
  });

  it.each([
    ['a folder that is not there', 'nowhere', 503, '404'],
    ['a redirect to http', 'plain/other', 503, 'redirects to http:'],
    ['another file than was signed', 'changed', 400, 'does not match its signed hash'],
    ['a longer file than was signed', 'longer', 503, 'bytes, not'],
  ])('from https: %s', async (_, at, code, text) => {
    const path = folder('other');
    for (const name of ['changed', 'longer']) {
      const files = shippedVariant('other', 1);
      const card = Buffer.from(files.get('MODEL_CARD.md') ?? '');
      card[5] = 64;
      files.set('MODEL_CARD.md', name === 'longer' ? Buffer.concat([card, card]) : card);
      writeModelFolder(join(dir, name), files);
    }
    const { out } = await operator(`push --to cellar --model ${path} --model-url ${url(at)} --json`);
    expect(JSON.parse(out)).toMatchObject({ nodes: [{ status: 'rejected', code }] });
    expect(last().errors[0]?.text).toContain(text);
    expect(models().sort()).toEqual(['fetched', 'good']);
  });

  it('an interrupted transfer goes on with --resume, and after a kill -9 of the agent', async () => {
    const files = shippedVariant('slow', 1);
    files.set('MODEL_CARD.md', Buffer.alloc(400_000, 'card '));
    const path = writeModelFolder(join(dir, 'slow'), files);
    // 128 kB/s: the transfer is under way when both end.
    const pushing = operator(`push --to cellar --model ${path} --probation 2s --rate 128kB/s`);
    await waitFor('half of it', () => (last().transfer?.received ?? 0) > 200_000);
    expect(await daemon.end('SIGKILL')).toBe('SIGKILL');
    await watcher.caughtUp();
    const before = watcher.on(REPORTED).length;
    daemon = await startDaemon(dir, config);
    await waitFor('it to go on', () =>
      watcher
        .on(REPORTED)
        .slice(before)
        .map(({ text }) => JSON.parse(text) as Reported)
        .some(({ transfer, status }) => transfer !== undefined && status === 'applying'),
    );
    const { code, out } = await pushing;
    expect(out + daemon.output()).toContain('applied by all 1');
    expect(code).toBe(0);
    expect(last()).toMatchObject({ status: 'applied' });
    expect(models()).toContain('slow');
  });

  it('rollback goes back to the model before', async () => {
    const { code, out } = await operator('rollback --to cellar --probation 2s');
    expect(out + daemon.output()).toContain('applied by all 1');
    expect(code).toBe(0);
    await waitFor('the group', () => champion() === 'fetched');
  });

  it('a file that is no model is refused at the desk', async () => {
    writeFileSync(join(dir, 'broken.onnx'), 'no model');
    const broken = await operator(`push --to cellar --model ${join(dir, 'broken.onnx')}`);
    expect(broken.code).toBe(1);
    expect(broken.out).toContain('MODEL_INVALID');
    const nothing = await operator(`push --to cellar --model ${join(dir, 'missing')}`);
    expect(nothing.code).toBe(1);
    expect(nothing.out).toContain('there is no such file or folder');
  });
});
