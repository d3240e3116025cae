import { describe, expect, it } from 'vitest';
import { createDecoder } from '../../src/ingest/decoders/index.ts';
import { sniff } from '../../src/ingest/sniff.ts';
import { ARRIVAL, decode, reasons, values } from './decode.ts';
import { settings } from './rules.ts';

describe('the SenML decoder (RFC 8428)', () => {
  const senml = createDecoder('senml', settings(null));

  it('applies base fields to the following records', () => {
    const pack = `[
      {"bn":"urn:dev:ow:10e2073a01080063:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},
      {"n":"current","t":-5,"v":1.2},
      {"n":"on","vb":true},
      {"n":"label","vs":"x"},
      {"n":"energy","bs":100,"s":5},
      {"bn":"urn:dev:b:","bv":20,"n":"temp","v":1.5,"t":1}
    ]`;
    const base = 1_276_020_076_001;
    expect(decode(senml, pack)).toEqual({
      readings: [
        { field: 'urn:dev:ow:10e2073a01080063:voltage', value: 120.1, timeMs: base, unit: 'V' },
        { field: 'urn:dev:ow:10e2073a01080063:current', value: 1.2, timeMs: base - 5000, unit: 'A' },
        { field: 'urn:dev:ow:10e2073a01080063:on', value: 1, timeMs: base, unit: 'A' },
        { field: 'urn:dev:ow:10e2073a01080063:energy', value: 105, timeMs: base, unit: 'A' },
        { field: 'urn:dev:b:temp', value: 21.5, timeMs: base + 1000, unit: 'A' },
      ],
      rejects: [],
      requests: [],
    });
  });

  it('treats small times as relative to now, and a missing time as now', () => {
    const found = decode(senml, '[{"n":"a","v":1,"t":-60},{"n":"b","v":1}]');
    expect(found.readings.map(({ timeMs }) => timeMs)).toEqual([ARRIVAL - 60_000, null]);
  });

  it('reads an object of a draft, as LwM2M 1.0 sends it', () => {
    const object =
      '{"bn":"/3303/0/","bt":1276020076,"e":[{"n":"5700","t":-60,"v":20.5},{"n":"5850","bv":true},{"n":"5701","sv":"Cel"}]}';
    const at = 1_276_020_076_000;
    const found = decode(senml, object);
    expect(found.rejects).toEqual([]);
    expect(found.readings).toEqual([
      { field: '3303/0/5700', value: 20.5, timeMs: at - 60_000, unit: null },
      { field: '3303/0/5850', value: 1, timeMs: at, unit: null },
    ]);
    expect(values(decode(createDecoder('senml', settings(['5700'])), object))).toEqual({
      '3303/0/5700': 20.5,
    });
    expect(sniff('t', Buffer.from(object))?.kind).toBe('senml');
    // also without base fields; `e` alone may be anything
    expect(values(decode(senml, '{"e":[{"n":"t","v":2}]}'))).toEqual({ t: 2 });
    expect(values(decode(senml, '{"ver":1,"n":"x","v":3,"e":[{"n":"t","v":2}]}'))).toEqual({ t: 2 });
    expect(sniff('t', Buffer.from('{"e":[1,2]}'))?.kind).toBe('json');
  });

  it('selects records by their resolved or their local name', () => {
    const pack = '[{"bn":"dev1:","n":"t","v":1},{"n":"h","v":2},{"n":"p","v":3}]';
    const found = decode(createDecoder('senml', settings(['t', 'dev1:h'])), pack);
    expect(values(found)).toEqual({ 'dev1:t': 1, 'dev1:h': 2 });
    expect(reasons(decode(createDecoder('senml', settings(['x'])), pack))).toEqual(['missing-field']);
  });

  it.each([
    ['{"n":"a","v":1}', 'bad-payload'],
    ['[1]', 'bad-payload'],
    ['[]', 'empty'],
    ['[{"v":1}]', 'bad-payload'],
    ['[{"n":"-a","v":1}]', 'bad-payload'],
    ['[{"n":"a+b/#","v":1}]', 'bad-payload'],
    ['[{"n":"a","v":"1"}]', 'wrong-type'],
    ['[{"n":"a","v":1e400}]', 'not-finite'],
    ['[{"n":"a","v":1,"t":"now"}]', 'bad-time'],
    ['[{"n":"a","v":1,"t":1e300}]', 'bad-time'],
    ['[{"n":"a","v":1,"must_":1}]', 'bad-payload'],
    ['[{"bver":11,"n":"a","v":1}]', 'bad-payload'],
    ['[{"bt":"x","n":"a","v":1}]', 'bad-payload'],
    ['{"ver":99,"e":[{"n":"a","v":1}]}', 'bad-payload'],
    ['{"must_":1,"e":[{"n":"a","v":1}]}', 'bad-payload'],
    ['[{"n":"a","vs":"x"}]', 'no-number'],
  ])('rejects %s as %s', (payload, reason) => expect(reasons(decode(senml, payload))).toEqual([reason]));
});

describe('the line protocol decoder', () => {
  const influx = createDecoder('influx', settings(null));

  it('reads points with tags, kinds of values, and times in any precision', () => {
    const text = [
      '# a comment',
      'weather,location=us-midwest,season=summer temperature=82,humidity=71i,ok=t,n=3u,note="a, b=c \\"q\\"" 1465839830100400200',
      '',
      'cpu value=0.5 1465839830',
      'cpu,host=b value=-1e-3',
    ].join('\n');
    const time = 1_465_839_830_100;
    expect(decode(influx, text)).toEqual({
      readings: [
        { field: 'weather/us-midwest/summer/temperature', value: 82, timeMs: time, unit: null },
        { field: 'weather/us-midwest/summer/humidity', value: 71, timeMs: time, unit: null },
        { field: 'weather/us-midwest/summer/ok', value: 1, timeMs: time, unit: null },
        { field: 'weather/us-midwest/summer/n', value: 3, timeMs: time, unit: null },
        { field: 'cpu/value', value: 0.5, timeMs: time - 100, unit: null },
        { field: 'cpu/b/value', value: -0.001, timeMs: null, unit: null },
      ],
      rejects: [],
      requests: [],
    });
  });

  it('honours escapes, and line breaks inside texts', () => {
    const found = decode(influx, 'my\\ room,name=a\\,b\\=c temp\\ in=1,note="x\ny",out=2');
    expect(values(found)).toEqual({ 'my room/a,b=c/temp in': 1, 'my room/a,b=c/out': 2 });
  });

  it('selects fields of any measurement or of one', () => {
    const text = 'cpu,h=a usage=1,idle=2\nmem usage=3';
    expect(values(decode(createDecoder('influx', settings(['usage'])), text))).toEqual({
      'cpu/a/usage': 1,
      'mem/usage': 3,
    });
    const one = createDecoder('influx', settings(['mem/usage']));
    expect(values(decode(one, text))).toEqual({ 'mem/usage': 3 });
    expect([one.selects('mem/usage'), one.selects('mem/x/usage'), one.selects('cpu/usage')]).toEqual([
      true,
      true,
      false,
    ]);
  });

  it.each([
    ['', 'empty'],
    ['# only a comment', 'empty'],
    ['cpu', 'bad-payload'],
    ['cpu value', 'bad-payload'],
    [' ,a=b value=1', 'bad-payload'],
    ['cpu,a= value=1', 'bad-payload'],
    ['cpu value="open', 'bad-payload'],
    ['cpu value=abc', 'bad-number'],
    ['cpu value=1e999', 'not-finite'],
    ['cpu value=NaN', 'not-finite'],
    ['cpu value=1 yesterday', 'bad-time'],
    ['cpu value="text"', 'no-number'],
    ['cpu __proto__=1', 'forbidden-key'],
  ])('rejects %j as %s', (payload, reason) => expect(reasons(decode(influx, payload))).toEqual([reason]));

  it('loses only the line with an unterminated text', () => {
    const found = decode(influx, 'a note="open\nb value=1');
    expect(reasons(found)).toEqual(['bad-payload']);
    expect(values(found)).toEqual({ 'b/value': 1 });
  });
});
