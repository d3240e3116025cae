/** `config show` and `check --json` on a gateway with pushed layers: each key with its origin. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { diskFolder, remoteFolder } from '../../../src/remote/open.ts';
import { sign } from '../../../src/remote/sign.ts';
import { DOCUMENT, Gateway, keySetOf, newKey } from '../../remote/gateway.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { run } from '../../support/run.ts';
import { tempDirs } from '../../support/temp.ts';

const temp = tempDirs();
const ops = newKey('ops');
const NOW = Date.UTC(2026, 4, 1);

/** A config file, and a data directory in which two layers were committed. */
async function pushedTo(dir: string, node: object): Promise<string> {
  const file = join(dir, 'gatecast.json');
  writeFileSync(file, JSON.stringify({ ...DOCUMENT, data_dir: dir }));
  const gateway = new Gateway(diskFolder(remoteFolder(dir)), new FakeClock(NOW), keySetOf(ops));
  const iat = NOW / 1000;
  const claims = { iat, exp: iat + 3600, version: 1, probation: '2s' };
  const north = { publish: { every: '3m', quantiles: [0.5] }, log: { level: 'debug' } };
  await gateway.push(
    await sign({ ...claims, aud: 'fleet:gatecast/north', config: north }, ops),
    'fleet:north',
  );
  await gateway.pass(3000);
  await gateway.push(await sign({ ...claims, aud: 'node:gatecast/cellar', config: node }, ops));
  await gateway.pass(3000);
  expect(gateway.reported).toMatchObject({ status: 'applied', version: 1, layer: 'node' });
  await gateway.remote.stop();
  return file;
}

const NODE_LAYER = { log: { level: 'warn' }, streams: { pumps: { horizon: '2h' } } };

test('config show names the layer that each key comes from', async () => {
  const dir = temp();
  const file = await pushedTo(dir, NODE_LAYER);
  const { code, out } = await run('config', 'show', '-c', file);
  expect(code).toBe(0);
  for (const line of [
    /^node +cellar +file$/m,
    /^publish\.every +3m +fleet:north$/m,
    /^publish\.quantiles +\[0\.5\] +fleet:north$/m,
    /^log\.level +warn +node$/m,
    /^streams\.pumps\.horizon +2h +node$/m,
    /^streams\.pumps\.interval +1m +file$/m,
  ])
    expect(out).toMatch(line);
  expect(out).not.toContain('store.flush');
  expect((await run('config', 'show', '-c', file, '--all')).out).toMatch(/^store\.flush +5s +default$/m);
});

test('check --json has the effective config: the same keys, hash and origins as config show --json', async () => {
  const dir = temp();
  const file = await pushedTo(dir, NODE_LAYER);
  const shown = JSON.parse((await run('config', 'show', '-c', file, '--json')).out);
  const { code, out, err } = await run('check', '-c', file, '--json');
  expect({ code, err }).toEqual({ code: 0, err: expect.not.stringContaining('layers') });
  const { hash, effective } = JSON.parse(out);
  expect(effective.keys).toContainEqual({ path: 'publish.every', value: '3m', origin: 'fleet:north' });
  expect(effective).toEqual({ hash: shown.hash, problem: null, keys: shown.keys });
  expect(effective.hash).not.toBe(hash);
});

test('an edited file that the pushed layers do not fit: check warns, before the agent runs the file alone', async () => {
  const dir = temp();
  const file = await pushedTo(dir, NODE_LAYER);
  writeFileSync(
    file,
    JSON.stringify({ ...DOCUMENT, data_dir: dir, streams: [{ id: 'valves', match: 'valves/+' }] }),
  );
  const { code, out, err } = await run('check', '-c', file, '--json');
  expect(code).toBe(0);
  expect(err).toMatch(/warning: the pushed layers are invalid on .* streams\.pumps\.match is missing/);
  const { hash, effective } = JSON.parse(out);
  expect(effective.hash).toBe(hash);
  expect((await run('config', 'show', '-c', file)).out).toContain(
    'the pushed layers are invalid on this file',
  );
});

test('the data directory of the command line has the origin environment', async () => {
  const dir = temp();
  const file = await pushedTo(dir, NODE_LAYER);
  const elsewhere = temp();
  const { out } = await run('--data-dir', elsewhere, 'config', 'show', '-c', file, '--json');
  const { keys } = JSON.parse(out);
  expect(keys).toContainEqual({ path: 'data_dir', value: elsewhere, origin: 'environment' });
  expect(keys).toContainEqual({ path: 'log.level', value: 'info', origin: 'default' });
});
