import { describe, expect, it } from 'vitest';
import type { Outgoing } from '../../../src/mqtt/outbox.ts';
import { topicsOf } from '../../../src/mqtt/topics.ts';
import { type AnnouncedStream, Discovery } from '../../../src/outputs/home-assistant/discovery.ts';

function make(settings: { quantiles?: number[]; at?: number[] } = {}): Discovery {
  return new Discovery({
    prefix: 'homeassistant',
    base: 'gatecast',
    node: 'cellar',
    version: '1.2.3',
    topics: topicsOf('gatecast', 'cellar'),
    settings: () => ({ quantiles: settings.quantiles ?? [0.1, 0.5, 0.9], at: settings.at ?? [] }),
  });
}
const json = (message: Outgoing) => JSON.parse(String(message.payload));
const stream = (name: string, more: Partial<AnnouncedStream> = {}): AnnouncedStream => ({
  name,
  unit: '°C',
  thresholds: [],
  ...more,
});

describe('Discovery', () => {
  it('announces a device for the agent and one for each stream, with a shared availability', () => {
    const home = make({ at: [3_600_000] });
    const agent = home.agent();
    expect(agent.topic).toBe('homeassistant/device/gatecast_gatecast_cellar/config');
    const { message, ids } = home.stream(stream('pump/temperature', { thresholds: ['freezing'] }));
    expect(message).toMatchObject({ retain: true, qos: 1 });
    expect(message.topic).toMatch(
      /^homeassistant\/device\/gatecast_gatecast_cellar_pump_temperature_\w{8}\/config$/,
    );
    for (const config of [json(agent), json(message)]) {
      expect(Object.keys(config).sort()).toEqual(['availability', 'cmps', 'dev', 'o', 'qos']);
      expect(config.dev.sw).toBe('1.2.3');
      expect(config.o).toEqual({ name: 'gatecast', sw: '1.2.3' });
      expect(config.availability[0].topic).toBe('gatecast/cellar/status');
      const components = Object.values<Record<string, string>>(config.cmps);
      expect(components.every((c) => c.p && c.unique_id && c.name && c.state_topic)).toBe(true);
    }
    const { cmps, dev } = json(message);
    expect(dev.via_device).toBe(json(agent).dev.ids[0]);
    expect(ids).toEqual(['next', 'in_1h', 'when_freezing']);
    expect(Object.keys(cmps)).toEqual(ids);
    expect(cmps.next).toMatchObject({
      unit_of_measurement: '°C',
      state_topic: 'gatecast/cellar/forecast/pump/temperature',
      value_template: '{{ value_json.p50[0] }}',
    });
    expect(cmps.in_1h).toMatchObject({ state_topic: 'gatecast/cellar/forecast/pump/temperature/at/1h' });
    expect(cmps.when_freezing).toMatchObject({ device_class: 'timestamp' });
    expect(cmps.when_freezing.value_template).toContain("'freezing'");
  });

  it('keeps the attributes below what the recorder takes', () => {
    const home = make({ quantiles: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9] });
    const { json_attributes_template: template } = json(home.stream(stream('a')).message).cmps.next;
    const names = template.match(/'p\d\d'/g);
    expect(names).toEqual(["'p10'", "'p50'", "'p90'"]);
    const longest = '-1.23457e+123, '.length;
    expect(names.length * 336 * (longest - 1) + 300).toBeLessThan(16_384);
  });

  it('uses the quantile nearest to the median when that is not published', () => {
    const { message } = make({ quantiles: [0.2, 0.9] }).stream(stream('a'));
    expect(json(message).cmps.next.value_template).toBe('{{ value_json.p20[0] }}');
  });

  it('takes back a component by naming it bare, a device by an empty payload', () => {
    const home = make();
    const { message } = home.stream(stream('a'), ['next', 'when_freezing']);
    expect(json(message).cmps.when_freezing).toEqual({ p: 'sensor' });
    expect(home.gone('a')).toEqual({ ...message, payload: '' });
    expect(home.gone(null)).toEqual({ ...home.agent(), payload: '' });
  });

  it('gives other names other ids, and quotes what could break out of a template', () => {
    const home = make();
    const names = ['a b', 'a/b', 'a_b'];
    expect(new Set(names.map((name) => home.stream(stream(name)).message.topic)).size).toBe(3);
    const { cmps } = json(home.stream(stream('a', { thresholds: ["x') }}{{ 1"] })).message);
    const { value_template: template } = Object.values<Record<string, string>>(cmps).find(
      (c) => c.device_class === 'timestamp',
    )!;
    expect(template).not.toContain('{{ 1');
    expect(template!.match(/\{\{/g)!.length).toBe(1);
  });
});
