import { describe, expect, it } from 'vitest';
import { type AnnouncedStream, HomeAssistant } from '../../src/mqtt/home-assistant.ts';
import type { Outgoing } from '../../src/mqtt/outbox.ts';
import { topicsOf } from '../../src/mqtt/topics.ts';

function make(settings: { quantiles?: number[]; atMs?: number[] } = {}) {
  const sent: Outgoing[] = [];
  const home = new HomeAssistant({
    prefix: 'homeassistant',
    base: 'gatecast',
    node: 'cellar',
    version: '1.2.3',
    topics: topicsOf('gatecast', 'cellar'),
    send: (message) => sent.push(message),
    settings: () => ({ quantiles: settings.quantiles ?? [0.1, 0.5, 0.9], atMs: settings.atMs ?? [] }),
  });
  const payload = (at: number) => JSON.parse(String(sent[at]!.payload));
  return { home, sent, payload };
}
const stream = (name: string, more: Partial<AnnouncedStream> = {}): AnnouncedStream => ({
  name,
  unit: '°C',
  thresholds: [],
  ...more,
});

describe('HomeAssistant', () => {
  it('announces one device with its components and a shared availability', () => {
    const { home, sent, payload } = make({ atMs: [3_600_000] });
    home.announce([stream('pump/temperature', { thresholds: ['freezing'] })]);
    expect(sent.length).toBe(1);
    expect(sent[0]).toMatchObject({
      topic: 'homeassistant/device/gatecast_gatecast_cellar/config',
      retain: true,
      qos: 1,
    });
    const config = payload(0);
    expect(Object.keys(config).sort()).toEqual(['availability', 'cmps', 'dev', 'o', 'qos']);
    expect(config.dev).toMatchObject({ ids: ['gatecast_gatecast_cellar'], sw: '1.2.3' });
    expect(config.o).toEqual({ name: 'gatecast', sw: '1.2.3' });
    expect(config.availability[0].topic).toBe('gatecast/cellar/status');
    const components = Object.values<Record<string, string>>(config.cmps);
    expect(components.length).toBe(4);
    expect(components.every((c) => c.p && c.unique_id && c.name && c.state_topic)).toBe(true);
    expect(new Set(components.map((c) => c.unique_id)).size).toBe(4);
    expect(components.find((c) => c.name === 'pump/temperature forecast')).toMatchObject({
      unit_of_measurement: '°C',
      state_topic: 'gatecast/cellar/forecast/pump/temperature',
      value_template: '{{ value_json.p50[0] }}',
    });
    expect(components.find((c) => c.name === 'pump/temperature in 1h')).toMatchObject({
      state_topic: 'gatecast/cellar/forecast/pump/temperature/at/1h',
    });
    expect(components.find((c) => c.device_class === 'timestamp')!.value_template).toContain("'freezing'");
  });

  it('keeps the attributes below what the recorder takes', () => {
    const { home, payload } = make({ quantiles: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9] });
    home.announce([stream('a')]);
    const { json_attributes_template: template } = payload(0).cmps.a_next;
    const names = template.match(/'p\d\d'/g);
    expect(names).toEqual(["'p10'", "'p50'", "'p90'"]);
    const longest = '-1.23457e+123, '.length;
    expect(names.length * 336 * (longest - 1) + 300).toBeLessThan(16_384);
  });

  it('uses the quantile nearest to the median when that is not published', () => {
    const { home, payload } = make({ quantiles: [0.2, 0.9] });
    home.announce([stream('a')]);
    expect(payload(0).cmps.a_next.value_template).toBe('{{ value_json.p20[0] }}');
  });

  it('takes back what is gone, in many messages where there is much', () => {
    const { home, sent, payload } = make();
    home.announce(Array.from({ length: 150 }, (_, i) => stream(`s${i}`)));
    expect(sent.map((m) => m.topic)).toEqual([
      'homeassistant/device/gatecast_gatecast_cellar/config',
      'homeassistant/device/gatecast_gatecast_cellar_2/config',
    ]);
    home.announce([stream('s0')]);
    expect(payload(2).cmps.s0_next.name).toBe('s0 forecast');
    expect(payload(2).cmps.s1_next).toEqual({ p: 'sensor' });
    home.announce([stream('s0')]);
    expect(sent.at(-1)).toMatchObject({
      topic: 'homeassistant/device/gatecast_gatecast_cellar_2/config',
      payload: '',
    });
    home.retract();
    expect(sent.at(-1)).toMatchObject({
      topic: 'homeassistant/device/gatecast_gatecast_cellar/config',
      payload: '',
    });
  });

  it('gives other names other ids, and quotes what could break out of a template', () => {
    const { home, payload } = make();
    home.announce([stream('a b', { thresholds: ["x') }}{{ 1"] }), stream('a/b'), stream('a_b')]);
    const components = Object.values<Record<string, string>>(payload(0).cmps);
    expect(new Set(components.map((c) => c.unique_id)).size).toBe(5);
    const { value_template: template } = components.find((c) => c.device_class === 'timestamp')!;
    expect(template).not.toContain('{{ 1');
    expect(template!.match(/\{\{/g)!.length).toBe(1);
  });
});
