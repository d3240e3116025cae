import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parsePattern } from '../../src/ingest/pattern.ts';
import { Router } from '../../src/ingest/router.ts';
import { isSafeName, safeName } from '../../src/ingest/stream-name.ts';
import { ARRIVAL } from './decode.ts';
import { rule, settings } from './rules.ts';

const send = (router: Router, topic: string, payload: string) =>
  router.message(topic, Buffer.from(payload), ARRIVAL);

describe('the router', () => {
  it('finds every known field of a topic', () => {
    const router = new Router([rule('z/{device}', 'json')]);
    const payload = JSON.stringify(Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`f${i}`, i])));
    expect(send(router, 'z/cellar', payload).discovered).toHaveLength(9);
    const again = send(router, 'z/cellar', payload);
    expect(again.discovered).toEqual([]);
    expect(again.samples.map(({ stream, value }) => [stream, value])).toEqual(
      Array.from({ length: 9 }, (_, i) => [`cellar/f${i}`, i]),
    );
  });

  it('turns a message into samples, and reports each stream once', () => {
    const router = new Router([rule('z/{device}', 'json', { unit: '°C' })]);
    const first = send(router, 'z/cellar', '{"temperature":4,"humidity":80}');
    expect(first.samples).toEqual([
      { stream: 'cellar/temperature', timeMs: null, value: 4, arrivalMs: ARRIVAL },
      { stream: 'cellar/humidity', timeMs: null, value: 80, arrivalMs: ARRIVAL },
    ]);
    expect(first.discovered.map(({ spec, source, rule }) => [spec.name, spec.unit, source, rule])).toEqual([
      ['cellar/temperature', '°C', { topic: 'z/cellar', field: 'temperature' }, 0],
      ['cellar/humidity', '°C', { topic: 'z/cellar', field: 'humidity' }, 0],
    ]);
    expect(send(router, 'z/cellar', '{"temperature":5}').discovered).toEqual([]);
    expect(router.filters()).toEqual(['z/+']);
  });

  it('passes a reading to the first rule that matches its topic and selects its field', () => {
    const router = new Router([
      rule('z/{device}', 'json', { decoder: settings(['temperature']), unit: '°C' }),
      rule('z/{device}', 'json', { unit: '?' }),
    ]);
    const { samples, discovered, rejects } = send(router, 'z/a', '{"temperature":1,"humidity":2}');
    expect(samples.map(({ stream, value }) => [stream, value])).toEqual([
      ['a/temperature', 1],
      ['a/humidity', 2],
    ]);
    expect(discovered.map(({ spec, rule }) => [spec.unit, rule])).toEqual([
      ['°C', 0],
      ['?', 1],
    ]);
    expect(rejects).toEqual([]);
  });

  it('names streams from templates, wildcards or the topic', () => {
    const name = (match: string, topic: string, template: string | null, payload = '{"p":1}') =>
      send(new Router([rule(match, 'auto', { name: template })]), topic, payload).samples[0]?.stream;
    expect(name('plant/{line}/+/m', 'plant/a/b/m', '{line}-{2}/{field}')).toBe('a-b/p');
    expect(name('plant/{line}/+/m', 'plant/a/b/m', null)).toBe('a/b/p');
    expect(name('plant/#', 'plant/a/b', null, '5')).toBe('a/b');
    expect(name('plant/a', 'plant/a', null, '5')).toBe('plant/a');
    expect(name('plant/#', 'plant/a//b', null, '5')).toBe('a/_/b');
    expect(name('plant/{d}', 'plant/', null, '5')).toBe('_');
    expect(name('x/{d}', 'x/at', '{topic}/{field}')).toBe('x/at_/p');
  });

  it('rejects a reading that it cannot name, and a name that another rule owns', () => {
    const router = new Router([rule('a/{d}', 'json'), rule('b/{d}', 'json')]);
    expect(send(router, 'a/x', `{"${'n'.repeat(900)}":1}`).rejects[0]?.reason).toBe('bad-stream-name');
    send(router, 'a/x', '{"p":1}');
    const second = send(router, 'b/x', '{"p":1}');
    expect(second.samples).toEqual([]);
    expect(second.rejects).toEqual([
      { reason: 'name-conflict', detail: 'x/p belongs to streams[0]; set `name` to get other names' },
    ]);
  });

  it.each([
    ['topics', ['a/x_y', 'a/x"y', 'a/x\u200by'], '{"p":1}', null],
    ['topics with an empty level', ['a//y', 'a/_/y'], '{"p":1}', null],
    ['captures', ['a/x y"/m', 'a/x y_/m'], '{"p":1}', '{1}-{field}'],
  ])(
    'does not mix %s whose names differ only in characters that are replaced',
    (_, topics, payload, name) => {
      const router = new Router([rule('a/#', 'json', { name })]);
      const [first = '', ...others] = topics;
      const stream = send(router, first, payload).samples[0]?.stream;
      for (const topic of others) {
        const { samples, rejects } = send(router, topic, payload);
        expect(samples).toEqual([]);
        expect(rejects).toEqual([
          { reason: 'name-conflict', detail: expect.stringContaining('with other characters') },
        ]);
      }
      router.forget(stream!);
      expect(send(router, others[0]!, payload).samples[0]?.stream).toBe(stream);
    },
  );

  it('does not mix fields whose names differ only in characters that are replaced', () => {
    const router = new Router([rule('a/{d}', 'auto')]);
    const { samples, rejects } = send(router, 'a/x', '{"P+":1,"P#":2,"P_":3,"P-":4}');
    expect(samples.map(({ stream, value }) => [stream, value])).toEqual([
      ['x/P_', 1],
      ['x/P-', 4],
    ]);
    expect(rejects.map(({ reason }) => reason)).toEqual(['name-conflict', 'name-conflict']);
  });

  it('passes a reading that its first rule cannot name to no other rule', () => {
    const router = new Router([rule('a/{d}', 'json'), rule('b/{d}', 'json'), rule('#', 'json')]);
    send(router, 'a/x', '{"p":1}');
    const second = send(router, 'b/x', '{"p":1,"q":2}');
    expect(second.samples.map(({ stream }) => stream)).toEqual(['x/q']);
    expect(second.rejects.map(({ reason }) => reason)).toEqual(['name-conflict']);
    expect(send(router, 'c/x', '{"p":1}').samples[0]?.stream).toBe('c/x/p');
  });

  it('counts a message that no rule can read once, and does not count one that some rule reads', () => {
    const router = new Router([
      rule('s/+', 'json'),
      rule('s/{d}', 'number'),
      rule('s/#', 'auto', { name: '{1}' }),
    ]);
    for (const [text, reason] of [
      ['off by one', 'bad-json'],
      ['NaN', 'bad-json'],
      [' ', 'empty'],
      ['['.repeat(99), 'too-deep'],
    ] as const)
      expect(send(router, 's/a', text).rejects.map((reject) => reject.reason)).toEqual([reason]);
    for (const [at, text] of ['{"p":1}', '5', 'on'].entries())
      expect(send(router, `s/b${at}`, text)).toMatchObject({ samples: [{}], rejects: [] });
    expect(router.dropped()).toEqual({ 'bad-json': 2, empty: 1, 'too-deep': 1 });
  });

  it('counts every drop by reason', () => {
    const router = new Router([rule('s/#')], { limits: { maxPayloadBytes: 100, maxReadings: 2 } });
    send(router, 's/a', '');
    send(router, 's/a', 'x'.repeat(101));
    send(router, 's/a', '{');
    send(router, 's/a', '1e400');
    send(router, 's/+', '1');
    send(router, 'other', '1');
    send(router, 's/a', '{"a":1,"b":2,"c":3,"d":4}');
    expect(router.dropped()).toEqual({
      empty: 1,
      oversize: 1,
      'bad-json': 1,
      'not-finite': 1,
      'bad-topic': 1,
      'unmatched-topic': 1,
      'too-many-readings': 1,
    });
  });

  it('rejects a bad message once, however many rules read it', () => {
    const router = new Router([rule('a', 'json', { decoder: settings(['x']) }), rule('a', 'json')]);
    expect(send(router, 'a', '{').rejects).toHaveLength(1);
  });

  it('counts a message without a wanted field only if no rule reads it', () => {
    const rules = ['t', 'h'].map((field) => rule('a', 'json', { decoder: settings([field]) }));
    const router = new Router(rules);
    expect(send(router, 'a', '{"h":1}')).toMatchObject({ samples: [{ value: 1 }], rejects: [] });
    expect(send(router, 'a', '{"x":1}').rejects.map(({ reason }) => reason)).toEqual(['missing-field']);
    expect(router.dropped()).toEqual({ 'missing-field': 1 });
  });

  it('excludes its own topics, and allows a named prefix where permitted', () => {
    const reserved = [
      { pattern: parsePattern('gatecast/#'), unlessNamed: false },
      { pattern: parsePattern('ha/+/+/config'), unlessNamed: false },
      { pattern: parsePattern('ha/#'), unlessNamed: true },
    ];
    const wide = new Router([rule('#')], { reserved });
    expect(send(wide, 'gatecast/n/forecast/x', '1')).toEqual({
      samples: [],
      rejects: [],
      discovered: [],
      requests: [],
    });
    expect(send(wide, 'ha/sensor/x/state', '1').samples).toEqual([]);
    expect(send(wide, 'x', '1').samples).toHaveLength(1);
    const named = new Router([rule('ha/sensor/{e}/+'), rule('gatecast/{x}')], { reserved });
    expect(send(named, 'ha/sensor/x/state', '1').samples).toHaveLength(1);
    expect(send(named, 'ha/sensor/x/config', '1').samples).toEqual([]);
    expect(send(named, 'gatecast/x', '1').samples).toEqual([]);
  });

  it('continues streams of an earlier run with the current config', () => {
    const rules = [rule('z/{d}', 'json', { decoder: settings(['t']) })];
    const router = new Router(rules, { limits: { maxStreams: 1 } });
    expect(router.adopt({ topic: 'z/a', field: 'gone' })).toBeNull();
    expect(router.adopt({ topic: 'y/a', field: 't' })).toBeNull();
    expect(router.adopt({ topic: 'z/+', field: 't' })).toBeNull();
    expect(router.adopt({ topic: 'z/a', field: 't' })?.spec.name).toBe('a/t');
    // It is known now, and holds the only place against a newcomer.
    expect(send(router, 'z/b', '{"t":1}').rejects[0]?.reason).toBe('stream-limit');
    expect(send(router, 'z/a', '{"t":1}').discovered).toEqual([]);
    router.forget('a/t');
    expect(send(router, 'z/b', '{"t":1}').samples).toHaveLength(1);
  });

  it('stays bounded with 100,000 unknown topics and fields, and keeps known streams', () => {
    const router = new Router([rule('s/#')], { limits: { maxStreams: 10, topicCache: 1000 } });
    for (let at = 0; at < 10; at += 1) send(router, `s/${at}`, '1');
    for (let at = 0; at < 100_000; at += 1) send(router, `s/flood/${at}`, `{"f${at}":1}`);
    expect(router.stats().streams).toBe(10);
    expect(router.stats().cachedTopics).toBeLessThanOrEqual(1000);
    expect(router.dropped()).toEqual({ 'stream-limit': 100_000 });
    expect(send(router, 's/3', '1').samples).toHaveLength(1);
  });

  it('bounds the memory of many fields merged into one stream', () => {
    const router = new Router([rule('s', 'json', { name: 'one' })], {
      limits: { maxStreams: 5, topicCache: 10 },
    });
    for (let at = 0; at < 1000; at += 1)
      expect(send(router, 's', `{"f${at}":1}`).samples[0]?.stream).toBe('one');
  });
});

describe('a stream name', () => {
  it('is safe as topic levels, whatever it is made of', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
        const name = safeName(text);
        if (name === null) return;
        expect(isSafeName(name)).toBe(true);
        expect(name).not.toMatch(/[+#\0]/);
        for (const level of name.split('/')) {
          expect(level).not.toBe('');
          expect(level).not.toMatch(/^(?:\$.*|\.\.?|__proto__|constructor|prototype|at)$/);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('keeps the words of names', () => {
    expect(safeName('Wohnzimmer Fühler/température 2.OG')).toBe('Wohnzimmer Fühler/température 2.OG');
    expect(safeName('$SYS/+/#')).toBe('_SYS/_/_');
    expect(safeName('')).toBeNull();
    expect(safeName('/'.repeat(5))).toBeNull();
    expect(safeName(Array(20).fill('a').join('/'))).toBeNull();
  });
});

describe('named levels', () => {
  const named = Array.from({ length: 20 }, (_, i) => `d${i}`).join('|');
  const router = new Router([
    rule('z/{room:cellar|attic}/{what}'),
    rule(`many/{a:${named}}/{b:${named}}/{c:${named}}`),
  ]);

  it('other levels do not match the rule', () => {
    expect(router.filters()).toEqual(['z/cellar/+', 'z/attic/+', 'many/+/+/+']);
    const read = (topic: string) => {
      const { samples, rejects } = router.message(topic, Buffer.from('1'), Date.UTC(2025, 0, 1));
      return [...samples.map(({ stream }) => stream), ...rejects.map(({ reason }) => reason)];
    };
    expect(read('z/attic/t')).toEqual(['attic/t']);
    expect(read('z/kitchen/t')).toEqual(['unmatched-topic']);
    expect(read('many/d1/d19/d0')).toEqual(['d1/d19/d0']);
    expect(read('many/d1/d19/x')).toEqual(['unmatched-topic']);
  });
});
