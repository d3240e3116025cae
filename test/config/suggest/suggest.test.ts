import { describe, expect, it } from 'vitest';
import { createRouter, parseConfig } from '../../../src/config/index.ts';
import { suggestConfig } from '../../../src/config/suggest/suggest.ts';
import { Survey } from '../../../src/ingest/survey.ts';
import { sparkplug } from '../../ingest/sparkplug-messages.ts';

const HEAD = { node: 'n', mqtt: { url: 'mqtt://b' } };
type Heard = readonly [topic: string, payload: string | Buffer];

/** Every message five times, ten seconds apart. */
function suggest(messages: readonly Heard[]) {
  const survey = new Survey();
  for (let round = 0; round < 5; round += 1)
    for (const [topic, payload] of messages)
      survey.hear(topic, Buffer.from(payload), 1.7e12 + round * 10_000 + (round % 2) * 300, false);
  const text = suggestConfig(HEAD, survey);
  return {
    text,
    survey,
    streams: (): ReturnType<typeof parseConfig>['streams'] => parseConfig(text).streams,
  };
}

describe('a suggested config', () => {
  it('groups devices to a pattern, and fields by what they measure', () => {
    const device = (t: number) =>
      `{"temperature":${t},"humidity":40,"battery":90,"linkquality":12,"update":{"state":"idle"}}`;
    const { text, streams } = suggest([
      ['zigbee2mqtt/cellar', device(4.5)],
      ['zigbee2mqtt/attic', device(31)],
      ['zigbee2mqtt/lamp', '{"state":"ON","brightness":200}'],
      ['zigbee2mqtt/bridge/state', '{"state":"online"}'],
    ]);
    expect(streams()).toHaveLength(1);
    expect(streams()[0]).toMatchObject({
      match: 'zigbee2mqtt/{device}',
      payload: 'zigbee2mqtt',
      interval: 300_000,
      horizon: 86_400_000,
      fields: [
        { field: 'temperature', unit: '°C', limits: { min: -60, max: 150 } },
        { field: 'humidity', unit: '%', limits: { min: 0, max: 100 } },
        { field: 'battery', unit: '%', limits: { min: 0, max: 100 } },
      ],
    });
    expect(text).toContain('# Zigbee2MQTT, 3 topics\n  # left out: linkquality, state, brightness\n');
  });

  it('keeps topics apart that name different quantities', () => {
    const { streams } = suggest([
      ['home/kitchen/temperature', '21'],
      ['home/bath/temperature', '23'],
      ['home/kitchen/power', '100'],
      ['home/meter/energy_total', '1200.5'],
    ]);
    const found = streams().map(({ match, unit, aggregate }) => [match, unit, aggregate]);
    expect(found).toHaveLength(3);
    expect(found).toContainEqual(['home/meter/energy_total', 'kWh', 'delta']);
    expect(found).toContainEqual(['home/{device}/temperature', '°C', 'mean']);
    expect(found).toContainEqual(['home/kitchen/power', 'W', 'mean']);
  });

  it('takes several first levels for devices', () => {
    const topics = ['a', 'b', 'c', 'd', 'e'].map((name): Heard => [`${name}/temp`, '20']);
    expect(
      suggest(topics)
        .streams()
        .map(({ match }) => match),
    ).toEqual(['{device}/temp']);
  });

  it('finds the other formats', () => {
    const { streams } = suggest([
      ['senml/x', '[{"bn":"dev1:","n":"temperature","u":"Cel","v":20}]'],
      ['tele/cpu', 'cpu,host=a usage=0.5,idle=3i 1715940000000000000'],
      ['text/t', '21.5 °C'],
      ['quoted/t', '{"t":"7"}'],
      ['homeassistant/sensor/x/state', '5'],
      ['spBv1.0/g/NBIRTH/n', sparkplug([{ name: 'Motor/Power', type: 10, double: 5, unit: 'kW' }], 0)],
    ]);
    const byMatch = Object.fromEntries(streams().map((rule) => [rule.match, rule]));
    expect(byMatch['senml/x']).toMatchObject({ payload: 'senml', unit: 'Cel', fields: ['dev1:temperature'] });
    expect(byMatch['tele/cpu']).toMatchObject({ payload: 'influx', fields: ['cpu/usage', 'cpu/idle'] });
    expect(byMatch['text/t']).toMatchObject({ payload: 'number', numeric_strings: true, unit: '°C' });
    expect(byMatch['quoted/t']).toMatchObject({ payload: 'json', numeric_strings: true });
    expect(byMatch['homeassistant/sensor/x/state']).toMatchObject({ payload: 'homeassistant' });
    expect(byMatch['spBv1.0/{group}/+/{node}/#']).toMatchObject({ unit: 'kW', fields: ['Motor/Power'] });
  });

  it('matches the messages it was made from', () => {
    const heard: Heard[] = [
      ['zigbee2mqtt/cellar', '{"temperature":4.5,"nested":{"deep.er":1,"x":[1,2]}}'],
      ['tele/cpu', 'cpu,host=a usage=0.5'],
      ['odd/{brace}/t', '5'],
      ['odd//t', '5'],
      ['senml/x', '[{"bn":"dev1:","n":"t","v":20}]'],
    ];
    const { text } = suggest(heard);
    const router = createRouter(parseConfig(text));
    for (const [topic, payload] of heard) {
      const { samples, rejects } = router.message(topic, Buffer.from(payload), 1.7e12);
      expect([topic, rejects]).toEqual([topic, []]);
      expect(samples.length).toBeGreaterThan(0);
    }
  });

  it('is bounded for any answers of the broker', () => {
    const survey = new Survey();
    for (let at = 0; at < 20_000; at += 1) survey.hear(`t/${at}`, Buffer.from(`{"f${at}":${at}}`), at, false);
    survey.hear('$SYS/load', Buffer.from('1'), 0, false);
    survey.hear('__proto__/constructor', Buffer.from('{"__proto__":{"x":1},"y":2}'), 0, false);
    expect(survey.topics()).toHaveLength(5000);
    expect(parseConfig(suggestConfig(HEAD, survey)).streams.length).toBeGreaterThan(0);
  });
});
