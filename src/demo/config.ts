/** The config of the demo, in the form of a config file. */
import { HOLES_TOPIC, VITALS_ROOT } from './publish.ts';

interface DemoSettings {
  readonly brokerUrl: string;
  readonly dataDir: string;
  /** `host:port` of the page. */
  readonly listen: string;
}

const PERCENT = { unit: '%', limits: { min: 0, max: 100 } };
const AMOUNT = { limits: { min: 0 } };

/** A rule for one sensor of the vitals; its fields become `<sensor>/<name>`. */
const vital = (sensor: string, fields: unknown, more: object): object => ({
  match: `${VITALS_ROOT}/${sensor}`,
  payload: 'json',
  fields,
  name: `${sensor}/{field}`,
  interval: '1s',
  horizon: '60s',
  gaps: { max: '5m' },
  ...more,
});

const named = (names: Readonly<Record<string, string>>): object[] =>
  Object.entries(names).map(([field, name]) => ({ field, name }));

export const demoConfig = ({ brokerUrl, dataDir, listen }: DemoSettings): Record<string, unknown> => ({
  node: 'demo',
  // The embedded broker speaks MQTT 3.1.1 and stores nothing.
  mqtt: { url: brokerUrl, version: '3.1.1', qos: 0 },
  data_dir: dataDir,
  // The vitals come on time: no bucket waits for late readings.
  lateness: '0s',
  streams: [
    vital('cpu', [{ field: 'busy_pct', name: 'busy', unit: '%' }], PERCENT),
    vital('load', [{ field: 'load1', name: '1min' }], AMOUNT),
    vital('memory', named({ used_mb: 'used', cached_mb: 'cached' }), { ...AMOUNT, unit: 'MB' }),
    vital('disk', named({ read_kb_s: 'read', write_kb_s: 'write' }), { ...AMOUNT, unit: 'kB/s' }),
    vital('network', named({ in_kb_s: 'in', out_kb_s: 'out' }), { ...AMOUNT, unit: 'kB/s' }),
    vital('pressure', [{ field: 'cpu_wait_pct', name: 'cpu-wait' }], PERCENT),
    vital('temperature', 'auto', { unit: '°C' }),
    {
      match: HOLES_TOPIC,
      payload: 'number',
      name: 'holes/cpu',
      interval: '1s',
      horizon: '60s',
      gaps: { fill: 'model', max: '5m' },
      ...PERCENT,
    },
  ],
  publish: { quantiles: [0.1, 0.3, 0.5, 0.7, 0.9] },
  http: { listen },
});
