/** What a router takes up, and what it puts off: retained messages, other agents' outputs, costly topics. */
import { describe, expect, it } from 'vitest';
import { createRouter, parseConfig } from '../../src/config/index.ts';
import { computed } from '../support/run-delay.ts';
import { sparkplug } from './sparkplug-messages.ts';

const NOW = Date.UTC(2026, 10, 29, 12);
const router = (streams: string, more = '') =>
  createRouter(parseConfig(`node: n\nmqtt: { url: mqtt://b }\n${more}streams: [${streams}]\n`));
const send = (
  to: ReturnType<typeof router>,
  topic: string,
  payload: string | Buffer,
  retained = false,
  atMs = NOW,
) => to.message(topic, Buffer.from(payload), atMs, retained);

describe('retained messages', () => {
  it('create no stream and do not count towards max_streams', () => {
    const to = router('{ match: "s/{d}" }', 'max_streams: 2\n');
    for (let device = 0; device < 10; device += 1) {
      const { discovered, samples, rejects } = send(to, `s/gone${device}`, '{"t":1}', true);
      expect([discovered, samples, rejects.map(({ reason }) => reason)]).toEqual([[], [], ['only-retained']]);
    }
    expect(send(to, 's/a', '{"t":2}').discovered).toHaveLength(1);
    expect(send(to, 's/b', '{"t":3}').discovered).toHaveLength(1);
    expect(to.stats().streams).toBe(2);
    expect(to.dropped()).toEqual({ 'only-retained': 10 });
  });

  it('with a time stamp wait for the first live reading', () => {
    const to = router('{ match: "s/{d}", time: at, fields: [t] }');
    const at = (ms: number) => `{"t":${ms % 1000},"at":${ms}}`;
    send(to, 's/a', at(NOW - 60_001), true);
    send(to, 's/old', at(NOW - 90_000_000), true);
    expect(send(to, 's/a', at(NOW - 2)).samples).toMatchObject([
      { timeMs: NOW - 60_001 },
      { timeMs: NOW - 2 },
    ]);
    expect(send(to, 's/old', at(NOW - 2)).samples).toMatchObject([{ timeMs: NOW - 2 }]);
    // A stream that is known takes retained ones as before.
    expect(send(to, 's/a', at(NOW - 1), true).samples).toMatchObject([{ timeMs: NOW - 1 }]);
  });

  it('of streams from an earlier run are used', () => {
    const to = router('{ match: "s/{d}" }');
    expect(to.adopt({ topic: 's/a', field: 't' })?.spec.name).toBe('a/t');
    expect(send(to, 's/a', '{"t":1}', true).samples).toHaveLength(1);
  });
});

describe("other agents' outputs", () => {
  const forecast =
    '{"v":1,"stream":"a/t","unit":"W","issued":"x","origin":"y","step_s":60,"seq":1,"p10":[1],"p50":[2]}';
  const all = '{ match: "#" }';

  it.each([
    ['plant/gw1/forecast/a/t', forecast],
    ['plant/gw1/forecast/a/t/at/1h', '21.5'],
    ['forecast/a/t', forecast],
    ['forecast/a/t/at/1h', '21.5'],
    ['ha/sensor/gatecast_gw1_streams/state', '7'],
    ['site/b/gw1/status', '{"state":"online","version":"0.1.0","since":"x","session":"y"}'],
    ['plant/gw1/health', '{"state":"ok","degraded":[],"streams":4,"dropped":{},"rss_mb":70}'],
    [
      'plant/gw1/summary/a/t',
      '{"state":"online","origin":"x","median":{"next":1},"range":{"next":{"p10":0,"p90":2}},"anomaly":"OFF"}',
    ],
    ['plant/gw1/score/a/t', '{"stream":"a/t","by_lead":[{"h":1,"mae":0.4}],"window":100}'],
    ['site2/homeassistant/device/gatecast_plant_gw1/config', '{"qos":1,"cmps":{}}'],
    ['plant/gw1/anomaly/a', '{"time":"x","observed":5,"p50":1,"low":0,"high":2,"score":9}'],
  ])('are recognised by their form: %s', (topic, payload) => {
    const { samples, discovered, rejects } = send(router(all), topic, payload);
    expect([samples, discovered, rejects.map(({ reason }) => reason)]).toEqual([[], [], ['other-agent']]);
  });

  it('reveal all other topics of the agent, and no others', () => {
    const to = router(all);
    send(to, 'plant/gw1/forecast/a/t', forecast);
    expect(send(to, 'plant/gw1/model/base', '{"version":3}').samples).toEqual([]);
    expect(send(to, 'plant/gw1/alert/x', '{"severity":1}').samples).toEqual([]);
    expect(send(to, 'plant/gw1/alerts', '{"count":0,"alerts":[]}').samples).toEqual([]);
    const reasons = ['plant/gw1/alert/x', 'plant/x'].map((topic) => send(to, topic, '').rejects[0]?.reason);
    expect(reasons).toEqual(['other-agent', 'empty']);
    expect(send(to, 'plant/gw2/model/base', '{"version":3}').samples).toHaveLength(1);
    expect(send(to, 'plant/gw1/temperature', '5').samples).toHaveLength(1);
  });

  it('reveal its forecasts where Home Assistant publishes them again', () => {
    const to = router(all);
    const read = (prefix: string) =>
      [
        'sensor/home_forecast_rain_probability',
        'sensor/weather_forecast_in_3h',
        'sensor/solar_forecast_next',
        'binary_sensor/forecast_anomaly',
      ].filter((entity) => send(to, `${prefix}/${entity}/state`, '1').samples.length > 0);
    expect(read('ha')).toHaveLength(4);
    send(to, 'ha/sensor/gatecast_gw1_streams/state', '7');
    expect(read('ha')).toEqual(['sensor/home_forecast_rain_probability']);
    expect(read('other')).toHaveLength(4);
    const named = router(`{ match: ha/sensor/forecast_temp_in_1h/state }, ${all}`);
    send(named, 'ha/sensor/gatecast_gw1_streams/state', '7');
    expect(send(named, 'ha/sensor/forecast_temp_in_1h/state', '1').samples).toHaveLength(1);
  });

  it('are not searched for long in a hostile topic', () => {
    const to = router(all);
    const { ms } = computed(() => {
      for (const topic of ['forecast/'.repeat(7000), `ha/sensor/${'forecast_'.repeat(7000)}/state`])
        for (let count = 0; count < 3; count += 1) send(to, topic, '5');
    });
    expect(ms).toBeLessThan(1000);
  });

  it('are not mistaken for sensors that use the same words', () => {
    const to = router(all);
    expect(send(to, 'home/weather/forecast', '{"temperature":12}').samples).toHaveLength(1);
    expect(send(to, 'zigbee/pump/status', '{"state":"ON","power":7}').samples).toHaveLength(2);
    expect(send(to, 'home/model/3/value', '12').samples).toHaveLength(1);
    for (const other of ['weather_forecast_temperature', 'pv_forecast_power_in_30_minutes'])
      expect(send(to, `ha/sensor/${other}/state`, '12').samples).toHaveLength(1);
    send(to, 'forecast/a/t', forecast);
    expect(send(to, 'status/kitchen', '12').samples).toHaveLength(1);
  });

  it('are not read as Sparkplug metrics, unless a rule names them', () => {
    const sent = sparkplug(
      ['Forecast/a/t/1h/p50', 'Forecast/a/t/anomaly', 'Forecast/rain'].map((name) => ({
        name,
        type: 10,
        double: 5,
      })),
      0,
    );
    const names = (fields: string) =>
      send(
        router(`{ match: "spBv1.0/{g}/+/{n}/#", payload: sparkplug${fields} }`),
        'spBv1.0/g/NBIRTH/n',
        sent,
      ).samples.map(({ stream }) => stream);
    expect(names('')).toEqual(['g/n/Forecast/rain']);
    expect(names(', fields: [Forecast/a/t/1h/p50]')).toEqual(['g/n/Forecast/a/t/1h/p50']);
  });

  it('are read if a rule names them', () => {
    const to = router('{ match: "plant/{gw}/forecast/{s}/at/1h" }');
    expect(send(to, 'plant/gw1/forecast/t/at/1h', '21.5').samples).toMatchObject([{ value: 21.5 }]);
  });
});

describe('the budget of a message and of a topic', () => {
  const emptyMetrics = (count: number) =>
    Buffer.concat(Array.from({ length: count }, () => Buffer.from([0x12, 0])));

  it('refuses a Sparkplug payload of very many metrics before they are decoded', () => {
    const to = router('{ match: "spBv1.0/{g}/+/{n}/#", payload: sparkplug }');
    const { rejects } = send(to, 'spBv1.0/g/NBIRTH/n', emptyMetrics(130_000));
    expect(rejects.map(({ reason }) => reason)).toEqual(['too-many-readings']);
    const large = emptyMetrics(130_000);
    const { ms } = computed(() => {
      for (let second = 0; second < 10; second += 1)
        send(to, 'spBv1.0/g/NBIRTH/n', large, false, NOW + second * 1000);
    });
    // Decoded, they take some 2 s.
    expect(ms).toBeLessThan(400);
  });

  it('limits births that contain nothing, also if each of their parts is small', () => {
    const to = router('{ match: "spBv1.0/{g}/+/{n}/#", payload: sparkplug }');
    const large = emptyMetrics(20_000);
    const results = Array.from({ length: 3 }, () => send(to, 'spBv1.0/g/NBIRTH/n', large));
    expect(results.map(({ rest = [] }) => rest.length)).toEqual([78, 78, 0]);
    expect(results[2]?.rejects.map(({ reason }) => reason)).toEqual(['over-budget']);
  });

  it('accepts a birth with thousands of metrics', () => {
    const to = router('{ match: "spBv1.0/{g}/+/{n}/#", payload: sparkplug, fields: [m3999] }');
    const metrics = Array.from({ length: 4000 }, (_, at) => ({ name: `m${at}`, type: 10, double: at }));
    expect(to.wholeMessage('spBv1.0/g/NBIRTH/n', sparkplug(metrics, 0), NOW).samples).toMatchObject([
      { value: 3999 },
    ]);
  });

  it.each([
    ['json', '[1e999]', (n: number) => `[${'1e999,'.repeat(n)}1]`],
    ['senml', 'senml', (n: number) => `[${'{"n":"a","v":"x"},'.repeat(n)}{"n":"b","v":1}]`],
    ['influx', 'influx', (n: number) => 'm f=x\n'.repeat(n)],
  ])('stops a %s message after 1024 rejects', (payload, _, make) => {
    const to = router(`{ match: s, payload: ${payload} }`);
    expect(send(to, 's', make(10_000)).rejects.length).toBeLessThanOrEqual(1025);
    expect(Object.values(to.dropped()).reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(1025);
  });

  it('defers a costly topic without readings for the rest of the second', () => {
    const to = router('{ match: "s/{d}" }');
    const junk = JSON.stringify({ text: 'x'.repeat(250_000) });
    const reasons = Array.from({ length: 20 }, () => send(to, 's/a', junk).rejects[0]?.reason);
    expect(reasons.filter((reason) => reason === 'over-budget').length).toBeGreaterThan(8);
    expect(send(to, 's/b', '{"t":1}').samples).toHaveLength(1);
    expect(send(to, 's/a', '{"t":1}').rejects[0]?.reason).toBe('over-budget');
    expect(send(to, 's/a', '{"t":1}', false, NOW + 1000).samples).toHaveLength(1);
  });

  it('counts objects without readings: 65,000 empty records are not parsed ten times a second', () => {
    const to = router('{ match: "s/{d}", payload: senml }');
    const empty = `[${Array.from({ length: 65_000 }, () => '{}').join(',')}]`;
    const reasons = Array.from({ length: 10 }, () => send(to, 's/a', empty).rejects[0]?.reason);
    expect(reasons).toEqual(['no-number', ...Array.from({ length: 9 }, () => 'over-budget')]);
    const full = `[${Array.from({ length: 250 }, (_, at) => `{"n":"field${at}","v":${at}}`).join(',')}]`;
    for (let i = 0; i < 50; i++) expect(send(to, 's/b', full).samples.length).toBe(250);
  });

  it('never defers readings, however many arrive at once', () => {
    const to = router('{ match: "s/{d}" }');
    for (let at = 0; at < 50_000; at += 1) send(to, 's/a', `{"t":${at},"h":40,"text":"${'x'.repeat(200)}"}`);
    expect(to.dropped()).toEqual({});
  });
});
