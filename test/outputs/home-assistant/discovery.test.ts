import { describe, expect, it } from 'vitest';
import type { Forecast } from '../../../src/forecast/forecast.ts';
import type { Outgoing } from '../../../src/mqtt/outbox.ts';
import { topicsOf } from '../../../src/mqtt/topics.ts';
import {
  type Announcement,
  type Discovery,
  type DiscoverySettings,
  pageUrlOf,
} from '../../../src/outputs/home-assistant/discovery.ts';
import type { AnnouncedSpec } from '../../../src/outputs/home-assistant/entities.ts';
import { leadsOf, quantityOfStream } from '../../../src/outputs/home-assistant/entities.ts';
import { summaryText } from '../../../src/outputs/home-assistant/summary.ts';
import { ForecastText } from '../../../src/outputs/json/forecast-text.ts';
import { Q } from '../../../src/quantiles.ts';
import { hasJinja, render } from '../../support/jinja.ts';
import { HOUR, makeDiscovery, announcedSpec as spec } from './announced.ts';
import { problemsOf } from './rules.ts';

const T0 = Date.UTC(2025, 0, 1);
const SETTINGS: DiscoverySettings = {
  quantiles: [0.1, 0.5, 0.9],
  leads: [HOUR, 6 * HOUR],
  attributes: 'slim',
  anomalies: true,
  verbs: ['finetune', 'rollback-model'],
  pageUrl: 'http://cellar.lan:8787',
  supportUrl: 'https://help.example.com/gatecast',
};

const make = (change: Partial<DiscoverySettings> = {}): Discovery =>
  makeDiscovery('cellar', { ...SETTINGS, ...change });

type Component = Readonly<Record<string, string>>;
interface Config {
  readonly dev: Readonly<Record<string, string | string[]>>;
  readonly o: Component;
  readonly availability: readonly Component[];
  readonly qos: number;
  readonly cmps: Readonly<Record<string, Component>>;
}
const json = (message: Outgoing) => JSON.parse(String(message.payload)) as Config;
const device = (home: Discovery, specs: AnnouncedSpec[], former: string[] = []): Announcement =>
  home.device(home.deviceId(specs[0] ?? spec('x'), 1), specs, former);

/** Streams of a home and a plant, with awkward names, units and thresholds. */
const STREAMS: readonly AnnouncedSpec[] = [
  spec('pump/temperature', { thresholds: [{ name: 'freezing', side: 'below', value: 0 }] }),
  spec('pump/power', { unit: 'W' }),
  spec('pump/energy', { unit: 'kWh', aggregate: 'delta' }),
  spec('pump/flow', { unit: 'l/min' }),
  spec('pump/pressure', { unit: 'bar' }),
  spec('pump/level', { unit: '%' }),
  spec('pump/rssi', { unit: 'dBm' }),
  spec('pump/co2', { unit: 'ppm' }),
  spec('pump/odd', { unit: 'furlongs', intervalMs: null }),
  spec('pump/nothing', { unit: null, aggregate: 'sum' }),
  spec('pump/Käse & "Öl"', { thresholds: [{ name: "x') }}{{ 1", side: 'above', value: 5 }] }),
  spec('pump/short', { horizonMs: 600_000 }),
  spec('pump/wind_dir', { unit: '°', aggregate: 'circular-mean' }),
];

const forecastOf = (one: AnnouncedSpec, change: Partial<Forecast> = {}): Forecast => {
  const stepMs = one.intervalMs ?? 300_000;
  const leads = Math.ceil((one.horizonMs ?? HOUR) / stepMs);
  return {
    stream: one.name,
    unit: one.unit,
    originMs: T0,
    stepMs,
    seq: 1,
    leads,
    quantiles: Float64Array.from({ length: leads * Q }, (_, i) => 20 + Math.floor(i / Q) / 10 + (i % Q) / 7),
    kind: 'gru',
    input: { quality: 'good', observedMs: T0, ageMs: 0 },
    coverage: { target: 0.8, observed: null, n: 0 },
    crossings: one.thresholds.map(({ name, side, value }) => ({
      name,
      side,
      value,
      atMs: T0 + HOUR,
      probability: 0.256,
    })),
    observed: 1,
    expected: null,
    ...change,
  };
};

/** The messages behind the topics of a stream's entities, as the outputs make them. */
function messagesOf(one: AnnouncedSpec, forecast: Forecast, settings: DiscoverySettings) {
  const topics = topicsOf('gatecast', 'cellar');
  return new Map<string, unknown>([
    [
      topics.summary(one.name),
      JSON.parse(
        summaryText(forecast, {
          leads: leadsOf(one, settings.leads),
          quantiles: settings.quantiles,
          decimals: quantityOfStream(one).decimals,
          additive: one.aggregate === 'delta' || one.aggregate === 'sum',
          anomaly: false,
        }) ?? 'null',
      ),
    ],
    [
      topics.forecast(one.name),
      JSON.parse(
        new ForecastText().of(
          forecast,
          { quantiles: settings.quantiles, digits: 6, issuedMs: T0, model: { id: 'base', version: '1' } },
          Number.POSITIVE_INFINITY,
        ) ?? 'null',
      ),
    ],
  ]);
}

const AGENT = new Map<string, unknown>([
  ['gatecast/cellar/status', { state: 'online' }],
  ['gatecast/cellar/health', { state: 'ok', degraded: ['a "b"'], streams: 3 }],
  ['gatecast/cellar/alerts', { count: 1, alerts: [{ id: 'store' }] }],
  [
    'gatecast/cellar/model/default',
    {
      champion: 'base',
      version: '1',
      trained_at: null,
      previous: null,
      holdout: null,
      last_run: { status: 'never', reason: '', trigger: null, started: null, ended: null },
      waits_for: 'no trigger',
    },
  ],
]);

interface Asked {
  readonly key: string;
  readonly template: string;
  readonly value: unknown;
}

/** Every template of a message, with the message of its topic. */
function templatesOf(
  config: Pick<Config, 'cmps' | 'availability'>,
  messages: ReadonlyMap<string, unknown>,
): Asked[] {
  const asked: Asked[] = [];
  const ask = (key: string, topic: string | undefined, template: string | undefined): void => {
    if (template === undefined) return;
    if (topic === undefined || !messages.has(topic)) throw new Error(`${key}: no message on ${topic}`);
    asked.push({ key, template, value: messages.get(topic) });
  };
  for (const [id, component] of Object.entries(config.cmps)) {
    ask(id, component.state_topic, component.value_template);
    ask(`${id} attributes`, component.json_attributes_topic, component.json_attributes_template);
    const more = component.availability as unknown as readonly Component[] | undefined;
    for (const one of more ?? config.availability) ask(`${id} ${one.topic}`, one.topic, one.value_template);
  }
  return asked;
}

function rendered(...args: Parameters<typeof templatesOf>): Map<string, string> {
  const asked = templatesOf(...args);
  const texts = render(asked.map(({ template, value }) => [template, value]));
  return new Map(asked.map(({ key }, at) => [key, texts[at] ?? '']));
}

describe('every discovery message', () => {
  it('suggests the decimals of a unit where they are known, for every lead and the total', () => {
    const precision = (name: string) => {
      const one = STREAMS.find((stream) => stream.name === name) ?? spec('missing');
      const { cmps } = json(device(make(), [one]).message);
      const values = Object.entries(cmps).filter(([key]) => /_(next|in_1h|in_6h|total)$/.test(key));
      expect(values.length).toBeGreaterThanOrEqual(3);
      return [...new Set(values.map(([, component]) => component.suggested_display_precision))];
    };
    expect(precision('pump/temperature')).toEqual([1]);
    expect(precision('pump/power')).toEqual([1]);
    expect(precision('pump/co2')).toEqual([0]);
    // Increases and unknown units: the values decide.
    expect(precision('pump/energy')).toEqual([undefined]);
    expect(precision('pump/odd')).toEqual([undefined]);
    const { cmps } = json(device(make(), [...STREAMS]).message);
    const percents = Object.entries(cmps).filter(([key]) => key.includes('_probability_'));
    expect(percents).toHaveLength(2);
    for (const [, { suggested_display_precision }] of percents) expect(suggested_display_precision).toBe(0);
  });

  it.each(['none', 'slim', 'full'] as const)(
    'is what Home Assistant accepts, with %s attributes',
    (attributes) => {
      const home = make({ attributes });
      const seen = new Set<string>();
      for (const { message } of [home.agent(), device(home, [...STREAMS])]) {
        const config = json(message);
        expect(problemsOf(message.topic, config as never)).toEqual([]);
        expect(message).toMatchObject({ retain: true, qos: 1 });
        expect(config.dev.sw).toBe('1.2.3');
        expect(config.dev.cu).toBe('http://cellar.lan:8787');
        expect(config.o).toEqual({ name: 'gatecast', sw: '1.2.3', url: 'https://help.example.com/gatecast' });
        expect(config.availability).toEqual([
          { topic: 'gatecast/cellar/status', value_template: '{{ value_json.state }}' },
        ]);
        for (const { unique_id: id } of Object.values(config.cmps)) {
          expect(seen.has(id ?? '')).toBe(false);
          seen.add(id ?? '');
        }
      }
      expect(seen.size).toBeGreaterThan(STREAMS.length);
    },
  );

  it('would be found out by these rules if it were wrong', () => {
    const { message } = device(make(), [spec('pump/temperature')]);
    const config = json(message);
    const [id = '', component] = Object.entries(config.cmps)[0] ?? [];
    const broken = (change: Record<string, unknown>) =>
      problemsOf(message.topic, { ...config, cmps: { [id]: { ...component, ...change } } } as never);
    expect(broken({})).toEqual([]);
    expect(broken({ unit_of_measurement: 'C' })).toHaveLength(1);
    expect(broken({ state_class: 'mean' })).toHaveLength(1);
    expect(broken({ p: 'button' }).length).toBeGreaterThan(2);
    expect(broken({ entity_category: 'config' })).toHaveLength(1);
    expect(broken({ unique_id: undefined })).toHaveLength(1);
    expect(broken({ state_topic: 'a/#' })).toHaveLength(1);
  });

  it.skipIf(!hasJinja)('has templates that can be evaluated on the messages of their topics', () => {
    const asked: Asked[] = [];
    for (const attributes of ['slim', 'full'] as const)
      for (const one of STREAMS)
        for (const change of [{}, { crossings: [] }, { leads: 1, quantiles: new Float64Array(Q).fill(3) }]) {
          const { message } = device(make({ attributes }), [one]);
          const messages = messagesOf(one, forecastOf(one, change), { ...SETTINGS, attributes });
          asked.push(...templatesOf(json(message), new Map([...AGENT, ...messages])));
        }
    expect(asked.length).toBeGreaterThan(1000);
    const texts = render(asked.map(({ template, value }) => [template, value]));
    for (const [at, { key }] of asked.entries()) {
      const text = texts[at] ?? '';
      expect(text, key).not.toBe('');
      if (key.endsWith(' attributes')) expect(JSON.parse(text), key).toBeTypeOf('object');
    }
    const agent = rendered(json(make().agent().message), AGENT);
    expect(agent.get('health')).toBe('OFF');
    expect(agent.get('alerts')).toBe('1');
    expect(agent.get('model')).toBe('base');
    expect(agent.get('tuning')).toBe('never');
    expect(agent.get('tuned')).toBe('None');
    expect(JSON.parse(agent.get('health attributes') ?? '')).toEqual({ degraded: ['a "b"'] });
  });

  it.skipIf(!hasJinja)('shows the values of the forecast, and a stale stream as unavailable', () => {
    const [one] = STREAMS as [AnnouncedSpec];
    const config = json(device(make(), [one]).message);
    const values = (change: Partial<Forecast>) => {
      const messages = new Map([...AGENT, ...messagesOf(one, forecastOf(one, change), SETTINGS)]);
      return rendered(config, messages);
    };
    const shown = values({});
    const at = (id: string) => shown.get(`${Object.keys(config.cmps)[0]?.replace(/_next$/, '')}_${id}`);
    // Lead 12 of 5 minutes is 1 h ahead: 20 + 1.1 + 4 / 7.
    expect([at('next'), at('in_1h'), at('in_6h')]).toEqual(['20.6', '21.7', '27.7']);
    expect(JSON.parse(at('in_1h attributes') ?? '')).toEqual({ p10: 21.1, p90: 22.2 });
    expect(at('when_freezing')).toBe('2025-01-01T01:00:00.000Z');
    expect(at('probability_freezing')).toBe('26');
    expect(at('anomaly')).toBe('OFF');
    expect(at('next gatecast/cellar/summary/pump/temperature')).toBe('online');
    const stale = values({ input: { quality: 'stale', observedMs: T0, ageMs: 9e6 } });
    expect([...stale.values()].filter((text) => text === 'offline').length).toBe(
      Object.keys(config.cmps).length,
    );
  });
});

describe('devices', () => {
  it('there is one for a physical device, with the entities of all its streams', () => {
    const home = make();
    const { message, ids } = device(home, [spec('pump/temperature'), spec('pump/power', { unit: 'W' })]);
    const { dev, cmps } = json(message);
    expect(message.topic).toMatch(/^homeassistant\/device\/gatecast_gatecast_cellar_device_pump\/config$/);
    expect(dev).toMatchObject({ name: 'pump forecast', via_device: 'gatecast_gatecast_cellar' });
    expect([...ids.keys()]).toEqual(['pump/temperature', 'pump/power']);
    expect(Object.values(cmps).map(({ name }) => name)).toEqual([
      'Temperature next',
      'Temperature in 1h',
      'Temperature in 6h',
      'Temperature anomaly',
      'Temperature fan',
      'Power next',
      'Power in 1h',
      'Power in 6h',
      'Power anomaly',
      'Power fan',
    ]);
  });

  it('another name never gives the same message or the same entity', () => {
    const home = make();
    const names = ['a b', 'a/b', 'a_b'];
    const made = names.map((name) => device(home, [spec(name, { device: name })]).message);
    expect(new Set(made.map(({ topic }) => topic)).size).toBe(3);
    const entities = made.flatMap((message) => Object.values(json(message).cmps).map((one) => one.unique_id));
    expect(new Set(entities).size).toBe(entities.length);
  });

  it('a component that is no more is named bare, with its platform', () => {
    const home = make();
    const former = ['binary_sensor:pump_temperature_gone', 'sensor:pump_temperature_when_hot'];
    const { cmps } = json(device(home, [spec('pump/temperature')], former).message);
    expect(cmps.pump_temperature_gone).toEqual({ p: 'binary_sensor' });
    expect(cmps.pump_temperature_when_hot).toEqual({ p: 'sensor' });
  });
});

describe('entities', () => {
  const of = (one: AnnouncedSpec, change: Partial<DiscoverySettings> = {}) =>
    json(device(make(change), [one]).message).cmps;
  const ends = (cmps: Config['cmps'], end: string) =>
    Object.entries(cmps).find(([id]) => id.endsWith(end))?.[1];

  it('no forecast has a state class: it is no value of the present', () => {
    for (const one of STREAMS)
      for (const component of Object.values(of(one))) expect(component.state_class).toBeUndefined();
  });

  it('leads beyond the horizon or within a step have none', () => {
    const change = { leads: [60_000, HOUR, 48 * HOUR] };
    const leads = Object.keys(of(spec('a/b'), change)).filter((id) => /_in_\d/.test(id));
    expect(leads).toHaveLength(1);
    expect(leads[0]).toMatch(/_in_1h$/);
  });

  it('increases have a total over the horizon', () => {
    const total = ends(of(spec('meter/energy', { unit: 'kWh', aggregate: 'delta' })), '_total');
    expect(total).toMatchObject({ name: 'Energy in the next 1d', device_class: 'energy' });
    expect(ends(of(spec('a/b')), '_total')).toBeUndefined();
  });

  it('the fan waits to be enabled, unless full attributes are asked for', () => {
    expect(ends(of(spec('a/b')), '_fan')?.enabled_by_default).toBe(false);
    expect(ends(of(spec('a/b'), { attributes: 'full' }), '_fan')?.enabled_by_default).toBe(true);
    expect(ends(of(spec('a/b'), { attributes: 'none' }), '_fan')).toBeUndefined();
    expect(JSON.stringify(of(spec('a/b'), { attributes: 'none' }))).not.toContain('attributes');
  });

  it('keeps the attributes of the fan below what the recorder takes', () => {
    const nine = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
    const template = ends(of(spec('a/b'), { quantiles: nine }), '_fan')?.json_attributes_template ?? '';
    const names = template.match(/'p\d\d'/g) ?? [];
    expect(names).toEqual(["'p10'", "'p50'", "'p90'"]);
    const longest = '-1.23457e+123, '.length;
    expect(names.length * 336 * (longest - 1) + 300).toBeLessThan(16_384);
  });

  it('buttons are those whose request is allowed', () => {
    const buttons = (verbs: string[]) =>
      Object.entries(json(make({ verbs }).agent().message).cmps).filter(([, { p }]) => p === 'button');
    expect(buttons([])).toEqual([]);
    const [[id, button] = []] = buttons(['finetune', 'reload']);
    expect(id).toBe('finetune');
    expect(button).toMatchObject({ command_topic: 'gatecast/cellar/request/finetune', payload_press: '{}' });
  });
});

describe('what a recorder stores of a stream in a day', () => {
  /** Of its rows: state and attributes as text. */
  const bytesOf = (attributes: DiscoverySettings['attributes']): number => {
    const one = spec('pump/temperature');
    const settings = { ...SETTINGS, leads: [HOUR], attributes };
    const config = json(device(make(settings), [one]).message);
    const enabled = Object.entries(config.cmps).filter(
      ([, component]) => (component.enabled_by_default as unknown) !== false,
    );
    const shown = rendered(
      { availability: config.availability, cmps: Object.fromEntries(enabled) },
      new Map([...AGENT, ...messagesOf(one, forecastOf(one), settings)]),
    );
    let bytes = 0;
    for (const [id] of enabled)
      bytes += Buffer.byteLength((shown.get(id) ?? '') + (shown.get(`${id} attributes`) ?? ''));
    return (bytes * 86_400_000) / 300_000;
  };

  it.skipIf(!hasJinja)('is below 50 KB, and more than twenty times as much with the whole forecast', () => {
    expect(bytesOf('none')).toBeLessThan(bytesOf('slim'));
    expect(bytesOf('slim')).toBeLessThan(50_000);
    expect(bytesOf('full')).toBeGreaterThan(20 * bytesOf('slim'));
  });
});

describe('pageUrlOf', () => {
  it('is an address that other machines can reach, or none', () => {
    for (const listen of ['off', '8787', '127.0.0.1:8787', 'localhost:8787', '[::1]:8787', '10.0.0.5:0'])
      expect(pageUrlOf(listen), listen).toBeNull();
    expect(pageUrlOf('10.0.0.5:8787')).toBe('http://10.0.0.5:8787');
    expect(pageUrlOf('[fd00::5]:80')).toBe('http://[fd00::5]:80');
    for (const all of [':8787', '0.0.0.0:8787', '[::]:8787'])
      expect(pageUrlOf(all)).toMatch(/^http:\/\/[^/:]+:8787$/);
  });
});
