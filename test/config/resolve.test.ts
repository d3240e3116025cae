import { describe, expect, it } from 'vitest';
import { createRouter, parseConfig, resolveRules, resolveTables } from '../../src/config/index.ts';

const config = (rule: string, rest = '') =>
  parseConfig(
    `node: n\nmqtt: { url: mqtt://b }\ntimezone: Europe/Berlin\nstreams: [{ match: "s/{d}"${rule} }]\n${rest}`,
  );
const stream = (rule: string, rest = '') => resolveRules(config(rule, rest))[0]?.stream;

describe('resolving a config', () => {
  it('resolves a rule into the settings of the series core', () => {
    expect(
      stream(
        ', interval: 5m, limits: { min: 0, max_rate: 6/1m }, thresholds: [{ name: full, above: 9 }, { name: dry, below: 1 }]',
      ),
    ).toEqual({
      intervalMs: 300_000,
      aggregate: 'mean',
      fill: 'model',
      maxGapMs: 7_200_000,
      latenessMs: 2000,
      min: 0,
      max: null,
      maxRatePerMs: 0.0001,
      horizonMs: 86_400_000,
      thresholds: [
        { name: 'full', side: 'above', value: 9 },
        { name: 'dry', side: 'below', value: 1 },
      ],
      timeZone: 'Europe/Berlin',
      coverageTarget: 0.8,
    });
  });

  it('fits gaps and horizon to the interval where they are automatic', () => {
    expect(stream(', interval: 1s')).toMatchObject({ horizonMs: 336_000, maxGapMs: 7_200_000 });
    expect(stream(', interval: 1d')).toMatchObject({ maxGapMs: 8 * 86_400_000, horizonMs: 86_400_000 });
    expect(stream(', interval: 7d')).toMatchObject({ horizonMs: 7 * 86_400_000 });
    expect(stream('')).toMatchObject({ intervalMs: null, horizonMs: 86_400_000 });
    expect(stream(', lateness: 0s', 'lateness: 9s')).toMatchObject({ latenessMs: 0 });
    expect(stream('', 'lateness: 9s')).toMatchObject({ latenessMs: 9000 });
  });

  it('names covariates, but never a stream as its own', () => {
    const rule =
      ', name: "{d}", covariates: [out, { stream: in }, { topic: w, value: t }, { file: p.csv, column: p }]';
    const covariates = stream(rule)?.covariates ?? [];
    expect(covariates.map(({ kind }) => kind)).toEqual(['stream', 'stream', 'table', 'table']);
    const { name } = resolveTables(config(rule))[0] ?? {};
    expect(covariates[2]?.name).toBe(name);
    const router = createRouter(config(`${rule}, payload: number`));
    const found = router.message('s/out', Buffer.from('1'), 1).discovered[0]?.spec;
    expect(found?.covariates?.map((one) => one.name)).not.toContain('out');
    expect(found?.covariates).toHaveLength(3);
    expect(stream('')?.covariates).toBeUndefined();
    expect(stream('')?.findsCovariates).toBeUndefined();
    const auto = stream(', name: "{d}", covariates: auto');
    expect(auto?.findsCovariates).toBe(true);
    expect(auto?.covariates).toBeUndefined();
  });

  for (const [wrong, path] of [
    ['{ stream: a, topic: b }', 'streams[0].covariates[0]'],
    ['{ time: a }', 'streams[0].covariates[0]'],
    ['{ file: a.csv }', 'streams[0].covariates[0].column'],
    ['{ topic: a, column: b }', 'streams[0].covariates[0].column'],
    ['{ topic: "a/+" }', 'streams[0].covariates[0].topic'],
    ['{ stream: "a//b" }', 'streams[0].covariates[0].stream'],
  ] as const) {
    it(`refuses the covariate ${wrong}`, () => {
      expect(() => config(`, covariates: [${wrong}]`)).toThrow(
        expect.objectContaining({ code: 'CONFIG_INVALID', issues: [expect.objectContaining({ path })] }),
      );
    });
  }

  it('makes a router that reads by the config and never its own output', () => {
    const router = createRouter(
      parseConfig(
        'node: n\nmqtt: { url: mqtt://b }\nmax_streams: 1\nstreams:\n  - { match: "s/{d}", fields: [{ field: /a/b, name: power, unit: W }] }\n  - { match: "#" }\n',
      ),
    );
    const send = (topic: string, text: string) => router.message(topic, Buffer.from(text), 1);
    expect(send('s/x', '{"a":{"b":2}}').discovered[0]?.spec).toMatchObject({ name: 'x/power', unit: 'W' });
    expect(send('gatecast/n/forecast/x', '1').rejects).toEqual([]);
    expect(send('homeassistant/sensor/x/state', '1').samples).toEqual([]);
    expect(send('other', '1').rejects[0]?.reason).toBe('stream-limit');
    expect(router.filters()).toEqual(['s/+', '#']);
  });
});
