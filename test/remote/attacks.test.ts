/**
 * What an adversary, a worn disk or a wrong clock does to remote config: each gives one clear code, and the running config stays,
 * or comes back.
 */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CompactSign, FlattenedSign, GeneralSign } from 'jose';
import { describe, expect, it } from 'vitest';
import type { Config } from '../../src/config/index.ts';
import { jsonSchema } from '../../src/config/issues.ts';
import type { Reported } from '../../src/remote/contract.ts';
import { LOCAL_ONLY } from '../../src/remote/layers.ts';
import { diskFolder } from '../../src/remote/open.ts';
import { sign } from '../../src/remote/sign.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { tempDirs } from '../support/temp.ts';
import { Crash, Gateway, keySetOf, MemoryFolder, NOBODY, newKey } from './gateway.ts';
import { type Files, modelFiles, quickClaim } from './models.ts';

const tempDir = tempDirs();
const ops = newKey('ops');
const other = newKey('other');
const keys = keySetOf(ops, other);
const NOW = Date.UTC(2026, 4, 1);
const iat = NOW / 1000;
const base = { aud: 'node:gatecast/cellar', iat, exp: iat + 3600, version: 5 };
const GOOD = { config: { publish: { every: '2m' } } };
const start = (folder = new MemoryFolder(), clock = new FakeClock(NOW)): Gateway =>
  new Gateway(folder, clock, keys);
const push = (claims: Record<string, unknown>): Promise<string> => sign({ ...base, ...GOOD, ...claims }, ops);
const at = (version: number, content: Record<string, unknown> = GOOD): Promise<string> =>
  sign({ ...base, version, probation: '10s', ...content }, ops);
const header = { alg: 'EdDSA', kid: 'ops', typ: 'gatecast-config+jwt' };
const bytes = (value: unknown): Uint8Array =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
const claims = { ...base, ...GOOD };
/** Signed claims as a text that no JSON writer would make. */
const raw = (member: string, value: string): Promise<string> =>
  new CompactSign(bytes(JSON.stringify({ ...claims, [member]: 'HERE' }).replace('"HERE"', value)))
    .setProtectedHeader(header)
    .sign(ops.key);

type Bad = readonly [name: string, code: number, path: string, payload: () => Promise<string | Uint8Array>];

const BAD: readonly Bad[] = [
  // Versions
  ['version 2^53', 400, 'version', () => raw('version', '9007199254740992')],
  ['version 2^53 + 1, which is read as 2^53', 400, 'version', () => raw('version', '9007199254740993')],
  ['version 10^400', 400, 'version', () => raw('version', '1e400')],
  ['version 1.5', 400, 'version', () => raw('version', '1.5')],
  ['version 0', 400, 'version', () => raw('version', '0')],
  ['version -0', 400, 'version', () => raw('version', '-0')],
  ['version -1', 400, 'version', () => raw('version', '-1')],
  ['version "7"', 400, 'version', () => raw('version', '"7"')],
  ['version null', 400, 'version', () => raw('version', 'null')],
  ['version [7]', 400, 'version', () => raw('version', '[7]')],
  ['version true', 400, 'version', () => raw('version', 'true')],
  // Times
  ['exp in 1970', 408, 'exp', () => push({ exp: 1 })],
  ['exp before 1970', 400, 'exp', () => push({ exp: -1 })],
  ['exp beyond the year 9999', 400, 'exp', () => push({ exp: 1e15 })],
  ['exp 1e400', 400, 'exp', () => raw('exp', '1e400')],
  ['exp as a text', 400, 'exp', () => push({ exp: '2030-01-01' })],
  ['exp in ms', 400, 'exp', () => push({ exp: NOW + 3_600_000 })],
  ['iat in ms', 400, 'iat', () => push({ iat: NOW })],
  ['iat decades ahead', 408, 'iat', () => push({ iat: iat + 1e9, exp: iat + 2e9 })],
  ['nbf', 400, 'nbf', () => push({ nbf: iat })],
  // Audience
  ['aud as a list', 400, 'aud', () => push({ aud: ['node:gatecast/cellar'] })],
  ['aud of a topic filter', 401, 'aud', () => push({ aud: 'node:gatecast/+' })],
  ['aud in other letters', 401, 'aud', () => push({ aud: 'node:gatecast/CELLAR' })],
  ['no aud', 400, 'aud', () => push({ aud: undefined })],
  ['aud null', 400, 'aud', () => push({ aud: null })],
  // Header
  ['kid as a path', 401, 'header.kid', () => sign(claims, { kid: '../../ops', key: ops.key })],
  ['kid as a number', 401, 'header.kid', () => compact({ ...header, kid: 1 })],
  ['kid in other letters', 401, 'header.kid', () => sign(claims, { kid: 'OPS', key: ops.key })],
  ['kid with a zero byte', 401, 'header.kid', () => sign(claims, { kid: 'ops\u0000', key: ops.key })],
  ['an embedded key', 401, 'header', () => compact({ ...header, jwk: other.jwk })],
  ['a key from a URL', 401, 'header', () => compact({ ...header, jku: 'https://evil.example/jwks' })],
  ['alg Ed25519', 401, 'header.alg', () => compact({ ...header, alg: 'Ed25519' })],
  ['alg eddsa', 401, 'header.alg', () => compact({ ...header, alg: 'eddsa' })],
  ['alg as a list', 401, 'header.alg', () => compact({ ...header, alg: ['EdDSA'] })],
  ['typ in other letters', 401, 'header.typ', () => compact({ ...header, typ: 'Gatecast-Config+JWT' })],
  ['b64: false', 401, 'header', () => compact({ ...header, b64: false, crit: ['b64'] })],
  ['crit', 401, 'header', () => compact({ ...header, crit: ['exp'], exp: 1 })],
  ['zip', 401, 'header', () => compact({ ...header, zip: 'DEF' })],
  ['a list as a header', 401, 'header', () => compact([])],
  // Form
  [
    'JWS as flattened JSON',
    401,
    '',
    async () =>
      JSON.stringify(await new FlattenedSign(bytes(claims)).setProtectedHeader(header).sign(ops.key)),
  ],
  [
    'JWS as general JSON',
    401,
    '',
    async () => {
      const general = new GeneralSign(bytes(claims));
      general.addSignature(ops.key).setProtectedHeader(header);
      return JSON.stringify(await general.sign());
    },
  ],
  ['a JWS in a JWS', 400, '', async () => signedBytes(bytes(await push({})))],
  [
    'a JWS as the text of the claims',
    400,
    '',
    async () => signedBytes(bytes(JSON.stringify(await push({})))),
  ],
  ['four parts', 401, '', async () => `${await push({})}.AA`],
  ['two messages in one', 401, '', async () => `${await push({})}\n${await push({ version: 6 })}`],
  ['base64 instead of base64url', 401, '', async () => (await push({})).replace(/[-_]|.(?=\.)/, '+')],
  ['no signature', 401, 'signature', async () => (await push({})).replace(/[^.]*$/, '')],
  ['a byte order mark', 400, '', async () => signedBytes(bytes(`\ufeff${JSON.stringify(claims)}`))],
  // Content
  ['config as a list', 400, 'config', () => push({ config: [] })],
  ['patch as a text', 400, 'patch', () => push({ config: undefined, patch: 'x' })],
  ['rollback: false', 400, 'rollback', () => push({ config: undefined, rollback: false })],
  ['probation of 1 ms', 400, 'probation', () => push({ probation: '1ms' })],
  ['probation of a year', 400, 'probation', () => push({ probation: '365d' })],
  ['a token of 1 kB', 400, 'token', () => push({ token: 'x'.repeat(1024) })],
  ['20,000 patterns', 400, 'ignore', () => push({ config: { ignore: Array(20_000).fill('a/+') } })],
  ['a required key: null', 400, 'mqtt.url', () => push({ config: { mqtt: { url: null } } })],
  [
    'match: null of a rule of the file',
    400,
    'streams.pumps.match',
    () => push({ config: { streams: { pumps: { match: null } } } }),
  ],
  ['a rule with two ids', 400, 'streams.a.id', () => push({ config: { streams: { a: { id: 'pumps' } } } })],
  ['streams: text', 400, 'streams', () => push({ config: { streams: 'all' } })],
  ['a rule: text', 400, 'streams.pumps', () => push({ config: { streams: { pumps: 'all' } } })],
  ['http: text', 400, 'http', () => push({ config: { http: 'off' } })],
  ['a local key: null', 403, 'mqtt.ca', () => push({ config: { mqtt: { ca: null } } })],
  ['a local object, empty', 403, 'remote_config', () => push({ config: { remote_config: {} } })],
  ['a local key below an object', 403, 'http.listen', () => push({ config: { http: { listen: 'off' } } })],
  [
    'all local keys of an object',
    403,
    'remote_config',
    () => push({ config: { remote_config: { keys: [], unsigned: true } } }),
  ],
  ['a key of 300 kB', 400, 'k'.repeat(200), () => push({ config: { ['k'.repeat(300_000)]: 1 } })],
  ['a claim of 300 kB', 400, 'k'.repeat(200), () => push({ ['k'.repeat(300_000)]: 1 })],
  [
    'a rule whose id has 300 kB',
    400,
    `streams.${'k'.repeat(192)}`,
    () => push({ config: { streams: { ['k'.repeat(300_000)]: { match: 'a/{n}' } } } }),
  ],
  ['a value of 300 kB', 400, 'log.level', () => push({ config: { log: { level: 'k'.repeat(300_000) } } })],
  [
    'a topic of 300 kB',
    400,
    'streams.pumps.match',
    () => push({ config: { streams: { pumps: { match: 'k'.repeat(300_000) } } } }),
  ],
  [
    '5,000 wrong values',
    400,
    'ignore',
    () => push({ config: { ignore: Array.from({ length: 5000 }, (_, n) => ({ n, text: 'x'.repeat(20) })) } }),
  ],
  ['a local key with a dot', 400, 'http.listen', () => push({ config: { 'http.listen': 'off' } })],
];
async function compact(protectedHeader: unknown): Promise<string> {
  const { sign: signBytes } = await import('node:crypto');
  const encoded = `${Buffer.from(JSON.stringify(protectedHeader)).toString('base64url')}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
  return `${encoded}.${signBytes(null, Buffer.from(encoded), ops.key).toString('base64url')}`;
}
const signedBytes = (payload: Uint8Array): Promise<string> =>
  new CompactSign(payload).setProtectedHeader(header).sign(ops.key);

describe('a hostile push', () => {
  it.each(BAD)('%s: %i at %s', async (_, code, path, payload) => {
    const gateway = start();
    const before = gateway.runningHash;
    const reported = await gateway.push(await payload());
    expect(reported).toMatchObject({ status: 'rejected', code, effective_hash: before });
    expect(reported.errors.map((error) => error.path)).toContain(path);
    expect(JSON.stringify(reported).length).toBeLessThan(48_000);
    expect(gateway.runningHash).toBe(before);
    expect(await gateway.push(await at(100))).toMatchObject({ status: 'probation', code: 202 });
  });

  it.each(LOCAL_ONLY)('the local key %s: 403', async (path) => {
    const nested = path.split('.').reduceRight<unknown>((value, key) => ({ [key]: value }), 'x');
    for (const content of [{ config: nested }, { config: undefined, patch: nested }]) {
      const { code, errors } = await start().push(await push(content));
      expect({ code, path: errors[0]?.path }).toEqual({ code: 403, path });
    }
  });

  it('every key that names a file with a credential or a CA is local', () => {
    const paths = (schema: unknown, path: readonly string[] = []): string[] => {
      const { properties = {} } = (schema ?? {}) as { properties?: Record<string, unknown> };
      const inner = Object.entries(properties).flatMap(([key, value]) => paths(value, [...path, key]));
      return path.length === 0 ? inner : [path.join('.'), ...inner];
    };
    const files = paths(jsonSchema()).filter((path) => /(^|[._])(file|ca|cert|key|keys)$/.test(path));
    expect(files).toContain('site.tls.key_file');
    const pushable = files.filter((path) => !LOCAL_ONLY.some((local) => `${path}.`.startsWith(`${local}.`)));
    expect(pushable).toEqual([]);
  });

  it('whitespace around a message, as an editor or `echo` leaves it, changes nothing', async () => {
    expect(await start().push(`${await at(1)}\r\n`)).toMatchObject({ code: 202, version: 1 });
  });

  it('the highest version is taken, and only its own key is used up by it', async () => {
    const gateway = start();
    expect(await gateway.push(await push({ version: Number.MAX_SAFE_INTEGER }))).toMatchObject({ code: 202 });
    expect(await gateway.push(await push({ version: 6 }))).toMatchObject({ code: 409 });
    const second = await sign({ ...base, version: 1, config: {} }, other);
    expect(await gateway.push(second)).toMatchObject({ code: 202, kid: 'other', version: 1 });
  });

  it('a group and the node contradict each other: the node decides, in whichever order they come', async () => {
    const fleet = (version: number): Promise<string> =>
      sign({ ...base, aud: 'fleet:gatecast/north', version, config: { publish: { every: '3m' } } }, ops);
    for (const order of [0, 1]) {
      const gateway = start();
      gateway.remote.receive(
        order === 0 ? 'fleet:north' : 'node',
        Buffer.from(order === 0 ? await fleet(1) : await at(1)),
        true,
      );
      gateway.remote.receive(
        order === 0 ? 'node' : 'fleet:north',
        Buffer.from(order === 0 ? await at(1) : await fleet(1)),
        true,
      );
      await gateway.settle();
      expect(gateway.running.publish.every).toBe(120_000);
      // The node's layer is taken back: what the group wants runs.
      await gateway.push('');
      expect(gateway.running.publish.every).toBe(180_000);
    }
  });

  it('a dry run that is sent again is not worked off again', async () => {
    const gateway = start();
    const dry = await push({ dry_run: true });
    await gateway.push(dry);
    let looks = 0;
    gateway.refuse = () => {
      looks += 1;
      return null;
    };
    for (let time = 0; time < 20; time += 1) await gateway.push(dry);
    expect(looks).toBe(0);
    expect(gateway.reports.at(-1)).toMatchObject({ retain: false, reported: { dry_run: true, code: 409 } });
  });

  it('a second copy of a message, of a broker with two subscriptions that match it, is left out', async () => {
    const gateway = start();
    const payload = Buffer.from(await at(1));
    gateway.remote.receive('node', payload, false, true);
    gateway.remote.receive('node', payload, false, true);
    expect(await gateway.settle()).toMatchObject({ status: 'probation', version: 1 });
    expect(gateway.reports.map(({ reported }) => reported.code)).not.toContain(409);
    gateway.clock.advance(1000);
    gateway.remote.receive('node', payload, false, true);
    expect(await gateway.settle()).toMatchObject({ code: 409 });
  });

  it('a key is removed while its layer runs: the layer stays until it is replaced, the key is worth nothing', async () => {
    const folder = new MemoryFolder();
    const clock = new FakeClock(NOW);
    const first = new Gateway(folder, clock, keys);
    await first.push(await at(1));
    await first.pass(11_000);
    const hash = first.runningHash;
    await first.remote.stop();
    const second = new Gateway(folder, clock, keySetOf(other));
    expect(second.runningHash).toBe(hash);
    expect(await second.push(await at(2))).toMatchObject({ code: 401 });
    const taken = await sign({ ...base, version: 1, config: {} }, other);
    expect(await second.push(taken)).toMatchObject({ code: 202 });
  });
});

describe('pushes that meet', () => {
  it.each(['rolled_back', 'applied'])('one during the probation of another: both are %s', async (verdict) => {
    const gateway = start();
    const before = gateway.runningHash;
    await gateway.push(await at(1, { patch: { publish: { every: '2m' } } }));
    const second = await gateway.push(await at(2, { patch: { log: { level: 'debug' } } }));
    expect(gateway.running).toMatchObject({ publish: { every: 120_000 }, log: { level: 'debug' } });
    expect(second).toMatchObject({ status: 'probation', version: 2, effective: { version: 2 } });
    const both = gateway.runningHash;
    if (verdict === 'rolled_back') gateway.vitals = { ...NOBODY, alerts: ['store'] };
    await gateway.pass(11_000);
    const hash = verdict === 'applied' ? both : before;
    expect(gateway.reported).toMatchObject({ status: verdict, version: 2, effective_hash: hash });
    expect(gateway.reported.history).toMatchObject([
      { version: 1, status: verdict },
      { version: 2, status: verdict },
    ]);
  });

  it('one that replaces the layer of another on probation: the older one is reported as not newer', async () => {
    const gateway = start();
    await gateway.push(await at(1, { patch: { publish: { every: '2m' } } }));
    const { history } = await gateway.push(await at(2, { config: {} }));
    expect(history).toMatchObject([{ version: 1, status: 'rejected', code: 409 }]);
    await gateway.pass(11_000);
    expect(gateway.reported).toMatchObject({ status: 'applied', version: 2 });
  });

  it('a rollback during probation goes back to what is committed, not beyond it', async () => {
    const gateway = start();
    await gateway.push(await at(1, { config: { publish: { every: '2m' } } }));
    await gateway.pass(11_000);
    await gateway.push(await at(2, { config: { publish: { every: '3m' } } }));
    await gateway.push(await at(3, { rollback: true }));
    expect(gateway.running.publish.every).toBe(120_000);
    await gateway.pass(11_000);
    expect(gateway.reported).toMatchObject({ status: 'applied', version: 3 });
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])(
    'the agent is killed at write %i of one during the probation of another: what is reported runs',
    async (write) => {
      const folder = new MemoryFolder();
      const clock = new FakeClock(NOW);
      const first = new Gateway(folder, clock, keys);
      await first.push(await at(1, { patch: { publish: { every: '2m' } } }));
      folder.failAt = folder.writes + write;
      await first.push(await at(2, { patch: { log: { level: 'debug' } } }));
      folder.failAt = Number.POSITIVE_INFINITY;
      const second = new Gateway(folder, clock, keys);
      const { effective, effective_hash } = await second.settle();
      expect(effective_hash).toBe(second.runningHash);
      const runs = second.running;
      const version = runs.log.level === 'debug' ? 2 : runs.publish.every === 120_000 ? 1 : null;
      expect(effective.version).toBe(version);
    },
  );

  it('the agent is killed before the second is applied: the first is reported as rolled back, the second as not applied', async () => {
    const folder = new MemoryFolder();
    const clock = new FakeClock(NOW);
    const first = new Gateway(folder, clock, keys);
    await first.push(await at(1, { patch: { publish: { every: '2m' } } }));
    expect(first.reported).toMatchObject({ status: 'probation', version: 1 });
    // The second is verified and written down, and no further.
    folder.failAt = folder.writes + 3;
    await first.push(await at(2, { patch: { log: { level: 'debug' } } }));
    folder.failAt = Number.POSITIVE_INFINITY;
    const next = new Gateway(folder, clock, keys);
    const { status, code, version, history } = next.reported;
    expect({ status, code, version }).toEqual({ status: 'rejected', code: 503, version: 2 });
    expect(history).toMatchObject([{ status: 'rolled_back', code: 500, version: 1 }]);
    expect(next.running.publish.every).not.toBe(120_000);
  });

  it('one while the agent stops is taken up at the next start, and is not blamed', async () => {
    const folder = new MemoryFolder();
    const clock = new FakeClock(NOW);
    const first = new Gateway(folder, clock, keys);
    first.stopping = true;
    await first.push(await at(1));
    await first.remote.stop();
    const second = new Gateway(folder, clock, keys);
    expect(await second.settle()).toMatchObject({ status: 'probation', version: 1 });
    await second.pass(11_000);
    expect(second.reported).toMatchObject({ status: 'applied', version: 1 });
  });
});

describe('a wrong clock', () => {
  it.each([
    ['decades behind', Date.UTC(1970, 0, 2), 503],
    ['behind, as saved at the last shutdown', NOW - 40 * 86_400_000, 408],
    ['decades ahead', Date.UTC(2060, 0, 1), 408],
  ])('that is %s: the push waits, and is taken when the clock is right', async (_, wrongMs, code) => {
    const clock = new FakeClock(wrongMs);
    const gateway = start(new MemoryFolder(), clock);
    gateway.clockIsSet = wrongMs > Date.UTC(2024, 0, 1);
    expect(await gateway.push(await at(1))).toMatchObject({ status: 'rejected', code });
    const before = gateway.reports.length;
    await gateway.pass(5000);
    expect(gateway.reports.length).toBeLessThanOrEqual(before + 1);
    clock.jump(NOW - clock.now());
    gateway.clockIsSet = true;
    await gateway.pass(1000);
    expect(gateway.reported).toMatchObject({ status: 'probation', version: 1 });
    clock.jump(-30 * 365 * 86_400_000);
    await gateway.pass(12_000);
    expect(gateway.reported).toMatchObject({ status: 'applied', version: 1 });
  });

  it('an empty message takes back a push that waits for the clock', async () => {
    const gateway = start();
    gateway.clockIsSet = false;
    await gateway.push(await at(1));
    await gateway.push('');
    gateway.clockIsSet = true;
    await gateway.pass(2000);
    expect(gateway.reported).toMatchObject({ effective: { version: null } });
  });
});

describe('a disk that takes nothing', () => {
  /** The committed config runs, and a push is on probation. */
  async function onTrial(): Promise<{
    folder: MemoryFolder;
    clock: FakeClock;
    gateway: Gateway;
    good: string;
  }> {
    const folder = new MemoryFolder();
    const clock = new FakeClock(NOW);
    const gateway = new Gateway(folder, clock, keys);
    await gateway.push(await at(1));
    await gateway.pass(11_000);
    const good = gateway.runningHash;
    await gateway.push(await at(2, { config: { publish: { every: '3m' } } }));
    return { folder, clock, gateway, good };
  }

  it('does not keep the agent from starting: it starts with the committed config', async () => {
    const { folder, clock, good } = await onTrial();
    folder.failAt = folder.writes;
    for (let starts = 0; starts < 5; starts += 1) {
      const next = new Gateway(folder, clock, keys);
      expect(next.runningHash).toBe(good);
      expect(next.reported).toMatchObject({ status: 'rolled_back', code: 500, effective_hash: good });
      expect(next.reported.errors[0]?.text).toContain('cannot be stored');
      expect(await next.push(await at(3))).toMatchObject({ code: 503 });
    }
  });

  it('does not keep a harmful config: it is rolled back all the same', async () => {
    const { folder, clock, gateway, good } = await onTrial();
    folder.failAt = folder.writes;
    gateway.vitals = { ...NOBODY, alerts: ['store'] };
    await gateway.pass(2000);
    expect(gateway.runningHash).toBe(good);
    expect(gateway.reported).toMatchObject({ status: 'rolled_back', version: 2 });
    folder.failAt = Number.POSITIVE_INFINITY;
    expect(await gateway.push(await at(3))).toMatchObject({ code: 202 });
    await gateway.remote.stop();
    expect(new Gateway(folder, clock, keys).reported).toMatchObject({ version: 3 });
  });

  it('puts off the commit until it can be stored', async () => {
    const { folder, gateway } = await onTrial();
    folder.failAt = folder.writes;
    await gateway.pass(12_000);
    expect(gateway.reported).toMatchObject({ status: 'probation', version: 2 });
    folder.failAt = Number.POSITIVE_INFINITY;
    await gateway.pass(1000);
    expect(gateway.reported).toMatchObject({ status: 'applied', version: 2 });
  });

  it('503: a real folder that cannot be written to', async () => {
    const dir = tempDir();
    // Also for root: where the folder should be, there is a file.
    writeFileSync(join(dir, 'remote'), '');
    const gateway = new Gateway(diskFolder(join(dir, 'remote')), new FakeClock(NOW), keys);
    const before = gateway.runningHash;
    expect(await gateway.push(await at(1))).toMatchObject({ status: 'rejected', code: 503 });
    expect(gateway.runningHash).toBe(before);
  });

  it('files that cannot be read count as damaged', async () => {
    const { folder, clock, good } = await onTrial();
    const broken = Object.assign(Object.create(folder) as MemoryFolder, {
      read: (name: string): Uint8Array | null => {
        if (name === 'state-a.json') throw new Crash('EIO');
        return folder.read(name);
      },
    });
    const gateway = new Gateway(broken, clock, keys);
    expect(gateway.reported.last_good.hash).toBe(good);
  });
});

describe('a state that cannot be read for a while', () => {
  /** All files of the folder, whose reading fails. */
  const unreadable = (folder: MemoryFolder): MemoryFolder =>
    Object.assign(Object.create(folder) as MemoryFolder, {
      read: (): Uint8Array => {
        throw new Crash('EIO');
      },
    });

  it('is not replaced: the local file applies until the next start, and pushes are refused', async () => {
    const folder = new MemoryFolder();
    const clock = new FakeClock(NOW);
    const gateway = new Gateway(folder, clock, keys);
    const local = gateway.runningHash;
    await gateway.push(await at(1));
    await gateway.pass(11_000);
    const { last_good: good } = gateway.reported;
    expect(good.hash).not.toBe(local);
    const files = new Map(folder.files);
    const blind = new Gateway(unreadable(folder), clock, keys);
    expect(blind.runningHash).toBe(local);
    expect(blind.life.current().damage).toMatch(/cannot be read/);
    expect(await blind.push(await at(7))).toMatchObject({ status: 'rejected', code: 503 });
    await blind.pass(600_000);
    expect(folder.files).toEqual(files);
    expect(new Gateway(folder, clock, keys).reported.last_good).toEqual(good);
  });
});

describe('layers that cannot be read for a while', () => {
  it('are not replaced by those of a push', async () => {
    const folder = new MemoryFolder();
    const clock = new FakeClock(NOW);
    const gateway = new Gateway(folder, clock, keys);
    await gateway.push(await at(1));
    await gateway.pass(11_000);
    const { last_good: good } = gateway.reported;
    const blind = Object.assign(Object.create(folder) as MemoryFolder, {
      read: (name: string): Uint8Array | null => {
        if (name.startsWith('layers-')) throw new Crash('EIO');
        return folder.read(name);
      },
    });
    const restarted = new Gateway(blind, clock, keys);
    expect(await restarted.push(await at(7))).toMatchObject({ status: 'rejected', code: 503 });
    await restarted.pass(11_000);
    expect(new Gateway(folder, clock, keys).reported.last_good).toEqual(good);
  });
});

describe('a hostile transfer of a model', () => {
  const files = modelFiles('one');
  const others = modelFiles('two', { seed: 2 });
  const gatewayAt = (): Gateway => {
    const dir = tempDir();
    mkdirSync(join(dir, 'remote'));
    chmodSync(join(dir, 'remote'), 0o700);
    return new Gateway(new MemoryFolder(), new FakeClock(NOW), keys, undefined, undefined, dir);
  };
  const pushModel = async (gateway: Gateway, name: string, from: Files, version: number): Promise<Reported> =>
    gateway.push(await at(version, { model: await quickClaim(name, from) }));
  const modelOf = (config: Config): string => config.model.name;

  it('chunks that are wrong, doubled, truncated, too long, of no number, or of another model are left out', async () => {
    const gateway = gatewayAt();
    await pushModel(gateway, 'one', files, 1);
    await gateway.until(() => gateway.haves.length > 0);
    const chunk = (number: number, payload: Uint8Array, name = 'one'): void =>
      gateway.intake?.chunk(name, number, payload);
    const junk = Buffer.alloc(64 * 1024, 7);
    for (const number of [0, 1, 2, -1, 1.5, 2 ** 31, Number.NaN, Number.POSITIVE_INFINITY])
      chunk(number, junk);
    chunk(0, new Uint8Array(0));
    chunk(0, Buffer.alloc(5_000_000));
    chunk(0, Buffer.alloc(64 * 1024), 'two');
    await gateway.until(() => false).catch(() => {});
    expect(gateway.intake?.progress()?.received).toBe(0);
    // Doubled and in another order.
    await gateway.send('one', files, 1);
    await gateway.send('one', files);
    expect(modelOf(gateway.running)).toBe('one');
  });

  it('two models at once: the newer push takes the place of the older one, which is told so', async () => {
    const gateway = gatewayAt();
    await pushModel(gateway, 'one', files, 1);
    await gateway.send('one', files, 1);
    const reported = await pushModel(gateway, 'two', others, 2);
    expect(reported.history).toMatchObject([{ version: 1, status: 'rejected', code: 409 }]);
    gateway.haves.length = 0;
    await gateway.send('two', others);
    expect(modelOf(gateway.running)).toBe('two');
    await gateway.pass(11_000);
    expect(gateway.reported).toMatchObject({ status: 'applied', version: 2 });
  });

  it('an empty message takes back a push that waits for its model', async () => {
    const gateway = gatewayAt();
    await pushModel(gateway, 'one', files, 1);
    await gateway.send('one', files, 1);
    await gateway.push('');
    expect(gateway.intake?.progress()).toBeNull();
    expect(gateway.reported).toMatchObject({ status: 'rejected', code: 409, version: 1 });
    expect(gateway.reported.errors[0]?.text).toContain('withdrawn');
    expect(modelOf(gateway.running)).toBe('base');
  });

  it.each<[string, string, (claim: Awaited<ReturnType<typeof quickClaim>>) => object]>([
    ['fewer bytes than its files', 'model.bytes', (claim) => ({ ...claim, bytes: claim.bytes - 1 })],
    ['65 MB', 'model.bytes', (claim) => ({ ...claim, bytes: 65 * 1024 * 1024 })],
    [
      'a file that leads out of the folder',
      'model.files.0.name',
      (claim) => ({ ...claim, files: [{ ...claim.files[0], name: '../x' }] }),
    ],
    [
      'a file twice',
      'model.files',
      (claim) => ({
        ...claim,
        files: [...claim.files, claim.files[0]],
        bytes: claim.bytes + (claim.files[0]?.bytes ?? 0),
      }),
    ],
    ['the name of another file of the folder', 'model.name', (claim) => ({ ...claim, name: 'slots.json' })],
    ['a name with a path', 'model.name', (claim) => ({ ...claim, name: '../base' })],
    ['no chunks', 'model.chunks', ({ chunks: _, ...claim }) => claim],
    ['http', 'model.source', (claim) => ({ ...claim, source: 'http://models.example/one' })],
    [
      'a URL with a password',
      'model.source',
      (claim) => ({ ...claim, source: 'https://a:b@models.example/one' }),
    ],
    ['a file URL', 'model.source', (claim) => ({ ...claim, source: 'file:///etc/passwd' })],
    ['no manifest', 'model.manifest_sha256', (claim) => ({ ...claim, manifest_sha256: '0'.repeat(64) })],
  ])('400: a claim with %s', async (_, path, change) => {
    const gateway = gatewayAt();
    const reported = await gateway.push(await at(1, { model: change(await quickClaim('one', files)) }));
    expect(reported).toMatchObject({ status: 'rejected', code: 400 });
    expect(reported.errors.map((error) => error.path)).toContain(path);
  });
});
