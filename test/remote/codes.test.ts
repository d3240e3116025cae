/** Every code of the contract, with the bad input that gives it. */
import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { CODES, MAX_PUSH_BYTES, reportedSchema } from '../../src/remote/contract.ts';
import { sign } from '../../src/remote/sign.ts';
import { FakeClock } from '../support/fake-clock.ts';
import {
  DOCUMENT,
  Gateway,
  keySetOf,
  LOCAL,
  MemoryFolder,
  NOBODY,
  newKey,
  signed,
  type TestKey,
} from './gateway.ts';

const ops = newKey('ops-2026');
const next = newKey('ops-2027');
const requests = newKey('desk', ['request']);
const stranger = newKey('ops-2026');
const keys = keySetOf(ops, next, requests);
const NOW = Date.UTC(2026, 4, 1);
const iat = NOW / 1000;
const base = { aud: 'node:gatecast/cellar', iat, exp: iat + 3600, version: 5 };
const GOOD = { config: { publish: { every: '2m' } } };

const start = (folder = new MemoryFolder()): Gateway => new Gateway(folder, new FakeClock(NOW), keys);
/** Two streams that forecast until the config is applied, however long the check of the signature takes. */
function activeUntilApplied(gateway: Gateway, forecasts: number): void {
  const activeMs = gateway.clock.monotonic();
  Object.defineProperty(gateway, 'vitals', {
    get: () => ({
      ...NOBODY,
      streams: ['a', 'b'].map((name) => ({
        name,
        intervalMs: 4000,
        activeMs: gateway.life.phase === 'applying' ? gateway.clock.monotonic() : activeMs,
        forecasts,
      })),
    }),
  });
}
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const push = (content: Record<string, unknown>, key: TestKey = ops): Promise<string> =>
  sign({ ...base, ...content }, key);
/** Signed, with claims of any text. */
async function signedText(text: string | Buffer): Promise<string> {
  const { CompactSign } = await import('jose');
  return new CompactSign(Buffer.from(text))
    .setProtectedHeader({ alg: 'EdDSA', kid: ops.kid, typ: 'gatecast-config+jwt' })
    .sign(ops.key);
}
const header = { alg: 'EdDSA', kid: ops.kid, typ: 'gatecast-config+jwt' };
const hmac = (): string => {
  const body = `${encode({ ...header, alg: 'HS256' })}.${encode({ ...base, ...GOOD })}`;
  return `${body}.${createHmac('sha256', String(ops.jwk.x)).update(body).digest('base64url')}`;
};
const claimsText = JSON.stringify({ ...base, ...GOOD });

type Bad = readonly [
  name: string,
  code: number,
  path: string,
  payload: () => Promise<string | Uint8Array> | string | Uint8Array,
];
const BAD: readonly Bad[] = [
  ['plain JSON', 401, '', () => claimsText],
  ['a text', 401, '', () => 'hello'],
  ['bytes that are no UTF-8', 401, '', () => Uint8Array.of(0xff, 0xfe, 0x2e)],
  [
    'alg none',
    401,
    'header.alg',
    () => `${encode({ ...header, alg: 'none' })}.${encode({ ...base, ...GOOD })}.`,
  ],
  ['HS256 with the public key', 401, 'header.alg', hmac],
  ['another typ', 401, 'header.typ', () => sign({ ...base, ...GOOD }, ops, 'gatecast-request+jwt')],
  [
    'an unknown member of the header',
    401,
    'header',
    () => `${encode({ ...header, crit: ['x'], x: 1 })}.${encode(base)}.AA`,
  ],
  [
    'a header with a member twice',
    401,
    'header',
    () => `${Buffer.from('{"alg":"none","alg":"EdDSA"}').toString('base64url')}.e30.AA`,
  ],
  ['an unknown key', 401, 'header.kid', () => push(GOOD, newKey('someone'))],
  ['a kid that is a prototype member', 401, 'header.kid', () => push(GOOD, newKey('__proto__'))],
  ['another key under a known kid', 401, 'signature', () => push(GOOD, stranger)],
  [
    'a changed claim',
    401,
    'signature',
    async () => {
      const [head, , signature] = (await push(GOOD)).split('.');
      return `${head}.${encode({ ...base, ...GOOD, version: 9 })}.${signature}`;
    },
  ],
  ['a truncated signature', 401, 'signature', async () => (await push(GOOD)).slice(0, -8)],
  ['a key of another role', 401, 'header.kid', () => push(GOOD, requests)],
  ['another gateway', 401, 'aud', () => push({ ...GOOD, aud: 'node:gatecast/attic' })],
  ['a push to another fleet', 401, 'aud', () => push({ ...GOOD, aud: 'fleet:gatecast/west' })],
  ['duplicate claims', 400, '', () => signedText(`${claimsText.slice(0, -1)},"version":6}`)],
  [
    'duplicate claims with an escape',
    400,
    '',
    () => signedText(`${claimsText.slice(0, -1)},"\\u0076ersion":6}`),
  ],
  [
    'invalid UTF-8',
    400,
    '',
    () => signedText(Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff]), Buffer.from('"}')])),
  ],
  ['__proto__', 400, '', () => signedText(`${claimsText.slice(0, -1)},"__proto__":{"polluted":1}}`)],
  ['__proto__ inside', 400, '', () => signedText(claimsText.replace('"every"', '"__proto__"'))],
  ['no JSON', 400, '', () => signedText('{"aud":')],
  ['a list', 400, '', () => signedText('[]')],
  ['nested too deep', 400, '', () => signedText(`${'['.repeat(40)}${']'.repeat(40)}`)],
  ['signed, nested as deep as fits', 400, '', () => signedText('['.repeat(380_000))],
  ['signed, objects nested as deep as fits', 400, '', () => signedText('{"a":'.repeat(75_000))],
  ['400 KB of [', 401, '', () => '['.repeat(400_000)],
  ['depth 10^6', 413, '', () => '['.repeat(1_000_000)],
  ['a kid of 400 KB', 401, 'header.kid', () => push(GOOD, newKey('k'.repeat(200_000)))],
  ['400 KB of one JWS part', 401, '', () => 'a'.repeat(400_000)],
  [
    'a header that is no UTF-8',
    401,
    'header',
    () => `${Buffer.from([123, 255]).toString('base64url')}.e30.AA`,
  ],
  [
    'a header nested too deep',
    401,
    'header',
    () => `${Buffer.from('['.repeat(1e5)).toString('base64url')}.e30.AA`,
  ],
  ['an unknown claim', 400, 'sudo', () => push({ ...GOOD, sudo: true })],
  ['no version', 400, 'version', () => push({ ...GOOD, version: undefined })],
  ['a version that is a text', 400, 'version', () => push({ ...GOOD, version: '5' })],
  ['no content', 400, '', () => push({})],
  ['two contents', 400, '', () => push({ ...GOOD, patch: {} })],
  ['no expiry', 400, 'exp', () => push({ ...GOOD, exp: undefined })],
  ['an unknown key of the config', 400, 'publish.evry', () => push({ patch: { publish: { evry: '1m' } } })],
  [
    'a value out of bounds',
    400,
    'streams.pumps.interval',
    () => push({ patch: { streams: { pumps: { interval: '1ms' } } } }),
  ],
  [
    'a rule without a match',
    400,
    'streams.new.match',
    () => push({ patch: { streams: { new: { interval: '1m' } } } }),
  ],
  ['streams: null', 400, 'streams', () => push({ patch: { streams: null } })],
  ['streams as a list', 400, 'streams', () => push({ config: { streams: DOCUMENT.streams } })],
  [
    'all rules removed',
    400,
    'streams',
    () => push({ patch: { streams: { pumps: null, 'zigbee2mqtt-device': null } } }),
  ],
  [
    'a rule that states another id',
    400,
    'streams.pumps.id',
    () => push({ patch: { streams: { pumps: { id: 'x' } } } }),
  ],
  ['mqtt: null', 400, 'mqtt', () => push({ config: { mqtt: null } })],
  ['rollback without a former config', 400, 'rollback', () => push({ rollback: true })],
  ...[
    'node',
    'base',
    'data_dir',
    'remote_config',
    'http.listen',
    'mqtt.password_file',
    'mqtt.ca',
    'mqtt.cert',
    'mqtt.key',
    'requests.signed',
  ].map(
    (path): Bad => [
      `${path} pushed`,
      403,
      path,
      () => push({ patch: path.split('.').reduceRight<unknown>((value, key) => ({ [key]: value }), 'x') }),
    ],
  ),
  ['expired', 408, 'exp', () => push({ ...GOOD, iat: iat - 60, exp: iat - 1 })],
  ['issued in the future', 408, 'iat', () => push({ ...GOOD, iat: iat + 3600, exp: iat + 7200 })],
  ['more bytes than allowed', 413, '', () => `a.${'b'.repeat(MAX_PUSH_BYTES)}.c`],
  ['5 MB', 413, '', () => 'x'.repeat(5_000_000)],
];

describe('codes of remote config', () => {
  it.each(BAD)('%s: %i at %s', async (_, code, path, payload) => {
    const gateway = start();
    const before = gateway.runningHash;
    const reported = await gateway.push(await payload());
    expect(reported).toMatchObject({ status: 'rejected', code });
    expect(reported.errors.map((error) => error.path)).toContain(path);
    expect(gateway.runningHash).toBe(before);
    expect(reported.effective_hash).toBe(before);
    expect(reported.effective.status).toBe('applied');
    expect(reportedSchema.safeParse(reported).error).toBeUndefined();
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
    // A good push is taken afterwards.
    await gateway.push(await push({ ...GOOD, version: 100 }));
    expect(gateway.running.publish.every).toBe(120_000);
  });

  it('a claim of another type is not called missing', async () => {
    const textOf = async (version: unknown) =>
      (await start().push(await push({ ...GOOD, version }))).errors[0]?.text;
    expect(await textOf(undefined)).toMatch(/^is missing/);
    for (const version of ['5', 1.5, null]) expect(await textOf(version)).toBe('must be a whole number');
  });

  it('lists all that is wrong at once, with path, text and hint', async () => {
    const { errors } = await start().push(
      await push({
        patch: { publish: { evry: '1m' }, store: { flush: '0s' }, streams: { pumps: { horizn: '2h' } } },
      }),
    );
    expect(errors.map(({ path }) => path).sort()).toEqual([
      'publish.evry',
      'store.flush',
      'streams.pumps.horizn',
    ]);
    expect(errors.find(({ path }) => path === 'publish.evry')).toMatchObject({ text: 'is not a known key' });
    for (const { text, hint } of errors) expect([text, hint]).not.toContain('');
  });

  it('202, then 200 after probation: hot keys', async () => {
    const gateway = start();
    const before = gateway.runningHash;
    const trial = await gateway.push(await push({ ...GOOD, token: 'change 7', probation: '10s' }));
    expect(trial).toMatchObject({
      status: 'probation',
      code: 202,
      version: 5,
      kid: 'ops-2026',
      token: 'change 7',
      needs: 'hot',
    });
    expect(trial.effective_hash).toBe(gateway.runningHash);
    expect(trial.attempted_hash).toBe(gateway.runningHash);
    // At no time does a report name a config that goes with another state.
    const applying = gateway.reports.filter(({ reported }) => reported.status === 'applying');
    expect(applying.length).toBeGreaterThan(0);
    for (const { reported } of applying)
      expect(reported).toMatchObject({ effective_hash: before, effective: { version: null } });
    await gateway.pass(11_000);
    expect(gateway.reported).toMatchObject({ status: 'applied', code: 200, last_good: { version: 5 } });
    expect(gateway.reported.last_good.hash).toBe(gateway.runningHash);
  });

  it('reports name a config by its hash, and repeat none of its values', async () => {
    const gateway = start();
    const rule = { match: 'secret-room/+', horizon: '7777s' };
    const told = (count: number) => ({
      version: count,
      probation: '10s',
      patch: { streams: { pumps: rule } },
    });
    await gateway.push(await push(told(5)));
    await gateway.pass(11_000);
    expect(gateway.reported).toMatchObject({ status: 'applied', code: 200 });
    await gateway.push(
      await push({ ...told(6), patch: { streams: { pumps: { ...rule, interval: 'never' } } } }),
    );
    expect(gateway.reported).toMatchObject({ status: 'rejected', code: 400 });
    const said = JSON.stringify(gateway.reports);
    expect(said).not.toMatch(/secret-room|7777/);
  });

  it('a push to a fleet may come on the topic of the node first, and changes nothing when it comes on its own', async () => {
    const gateway = start();
    const fleet = { ...base, aud: 'fleet:gatecast/north', version: 3, config: { log: { level: 'debug' } } };
    const payload = await sign(fleet, ops);
    expect(await gateway.push(payload)).toMatchObject({ layer: 'fleet:north', version: 3, code: 202 });
    const before = gateway.runningHash;
    expect(await gateway.push(payload, 'fleet:north')).toMatchObject({
      layer: 'fleet:north',
      version: 3,
      code: 202,
    });
    expect(gateway.runningHash).toBe(before);
    const older = await sign({ ...fleet, version: 2 }, ops);
    expect(await gateway.push(older)).toMatchObject({ code: 409 });
  });

  it('409: a version that is equal or older, and a replay; another key counts on its own', async () => {
    const gateway = start();
    const first = await push(GOOD);
    await gateway.push(first);
    const effective = gateway.reported.effective_hash;
    for (const replay of [
      first,
      await push({ ...GOOD, version: 4 }),
      await push({ config: {}, version: 5 }),
    ]) {
      expect(await gateway.push(replay)).toMatchObject({ status: 'rejected', code: 409 });
      expect(gateway.reported.effective).toMatchObject({ status: 'probation', version: 5 });
    }
    // The broker repeats a retained push on every connection: nothing has changed.
    await gateway.push(first, 'node', true);
    expect(gateway.reported.effective_hash).toBe(effective);
    expect(await gateway.push(await push({ ...GOOD, version: 1 }, next))).toMatchObject({
      code: 202,
      kid: 'ops-2027',
    });
    const fleet = await sign({ ...base, aud: 'fleet:gatecast/north', version: 1, config: {} }, ops);
    expect(await gateway.push(fleet, 'fleet:north')).toMatchObject({ code: 202, layer: 'fleet:north' });
  });

  it('500: a failed probation goes back and says what failed', async () => {
    const gateway = start();
    await gateway.push(await push({ ...GOOD, probation: '10s' }));
    const good = gateway.runningHash;
    await gateway.pass(11_000);
    expect(gateway.trialsEnded).toBe(1);
    await gateway.push(await push({ patch: { publish: { every: '3m' } }, version: 6, probation: '10s' }));
    expect(gateway.trialsEnded).toBe(1);
    const harmful = gateway.runningHash;
    gateway.vitals = { ...gateway.vitals, connected: false };
    await gateway.pass(5_000);
    expect(gateway.reported).toMatchObject({
      status: 'rolled_back',
      code: 500,
      version: 6,
      rolled_back_from: 6,
      attempted_hash: harmful,
      effective_hash: good,
      last_good: { version: 5, hash: good },
      effective: { status: 'applied', version: 5 },
    });
    expect(gateway.reported.errors[0]?.text).toContain('connection');
    expect(gateway.runningHash).toBe(good);
    expect(gateway.trialsEnded).toBe(2);
  });

  it.each([
    ['memory', { rssMb: 400 }, 'memory'],
    ['an alert', { alerts: ['store'] }, 'alert'],
  ])('500: %s', async (_, change, text) => {
    const gateway = start();
    await gateway.push(await push({ ...GOOD, probation: '10s' }));
    gateway.vitals = { ...gateway.vitals, ...change };
    await gateway.pass(1000);
    expect(gateway.reported).toMatchObject({ status: 'rolled_back', code: 500 });
    expect(gateway.reported.errors[0]?.text).toContain(text);
  });

  it('500: streams without forecasts at the end of probation', async () => {
    const gateway = start();
    activeUntilApplied(gateway, 5);
    await gateway.push(await push({ ...GOOD, probation: '10s' }));
    await gateway.pass(11_000);
    expect(gateway.reported).toMatchObject({ status: 'rolled_back', code: 500 });
    expect(gateway.reported.errors[0]?.text).toContain('2 of 2 streams');
  });

  it('500: a push that comes while streams are restored waits, so that its probation knows these streams', async () => {
    const gateway = start();
    gateway.restoring = true;
    gateway.remote.receive('node', Buffer.from(await push({ ...GOOD, probation: '10s' })), true);
    for (let i = 0; i < 20; i++) {
      gateway.clock.advance(200);
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    expect(gateway.reported.version).not.toBe(5);
    activeUntilApplied(gateway, 0);
    gateway.restoring = false;
    expect(await gateway.settle()).toMatchObject({ status: 'probation', version: 5 });
    await gateway.pass(11_000);
    expect(gateway.reported).toMatchObject({ status: 'rolled_back', code: 500 });
    expect(gateway.reported.errors[0]?.text).toContain('2 of 2 streams');
  });

  it('500: the new broker does not take the second connection', async () => {
    const gateway = start();
    gateway.brokerFault = 'connection refused';
    const before = gateway.runningHash;
    const reported = await gateway.push(await push({ patch: { mqtt: { url: 'mqtt://elsewhere' } } }));
    expect(reported).toMatchObject({ status: 'rejected', code: 500 });
    expect(gateway.runningHash).toBe(before);
    expect(gateway.proofs).toBe(1);
  });

  it('202: the new broker takes the second connection, of which there is one', async () => {
    const gateway = start();
    const reported = await gateway.push(await push({ patch: { mqtt: { url: 'mqtt://elsewhere' } } }));
    expect(reported).toMatchObject({ status: 'probation', code: 202 });
    expect(gateway.proofs).toBe(1);
  });

  it('503: the clock was never set; the push is taken once it is', async () => {
    const gateway = start();
    gateway.clockIsSet = false;
    expect(await gateway.push(await push(GOOD))).toMatchObject({ status: 'rejected', code: 503 });
    gateway.clockIsSet = true;
    await gateway.pass(2000);
    expect(gateway.reported).toMatchObject({ status: 'probation', code: 202, version: 5 });
  });

  it('503: the disk takes nothing; once it does, the same push is taken', async () => {
    const folder = new MemoryFolder();
    const gateway = start(folder);
    folder.failAt = folder.writes + 1;
    const before = gateway.runningHash;
    expect(await gateway.push(await push(GOOD))).toMatchObject({ status: 'rejected', code: 503 });
    expect(gateway.runningHash).toBe(before);
    folder.failAt = Number.POSITIVE_INFINITY;
    expect(await gateway.push(await push(GOOD))).toMatchObject({ code: 202 });
  });

  it('names every code', () => {
    expect(Object.keys(CODES).map(Number)).toEqual([200, 202, 400, 401, 403, 408, 409, 413, 500, 503]);
  });

  it('a dry run answers and changes nothing', async () => {
    const gateway = start();
    const before = gateway.runningHash;
    await gateway.push(await push({ ...GOOD, dry_run: true }));
    expect(gateway.reports.at(-1)).toMatchObject({
      retain: false,
      reported: { dry_run: true, code: 200, needs: 'hot', version: 5, effective: { version: null } },
    });
    await gateway.push(await push({ patch: { node: 'x' }, dry_run: true }));
    expect(gateway.reports.at(-1)).toMatchObject({ retain: false, reported: { dry_run: true, code: 403 } });
    expect(gateway.runningHash).toBe(before);
    expect(await gateway.push(await push(GOOD))).toMatchObject({ code: 202, version: 5 });
  });

  it('an empty payload takes the layer back', async () => {
    const gateway = start();
    const before = gateway.runningHash;
    await gateway.push(await push(GOOD));
    expect(gateway.runningHash).not.toBe(before);
    await gateway.push('');
    expect(gateway.running.publish.every).toBe(LOCAL.publish.every);
    expect(gateway.reported).toMatchObject({ code: 202, version: null });
  });

  it('rollback: back to the config committed before', async () => {
    const gateway = start();
    await gateway.push(await push({ ...GOOD, probation: '10s' }));
    await gateway.pass(11_000);
    await gateway.push(await push({ config: { publish: { every: '7m' } }, version: 6, probation: '10s' }));
    await gateway.pass(11_000);
    expect(gateway.running.publish.every).toBe(420_000);
    await gateway.push(await push({ rollback: true, version: 7 }));
    expect(gateway.running.publish.every).toBe(120_000);
  });

  it('a rule that the local file no longer has: the push counts as rolled back, and the next one is told which rule', async () => {
    const folder = new MemoryFolder();
    const first = start(folder);
    await first.push(await push({ patch: { streams: { pumps: { horizon: '2h' } } }, probation: '10s' }));
    await first.pass(11_000);
    expect(first.reported).toMatchObject({ status: 'applied', version: 5 });
    const renamed = { ...DOCUMENT, streams: [{ ...DOCUMENT.streams[0], id: 'wells' }] };
    const file = { document: renamed };
    const gateway = new Gateway(folder, new FakeClock(NOW), keys, LOCAL, file);
    const text = expect.stringContaining(
      'streams.pumps.match is missing, and the local file has no rule with this id',
    );
    expect(gateway.reported).toMatchObject({
      status: 'rolled_back',
      code: 500,
      rolled_back_from: 5,
      errors: [{ text }],
      effective: { version: null },
      effective_hash: gateway.runningHash,
    });
    const wrong = await gateway.push(
      await push({ patch: { streams: { wells: { horizon: '3h' } } }, version: 6 }),
    );
    expect(wrong).toMatchObject({ code: 400, effective: { version: null } });
    expect(wrong.errors).toEqual([
      {
        path: 'streams.pumps.match',
        text: 'is missing, and the local file has no rule with this id',
        hint: expect.stringContaining('null removes the rule'),
      },
    ]);
    const streams = { wells: { horizon: '3h' }, pumps: null };
    await gateway.push(await push({ patch: { streams }, version: 7, probation: '10s' }));
    await gateway.pass(11_000);
    expect(gateway.reported).toMatchObject({ status: 'applied', errors: [], effective: { version: 7 } });
    const back = new Gateway(folder, new FakeClock(NOW), keys, LOCAL, file);
    expect(back.reported).toMatchObject({ status: 'applied', effective: { version: 7 } });
  });

  it('a damaged file of the committed layers: the push counts as rolled back, and the next one repairs it', async () => {
    const folder = new MemoryFolder();
    const first = start(folder);
    await first.push(await push({ ...GOOD, probation: '10s' }));
    await first.pass(11_000);
    for (const name of folder.list()) if (name.startsWith('layers-')) folder.write(name, Buffer.from('{'));
    const gateway = start(folder);
    expect(gateway.running.publish.every).toBe(LOCAL.publish.every);
    expect(gateway.reported).toMatchObject({
      status: 'rolled_back',
      rolled_back_from: 5,
      errors: [{ text: 'the committed config is damaged; the local file applies alone' }],
      effective: { version: null },
    });
    // A reload of the changed file.
    gateway.remote.runs('another hash');
    expect(gateway.reported).toMatchObject({ status: 'rolled_back', effective: { version: null } });
    await gateway.push(await push({ ...GOOD, version: 6, probation: '10s' }));
    await gateway.pass(11_000);
    expect(gateway.reported).toMatchObject({ status: 'applied', effective: { version: 6 } });
  });

  it('takes plain JSON in unsigned mode', async () => {
    const local = { ...LOCAL, remote_config: { ...LOCAL.remote_config, keys: undefined, unsigned: true } };
    const gateway = new Gateway(new MemoryFolder(), new FakeClock(NOW), new Map(), local);
    expect(await gateway.push(JSON.stringify({ version: 1, ...GOOD }))).toMatchObject({
      code: 202,
      kid: null,
    });
    expect(await gateway.push(JSON.stringify({ version: 1, ...GOOD }))).toMatchObject({ code: 409 });
    expect(
      await gateway.push(JSON.stringify({ version: 2, aud: 'node:gatecast/attic', ...GOOD })),
    ).toMatchObject({ code: 401 });
  });

  it.each<[string, number, () => string | Uint8Array]>([
    ['400 KB of [', 400, () => '['.repeat(400_000)],
    ['400 KB of {"a":', 400, () => '{"a":'.repeat(80_000)],
    ['depth 10^6', 413, () => '['.repeat(1_000_000)],
    ['5 MB', 413, () => 'x'.repeat(5_000_000)],
    ['invalid UTF-8', 400, () => Uint8Array.of(0x7b, 0xff, 0x7d)],
    ['duplicate claims', 400, () => '{"version":1,"version":2,"config":{}}'],
    ['__proto__', 400, () => '{"version":1,"config":{"__proto__":{"polluted":1}}}'],
    ['400 KB of one string', 400, () => `"${'\\"'.repeat(200_000)}`],
  ])('unsigned mode refuses %s with %i, and takes a good push afterwards', async (_, code, payload) => {
    const local = { ...LOCAL, remote_config: { ...LOCAL.remote_config, keys: undefined, unsigned: true } };
    const gateway = new Gateway(new MemoryFolder(), new FakeClock(NOW), new Map(), local);
    const before = gateway.runningHash;
    expect(await gateway.push(payload())).toMatchObject({ status: 'rejected', code });
    expect(gateway.runningHash).toBe(before);
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
    expect(await gateway.push(JSON.stringify({ version: 1, ...GOOD }))).toMatchObject({ code: 202 });
  });

  it.each([
    ['keys of the config', (wrong: object) => ({ config: wrong })],
    ['claims', (wrong: object) => ({ ...wrong, config: {} })],
  ])('of 30,000 unknown %s the report names a few', async (_, content) => {
    const wrong = Object.fromEntries(Array.from({ length: 30_000 }, (_, at) => [`k${at}`, 1]));
    const { code, errors } = await start().push(await push(content(wrong)));
    expect(code).toBe(400);
    expect(errors.length).toBeGreaterThan(10);
    expect(errors.length).toBeLessThanOrEqual(32);
  });

  it('200 authentic pushes that are invalid cost a few writes, and use up their versions', async () => {
    const folder = new MemoryFolder();
    const gateway = start(folder);
    const before = folder.writes;
    const config = { publish: { every: '1ms' } };
    for (let version = 1; version <= 200; version += 1) {
      const payload = await signed(ops, { nowMs: NOW, version }, { config });
      gateway.remote.receive('node', Buffer.from(payload), false);
      if (version % 50 === 0) await new Promise<void>((resolve) => setImmediate(resolve));
    }
    await gateway.settle();
    expect(gateway.reported).toMatchObject({ status: 'rejected', code: 400, version: 200 });
    expect(folder.writes - before).toBeLessThan(20);
    expect(await gateway.push(await push({ ...GOOD, version: 199 }))).toMatchObject({ code: 409 });
    expect(await gateway.push(await push({ ...GOOD, version: 201 }))).toMatchObject({ code: 202 });
  });

  it('of 6,000 pushes in a burst the newest valid one is applied, in bounded memory', async () => {
    const gateway = start();
    for (let version = 1; version <= 6000; version += 1) {
      const every = version === 6000 ? '1ms' : `${1 + (version % 50)}m`;
      gateway.remote.receive(
        'node',
        Buffer.from(
          version % 20 === 0
            ? await signed(ops, { nowMs: NOW, version }, { config: { publish: { every } } })
            : `junk ${version}`,
        ),
        false,
      );
    }
    await gateway.settle();
    expect(gateway.running.publish.every).toBe((1 + (5980 % 50)) * 60_000);
    expect(gateway.reported.dropped).toBeGreaterThan(0);
  });
});
