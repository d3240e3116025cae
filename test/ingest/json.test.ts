import { describe, expect, it } from 'vitest';
import { autoDecoder } from '../../src/ingest/decoders/auto.ts';
import { homeAssistantDecoder } from '../../src/ingest/decoders/homeassistant.ts';
import { jsonDecoder } from '../../src/ingest/decoders/json.ts';
import { numberDecoder } from '../../src/ingest/decoders/number.ts';
import { zigbee2mqttDecoder } from '../../src/ingest/decoders/zigbee2mqtt.ts';
import { Router } from '../../src/ingest/router.ts';
import { ARRIVAL, decode, reasons, values } from './decode.ts';
import { rule, settings } from './rules.ts';

const everything = settings(null);

describe('the JSON decoder', () => {
  it('reads every number, and booleans and on/off as 1 and 0, nested and in lists', () => {
    const found = decode(
      jsonDecoder(everything),
      '{"t":21.5,"on":true,"state":"OFF","name":"x","none":null,"energy":{"power":12,"phase":[1,2]}}',
    );
    expect(values(found)).toEqual({
      t: 21.5,
      on: 1,
      state: 0,
      'energy.power': 12,
      'energy.phase.0': 1,
      'energy.phase.1': 2,
    });
    expect(found.rejects).toEqual([]);
  });

  it('selects fields by key, dotted key and JSON Pointer', () => {
    const decoder = jsonDecoder(settings(['t', 'ENERGY.Power', '/ENERGY/Total', '/a~1b/m~0n', 'x.y']));
    const found = decode(
      decoder,
      '{"t":1,"ENERGY":{"Power":2,"Total":3},"a/b":{"m~n":4},"x.y":5,"x":{"y":6},"u":7}',
    );
    expect(found.readings.map(({ value }) => value)).toEqual([1, 2, 3, 4, 5]);
  });

  it('uses the configured time field, or the arrival time if it is absent', () => {
    const decoder = jsonDecoder(settings(['t'], { time: '/meta/at' }));
    const at = '2024-05-17T10:00:00+02:00';
    expect(decode(decoder, `{"t":1,"meta":{"at":"${at}"}}`).readings[0]?.timeMs).toBe(Date.parse(at));
    expect(decode(decoder, '{"t":1}').readings[0]?.timeMs).toBeNull();
    expect(reasons(decode(decoder, '{"t":1,"meta":{"at":"soon"}}'))).toEqual(['bad-time']);
    expect(reasons(decode(decoder, '{"t":1,"meta":{"at":{}}}'))).toEqual(['bad-time']);
  });

  it('does not read times as readings', () => {
    const found = decode(
      jsonDecoder(settings(null, { time: 'when' })),
      '{"when":1715940000,"ts":1715940000,"t":4}',
    );
    expect(values(found)).toEqual({ t: 4 });
    expect(
      values(
        decode(
          jsonDecoder(everything),
          '{"v":2,"sourceTimestamp":1715940000000,"Pump.T1_timestamp":1715940000000}',
        ),
      ),
    ).toEqual({ v: 2 });
    // A field that only shares the name is a reading.
    expect(values(decode(jsonDecoder(everything), '{"t":21,"time":7}'))).toEqual({ t: 21, time: 7 });
  });

  it('reads numbers in quotes only if configured', () => {
    const payload = '{"t":"21.5 °C","h":"40"}';
    expect(reasons(decode(jsonDecoder(settings(['t', 'h'])), payload))).toEqual(['wrong-type', 'wrong-type']);
    expect(reasons(decode(jsonDecoder(everything), payload))).toEqual(['no-number']);
    const found = decode(jsonDecoder(settings(['t', 'h'], { numericStrings: true })), payload);
    expect(found.readings.map(({ value, unit }) => [value, unit])).toEqual([
      [21.5, '°C'],
      [40, null],
    ]);
  });

  it.each([
    ['{"t":', 'bad-json'],
    ['{"t":NaN}', 'not-finite'],
    ['{"t":21.', 'bad-json'],
    ['   ', 'empty'],
    ['{"t":1e400}', 'not-finite'],
    ['{"t":"hot"}', 'wrong-type'],
    ['{"t":[1]}', 'wrong-type'],
    ['{"t":{}}', 'wrong-type'],
    ['{"u":1}', 'missing-field'],
    ['{"t":null}', 'missing-field'],
    ['[]', 'missing-field'],
    ['"text"', 'missing-field'],
    ['null', 'missing-field'],
  ])('rejects %s as %s', (payload, reason) => {
    expect(reasons(decode(jsonDecoder(settings(['t'])), payload))).toEqual([reason]);
  });

  it('rejects a million lists or objects within each other as too-deep', () => {
    const lists = `{"t":${'['.repeat(1_000_000)}`;
    const objects = `${'{"a":'.repeat(1_000_000)}1${'}'.repeat(1_000_000)}`;
    for (const payload of [lists, objects])
      expect(reasons(decode(jsonDecoder(settings(['t'])), payload))).toEqual(['too-deep']);
  });

  it('does not count brackets in strings as depth, and honours escapes', () => {
    const payload = JSON.stringify({ s: `\\"${'['.repeat(200)}\\`, t: 1 });
    expect(values(decode(jsonDecoder(settings(['t'])), payload))).toEqual({ t: 1 });
    expect(reasons(decode(jsonDecoder(settings(['t'])), '[[[[[[[1]]]]]]]', 'x', 6))).toEqual(['too-deep']);
    expect(values(decode(jsonDecoder(settings(null)), '[[[[[[1]]]]]]', 'x', 6))).toEqual({
      '0.0.0.0.0.0': 1,
    });
  });

  it('never reads or creates prototypes', () => {
    const payload = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"t":2}';
    const found = decode(jsonDecoder(everything), payload);
    expect(values(found)).toEqual({ t: 2 });
    expect(reasons(found)).toEqual(['forbidden-key', 'forbidden-key']);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect(reasons(decode(jsonDecoder(settings(['length', 'toString', 'constructor.name'])), '{}'))).toEqual([
      'missing-field',
    ]);
  });
});

describe('the number decoder', () => {
  it('reads numbers and on/off, and units if configured', () => {
    expect(values(decode(numberDecoder(everything), ' 21.5\n'))).toEqual({ '': 21.5 });
    expect(values(decode(numberDecoder(everything), 'ON'))).toEqual({ '': 1 });
    expect(reasons(decode(numberDecoder(everything), '21.5 °C'))).toEqual(['bad-number']);
    expect(decode(numberDecoder(settings(null, { numericStrings: true })), '21.5 °C').readings).toEqual([
      { field: '', value: 21.5, timeMs: null, unit: '°C' },
    ]);
  });

  it.each([
    ['', 'empty'],
    ['  ', 'empty'],
    ['abc', 'bad-number'],
    ['temp=21,5;hum=40,2', 'bad-number'],
    ['1e400', 'not-finite'],
    ['NaN', 'not-finite'],
    ['1'.repeat(5_000_000), 'bad-number'],
  ])('rejects %.20j as %s', (payload, reason) => {
    expect(reasons(decode(numberDecoder(everything), payload))).toEqual([reason]);
  });
});

describe('the automatic decoder', () => {
  it('reads JSON if it starts like JSON, otherwise a number', () => {
    const decoder = autoDecoder(everything);
    expect(values(decode(decoder, '\ufeff {"a":1}'))).toEqual({ a: 1 });
    expect(values(decode(decoder, '7'))).toEqual({ '': 7 });
    expect(values(decode(decoder, 'off'))).toEqual({ '': 0 });
    expect(reasons(decode(decoder, '{'))).toEqual(['bad-json']);
  });
});

describe('the Zigbee2MQTT decoder', () => {
  const decoder = zigbee2mqttDecoder(everything);
  const payload =
    '{"battery":100,"contact":false,"last_seen":"2024-05-17T13:30:00+02:00","linkquality":87,"temperature":19.4,"update":{"installed_version":1,"state":"idle"},"update_available":false}';

  it('reads the state of a device at the time it was seen', () => {
    const found = decode(decoder, payload, 'zigbee2mqtt/cellar');
    expect(values(found)).toEqual({ battery: 100, contact: 0, linkquality: 87, temperature: 19.4 });
    expect(found.readings.every(({ timeMs }) => timeMs === Date.UTC(2024, 4, 17, 11, 30))).toBe(true);
    const epoch = decode(decoder, `{"temperature":1,"last_seen":${ARRIVAL}}`, 'zigbee2mqtt/cellar');
    expect(epoch.readings).toEqual([{ field: 'temperature', value: 1, timeMs: ARRIVAL, unit: null }]);
  });

  it.each([
    'zigbee2mqtt/bridge/info',
    'zigbee2mqtt/cellar/availability',
    'zigbee2mqtt/cellar/set',
    'zigbee2mqtt/cellar/get/x',
  ])('passes over %s', (topic) => {
    expect(decode(decoder, '{"x":1}', topic)).toEqual({ readings: [], rejects: [], requests: [] });
  });
});

describe('the Home Assistant decoder', () => {
  const decoder = homeAssistantDecoder(everything);
  it('reads the state of an entity only', () => {
    const topic = 'homeassistant/sensor/cellar/state';
    expect(values(decode(decoder, '19.4', topic))).toEqual({ '': 19.4 });
    expect(values(decode(decoder, 'not_home', topic))).toEqual({ '': 0 });
    expect(reasons(decode(decoder, 'unavailable', topic))).toEqual(['unavailable']);
    expect(reasons(decode(decoder, 'sunny', topic))).toEqual(['bad-number']);
    expect(decode(decoder, '"°C"', 'homeassistant/sensor/cellar/unit_of_measurement').rejects).toEqual([]);
  });
});

describe('JSON within JSON', () => {
  const inner = JSON.stringify({ temperature: 4.5, probe: { level: 12 } });
  const read = (payload: string, fields: string[] | null, maxDepth = 32) => {
    const router = new Router([rule('a', 'json', { decoder: settings(fields) })], {
      limits: { maxJsonDepth: maxDepth },
    });
    const { samples, rejects } = router.message('a', Buffer.from(payload), Date.UTC(2025, 0, 1));
    return [samples.map(({ stream, value }) => [stream, value]), rejects.map(({ reason }) => reason)];
  };

  it('a member that is an object as text is read as that object', () => {
    const payload = JSON.stringify({ devEUI: 'x', objectJSON: inner });
    expect(read(payload, ['objectJSON.temperature', '/objectJSON/probe/level'])).toEqual([
      [
        ['a/objectJSON.temperature', 4.5],
        ['a/objectJSON.probe.level', 12],
      ],
      [],
    ]);
    expect(read(payload, null)[0]).toHaveLength(2);
  });

  it('so is a payload that was encoded twice', () => {
    expect(read(JSON.stringify(inner), ['temperature'])).toEqual([[['a/temperature', 4.5]], []]);
  });

  it('a text that only looks like it stays a text', () => {
    for (const text of ['{', '{}x', '{"a":', '[1]', '{a}'])
      expect(read(JSON.stringify({ t: text, n: 1 }), ['n'])).toEqual([[['a/n', 1]], []]);
  });

  it('limits and forbidden keys apply inside', () => {
    const deep = `${'{"a":'.repeat(6)}1${'}'.repeat(6)}`;
    expect(read(JSON.stringify({ t: deep, n: 1 }), null, 5)).toEqual([[['a/n', 1]], []]);
    const poison = `{"o":"{\\"__proto__\\":{\\"x\\":1},\\"n\\":2}","__proto__":"{\\"y\\":3}"}`;
    const [samples, rejects] = read(poison, null);
    expect(samples).toEqual([['a/o.n', 2]]);
    expect(rejects).toContain('forbidden-key');
    expect(({} as Record<string, unknown>).x ?? ({} as Record<string, unknown>).y).toBeUndefined();
  });
});
