/** Signed requests: what is refused, that none is taken twice, and the command that signs them, over a real broker. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import mqtt from 'mqtt';
import { describe, expect, it } from 'vitest';
import { Requests, type RequestsParts } from '../../src/agent/requests.ts';
import { parseConfig } from '../../src/config/index.ts';
import { silentLogger } from '../../src/log.ts';
import type { Outgoing } from '../../src/mqtt/outbox.ts';
import { topicsOf } from '../../src/mqtt/topics.ts';
import type { KeySet } from '../../src/remote/keys.ts';
import { diskFolder } from '../../src/remote/open.ts';
import type { Folder } from '../../src/remote/push-state.ts';
import { sign } from '../../src/remote/sign.ts';
import { SignedRequests } from '../../src/remote/signed-requests.ts';
import { hasMosquitto, startMosquitto } from '../support/mosquitto.ts';
import { run } from '../support/run.ts';
import { tempDirs } from '../support/temp.ts';
import { keySetOf, MemoryFolder, newKey, type TestKey } from './gateway.ts';

const temp = tempDirs();
const desk = newKey('desk', ['request']);
const configOnly = newKey('ops', ['config', 'model']);
const keys = keySetOf(desk, configOnly);
const NOW = Date.UTC(2026, 4, 1);
const iat = NOW / 1000;
const TYP = 'gatecast-request+jwt';
const base = { aud: 'node:gatecast/cellar', iat, exp: iat + 300, verb: 'backup', transaction: 't-1' };
const topics = topicsOf('gatecast', 'cellar');

interface Given {
  readonly folder?: Folder;
  readonly keys?: KeySet;
  readonly now?: () => number;
  readonly clockIsSet?: boolean;
  readonly settings?: Partial<ReturnType<RequestsParts['settings']>>;
  readonly sent?: (message: Outgoing) => void;
}

/** The requests of a gateway, from its start to its end. */
function gateway(given: Given = {}) {
  const done: [string, unknown][] = [];
  const sent: Outgoing[] = [];
  const handle = (verb: string) => (ask: unknown) => {
    done.push([verb, ask]);
    return { done: verb };
  };
  const requests = new Requests({
    topics,
    handlers: { backup: handle('backup'), 'forget-stream': handle('forget-stream') },
    send: given.sent ?? ((message) => sent.push(message)),
    log: silentLogger,
    clock: { monotonic: () => 0 },
    settings: () => ({
      allow: ['backup', 'forget-stream'],
      max_per_minute: 60,
      signed: true,
      ...given.settings,
    }),
    signatures: new SignedRequests({
      keys: given.keys ?? keys,
      audience: 'node:gatecast/cellar',
      folder: given.folder ?? new MemoryFolder(),
      now: given.now ?? (() => NOW),
      clockIsSet: () => given.clockIsSet ?? true,
    }),
  });
  const receive = (verb: string, payload: Uint8Array): void => {
    requests.receive({ topic: topics.request(verb), payload, retained: false, acknowledge: () => {} });
    // The payload is valid only during the call.
    payload.fill(0);
  };
  const ask = async (payload: string | Uint8Array, verb = 'backup'): Promise<Record<string, unknown>> => {
    receive(verb, Buffer.from(payload));
    await requests.settled();
    return JSON.parse(String(sent.at(-1)?.payload)) as Record<string, unknown>;
  };
  return { ask, receive, done, sent, requests };
}

const request = (claims: Record<string, unknown>, key: TestKey = desk, typ: typeof TYP = TYP) =>
  sign({ ...base, version: 1, ...claims }, key, typ);

type Bad = readonly [name: string, error: RegExp, payload: () => Promise<string> | string, given?: Given];
const BAD: readonly Bad[] = [
  ['no signature', /^REQUEST_FORBIDDEN: It is not signed/, () => '{"transaction":"t-1"}'],
  ['nothing at all', /^REQUEST_FORBIDDEN: It is not signed/, () => ''],
  ['a signed push', /^REQUEST_FORBIDDEN: .*header.typ/, () => sign({ ...base, version: 1 }, desk)],
  [
    'a key of another role',
    /^REQUEST_FORBIDDEN: .*may sign config, model, not request/,
    () => request({}, configOnly),
  ],
  ['an unknown key', /^REQUEST_FORBIDDEN: .*is not a key of this gateway/, () => request({}, newKey('x'))],
  ['another key under a known kid', /^REQUEST_FORBIDDEN: .*signature/, () => request({}, newKey('desk'))],
  ['another gateway', /^REQUEST_FORBIDDEN: .*aud/, () => request({ aud: 'node:gatecast/attic' })],
  [
    'another verb than the topic',
    /^REQUEST_FORBIDDEN: .*verb is forget-stream/,
    () => request({ verb: 'forget-stream' }),
  ],
  ['expired', /^REQUEST_FORBIDDEN: .*expired/, () => request({ iat: iat - 60, exp: iat - 1 })],
  [
    'issued in the future',
    /^REQUEST_FORBIDDEN: .*future/,
    () => request({ iat: iat + 3600, exp: iat + 7200 }),
  ],
  ['valid for two days', /^REQUEST_FORBIDDEN: .*24 hours/, () => request({ exp: iat + 172_800 })],
  ['a clock that was never set', /^REQUEST_FORBIDDEN: .*clock/, () => request({}), { clockIsSet: false }],
  ['no version', /^REQUEST_INVALID: .*version/, () => request({ version: undefined })],
  ['an unknown claim', /^REQUEST_INVALID: .*sudo/, () => request({ sudo: true })],
  ['an empty stream', /^REQUEST_INVALID: .*stream/, () => request({ stream: '' })],
  ['no keys', /^REQUEST_FORBIDDEN: .*is not a key of this gateway/, () => request({}), { keys: new Map() }],
  ['9,000 bytes', /^REQUEST_INVALID: .*larger than 8192/, () => `eyJ${'a'.repeat(9000)}`],
];

describe('signed requests', () => {
  for (const [name, error, payload, given] of BAD)
    it(`refuses: ${name}`, async () => {
      const { ask, done } = gateway(given);
      const answer = await ask(await payload());
      expect(answer.status).toBe('error');
      expect(answer.error).toMatch(error);
      expect(done).toEqual([]);
    });

  it('one that is right is done once, with its names and its transaction', async () => {
    const { ask, done } = gateway();
    const payload = await request({ verb: 'forget-stream', stream: 'a/b' });
    expect(await ask(payload, 'forget-stream')).toMatchObject({ status: 'ok', transaction: 't-1' });
    const again = await ask(payload, 'forget-stream');
    expect(again.error).toMatch(/^REQUEST_FORBIDDEN: .*version must be greater than 1/);
    expect(again.transaction).toBe('t-1');
    expect(done).toEqual([['forget-stream', { stream: 'a/b', group: null }]]);
  });

  it('a replay after a restart is refused; versions count for each key', async () => {
    const folder = diskFolder(join(temp(), 'remote'));
    const other = newKey('other');
    const both = keySetOf(desk, other);
    const payload = await request({ version: 7 });
    expect(await gateway({ folder, keys: both }).ask(payload)).toMatchObject({ status: 'ok' });
    const restarted = gateway({ folder, keys: both });
    expect(await restarted.ask(payload)).toMatchObject({ status: 'error' });
    expect(await restarted.ask(await request({ version: 1 }, other))).toMatchObject({ status: 'ok' });
    expect(await restarted.ask(await request({ version: 8 }))).toMatchObject({ status: 'ok' });
  });

  it('a damaged file of versions: what was issued before the start is refused, later ones are taken', async () => {
    const folder = new MemoryFolder();
    await gateway({ folder }).ask(await request({}));
    folder.files.set('requests.json', Buffer.from('{"desk":'));
    let nowMs = NOW + 60_000;
    const { ask } = gateway({ folder, now: () => nowMs });
    expect((await ask(await request({}))).error).toMatch(/^REQUEST_FORBIDDEN: .*iat is before/);
    nowMs += 5000;
    const later = await request({ iat: iat + 61, exp: iat + 300 });
    expect(await ask(later)).toMatchObject({ status: 'ok' });
    expect(await ask(later)).toMatchObject({ status: 'error' });
  });

  it('a version that cannot be stored: the request is not done', async () => {
    const folder = new MemoryFolder();
    folder.failAt = 1;
    const { ask, done } = gateway({ folder });
    const payload = await request({});
    expect((await ask(payload)).error).toMatch(/^STORE_FAILED: /);
    expect(done).toEqual([]);
    folder.failAt = Number.POSITIVE_INFINITY;
    expect(await ask(payload)).toMatchObject({ status: 'ok' });
  });

  it('forged requests do not use up the limit of a minute', async () => {
    const { ask } = gateway({ settings: { max_per_minute: 1 } });
    for (let at = 0; at < 5; at += 1) await ask(await request({}, newKey('desk')));
    expect(await ask(await request({}))).toMatchObject({ status: 'ok' });
    expect((await ask(await request({ version: 2 }))).error).toMatch(/^BUSY: /);
  });

  it('where signatures are not required, a signed request is verified all the same', async () => {
    const { ask } = gateway({ settings: { signed: false } });
    expect(await ask('{"transaction":1}')).toMatchObject({ status: 'ok', transaction: 1 });
    expect(await ask(await request({}))).toMatchObject({ status: 'ok' });
    expect(await ask(await request({}, newKey('desk')))).toMatchObject({ status: 'error' });
  });

  it('requests.signed needs keys', () => {
    const text = (more: string) =>
      `node: n\nmqtt: { url: mqtt://b }\nstreams: [{ match: a }]\nrequests: { signed: true }\n${more}`;
    expect(() => parseConfig(text(''))).toThrow('1 problem');
    expect(parseConfig(text('remote_config: { keys: keys.jwks }')).requests.signed).toBe(true);
  });
});

describe.skipIf(!hasMosquitto)('gatecast request', () => {
  it('signs, sends, and prints the answer', async () => {
    const broker = await startMosquitto();
    const client = await mqtt.connectAsync(broker.url);
    const operator = temp();
    let out = '';
    const operate = async (...argv: string[]): Promise<number> => {
      const { code, both } = await run(...argv, '--operator-dir', operator);
      out = both;
      return code;
    };
    try {
      expect(await operate('config', 'keygen', '--kid', 'desk', '--roles', 'request')).toBe(0);
      mkdirSync(join(operator, 'gateway'));
      const { loadKeys } = await import('../../src/remote/keys.ts');
      const { receive } = gateway({
        keys: loadKeys(join(operator, 'keys', 'keys.jwks')),
        now: Date.now,
        sent: ({ topic, payload }) => client.publish(topic, payload as string),
      });
      client.on('message', (topic, payload) => receive(topics.requestVerb(topic) ?? '', payload));
      await client.subscribeAsync(topics.requests);
      const backup = ['request', 'backup', '--to', 'cellar', '--broker', broker.url];
      expect(await operate(...backup)).toBe(1);
      expect(out).toContain('REQUEST_FORBIDDEN: It is not signed');
      expect(await operate(...backup, '--sign')).toBe(0);
      expect(out).toBe('ok {"done":"backup"}\n');
      expect(await operate(...backup, '--sign', '--json')).toBe(0);
      expect(JSON.parse(out)).toEqual({ status: 'ok', data: { done: 'backup' }, error: null });
      expect(
        await operate('request', 'backup', '--to', 'attic', '--wait', '300ms', '--broker', broker.url),
      ).toBe(1);
      expect(out).toContain('attic did not answer within 0.3 s');
      expect(await operate('request', 'explode', '--to', 'cellar', '--broker', broker.url)).toBe(2);
      writeFileSync(join(operator, 'keys', 'desk.key'), '{}');
      expect(await operate(...backup, '--sign')).toBe(1);
      expect(out).toContain('FILE_UNREADABLE');
    } finally {
      await client.endAsync(true);
      await broker.stop();
    }
  });
});

it('versions that cannot be read at the start are not replaced', async () => {
  const folder = new MemoryFolder();
  folder.write('requests.json', Buffer.from('{"other":9,"desk":6}'));
  let isReadable = false;
  const blind = Object.assign(Object.create(folder) as MemoryFolder, {
    read: (name: string) => {
      if (!isReadable) throw new Error('EIO');
      return folder.read(name);
    },
  });
  const { ask } = gateway({ folder: blind });
  expect(await ask(await request({}))).toMatchObject({ error: expect.stringMatching(/^STORE_FAILED: /) });
  expect(Buffer.from(folder.read('requests.json') ?? []).toString()).toBe('{"other":9,"desk":6}');
  isReadable = true;
  expect(await ask(await request({ version: 6 }))).toMatchObject({
    error: expect.stringMatching(/version must be greater than 6/),
  });
  expect(await ask(await request({ version: 7, transaction: 't-2' }))).toMatchObject({ status: 'ok' });
  expect(JSON.parse(Buffer.from(folder.read('requests.json') ?? []).toString())).toEqual({
    desk: 7,
    other: 9,
  });
});
