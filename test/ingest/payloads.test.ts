/** Payloads as devices and gateways send them, and the streams and values that they stand for. */
import { describe, expect, it } from 'vitest';
import { createRouter, parseConfig } from '../../src/config/index.ts';
import { PayloadShape } from '../../src/ingest/payload-shape.ts';
import { sniff } from '../../src/ingest/sniff.ts';
import { computed } from '../support/run-delay.ts';

const NOW = Date.UTC(2026, 10, 29, 12);
const at = (iso: string): number => Date.parse(iso);

function routed(rules: string, messages: readonly (readonly [topic: string, payload: string | Buffer])[]) {
  const router = createRouter(parseConfig(`node: n\nmqtt: { url: mqtt://b }\nstreams: [${rules}]\n`));
  const results = messages.map(([topic, payload]) => router.message(topic, Buffer.from(payload), NOW));
  return {
    router,
    samples: results.flatMap(({ samples }) => samples.map(({ stream, value }) => [stream, value])),
    times: results.flatMap(({ samples }) => samples.map(({ stream, timeMs }) => [stream, timeMs])),
    rejects: results.flatMap(({ rejects }) => rejects.map(({ reason }) => reason)),
    details: results.flatMap(({ rejects }) => rejects.map(({ detail }) => detail)),
    sources: results.flatMap(({ discovered }) =>
      discovered.map(({ source, spec }) => ({ source, name: spec.name })),
    ),
  };
}

describe('identity in the payload', () => {
  const rule =
    '{ match: rtl_433/events, fields: [temperature_C], name: "{/model}-{/id}-{/channel}/{field}" }';
  const message = (channel: number | null, t: number) =>
    JSON.stringify({ model: 'Prologue', id: 5, ...(channel === null ? {} : { channel }), temperature_C: t });

  it('separates the devices of one topic', () => {
    const found = routed(rule, [
      ['rtl_433/events', message(1, 15.1)],
      ['rtl_433/events', message(3, 4.2)],
      ['rtl_433/events', message(1, 15.2)],
      ['rtl_433/events', message(null, 7)],
    ]);
    expect(found.samples).toEqual([
      ['Prologue-5-1/temperature_C', 15.1],
      ['Prologue-5-3/temperature_C', 4.2],
      ['Prologue-5-1/temperature_C', 15.2],
      ['Prologue-5/temperature_C', 7],
    ]);
    expect(found.rejects).toEqual([]);
  });

  it('does not read the identity as a sensor', () => {
    const found = routed('{ match: r, name: "{/model}-{/id}-{/channel}/{field}" }', [['r', message(3, 4.2)]]);
    expect(found.samples).toEqual([['Prologue-5-3/temperature_C', 4.2]]);
    expect(found.rejects).toEqual([]);
  });

  it('does not read a nested member of the name as a sensor', () => {
    const found = routed('{ match: r, name: "{/dev/id}/{field}" }', [['r', '{"dev":{"id":7,"t":5},"u":1}']]);
    expect(found.samples).toEqual([
      ['7/dev.t', 5],
      ['7/u', 1],
    ]);
  });

  it('keeps all digits of identifiers beyond 2^53, also in lists and in JSON within JSON', () => {
    const ids = ['9007199254740993', '9007199254740992', '18446744073709551615'];
    const named = '{ match: r, name: "{/dev_id}/{field}" }';
    expect(
      routed(
        named,
        ids.map((id) => ['r', `{"dev_id": ${id} ,"t":1}`]),
      ).samples,
    ).toEqual(ids.map((id) => [`${id}/t`, 1]));
    const list = `[${ids.map((id) => `{"id":${id},"t":1}`).join()}]`;
    const byId = ids.map((id) => [`r/${id}.t`, 1]);
    expect(routed('{ match: r }', [['r', list]]).samples).toEqual(byId);
    expect(routed('{ match: r }', [['r', JSON.stringify(list)]]).samples).toEqual(byId);
    // A counter stays a number.
    expect(routed('{ match: r }', [['r', '{"total":9007199254740993}']]).samples).toEqual([
      ['r/total', 2 ** 53],
    ]);
  });

  it.each([
    ['1e21', '/id is 1e+21'],
    ['[1]', '/id is an object'],
    ['{"a":1}', '/id is an object'],
    [JSON.stringify('x'.repeat(300)), '/id is xxx'],
    ['NaN', '/id is'],
  ])('refuses a message whose identifier cannot be used, so that devices are not merged: %s', (id, text) => {
    const found = routed('{ match: r, name: "{/model}-{/id}/{field}" }', [
      ['r', `{"model":"A","id":${id},"t":1}`],
    ]);
    expect([found.samples, found.rejects]).toEqual([[], ['no-identity']]);
    expect(found.details[0]).toContain(text);
  });

  it('continues such a stream after a restart, under the same name', () => {
    const { sources } = routed(rule, [['rtl_433/events', message(3, 4.2)]]);
    const { router } = routed(rule, []);
    expect(sources.map(({ source }) => router.adopt(source)?.spec.name)).toEqual([
      'Prologue-5-3/temperature_C',
    ]);
    const [sample] = router.message('rtl_433/events', Buffer.from(message(3, 4.4)), NOW).samples;
    expect(sample).toMatchObject({ stream: 'Prologue-5-3/temperature_C', value: 4.4 });
  });

  it('looks in the record of a batch first, and refuses a reading without the member', () => {
    const found = routed('{ match: ble, fields: [t], name: "{/gw}/{/mac}/{field}" }', [
      ['ble', '{"gw":"g1","x":[{"mac":"aa","time":1795953600,"t":1},{"mac":"bb","time":1795953600,"t":2}]}'],
      ['ble', '{"t":3}'],
      ['ble', '{"gw":"../+/#","mac":"cc","t":4}'],
    ]);
    expect(found.samples).toEqual([
      ['g1/aa/t', 1],
      ['g1/bb/t', 2],
      ['..____/cc/t', 4],
    ]);
    expect(found.rejects).toEqual(['no-identity']);
  });
});

describe('identity in the elements of a payload, without `records`', () => {
  const a = { dev: { id: 'a' }, t: 1 };
  const b = { dev: { id: 'b' }, t: 2 };
  it.each<[string, object]>([
    ['a list', [a, b]],
    ['a list under a key', { gw: 7, readings: [a, b] }],
    ['a list two levels below', { msg: { body: { list: [a, b] } } }],
    ['an object of devices', { d1: a, d2: b, seq: 5 }],
    ['an object of devices under a key', { devices: { d1: a, d2: b } }],
  ])('separates the devices: %s', (_, payload) => {
    for (const fields of ['', ', fields: [t]']) {
      const found = routed(`{ match: r${fields}, name: "{/dev/id}/{field}" }`, [
        ['r', JSON.stringify(payload)],
      ]);
      expect([found.samples, found.rejects]).toEqual([
        [
          ['a/t', 1],
          ['b/t', 2],
        ],
        [],
      ]);
    }
  });

  it('refuses an element without the member, and a payload without any', () => {
    const payload = JSON.stringify({ list: [a, { t: 3 }] });
    const found = routed('{ match: r, name: "{/dev/id}/{field}" }', [
      ['r', payload],
      ['r', '{"x":[{"t":4}]}'],
    ]);
    expect([found.samples, found.rejects]).toEqual([[['a/t', 1]], ['no-identity', 'no-identity']]);
  });
});

describe('a decimal comma without quotes in JSON', () => {
  const payload = '{"t":21,5,"h":40,"p":1.013,25}';
  it('is read with `decimal_comma`, which the reject and `check --listen` name', () => {
    const found = routed('{ match: r, decimal_comma: true }', [['r', payload]]);
    expect(found.samples).toEqual([
      ['r/t', 21.5],
      ['r/h', 40],
      ['r/p', 1013.25],
    ]);
    const refused = routed('{ match: r }', [['r', payload]]);
    expect([refused.samples, refused.rejects]).toEqual([[['r/h', 40]], ['bad-json', 'bad-json']]);
    expect(refused.details[0]).toContain('decimal_comma: true');
    expect(sniff('r', Buffer.from(payload))).toEqual({
      kind: 'json',
      numericStrings: false,
      decimalComma: true,
    });
    expect(sniff('r', Buffer.from('{"t":21.5}'))?.decimalComma).toBe(false);
  });

  it('is no list and no identifier', () => {
    const found = routed('{ match: r, decimal_comma: true }', [['r', '{"a":1,2,3,"b":12,x,"t":5}']]);
    expect([found.samples, found.rejects]).toEqual([[['r/t', 5]], ['bad-json', 'bad-json']]);
  });
});

describe('JSON within JSON', () => {
  it.each([
    ['encoded twice', JSON.stringify('{"t":1}'), [['r/t', 1]]],
    ['a list encoded twice', JSON.stringify('[{"id":"x","t":1}]'), [['r/x.t', 1]]],
    ['a member', JSON.stringify({ data: '{"t":1}' }), [['r/data.t', 1]]],
    ['a nested member', JSON.stringify({ m: [{ id: 'x', data: '{"t":1}' }] }), [['r/m.x.data.t', 1]]],
    ['a member that is a list', JSON.stringify({ m: ' [{"id":"x","t":1}]' }), [['r/m.x.t', 1]]],
    ['within JSON within JSON', JSON.stringify({ m: JSON.stringify({ d: '{"t":1}' }) }), [['r/m.d.t', 1]]],
  ])('is read: %s', (_name, payload, samples) => {
    const found = routed('{ match: r }', [['r', payload]]);
    expect(found.samples).toEqual(samples);
    expect(found.rejects).toEqual([]);
  });
});

describe('batches', () => {
  const first = at('2026-11-29T10:00:00Z');
  const second = at('2026-11-29T10:05:00Z');
  const rows = `[{"time":${first / 1000},"temperature":25},{"time":"2026-11-29T10:05:00Z","temperature":26}]`;
  const both = (stream: string) => [
    [stream, first],
    [stream, second],
  ];

  it.each([
    ['a list', 'match: t', rows, 't/temperature'],
    ['a list, by field', 'match: t, fields: [temperature]', rows, 't/temperature'],
    ['a list, by time', 'match: t, time: time', rows, 't/temperature'],
    ['a list of one device under a key', 'match: t', `{"device":"x","data":${rows}}`, 't/data.temperature'],
    ['under a key, by field', 'match: t, fields: [temperature]', `{"data":${rows}}`, 't/temperature'],
    ['deeper, by field', 'match: t, fields: [temperature]', `{"msg":{"data":${rows}}}`, 't/temperature'],
    ['under a key, by records', 'match: t, records: /msg/data', `{"msg":{"data":${rows}}}`, 't/temperature'],
    [
      'an odd time key',
      'match: t, records: data, time: moment',
      `{"data":${rows.replaceAll('time', 'moment')}}`,
      't/temperature',
    ],
    ['columns', 'match: t', `{"t":[${first},${second}],"v":[25,26]}`, 't/v'],
    [
      'columns under a key',
      'match: t',
      `{"d":{"ts":[${first / 1000},${second / 1000}],"v":[25,26]}}`,
      't/d.v',
    ],
    [
      'columns, by field',
      'match: t, fields: [v], records: /d',
      `{"d":{"ts":[${first},${second}],"v":[25,26]}}`,
      't/v',
    ],
    [
      'columns of an odd name',
      'match: t, time: x, fields: [y]',
      `{"x":[${first},${second}],"y":[25,26]}`,
      't/y',
    ],
  ])('reads %s at its own times', (_, rule, payload, stream) => {
    const found = routed(`{ ${rule} }`, [['t', payload]]);
    expect(found.rejects).toEqual([]);
    expect(found.times).toEqual(both(stream));
    expect(found.samples.map(([, value]) => value)).toEqual([25, 26]);
  });

  it.each([
    ['digits', 'id', ['1001', '1002']],
    ['an ObjectId', '_id', ['65f0c0ffee00000000000001', '65f0c0ffee00000000000002']],
    ['a UUID', 'uuid', ['7d444840-9dc0-11d1-b245-5ffdce74fad2', '7d444840-9dc0-11d1-b245-5ffdce74fad3']],
    ['a ULID', 'id', ['01ARZ3NDEKTSV4RRFFQ69G5FAV', '01ARZ3NDEKTSV4RRFFQ69G5FAW']],
  ])('does not make a stream for each reading numbered by %s', (_, key, [one, two]) => {
    const payload = `[{"${key}":"${one}","ts":${first},"v":25},{"${key}":"${two}","ts":${second},"v":26}]`;
    expect(routed('{ match: t }', [['t', payload]]).times).toEqual(both('t/v'));
    const named = routed('{ match: t }', [['t', payload.replaceAll(`"${key}"`, '"deviceId"')]]);
    expect(named.times).toEqual([
      [`t/${one}.v`, first],
      [`t/${two}.v`, second],
    ]);
  });

  it.each([
    ['at the top', '', 'fields: [v]', 't/s1.v', 't/v'],
    ['under a key', 'd', 'records: /d, fields: [v], name: "t/d.{field}"', 't/d.s1.v', 't/d.v'],
  ])('of one device %s are named after it, and without it by settings', (_, key, setting, named, before) => {
    const list = `[{"sensor":"s1","ts":${first},"v":25},{"sensor":"s1","ts":${second},"v":26}]`;
    const payload = key === '' ? list : `{"${key}":${list}}`;
    expect(routed('{ match: t }', [['t', payload]]).times).toEqual(both(named));
    expect(routed(`{ match: t, ${setting} }`, [['t', payload]]).times).toEqual(both(before));
  });

  it.each([
    ['pairs', '{"values":[[F,25],[S,26]]}', 't/values'],
    ['pairs without a key', '[[F,25],[S,26]]', 't'],
    [
      'an object with times as keys',
      '{"data":{"2026-11-29T10:00:00Z":25,"2026-11-29T10:05:00Z":26}}',
      't/data',
    ],
    ['rows of named columns', '{"columns":["time","v"],"values":[[F,25],[S,26]]}', 't/values.v'],
    ['columns with times in the plural', '{"timestamps":[F,S],"v":[25,26]}', 't/v'],
    ['unixtime', '[{"unixtime":F,"v":25},{"unixtime":S,"v":26}]', 't/v'],
    ['measurementTime', '{"x":[{"measurementTime":F,"v":25},{"measurementTime":S,"v":26}]}', 't/x.v'],
    ['dt', '[{"dt":F,"v":25},{"dt":S,"v":26}]', 't/v'],
  ])('reads %s at its own times without a setting', (_, payload, stream) => {
    const sent = payload.replaceAll('F', String(first / 1000)).replaceAll('S', String(second / 1000));
    const found = routed('{ match: t }', [['t', sent]]);
    expect(found.rejects).toEqual([]);
    expect(found.times).toEqual(both(stream));
    expect(found.samples.map(([, value]) => value)).toEqual([25, 26]);
  });

  it('does not take durations and serial numbers for times', () => {
    const payload = '{"a":[[1,2],[3,4]],"uptime":[1795953000],"runtime":1795953000,"1012345678":{"E":5}}';
    expect(routed('{ match: t }', [['t', payload]]).samples.map(([stream]) => stream)).toEqual([
      't/1012345678.E',
      't/a.0.0',
      't/a.0.1',
      't/a.1.0',
      't/a.1.1',
      't/uptime.0',
      't/runtime',
    ]);
    const prices = `{"today":[{"startsAt":"${new Date(first).toISOString()}","total":0.2}]}`;
    expect(routed('{ match: t }', [['t', prices]]).times).toEqual([['t/today.0.total', null]]);
  });

  it('reads a number in brackets as text, but no colour and no identifier', () => {
    const payload = '{"data":"[215]","rgb":"[255,0,10]","id":"[5]"}';
    expect(routed('{ match: t }', [['t', payload]]).samples).toEqual([['t/data.0', 215]]);
    expect(routed('{ match: t, name: "{/id}/{field}" }', [['t', payload]]).samples).toEqual([
      ['[5]/data.0', 215],
    ]);
  });

  it('separates the devices and quantities of one batch', () => {
    const time = first / 1000;
    const found = routed('{ match: t }', [
      ['t', `[{"mac":"aa","time":${time},"t":1},{"mac":"bb","time":${time},"t":2}]`],
      ['t', `{"d":[{"name":"temp","time":${time},"v":21},{"name":"hum","time":${time},"v":50}]}`],
      ['t', `[{"mac":"bb","time":${time},"t":3}]`],
      ['t', `[{"id":7,"time":${time},"t":4}]`],
    ]);
    expect(found.samples).toEqual([
      ['t/aa.t', 1],
      ['t/bb.t', 2],
      ['t/d.temp.v', 21],
      ['t/d.hum.v', 50],
      ['t/bb.t', 3],
      // A number may count the readings.
      ['t/id', 7],
      ['t/t', 4],
    ]);
  });

  const row = (time: number, members: object) => ({ time: time / 1000, ...members });
  const mixed: [string, string, object, string][] = [
    [
      'by address',
      '',
      [row(first, { mac: 'aa', t: 1 }), row(second, { mac: 'bb', t: 2 })],
      '{topic}/{/mac}/{field}',
    ],
    [
      'by identifier',
      '',
      [row(first, { id: 's-01', t: 1 }), row(second, { id: 's-02', t: 2 })],
      '{topic}/{/id}/{field}',
    ],
    [
      'by name',
      '',
      [row(first, { name: 'attic', t: 1 }), row(second, { name: 'cellar', t: 2 })],
      '{topic}/{/name}/{field}',
    ],
    [
      'by number',
      '',
      [row(first, { sensor_id: 1, t: 1 }), row(first, { sensor_id: 2, t: 2 })],
      '{topic}/{/sensor_id}/{field}',
    ],
    [
      'by device and channel',
      '',
      [
        row(first, { device: 'a', channel: 1, t: 1 }),
        row(first, { device: 'a', channel: 2, t: 2 }),
        row(first, { device: 'b', channel: 1, t: 3 }),
      ],
      '{topic}/{/device}-{/channel}/{field}',
    ],
    [
      'by quantity',
      '',
      [row(first, { parameter: 'pm25', t: 1 }), row(first, { parameter: 'pm10', t: 2 })],
      '{topic}/{/parameter}/{field}',
    ],
    [
      'below a key',
      '',
      { gw: 'g', data: [row(first, { eui: 'a1', t: 1 }), row(first, { eui: 'a2', t: 2 })] },
      '{topic}/{/eui}/{field}',
    ],
    [
      'without times',
      ', records: data',
      {
        data: [
          { name: 'attic', t: 1 },
          { name: 'cellar', t: 2 },
        ],
      },
      '{topic}/{/name}/{field}',
    ],
  ];
  it.each(mixed)('refuses fields of several devices in one stream: %s', (_, keys, payload, name) => {
    const sent = [['t', JSON.stringify(payload)]] as const;
    const found = routed(`{ match: t, fields: [t]${keys} }`, sent);
    expect(found.samples).toEqual([]);
    expect(found.rejects).toEqual(['no-identity']);
    expect(found.details[0]).toContain(`name: "${name}"`);
    const separate = routed(`{ match: t, fields: [t]${keys}, name: "${name}" }`, sent);
    expect(separate.rejects).toEqual([]);
    expect(new Set(separate.samples.map(([stream]) => stream)).size).toBe(separate.samples.length);
    expect(separate.samples.length).toBeGreaterThan(1);
  });

  it.each([
    ['one device', { mac: 'aa' }, { mac: 'aa' }, first, second],
    [
      'a state',
      { device: 'x', sensor: 'on', label: 'ok' },
      { device: 'x', sensor: 'off', label: 'high' },
      first,
      second,
    ],
    ['numbers of the readings', { id: 1, idx: 4, seq: 8 }, { id: 2, idx: 5, seq: 9 }, first, first],
    [
      'unique identifiers of the readings',
      { id: '0f8fad5b-d9cb-469f-a165-70867728950e' },
      { id: '7c9e6679-7425-40de-944b-e07fc1f90ae7' },
      first,
      first,
    ],
    [
      'random identifiers of the readings',
      { _id: '507f1f77bcf86cd799439011' },
      { _id: '507f191e810c19729de860ea' },
      first,
      second,
    ],
    ['numbers of the readings in quotes', { id: '1024' }, { id: '1025' }, first, second],
    ['another meter in quotes', { meter: '1250.1' }, { meter: '1250.2' }, first, second],
  ])('reads the fields of a batch of %s', (_, one, two, from, to) => {
    const payload = JSON.stringify([row(from, { ...one, t: 1 }), row(to, { ...two, t: 2 })]);
    const found = routed('{ match: t, fields: [t] }', [['t', payload]]);
    expect(found.rejects).toEqual([]);
    expect(found.samples).toEqual([
      ['t/t', 1],
      ['t/t', 2],
    ]);
  });

  it('reads different fields of several devices', () => {
    const payload = JSON.stringify([row(first, { mac: 'aa', t: 1 }), row(first, { mac: 'bb', h: 2 })]);
    const found = routed('{ match: t, fields: [t, h] }', [['t', payload]]);
    expect(found.rejects).toEqual([]);
    expect(found.samples).toEqual([
      ['t/t', 1],
      ['t/h', 2],
    ]);
  });

  it('refuses columns of different lengths', () => {
    const found = routed('{ match: t }', [['t', `{"t":[${first},${second}],"v":[25],"x":7}`]]);
    expect(found.samples).toEqual([['t/x', 7]]);
    expect(found.rejects).toEqual(['bad-time']);
  });

  it('knows a time stamp that equals the time of arrival from a reading without one', () => {
    const router = createRouter(
      parseConfig('node: n\nmqtt: { url: mqtt://b }\nstreams: [{ match: t, time: time }]\n'),
    );
    const times = (text: string) =>
      router.message('t', Buffer.from(text), NOW).samples.map(({ timeMs }) => timeMs);
    expect(times(JSON.stringify({ time: NOW, v: 1 }))).toEqual([NOW]);
    expect(times(JSON.stringify({ time: NOW - 1, v: 1 }))).toEqual([NOW - 1]);
    expect(times('{"v":1}')).toEqual([null]);
    // A retained one, which is taken when the stream sends.
    const other = createRouter(
      parseConfig('node: n\nmqtt: { url: mqtt://b }\nstreams: [{ match: t, time: time }]\n'),
    );
    other.message('t', Buffer.from(JSON.stringify({ time: NOW, v: 1 })), NOW, true);
    const { samples } = other.message('t', Buffer.from(JSON.stringify({ time: NOW + 5, v: 2 })), NOW + 9);
    expect(samples.map(({ timeMs }) => timeMs)).toEqual([NOW, NOW + 5]);
  });

  it('reads a list beside a list of one time as values of the same time', () => {
    const found = routed('{ match: t }', [['t', `{"time":[${first}],"phases":[230,231,229]}`]]);
    expect(found.rejects).toEqual([]);
    expect(found.samples.map(([, value]) => value)).toEqual(expect.arrayContaining([230, 231, 229]));
  });

  it('gives one reading the same stream as several', () => {
    expect(routed('{ match: t }', [['t', `[{"time":${first},"temperature":25}]`]]).times).toEqual([
      ['t/temperature', first],
    ]);
  });

  it('rejects only the readings without a valid time', () => {
    const found = routed('{ match: t }', [
      ['t', `[{"time":${first},"v":1},{"v":2},{"time":"soon","v":3},null,{"time":${second},"v":4}]`],
    ]);
    expect(found.samples).toEqual([
      ['t/v', 1],
      ['t/v', 4],
    ]);
    expect(found.rejects).toEqual(['bad-time', 'bad-time', 'bad-time']);
  });
});

describe('columns on several levels', () => {
  const times = ['2026-11-29T11:00:00Z', '2026-11-29T11:01:00Z'];
  const payloads: [string, object, Record<string, number[]>][] = [
    [
      'in an object beside the times',
      { time: times, values: { t: [1, 2], h: [3, 4] } },
      { 'values.t': [1, 2], 'values.h': [3, 4] },
    ],
    ['two levels below', { d: { ts: times, a: { b: { t: [1, 2] } } } }, { 'd.a.b.t': [1, 2] }],
    [
      'beside the object of the times',
      { meta: { time: times, n: 'x' }, data: { t: [1, 2] } },
      { 'data.t': [1, 2] },
    ],
    ['at the level above the times', { index: { time: times }, t: [1, 2] }, { t: [1, 2] }],
    [
      'in a list of series',
      {
        timestamps: times,
        series: [
          { name: 'a', values: [1, 2] },
          { name: 'b', values: [3, 4] },
        ],
      },
      { 'series.a.values': [1, 2], 'series.b.values': [3, 4] },
    ],
    [
      'two objects with times of their own',
      { hourly: { time: times, t: [1, 2] }, daily: { time: times.slice(0, 1), t: [9] } },
      { 'hourly.t': [1, 2], 'daily.t': [9] },
    ],
    ['on both levels', { time: times, t: [1, 2], more: { t: [3, 4] } }, { t: [1, 2], 'more.t': [3, 4] }],
  ];

  it.each(payloads)('are read with their times: %s', (_, payload, wanted) => {
    const names = Object.keys(wanted);
    for (const rule of ['{ match: r }', `{ match: r, fields: [${names}] }`]) {
      const { samples, times: sent, rejects } = routed(rule, [['r', JSON.stringify(payload)]]);
      const read = names.map((name) => [
        name,
        samples.flatMap(([stream, value]) => (stream === `r/${name}` ? [value] : [])),
      ]);
      expect([Object.fromEntries(read), samples.length, rejects]).toEqual([
        wanted,
        Object.values(wanted).flat().length,
        [],
      ]);
      for (const name of names)
        expect(sent.flatMap(([stream, time]) => (stream === `r/${name}` ? [time] : []))).toEqual(
          times.slice(0, wanted[name]?.length).map((time) => Date.parse(time)),
        );
    }
  });

  it('keeps what is no column, and refuses a column of another length', () => {
    const payload = { time: times, values: { t: [1, 2], short: [5] }, battery: 3.1 };
    const found = routed('{ match: r }', [['r', JSON.stringify(payload)]]);
    expect(found.samples).toEqual([
      ['r/values.t', 1],
      ['r/values.t', 2],
      ['r/battery', 3.1],
    ]);
    expect([found.rejects, found.details]).toEqual([
      ['bad-time'],
      ['values.short and time are lists of different lengths'],
    ]);
    const none = routed('{ match: r }', [['r', JSON.stringify({ time: times, values: { t: [1, 2, 3] } })]]);
    expect([none.samples, none.rejects]).toEqual([[], ['bad-time']]);
  });
});

describe('kinds of the readings of a batch', () => {
  const at = (row: number, time: object | string | number, type: string) => ({ time, type, v: row });
  const seconds = { seconds: 1_796_000_000 };
  it.each<[string, object[], string[]]>([
    ['of one time', [at(1, seconds, 'temp'), at(2, seconds, 'hum')], ['temp.v', 'hum.v']],
    ['of several times', [at(1, 1_796_000_000, 'temp'), at(2, 1_796_000_001, 'hum')], ['temp.v', 'hum.v']],
    ['alone', [at(1, seconds, 'hum')], ['hum.v']],
    ['that are no texts', [at(1, seconds, '1'), at(2, seconds, '2')], ['v', 'v']],
  ])('name them: %s', (_, payload, names) => {
    expect(routed('{ match: m }', [['m', JSON.stringify(payload)]]).samples).toEqual(
      names.map((name, row) => [`m/${name}`, row + 1]),
    );
  });

  const day = (v: number | string, time: string, type: string) => ({ date: '2026-11-28', time, type, v });
  it.each<[string, string, object[], number[]]>([
    ['times of one day', '', [day(1, '10:00', 'A'), day(2, '10:01', 'B')], [1, 2]],
    ['states', '', [at(1, seconds, 'temp'), { ...at(2, seconds, 'status'), v: 'ok' }], [1]],
    [
      'descriptions',
      '',
      [
        { ...at(1, seconds, 'x'), quality_type: 'good' },
        { ...at(2, seconds, 'x'), quality_type: 'fair' },
      ],
      [1, 2],
    ],
    [
      'no times',
      ', records: items',
      [
        { type: 'a', v: 1 },
        { type: 'b', v: 2 },
      ],
      [1, 2],
    ],
  ])('do not refuse %s with fields', (_, keys, rows, values) => {
    const { samples, rejects } = routed(`{ match: m, fields: [v]${keys} }`, [
      ['m', JSON.stringify(keys === '' ? rows : { items: rows })],
    ]);
    expect(samples.map(([, value]) => value)).toEqual(values);
    expect(rejects).not.toContain('no-identity');
  });

  it('refuse those of one time, also in two members', () => {
    const rows = [day(1, '10:00', 'A'), day(2, '10:00', 'B')];
    expect(routed('{ match: m, fields: [v] }', [['m', JSON.stringify(rows)]]).rejects).toEqual([
      'no-identity',
    ]);
  });
});

describe('what is no time of a list', () => {
  const seconds = NOW / 1000;
  const yesterday = seconds - 86_400;
  it.each<[string, object, string[]]>([
    [
      'a difference of temperatures',
      {
        ts: seconds,
        circuits: [
          { dT: 5.2, flow: 10 },
          { dT: 6.1, flow: 30 },
        ],
      },
      ['circuits.0.dT', 'circuits.0.flow', 'circuits.1.dT', 'circuits.1.flow'],
    ],
    [
      'a duration',
      { ts: seconds, jobs: [{ elapsed: 5 }, { elapsed: 10 }] },
      ['jobs.0.elapsed', 'jobs.1.elapsed'],
    ],
    [
      'a correction',
      {
        base_time: seconds,
        ch: [
          { offset: 1, v: 3 },
          { offset: 2, v: 9 },
        ],
      },
      ['base_time', 'ch.0.offset', 'ch.0.v', 'ch.1.offset', 'ch.1.v'],
    ],
    ['a time of day in minutes', { week: [{ time: 360 }, { time: 1320 }] }, ['week.0.time', 'week.1.time']],
    ...[seconds - 25, yesterday].map((start_time): [string, object, string[]] => [
      'the start of a measurement',
      { start_time, interval: 60, cells: [3.3, 3.4, 3.5] },
      ['start_time', 'interval', 'cells.0', 'cells.1', 'cells.2'],
    ]),
  ])('%s', (_, payload, names) => {
    const { samples, times, rejects } = routed('{ match: m }', [['m', JSON.stringify(payload)]]);
    expect([samples.map(([stream]) => stream), rejects]).toEqual([names.map((name) => `m/${name}`), []]);
    expect(times.map(([, ms]) => ms)).toEqual(names.map(() => null));
  });
});

it.each<[object, number | null, string[]]>([
  [{ firmwareTimestamp: 0, measured_at: 60, v: 5 }, 60, ['firmwareTimestamp', 'v']],
  [{ installTimestamp: 0, v: 5 }, null, ['installTimestamp', 'v']],
  [{ calibrationDueTimestamp: 30, v: 5 }, null, ['calibrationDueTimestamp', 'v']],
  [{ boot_timestamp: 0, time: 60, v: 5 }, 60, ['v']],
  [{ sourceTimestamp: 30, serverTimestamp: 60, v: 5 }, 60, ['v']],
  [{ sourceTimestamp: 30, v: 5 }, 30, ['v']],
  [{ 'Pump.T1_timestamp': 30, v: 5 }, 30, ['v']],
])('finds the time of a reading in %j', (row, seconds, names) => {
  const start = NOW / 1000 - 600;
  const sent = Object.entries(row).map(([key, value]) => [key, key === 'v' ? value : start + value]);
  const { times } = routed('{ match: m }', [['m', JSON.stringify({ d: [Object.fromEntries(sent)] })]]);
  const at = seconds === null ? '.0' : '';
  expect(times).toEqual(
    names.map((name) => [`m/d${at}.${name}`, seconds === null ? null : (start + seconds) * 1000]),
  );
});

it('adds up what two sites count at once', () => {
  const rule = '{ match: gate/+/people, name: people, aggregate: sum }';
  const { samples, rejects } = routed(rule, [
    ['gate/a/people', '1'],
    ['gate/b/people', '1'],
  ]);
  expect([samples.length, rejects]).toEqual([2, []]);
});

/** The batch alone, and in a member. */
const bothForms = (rows: object[]) =>
  [
    { payload: rows, above: '' },
    { payload: { list: rows }, above: 'list.' },
  ].map(({ payload, above }) => ({ above, ...routed('{ match: m }', [['m', JSON.stringify(payload)]]) }));

describe('names of the readings of a batch', () => {
  const t = 1_796_000_000;
  it.each<[string, object[], Record<string, number>]>([
    [
      'all tags, also of a series that has fewer (Telegraf)',
      [
        { name: 'cpu', tags: { host: 'gw', cpu: 'cpu0', weight: '2.5' }, timestamp: t, fields: { idle: 90 } },
        { name: 'cpu', tags: { host: 'gw', cpu: 'cpu1' }, timestamp: t, fields: { idle: 80 } },
        { name: 'mem', tags: { host: 'gw' }, timestamp: t, fields: { used: 5 } },
      ],
      {
        'cpu-cpu=cpu0-host=gw.fields.idle': 90,
        'cpu-cpu=cpu1-host=gw.fields.idle': 80,
        'mem-host=gw.fields.used': 5,
      },
    ],
    [
      'a tag that ends like a version, and the path of a tag',
      [
        { path: 'A/T1', tags: { conversion: 'x', version: '3' }, timestamp: t, v: 20 },
        { path: 'A/T2', tags: { conversion: 'y', version: '3' }, timestamp: t, v: 5 },
      ],
      { 'A/T1-conversion=x.v': 20, 'A/T2-conversion=y.v': 5 },
    ],
    [
      'the number of a thing (OPC UA)',
      [
        { DataSetWriterId: 1, SequenceNumber: 7, Timestamp: t, Payload: { T: 20 } },
        { DataSetWriterId: 2, SequenceNumber: 7, Timestamp: t, Payload: { T: 5 } },
      ],
      { '1.SequenceNumber': 7, '1.Payload.T': 20, '2.SequenceNumber': 7, '2.Payload.T': 5 },
    ],
    [
      'the name of an asset',
      [
        { timestamp: t, asset: 'A', v: 20 },
        { timestamp: t, asset: 'B', v: 5 },
      ],
      { 'A.v': 20, 'B.v': 5 },
    ],
    [
      'all kinds (Envoy)',
      [
        { type: 'eim', measurementType: 'total', readingTime: t, wNow: 800 },
        { type: 'eim', measurementType: 'net', readingTime: t, wNow: 290 },
      ],
      { 'eim-total.wNow': 800, 'eim-net.wNow': 290 },
    ],
    [
      'no word that tells why a reading was sent',
      [
        { type: 'periodic', time: t, v: 1 },
        { type: 'periodic', time: t + 1, v: 2 },
      ],
      { v: 2 },
    ],
  ])('have %s', (_, rows, expected) => {
    for (const { above, samples, rejects } of bothForms(rows)) {
      expect(rejects).toEqual([]);
      expect(Object.fromEntries(samples)).toEqual(
        Object.fromEntries(Object.entries(expected).map(([name, value]) => [`m/${above}${name}`, value])),
      );
    }
  });

  const batch = (...rows: object[]): object[] => rows.map((row, n) => ({ ts: t + n, ...row, v: n }));
  const long = Object.fromEntries(
    ['container_image', 'container_name', 'engine_host'].map((key) => [key, key.repeat(4)]),
  );
  it.each<[string, object[], string[]]>([
    ['reports', batch({ reportId: 1 }, { reportId: 2 }), ['reportId', 'v', 'reportId', 'v']],
    ['checkpoints', batch({ checkpointId: 1 }), ['checkpointId', 'v']],
    ['tested pieces', batch({ unitId: 1001 }, { unitId: 1002 }), ['unitId', 'v', 'unitId', 'v']],
    ['a sequence', batch({ sn: 1 }, { sn: 2 }), ['sn', 'v', 'sn', 'v']],
    ['a port', batch({ serialErrors: 1 }), ['serialErrors', 'v']],
    ['states', batch({ machine: 'running' }, { machine: 'stopped' }), ['v', 'v']],
    ['a reason', batch({ station: 'periodic' }), ['v']],
    [
      'records of one time',
      batch({ ts: t, _id: '507f1f77bcf86cd799439011' }, { ts: t, _id: '507f1f77bcf86cd799439012' }),
      ['v', 'v'],
    ],
    ['records with digits', batch({ ts: t, id: '5001' }, { ts: t, id: '5002' }), ['v', 'v']],
    ['a state in tags', batch({ tags: { quality: 'good' } }, { tags: { server_status: 'up' } }), ['v', 'v']],
    [
      'equal texts of two tags',
      batch({ ts: t, tags: { inlet: 'f1' } }, { ts: t, tags: { outlet: 'f1' } }),
      ['inlet=f1.v', 'outlet=f1.v'],
    ],
    ['very long tags', batch({ tags: long }), ['60dd6629.v']],
  ])('are not taken from %s', (_, rows, names) => {
    for (const { above, samples, rejects } of bothForms(rows)) {
      expect([samples.map(([stream]) => stream), rejects]).toEqual([
        names.map((name) => `m/${above}${name}`),
        [],
      ]);
    }
  });

  it('are refused if several devices would share one, and not if they send different fields', () => {
    const rows = (one: object, two: object) => [
      { channel: 1, ts: t, ...one },
      { channel: 2, ts: t, ...two },
    ];
    for (const payload of [rows({ val: 20 }, { val: 3 }), { vals: rows({ val: 20 }, { val: 3 }) }]) {
      const found = routed('{ match: m }', [['m', JSON.stringify(payload)]]);
      expect([found.samples, found.rejects]).toEqual([[], ['no-identity']]);
      expect(found.details[0]).toContain('name: "{topic}/{/channel}/{field}"');
    }
    const apart = [JSON.stringify({ vals: rows({ t: 20 }, { h: 50 }) })];
    expect(routed('{ match: m }', [['m', apart[0] ?? '']]).samples).toEqual([
      ['m/vals.channel', 1],
      ['m/vals.t', 20],
      ['m/vals.channel', 2],
      ['m/vals.h', 50],
    ]);
  });
});

describe('lists whose identifying member is less usual', () => {
  it.each([
    ['a member of an object', '{"m":[{"device":{"id":"B"},"E":7}]}', { 'm.B.E': 7 }],
    ['labels', '{"m":[{"metric":{"instance":"a","name":"B"},"E":7}]}', { 'm.B.E': 7 }],
    ['`n` with a text', '{"m":[{"n":"temp","v":20},{"n":"hum","v":50}]}', { 'm.temp.v': 20, 'm.hum.v': 50 }],
    ['`n` with a number is a reading', '{"m":[{"n":3},{"n":4}]}', { 'm.0.n': 3, 'm.1.n': 4 }],
    ['a type', '{"m":[{"type":"temp","v":20},{"type":"hum","v":50}]}', { 'm.temp.v': 20, 'm.hum.v': 50 }],
    [
      'a type together with an id',
      '{"m":[{"id":"a","type":"temp","v":20},{"id":"a","type":"hum","v":50},{"id":"b","type":"temp","v":10}]}',
      { 'm.a-temp.v': 20, 'm.a-hum.v': 50, 'm.b-temp.v': 10 },
    ],
    [
      'not the id of each reading',
      '{"m":[{"id":"0b734138-037d-434e-aaaa-403fb0c34b9a","resourceName":"Temp","v":20}]}',
      { 'm.Temp.v': 20 },
    ],
    ['the id of a thing', '{"m":[{"assetId":"A","v":1},{"assetId":"B","v":2}]}', { 'm.A.v': 1, 'm.B.v': 2 }],
    ['the number of a thing', '{"m":[{"lsid":48,"v":1},{"lsid":31,"v":2}]}', { 'm.48.v': 1, 'm.31.v': 2 }],
    [
      'not the number of a message',
      '{"m":[{"messageId":48,"v":1},{"messageId":31,"v":2}]}',
      { 'm.0.messageId': 48, 'm.0.v': 1, 'm.1.messageId': 31, 'm.1.v': 2 },
    ],
    ['pairs with the time second', '{"m":[[20,1796000000000],[21,1796000060000]]}', { m: 21 }],
  ])('%s', (_, payload, expected) => {
    const found = routed('{ match: s }', [['s', payload]]);
    expect(
      Object.fromEntries(found.samples.map(([stream, value]) => [String(stream).slice(2), value])),
    ).toEqual(expected);
    expect(found.rejects).toEqual([]);
  });

  const [u1, u2, u3] = [1, 2, 3].map((n) => `0b734138-037d-434e-aaaa-403fb0c34b9${n}`);
  const one = { id: u1, v: 1 };
  const two = { id: u2, v: 2 };
  it.each<[string, object[], string[]]>([
    [
      'a type',
      [
        { ...one, type: 'plug' },
        { ...two, type: 'lamp' },
        { id: u3, type: 'plug', v: 3 },
      ],
      [],
    ],
    [
      'a channel',
      [
        { ...one, channel: 1 },
        { ...two, channel: 2 },
        { id: u3, channel: 1, v: 3 },
      ],
      [],
    ],
    [
      'a device and its channel',
      [
        { ...one, deviceId: 'a', channel: 1 },
        { ...two, deviceId: 'b', channel: 1 },
        { id: u3, deviceId: 'a', channel: 2, v: 3 },
      ],
      [],
    ],
    [
      'a device and its quantity',
      [
        { ...one, name: 'a', parameter: 't' },
        { ...two, name: 'b', parameter: 't' },
        { id: u3, name: 'a', parameter: 'h', v: 3 },
      ],
      [],
    ],
    [
      'ids in some elements',
      [
        { ...one, type: 'plug' },
        { type: 'lamp', v: 9 },
        { ...two, type: 'tv' },
      ],
      [],
    ],
    [
      'a device in an object and its channel',
      [
        { ...one, device: { id: 'a' }, channel: 1 },
        { ...two, device: { id: 'b' }, channel: 1 },
        { id: u3, device: { id: 'a' }, channel: 2, v: 3 },
      ],
      [],
    ],
    [
      'a name',
      [
        { ...one, name: 'A', type: 'x' },
        { ...two, name: 'B', type: 'x' },
      ],
      ['A', 'B'],
    ],
    [
      'a serial number',
      [
        { ...one, serial: 'A' },
        { ...two, serial: 'B' },
      ],
      ['A', 'B'],
    ],
    [
      'a device and a resource',
      [
        { ...one, deviceName: 'd', resourceName: 'A', valueType: 'Float' },
        { ...two, deviceName: 'd', resourceName: 'B', valueType: 'Float' },
      ],
      ['A', 'B'],
    ],
    [
      'ids on two levels',
      [
        { device: { id: 'x' }, id: 'A', v: 1 },
        { id: 'B', device: { id: 'y' }, v: 2 },
        { id: 'C', v: 2 },
      ],
      ['A', 'B', 'C'],
    ],
  ])('an element has one name, whatever other elements a list has: %s', (_, elements, names) => {
    const known =
      names.length > 0 ? names : elements.flatMap((element) => ('id' in element ? [element.id] : []));
    const named = (list: object[]) =>
      routed('{ match: s }', [['s', JSON.stringify({ m: list })]])
        .samples.map(([stream]) => String(stream))
        .filter((stream) => stream.endsWith('.v'));
    const all = known.map((name) => `s/m.${name}.v`);
    expect(named(elements)).toEqual(all);
    expect(named([...elements].reverse())).toEqual([...all].reverse());
    for (const element of elements.filter((element) => 'id' in element)) {
      expect(all).toContain(named([element])[0]);
      expect(named(elements.filter((other) => other !== element)).every((name) => all.includes(name))).toBe(
        true,
      );
    }
  });

  it.each(['_id', 'uid', 'uuid', 'device.id'])('are selected by their record id under %s', (key) => {
    const devices = ['507f1f77bcf86cd799439011', '507f191e810c19729de860ea'].map((id, at) => ({
      ...(key === 'device.id' ? { device: { id } } : { [key]: id }),
      name: `n${at}`,
      t: 21 + at,
    }));
    const found = routed('{ match: s, fields: ["devices.507f191e810c19729de860ea.t"] }', [
      ['s', JSON.stringify({ devices })],
    ]);
    expect(found.samples).toEqual([['s/devices.507f191e810c19729de860ea.t', 22]]);
  });

  it('falls through from an unknown record id to a pair', () => {
    const [device, channel] = ['aaaaaaaa', 'aaaa-aaaa-aaaa-aaaaaaaaaaaa'];
    const field = `m.${device}-${channel}.v`;
    const list = [
      { device, channel, v: 1 },
      { device, channel: 'b', v: 2 },
      { device: 'c', channel: 'b', v: 3 },
    ];
    expect(
      routed(`{ match: s, fields: ["${field}"] }`, [['s', JSON.stringify({ m: list })]]).samples,
    ).toEqual([[`s/${field}`, 1]]);
  });

  it('makes no stream of the members of a pair', () => {
    const payload = JSON.stringify(
      [1, 1, 2].map((id, at) => ({ device: { id }, channel: 1 + (at % 2), v: 5 + at })),
    );
    for (const sent of [payload, `{"m":${payload}}`])
      expect(routed('{ match: s }', [['s', sent]]).samples.map(([stream]) => `${stream}`.slice(-5))).toEqual([
        '1-1.v',
        '1-2.v',
        '2-1.v',
      ]);
  });

  it('names columns by members of an object, and by two members', () => {
    const columns = (series: object[]) => JSON.stringify({ ts: [1_796_000_000, 1_796_000_060], series });
    const names = (sent: string) =>
      routed('{ match: s }', [['s', sent]])
        .samples.map(([stream]) => stream)
        .slice(0, 2);
    const [a, b] = ['a', 'b'].map((id) => ({ device: { id }, v: [1, 2] }));
    expect(names(columns([{ ...a }, { ...b }]))).toEqual(['s/series.a.v', 's/series.b.v']);
    const list = [1, 2].map((channel) => ({ device: 'd', channel, v: [1, 2] }));
    expect(names(columns([...list, { device: 'e', channel: 1, v: [1, 2] }]))).toEqual([
      's/series.d-1.v',
      's/series.d-2.v',
    ]);
  });

  it('does not hide paths by place or by another id', () => {
    const uuid = '0b734138-037d-434e-aaaa-403fb0c34b9a';
    const found = routed(`{ match: s, fields: ["m.0.v", "m.${uuid}.v", "m[device.id].E"] }`, [
      ['s', `{"m":[{"id":"${uuid}","type":"temp","v":20}]}`],
      ['s', '{"m":[{"device":{"id":"A"},"E":1},{"device":{"id":"B"},"E":2}]}'],
    ]);
    expect(found.samples).toEqual([
      ['s/m.0.v', 20],
      [`s/m.${uuid}.v`, 20],
      ['s/m.A.E', 1],
      ['s/m.B.E', 2],
    ]);
  });

  it('are read below other lists, with their times', () => {
    const metric = (name: string, value: number) => ({
      name,
      gauge: { dataPoints: [{ asDouble: value, timeUnixNano: '1796000000000000000' }] },
    });
    const payload = {
      resourceMetrics: [{ scopeMetrics: [{ metrics: [metric('t', 20), metric('h', 50)] }] }],
    };
    const field = 'resourceMetrics.0.scopeMetrics.0.metrics.h.gauge.dataPoints.asDouble';
    const { router } = routed(`{ match: s, fields: ["${field}"] }`, []);
    const read = router.message('s', Buffer.from(JSON.stringify(payload)), 1_796_000_060_000);
    expect(read.samples).toMatchObject([{ stream: `s/${field}`, value: 50, timeMs: 1_796_000_000_000 }]);
    expect(read.rejects).toEqual([]);
  });
});

describe('lists of devices', () => {
  const list = (...meters: [string | number, number][]) =>
    JSON.stringify({ meters: meters.map(([meter, E]) => ({ meter, E })) });

  it('names the elements by the member that identifies them, not by their place', () => {
    const found = routed('{ match: m }', [
      ['m', list(['A', 100], ['B', 7])],
      ['m', list(['B', 8])],
    ]);
    expect(found.samples).toEqual([
      ['m/meters.A.E', 100],
      ['m/meters.B.E', 7],
      ['m/meters.B.E', 8],
    ]);
  });

  it.each([
    [
      'meters[meter=B].E',
      [
        ['m/meters.B.E', 7],
        ['m/meters.B.E', 8],
      ],
    ],
    [
      'meters.B.E',
      [
        ['m/meters.B.E', 7],
        ['m/meters.B.E', 8],
      ],
    ],
    [
      'meters[meter].E',
      [
        ['m/meters.A.E', 100],
        ['m/meters.B.E', 7],
        ['m/meters.B.E', 8],
      ],
    ],
    [
      '/meters/0/E',
      [
        ['m/meters.0.E', 100],
        ['m/meters.0.E', 8],
      ],
    ],
  ])('takes %s', (field, samples) => {
    const found = routed(`{ match: m, fields: ["${field}"] }`, [
      ['m', list(['A', 100], ['B', 7])],
      ['m', list(['B', 8])],
    ]);
    expect(found.samples).toEqual(samples);
    expect(found.sources.map(({ source }) => found.router.adopt(source))).toEqual(
      found.sources.map(() => null),
    );
    const { router } = routed(`{ match: m, fields: ["${field}"] }`, []);
    expect(found.sources.map(({ source }) => router.adopt(source)?.spec.name)).toEqual(
      found.sources.map(({ name }) => name),
    );
  });

  it('takes a field of every device that is a key of an object', () => {
    const found = routed('{ match: m, name: "{field}", fields: [{ field: "*.E", name: "*/energy" }] }', [
      ['m', '{"A":{"E":1,"P":5},"Meter 1.5":{"E":2},"site":"x"}'],
      ['m', '{"C":{"E":3},"__proto__":{"E":4}}'],
      ['m', '{"A":{"P":5}}'],
    ]);
    expect(found.samples).toEqual([
      ['A/energy', 1],
      ['Meter 1.5/energy', 2],
      ['C/energy', 3],
    ]);
    expect(found.rejects).toEqual(['missing-field']);
    expect(() => routed('{ match: m, fields: ["*.*.E"] }', [])).toThrow();
  });

  it('distinguishes identifying integers from positions', () => {
    const found = routed('{ match: m, fields: ["meters.1.E", "meters.2.E"] }', [
      ['m', list([1, 10], [2, 20])],
      ['m', list([2, 21])],
    ]);
    expect(found.samples).toEqual([
      ['m/meters.1.E', 10],
      ['m/meters.2.E', 20],
      ['m/meters.2.E', 21],
    ]);
  });

  it.each([
    ['the first', '[{"E":9},{"meter":"B","E":8}]'],
    ['the last', '[{"meter":"B","E":8},{"E":9}]'],
    ['one by null', '[{"meter":null,"E":9},{"meter":"B","E":8}]'],
    ['one by an empty text', '[{"meter":" ","E":9},{"meter":"B","E":8}]'],
  ])('refuses an element without its identity: %s', (_, meters) => {
    const found = routed('{ match: m }', [
      ['m', list(['A', 1], ['B', 7])],
      ['m', `{"meters":${meters}}`],
    ]);
    expect(found.samples.slice(2)).toEqual([['m/meters.B.E', 8]]);
    expect(found.rejects).toEqual(['no-identity']);
    expect(found.details).toEqual(['an element of meters has no meter']);
  });

  it('names quantities by a member of theirs', () => {
    const payload = '[{"parameter":"pm25","value":8},{"parameter":"pm10","value":9}]';
    expect(routed('{ match: m }', [['m', payload]]).samples).toEqual([
      ['m/pm25.value', 8],
      ['m/pm10.value', 9],
    ]);
  });

  it.each([
    ['device', 'a', 'channel'],
    ['id', 7, 'channel'],
    ['meter', 'main', 'phase'],
    ['mac', 'aa:bb', 'parameter'],
  ])('names elements by %s and another member if only both identify', (key, name, other) => {
    const element = (second: unknown, t: number) => ({ [key]: name, [other]: second, t });
    const [one, two] = other === 'parameter' ? ['temp', 'hum'] : [1, 2];
    const third = { [key]: key === 'id' ? 8 : 'b', [other]: one, t: 30 };
    const messages = [
      ['m', JSON.stringify({ d: [element(one, 10), element(two, 20), third] })],
      ['m', JSON.stringify({ d: [third, element(two, 21), element(one, 11)] })],
    ] as const;
    const last = `${key === 'id' ? 8 : 'b'}-${one}`;
    const expected = [
      [`m/d.${name}-${one}.t`, 10],
      [`m/d.${name}-${two}.t`, 20],
      [`m/d.${last}.t`, 30],
      [`m/d.${last}.t`, 30],
      [`m/d.${name}-${two}.t`, 21],
      [`m/d.${name}-${one}.t`, 11],
    ];
    const found = routed('{ match: m }', messages);
    expect(found.rejects).toEqual([]);
    expect(found.samples).toEqual(expected);
    const named = routed(`{ match: m, fields: ["d.${name}-${two}.t", "d.0.t"] }`, messages);
    expect(named.samples).toEqual([
      [`m/d.${name}-${two}.t`, 20],
      ['m/d.0.t', 10],
      [`m/d.${name}-${two}.t`, 21],
      ['m/d.0.t', 30],
    ]);
  });

  it('finds an element by its pair in a list without some of the elements', () => {
    const found = routed('{ match: m, fields: ["d.a-1.t"] }', [
      ['m', '{"d":[{"dev":"b","channel":2,"t":3},{"dev":"a","channel":1,"t":1}]}'],
      ['m', '{"d":[{"dev":"b","channel":1,"t":4}]}'],
      ['m', '{"d":[{"dev":"a","channel":1,"t":2}]}'],
    ]);
    expect(found.samples).toEqual([
      ['m/d.a-1.t', 1],
      ['m/d.a-1.t', 2],
    ]);
  });

  it('does not name elements by pairs with a reading', () => {
    const payload = '{"d":[{"name":"valve","position":20},{"name":"valve","position":20,"meter":"1.5"}]}';
    expect(routed('{ match: m }', [['m', payload]]).samples).toEqual([
      ['m/d.0.position', 20],
      ['m/d.1.position', 20],
    ]);
  });

  it.each([
    ['[{"kitchen":20},{"bath":10}]', '[{"bath":11}]', ['kitchen', 'bath']],
    [
      '{"d":[{"kitchen":{"t":20}},{"bath":{"t":10}}]}',
      '{"d":[{"bath":{"t":11}}]}',
      ['d.kitchen.t', 'd.bath.t'],
    ],
    ['{"d":[["kitchen",20,"°C"],["bath",10,"°C"]]}', '{"d":[["bath",11,"°C"]]}', ['d.kitchen', 'd.bath']],
  ])('names the elements of %s by their own key or first cell', (both, one, names) => {
    const fields = JSON.stringify(names);
    const found = routed(`{ match: a }, { match: b, fields: ${fields} }`, [
      ['a', both],
      ['b', both],
      ['b', one],
    ]);
    expect(found.samples).toEqual([
      [`a/${names[0]}`, 20],
      [`a/${names[1]}`, 10],
      [`b/${names[0]}`, 20],
      [`b/${names[1]}`, 10],
      [`b/${names[1]}`, 11],
    ]);
    expect(found.rejects).toEqual([]);
  });

  it.each([
    ['numbers in several cells', '{"d":[["A",20,50],["B",21,51]]}', ['d.0.1', 'd.0.2', 'd.1.1', 'd.1.2']],
    ['a state before the number', '{"d":[["A","ok",20],["B","ok",50]]}', ['d.0.2', 'd.1.2']],
    ['a switch after the number', '{"d":[["A",20,"on"]]}', ['d.0.1', 'd.0.2']],
    ['a time of day', '{"d":[["20:11",5],["20:12",6]]}', ['d.0.1', 'd.1.1']],
    ['a time of day with letters', '{"d":[["1:44 PM",20]]}', ['d.0.1']],
    [
      'times in rows of two lengths',
      '{"d":[["2026-11-29T01:44:00Z",20],["2026-11-29T01:45:00Z",21,"flag"]]}',
      ['d.0.1', 'd.1.1'],
    ],
    ['the id of a record', '{"d":[["0b4e4b4e-6f0e-4d6c-8f7a-1f1f1f1f1f1f",20]]}', ['d.0.1']],
    ['a hardware address', '{"d":[["00:15:8d:00:01:a2",20]]}', ['d.00:15:8d:00:01:a2']],
    ['an address', '{"d":[["2801",5]]}', ['d.0.1']],
    ['one key alone', '{"d":[{"E":5}]}', ['d.0.E']],
    ['a name', '{"d":[["A",20]]}', ['d.A']],
    ['a name and a unit', '{"d":[["A",20,"W/m2"],["B",50,null]]}', ['d.A', 'd.B']],
    [
      'the index of the channel and a reading',
      '{"ai":[{"aiIndex":1,"ai":5},{"aiIndex":2,"ai":6}]}',
      ['ai.1.ai', 'ai.2.ai'],
    ],
    [
      'the id of the channel and a reading',
      '{"relays":[{"relay":1,"relay_id":7},{"relay":0,"relay_id":8}]}',
      ['relays.7.relay', 'relays.8.relay'],
    ],
    ['a number and a name', '{"tanks":[{"tank":1,"tankName":"Rain","t":5}]}', ['tanks.1.t']],
    ['an identifier and an id', '{"pumps":[{"pump":"A","pumpId":7,"t":5}]}', ['pumps.A.pumpId', 'pumps.A.t']],
  ])('reads elements with %s under one name, whatever they contain', (_, payload, names) => {
    const { samples, rejects } = routed('{ match: m }', [['m', payload]]);
    expect(samples.map(([stream]) => String(stream).slice(2))).toEqual(names);
    expect(rejects).toEqual([]);
  });

  it('takes no reading for an identifier, although the list has its name', () => {
    const message = (value: unknown) =>
      JSON.stringify({
        values: [{ value, n: 1 }],
        temperatures: [{ temperature: value }, { temperature: 7 }],
      });
    const found = routed('{ match: m, numeric_strings: true }', [
      ['m', message(20)],
      ['m', message('21 °C')],
    ]);
    expect(new Set(found.samples.map(([stream]) => stream))).toEqual(
      new Set([
        'm/values.0.value',
        'm/values.0.n',
        'm/temperatures.0.temperature',
        'm/temperatures.1.temperature',
      ]),
    );
    // a text or the number of a part still identifies
    expect(
      routed('{ match: m }', [['m', '{"readings":[{"reading":"t","v":1}],"cells":[{"cell":2,"v":3}]}']])
        .samples,
    ).toEqual([
      ['m/readings.t.v', 1],
      ['m/cells.2.v', 3],
    ]);
  });

  it('uses positions if no member identifies', () => {
    expect(
      routed('{ match: m }', [['m', '{"a":[5,6],"b":[{"unit":"V","v":1},{"unit":"V","v":2}]}']]).samples,
    ).toEqual([
      ['m/a.0', 5],
      ['m/a.1', 6],
      ['m/b.0.v', 1],
      ['m/b.1.v', 2],
    ]);
  });
});

describe('several objects in one payload', () => {
  const two = (between: string) => `{"time":1795953600,"t":1}${between}{"time":1795953660,"t":2}`;

  it.each(['\n', '\r\n', '', ' ', '\n\n', ',\n'])('are read like separate messages: %j', (between) => {
    for (const rule of ['{ match: t, time: time }', '{ match: t, time: time, fields: [t] }']) {
      const found = routed(rule, [['t', `${two(between)}\n`]]);
      expect(found.rejects).toEqual([]);
      expect(found.times).toEqual([
        ['t/t', 1_795_953_600_000],
        ['t/t', 1_795_953_660_000],
      ]);
    }
  });

  it('have their own devices and fields', () => {
    const found = routed('{ match: t, name: "{/mac}/{field}" }', [
      ['t', '{"mac":"aa","t":1,"s":"}{"}\n{"mac":"bb","h":{"x":2}}\n{"mac":"aa","t":3}'],
    ]);
    expect(found.rejects).toEqual([]);
    expect(found.samples).toEqual([
      ['aa/t', 1],
      ['bb/h.x', 2],
      ['aa/t', 3],
    ]);
  });

  it.each([
    ['a truncated last one', '{"t":1}\n{"t":2}\n{"t":2', [1, 2]],
    ['one that is broken inside', '{"t":1}{"x":[{"b":1} {"t":2} {"t":3}]}', [1]],
    ['a truncated first one', '{"d":[{"t":1}\n{"t":2}', []],
    ['one that is no object', '{"t":1}\n5', [1]],
  ])('are read up to %s', (_, payload, values) => {
    const found = routed('{ match: t, fields: [t] }', [['t', payload]]);
    expect(found.samples.map(([, value]) => value)).toEqual(values);
    expect(found.rejects).toEqual(['bad-json']);
  });

  it.each(['{"t":2', '{"t":1}\n{"t":2'])(
    'are not lost in silence on a topic that looks like one of an agent: %j',
    (payload) => {
      expect(routed('{ match: plant/kitchen/status }', [['plant/kitchen/status', payload]]).rejects).toEqual([
        'bad-json',
      ]);
    },
  );

  it('are one reject for a format that has no such payloads', () => {
    expect(routed('{ match: t, payload: senml }', [['t', two('\n')]]).rejects).toEqual(['bad-json']);
  });
});

describe('what is nearly JSON', () => {
  it.each([
    ['{"t":nan,"h":40}', { h: 40 }, ['not-finite']],
    ['{"t":-inf,"h":40}', { h: 40 }, ['not-finite']],
    ['{"t":Infinity,"h":40}', { h: 40 }, ['not-finite']],
    ["{'t':21.5,'h':'x'}", { t: 21.5 }, []],
    ['{"t":21.5,"h":40,}', { t: 21.5, h: 40 }, []],
    ['{"t":21.5,"h":40}\0', { t: 21.5, h: 40 }, []],
    ['{"t":21.5,"h":40},', { t: 21.5, h: 40 }, []],
    ['{"t":21.5,,"h":40}', { t: 21.5, h: 40 }, []],
    ['{"t":21.5 "h":40}', { t: 21.5, h: 40 }, []],
    ['{"t":21.5;"h":40}', { t: 21.5, h: 40 }, []],
    ['{"n":"a" "h":40}', { h: 40 }, []],
    ['{"t":21;5,"h":40}', { h: 40 }, ['bad-json']],
    ['{"t":-nan(ind),"h":40}', { h: 40 }, ['not-finite']],
    ['\0\0{"t":21.5}\0', { t: 21.5 }, []],
    ['{"t":,"h":40}', { h: 40 }, []],
    ['{"t":12.3.4,"h":40}', { h: 40 }, ['bad-json']],
    ['{"t":21,5,"h":40}', { h: 40 }, ['bad-json']],
    ['{"t":--,"h":{"x":1}}', { 'h.x': 1 }, ['bad-json']],
    ['{t:21.5,h:None,ok:True}', { t: 21.5, ok: 1 }, []],
    ['{"a":[1,nan,3]}', { 'a.0': 1, 'a.2': 3 }, ['not-finite']],
    ['{"t":007,"h":+5}', { t: 7, h: 5 }, []],
    ['{"t":21.5,"h":4', {}, ['bad-json']],
    ['{"t":21.5', {}, ['bad-json']],
    ['{"t":21.5}}', {}, ['bad-json']],
    ['{"t":21.5 /* °C */, // "x":1\n "h":40}', { t: 21.5, h: 40 }, []],
    ['{"t":21.5,"u":"a//b /* c"}//', { t: 21.5 }, []],
    ['{"t":21.5} // x', { t: 21.5 }, []],
    ['{"t":21.5}; // x', { t: 21.5 }, []],
    ['{"t":21.5} /* x', { t: 21.5 }, []],
    ['{"t":21.5}; // x\n{"t":22}', {}, ['bad-json']],
    ['{"t":21.5} /* x */ {"t":22}', {}, ['bad-json']],
    ['{"t":see //x y,"h":40}', { h: 40 }, ['bad-json']],
    ['{"t":21.5 // x,"h":40}', { h: 40 }, ['bad-json']],
    ['{"t": //x/y,"h":40}', { h: 40 }, ['bad-json']],
    ['{"a":[1 // x,2]}', { 'a.1': 2 }, ['bad-json']],
    ['{"t":21.5 // x\n,"h":40}', { t: 21.5, h: 40 }, []],
    ['{"t":21.5 /* }', {}, ['bad-json']],
    ['\u0001\u0002{"t":21.5}\u0003', { t: 21.5 }, []],
    ['{"t":21.5 C,"h":40}', { h: 40 }, ['bad-json']],
  ])('reads %j', (payload, expected, reasons) => {
    const found = routed('{ match: s }', [['s', payload]]);
    expect(
      Object.fromEntries(found.samples.map(([stream, value]) => [String(stream).slice(2), value])),
    ).toEqual(expected);
    expect(found.rejects).toEqual(reasons);
  });

  it('refuses one of several named fields', () => {
    const found = routed('{ match: s, fields: [t, h] }', [['s', '{"t":nan,"h":40}']]);
    expect(found.samples).toEqual([['s/h', 40]]);
    expect(found.rejects).toEqual(['not-finite']);
  });

  it('shows invisible characters', () => {
    const { details } = routed('{ match: s }', [['s', 'on\u200b\0x\u00a0\u001b[31m\r\n']]);
    expect(details).toEqual(['on\\u200b\\0x\\xa0\\x1b[31m\\r\\n']);
  });

  it('reads numbers with a trailing NUL, comma or semicolon, and in quotes', () => {
    expect(
      routed('{ match: s }', [
        ['s', '21.5\0'],
        ['s', '21.5,'],
        ['s', '7;'],
        ['s', '"8"'],
      ]).samples,
    ).toEqual([
      ['s', 21.5],
      ['s', 21.5],
      ['s', 7],
      ['s', 8],
    ]);
  });

  it('stays fast and bounded on hostile text', () => {
    for (const text of [
      `{"a":1${',"'.repeat(80_000)}`,
      `{${"'a':nan,".repeat(20_000)}`,
      `[${'/* ,'.repeat(20_000)}]`,
      `${'['.repeat(20)}${"'".repeat(200_000)}`,
      `{"a":x${",'b".repeat(60_000)}}`,
    ]) {
      expect(computed(() => routed('{ match: s }', [['s', text]])).ms).toBeLessThan(1000);
    }
    const list = `[${Array.from({ length: 4000 }, (_, at) => `{"a${at}":${at === 0 ? '1,"ts":1795950000' : at}}`).join()}]`;
    for (const rule of ['{ match: s, name: "{/id}/{field}" }', '{ match: s, time: ts }'])
      expect(computed(() => routed(rule, [['s', list]])).ms).toBeLessThan(1000);
    for (const key of ['k', '_timestamp']) {
      const members = Array.from({ length: 4000 }, (_, at) => `"${at}${key}":"2026-13-01"`).join();
      const object = `{"v":1,${members}}`;
      const spent = computed(() => {
        routed('{ match: s }', [['s', `[${object}]`]]);
        routed('{ match: s, fields: [w] }', [['s', `{"a":${object}}`]]);
        new PayloadShape().add(JSON.parse(object), 0, true);
      });
      expect(spent.ms).toBeLessThan(1000);
    }
    const spelt = (n: number) =>
      [...'serialnumber'].map((c, bit) => ((n >> bit) & 1 ? c.toUpperCase() : c)).join('');
    const members = Array.from({ length: 4000 }, (_, n) => `"${spelt(n)}":"x"`).join();
    const twice = Array(2).fill(`{"date":"2026-11-29","v":1,${members}}`).join();
    for (const rule of ['{ match: s, fields: [v] }', '{ match: s }'])
      expect(computed(() => routed(rule, [['s', `[${twice}]`]])).ms).toBeLessThan(1000);
    // each row has very many members, and many that may identify it; many lists of times beside many members
    const spellings = Array.from({ length: 32 }, (_, n) => `"${spelt(n)}":"x"`).join();
    const numbers = (count: number) => Array.from({ length: count }, (_, n) => `"n${n}":1`).join();
    const row = `{"date":"2026-11-29",${spellings},${numbers(12_000)}}`;
    const lists = Array.from({ length: 330 }, (_, n) => `"a${n}_timestamp":[${NOW}${',0'.repeat(n + 2)}]`);
    const spent = (text: string) => computed(() => routed('{ match: s }', [['s', text]])).ms;
    const plain = Math.max(spent(`{${numbers(24_000)}}`), 10);
    expect(spent(`{"d":[${row},${row}]}`) / plain).toBeLessThan(8);
    expect(spent(`{${lists.join()},${numbers(12_000)}}`) / plain).toBeLessThan(8);
  });
});

describe('numbers in texts', () => {
  const read = (value: string, more = '') =>
    routed(`{ match: s, numeric_strings: true${more} }`, [['s', JSON.stringify({ v: value })]]).samples.map(
      ([, v]) => v,
    );

  it.each([
    ['21.5', 21.5],
    ['21.5 °C', 21.5],
    ['\u22125.5', -5.5],
    ['1013hPa', 1013],
    ['230 V', 230],
    ['0012.50', 12.5],
    ['001234.567*kWh', 1234.567],
    ['5 kWh/m²', 5],
  ])('takes %j', (text, value) => expect(read(text)).toEqual([value]));

  it.each([
    '0C0FFA6D3C254F2D',
    '00158d0001a2b3c4',
    '2nd stage',
    '158d0001',
    '12e45678',
    '00158e12',
    '3 rooms',
    '1.2.3',
    '192.168.1.5',
    '12:30',
    '2026-11-29',
    '1234567890123456789',
    '0012A',
    '5x',
    '7 of 9',
  ])('does not take %j', (text) => expect(read(text)).toEqual([]));

  it('accepts the unit of the rule, whatever it is', () => {
    expect(read('3 rooms', ', unit: rooms')).toEqual([3]);
  });

  it('reads a decimal comma if the rule sets it', () => {
    expect(read('21,5')).toEqual([]);
    expect(
      ['21,5', '21,5 °C', '-0,25', '1.234,5', '1 234,5', '40', '21.5', ',5'].flatMap((text) =>
        read(text, ', decimal_comma: true'),
      ),
    ).toEqual([21.5, 21.5, -0.25, 1234.5, 1234.5, 40, 21.5, 0.5]);
    expect(['1.234', '1,2,3', '1,5,'].flatMap((text) => read(text, ', decimal_comma: true'))).toEqual([]);
    expect(routed('{ match: s, decimal_comma: true }', [['s', '21,5']]).samples).toEqual([['s', 21.5]]);
  });

  it('reads a unit whose bytes are not UTF-8', () => {
    const latin = Buffer.concat([Buffer.from('21.5 '), Buffer.from([0xb0]), Buffer.from('C')]);
    const { router } = routed('{ match: s, numeric_strings: true }', []);
    const units = (payload: Uint8Array, from: ReturnType<typeof routed>['router']) => {
      const { discovered, rejects } = from.message('s', payload, NOW);
      expect(rejects).toEqual([]);
      return discovered.map(({ spec }) => spec.unit);
    };
    expect(units(latin, router)).toEqual(['°C']);
    const mixed = Buffer.concat([
      Buffer.from('{"v":"5 µg/m³","w":"7 '),
      Buffer.from([0xb0]),
      Buffer.from('C"}'),
    ]);
    const other = routed('{ match: s, numeric_strings: true }', []).router;
    expect(units(mixed, other)).toEqual(['µg/m³', '°C']);
  });
});

describe('times without a zone', () => {
  const noon = at('2026-11-29T12:00:00Z');
  const time = (sent: string | number, zone = '') =>
    routed(`{ match: s, fields: [v], time: at${zone} }`, [
      ['s', JSON.stringify({ v: 1, at: sent })],
    ]).times.map(([, ms]) => ms);

  it.each([
    ['20261129120000', noon],
    [20_261_129_120_000, noon],
    ['202611291200', noon],
    ['29.11.2026 12:00:00', noon],
    ['29.11.2026 12:00', noon],
    ['2026/11/29 12:00:00', noon],
    ['2026/11/29T12:00:00Z', noon],
    ['261129130000W', noon],
    ['260729140000S', at('2026-07-29T12:00:00Z')],
  ])('reads %j', (sent, expected) => expect(time(sent)).toEqual([expected]));

  it('reads them in the zone of the payload', () => {
    expect(time('2026-11-29T13:00:00', ', time_zone: Europe/Berlin')).toEqual([noon]);
    expect(time('20260729140000', ', time_zone: Europe/Berlin')).toEqual([at('2026-07-29T12:00:00Z')]);
    expect(time('2026-11-29 06:30', ', time_zone: "-05:30"')).toEqual([noon]);
    // An offset of its own counts.
    expect(time('2026-11-29T12:00:00Z', ', time_zone: Europe/Berlin')).toEqual([noon]);
  });

  it('uses the nearer of the two instants in the repeated hour', () => {
    const rule = '{ match: s, fields: [v], time: at, time_zone: Europe/Berlin }';
    const { router } = routed(rule, []);
    const payload = Buffer.from('{"v":1,"at":"2026-10-25T02:30:00"}');
    for (const utc of ['2026-10-25T00:30:00Z', '2026-10-25T01:30:00Z'])
      expect(router.message('s', payload, at(utc) + 1000).samples[0]?.timeMs).toBe(at(utc));
  });

  it.each(['03/04/2020 12:00', '32.11.2026 12:00', '2026/13/01 00:00', '20261329120000', '291126T12'])(
    'refuses %j',
    (sent) => expect(time(sent)).toEqual([]),
  );

  it('refuses a zone that does not exist', () => {
    expect(() => routed('{ match: s, time_zone: Mars/Base }', [])).toThrow(/1 problem/);
  });
});
