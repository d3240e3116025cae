import { describe, expect, test } from 'vitest';
import {
  type Handlers,
  type RequestArguments,
  Requests,
  type RequestsParts,
} from '../../src/agent/requests.ts';
import { VERBS } from '../../src/agent/verbs.ts';
import { GatecastError } from '../../src/errors.ts';
import { silentLogger } from '../../src/log.ts';
import type { Outgoing } from '../../src/mqtt/outbox.ts';
import { topicsOf } from '../../src/mqtt/topics.ts';
import { SignedRequests } from '../../src/remote/signed-requests.ts';
import { MemoryFolder } from '../remote/gateway.ts';
import { uniform } from '../support/random.ts';

function setUp(
  change: Handlers = {},
  settings: Partial<ReturnType<RequestsParts['settings']>> = {},
  signatures: RequestsParts['signatures'] = new SignedRequests({
    keys: new Map(),
    audience: 'node:gatecast/n',
    folder: new MemoryFolder(),
    now: Date.now,
    clockIsSet: () => true,
  }),
) {
  let nowMs = 0;
  const sent: Outgoing[] = [];
  const asked: [string, RequestArguments][] = [];
  const deed = (verb: string) => (ask: RequestArguments) => {
    asked.push([verb, ask]);
    return { done: verb };
  };
  const requests = new Requests({
    topics: topicsOf('gatecast', 'n'),
    handlers: {
      finetune: deed('finetune'),
      'reset-stream': deed('reset-stream'),
      'rollback-model': deed('rollback-model'),
      backup: deed('backup'),
      reload: deed('reload'),
      'forget-stream': deed('forget-stream'),
      ...change,
    },
    send: (message) => sent.push(message),
    log: silentLogger,
    clock: { monotonic: () => nowMs },
    settings: () => ({ allow: Object.keys(VERBS), max_per_minute: 6000, signed: false, ...settings }),
    signatures,
  });
  const wait = (ms: number) => {
    nowMs += ms;
  };
  const ask = (verb: string, payload: string | Uint8Array = '', retained = false, dup = false) => {
    let acknowledged = false;
    requests.receive({
      topic: `gatecast/n/request/${verb}`,
      payload: Buffer.from(payload),
      retained,
      dup,
      acknowledge: () => {
        acknowledged = true;
      },
    });
    expect(acknowledged).toBe(true);
  };
  const answers = async (): Promise<Record<string, unknown>[]> => {
    await requests.settled();
    return sent.map(({ topic, payload, retain }) => {
      expect(retain).toBe(false);
      return { topic, ...(JSON.parse(String(payload)) as Record<string, unknown>) };
    });
  };
  return { ask, answers, settled: () => requests.settled(), asked, wait };
}

test('a request is done and answered, with its transaction', async () => {
  const { ask, answers, asked } = setUp();
  ask('backup');
  ask('forget-stream', '{"stream":"a/b","transaction":"t-1"}');
  ask('finetune', '{"group":"default","transaction":7,"more":[1]}');
  expect(await answers()).toEqual([
    {
      topic: 'gatecast/n/response/backup',
      status: 'ok',
      data: { done: 'backup' },
      error: null,
      transaction: null,
    },
    {
      topic: 'gatecast/n/response/forget-stream',
      status: 'ok',
      data: { done: 'forget-stream' },
      error: null,
      transaction: 't-1',
    },
    {
      topic: 'gatecast/n/response/finetune',
      status: 'ok',
      data: { done: 'finetune' },
      error: null,
      transaction: 7,
    },
  ]);
  expect(asked.map(([, one]) => one)).toEqual([
    { stream: null, group: null },
    { stream: 'a/b', group: null },
    { stream: null, group: 'default' },
  ]);
});

test('requests are done one after the other; those beyond the limit are refused', async () => {
  let release: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  let running = 0;
  const { ask, answers } = setUp({
    backup: async () => {
      expect(++running).toBe(1);
      await gate;
      running--;
      return {};
    },
  });
  for (let i = 0; i < 20; i++) ask('backup', `{"transaction":${i}}`);
  release();
  const all = await answers();
  expect(all.filter(({ status }) => status === 'ok').length).toBe(16);
  const refused = all.filter(({ status }) => status === 'error');
  expect(refused.map(({ transaction }) => transaction)).toEqual([16, 17, 18, 19]);
  expect(String(refused[0]?.error)).toMatch(/^BUSY: /);
  ask('backup');
  expect((await answers()).at(-1)?.status).toBe('ok');
});

describe('a failure is answered, never thrown', () => {
  test('an error of the table, with its hint and its issues; and any other', async () => {
    const { ask, answers } = setUp({
      reload: () => {
        throw new GatecastError('CONFIG_INVALID', 'Two things are wrong.', {
          hint: 'see docs',
          issues: [{ path: 'mqtt.url', message: 'is missing' }],
        });
      },
      backup: () => Promise.reject(new TypeError('x'.repeat(10_000))),
    });
    ask('reload', '{"transaction":"a"}');
    ask('backup', '{"transaction":"b"}');
    const [one, two] = await answers();
    expect(one).toMatchObject({ status: 'error', data: null, transaction: 'a' });
    expect(one?.error).toBe('CONFIG_INVALID: Two things are wrong; mqtt.url is missing; see docs');
    expect(String(two?.error)).toMatch(/^INTERNAL: x+$/);
    expect(String(two?.error).length).toBeLessThanOrEqual(2000);
  });

  test.each([
    ['not JSON', '{"stream":'],
    ['a list', '[]'],
    ['a text', '"backup"'],
    ['null', 'null'],
    ['too long', `{"stream":"${'x'.repeat(5000)}"}`],
    ['deep', '['.repeat(4000)],
    ['a name that is none', '{"stream":{"a":1}}'],
    ['an empty name', '{"stream":""}'],
    ['no text', Uint8Array.of(0xff, 0xfe, 0)],
  ])('%s', async (_, payload) => {
    const { ask, answers, asked } = setUp();
    ask('forget-stream', payload);
    const [answer] = await answers();
    expect(answer).toMatchObject({ status: 'error', data: null });
    expect(String(answer?.error)).toMatch(/^REQUEST_INVALID: /);
    expect(asked).toEqual([]);
  });

  test.each([
    [`"${'x'.repeat(129)}"`, null],
    ['{"a":1}', null],
    ['[1]', null],
    ['true', null],
    ['null', null],
    ['1e400', null],
    ['-0.5', -0.5],
    [`"${'x'.repeat(128)}"`, 'x'.repeat(128)],
  ])('transaction %s', async (transaction, echoed) => {
    const { ask, answers } = setUp();
    ask('backup', `{"transaction":${transaction}}`);
    expect((await answers())[0]).toMatchObject({ status: 'ok', transaction: echoed });
  });

  test('names of object prototypes are not accepted as names', async () => {
    const { ask, answers, asked } = setUp();
    ask('backup', '{"__proto__":{"stream":"a"},"constructor":{"prototype":{"stream":"b"}}}');
    await answers();
    expect(asked[0]?.[1]).toEqual({ stream: null, group: null });
    expect(({} as Record<string, unknown>).stream).toBeUndefined();
    ask('constructor');
    ask('to-string');
    const errors = (await answers()).slice(1).map(({ error }) => String(error));
    expect(errors.every((error) => error.startsWith('REQUEST_INVALID: There is no request'))).toBe(true);
    expect(errors.length).toBe(2);
  });

  test('an unknown verb is answered if it looks like a verb, and ignored otherwise', async () => {
    const { ask, answers } = setUp();
    for (const verb of ['explode', 'A', 'a'.repeat(33), 'x y', 'ünder', '$SYS']) ask(verb);
    expect((await answers()).map(({ topic }) => topic)).toEqual(['gatecast/n/response/explode']);
  });

  test('a retained request is not done again at each start', async () => {
    const { ask, answers, asked } = setUp();
    ask('rollback-model', '{}', true);
    expect(await answers()).toEqual([]);
    expect(asked).toEqual([]);
  });

  test('a request that the broker sends again is refused: it may have crashed the agent', async () => {
    const { ask, answers, asked } = setUp();
    ask('rollback-model', '{"transaction":5}', false, true);
    expect(await answers()).toMatchObject([
      { transaction: 5, error: expect.stringMatching(/^BUSY: /) as string },
    ]);
    expect(asked).toEqual([]);
  });

  test('any bytes are answered without a throw', async () => {
    const { ask, answers, settled } = setUp();
    const next = uniform(4);
    const seed = Buffer.from('{"stream":"a/b","transaction":"t-1","group":null}');
    let count = 0;
    for (let i = 0; i < 3000; i++) {
      const payload = Buffer.from(seed);
      for (let n = 0; n < 1 + 4 * next(); n++)
        payload[Math.floor(next() * payload.length)] = Math.floor(next() * 256);
      ask('reload', payload.subarray(0, Math.floor(next() * (payload.length + 1))));
      if (++count % 10 === 0) await settled();
    }
    expect((await answers()).length).toBe(3000);
  });
});

test('only requests that the config allows are done, and only so many a minute', async () => {
  const { ask, answers, asked, wait } = setUp({}, { allow: ['backup'], max_per_minute: 2 });
  ask('forget-stream', '{"stream":"a"}');
  for (let i = 0; i < 3; i++) ask('backup');
  wait(60_000);
  ask('backup');
  const errors = (await answers()).map(({ error }) => (error === null ? null : String(error).split(':')[0]));
  expect(errors.filter((one) => one === 'REQUEST_FORBIDDEN')).toHaveLength(1);
  expect(errors.filter((one) => one === 'BUSY')).toHaveLength(1);
  expect(asked.map(([verb]) => verb)).toEqual(['backup', 'backup', 'backup']);
});
