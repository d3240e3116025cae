/** The examples of docs/home-assistant.md: their entities are those that are announced, and their scripts draw the forecast. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { HOUR, makeDiscovery, announcedSpec as spec } from './announced.ts';

const text = readFileSync('docs/home-assistant.md', 'utf8');
const blocks = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, block = '']) => block);

/** The streams that the examples are for. */
const STREAMS = [
  spec('cellar/temperature', { thresholds: [{ name: 'freezing', side: 'below', value: 0 }] }),
  spec('meter/energy', { unit: 'kWh', aggregate: 'delta' }),
];

interface Component {
  readonly p: string;
  readonly name: string;
  readonly unit_of_measurement?: string;
}

const slug = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '_');

/** Entity id, as Home Assistant makes it from the names of device and entity -> component. */
function announced(): Map<string, Component> {
  const home = makeDiscovery('gateway', {
    quantiles: [0.1, 0.5, 0.9],
    leads: [HOUR],
    attributes: 'slim',
    anomalies: true,
    verbs: [],
    pageUrl: null,
    supportUrl: null,
  });
  const found = new Map<string, Component>();
  for (const one of STREAMS) {
    const { message } = home.device(home.deviceId(one, 1), [one], []);
    const { dev, cmps } = JSON.parse(String(message?.payload)) as {
      dev: { name: string };
      cmps: Record<string, Component>;
    };
    for (const component of Object.values(cmps))
      found.set(`${component.p}.${slug(`${dev.name} ${component.name}`)}`, component);
  }
  return found;
}

it('names only entities that are announced', () => {
  const entities = announced();
  const named = [...text.matchAll(/\b(?:sensor|binary_sensor|button)\.\w*_forecast\w*/g)].map(([id]) => id);
  expect(named.length).toBeGreaterThan(10);
  for (const id of named) expect([...entities.keys()]).toContain(id);
  // The automation compares with 60: a probability in percent.
  expect(entities.get('sensor.cellar_forecast_temperature_freezing_probability')?.unit_of_measurement).toBe(
    '%',
  );
  const [, glob = ''] = /- (sensor\.\S+_fan)$/m.exec(text) ?? [];
  const excluded = new RegExp(`^${glob.replaceAll('.', '\\.').replaceAll('*', '.*')}$`);
  expect([...entities.keys()].filter((id) => excluded.test(id)).sort()).toEqual(
    [...entities.keys()].filter((id) => id.endsWith('_fan')).sort(),
  );
});

it('is valid YAML, and each script of a chart draws one quantile at its times', () => {
  const scripts: string[] = [];
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      if (key === 'data_generator') scripts.push(String(inner));
      visit(inner);
    }
  };
  for (const block of blocks) visit(parse(block));
  expect(scripts).toHaveLength(4);
  const origin = '2025-01-31T06:00:00.000Z';
  const attributes = { origin, step_s: 300, p10: [1, 2], p50: [3, 4], p90: [5, 6] };
  const first = Date.parse(origin) + 300_000;
  for (const script of scripts) {
    const quantile = /attributes\.(p\d+)/.exec(script)?.[1] as 'p10' | 'p50' | 'p90';
    const drawn = new Function('entity', script)({ attributes }) as unknown;
    expect(drawn).toEqual(attributes[quantile].map((value, at) => [first + at * 300_000, value]));
  }
});
