/** Mistakes in a config that would otherwise be silent. */
import { describe, expect, it } from 'vitest';
import { configWarnings, parseConfig } from '../../src/config/index.ts';
import { GatecastError } from '../../src/errors.ts';

function problems(text: string): string[] {
  try {
    parseConfig(text);
    return [];
  } catch (error) {
    if (!(error instanceof GatecastError)) throw error;
    return (error.issues ?? []).map(({ path, message }) => `${path}: ${message}`);
  }
}
const streams = (rules: string): string[] =>
  problems(`node: n\nmqtt: { url: mqtt://b }\nstreams: [${rules}]\n`);

describe('mistakes in a config', () => {
  it('offers seconds for a bare number', () => {
    expect(streams('{ match: s, interval: 300 }')[0]).toMatch(
      /^streams\[0\]\.interval: .*did you mean "300s"\?/,
    );
  });

  it('names a horizon that is shorter than a step', () => {
    expect(streams('{ match: s, interval: 1h, horizon: 30m }')[0]).toMatch(
      /^streams\[0\]\.horizon: is shorter/,
    );
    expect(streams('{ match: s, interval: 1h, horizon: 1h }')).toEqual([]);
  });

  it('names duplicate thresholds and rules', () => {
    expect(streams('{ match: s, thresholds: [{ name: a, above: 1 }, { name: a, below: 0 }] }')[0]).toContain(
      'names "a" twice',
    );
    expect(streams('{ match: "s/{a}" }, { match: "s/{b}" }')[0]).toMatch(
      /^streams\[1\]\.match: .*streams\[0\]/,
    );
    expect(streams('{ match: "s/{a}", fields: [t] }, { match: "s/{a}", fields: [h] }')).toEqual([]);
  });

  it('names a duplicate key with its line', () => {
    expect(problems('node: n\nnode: m\nmqtt: { url: mqtt://b }\nstreams: [{ match: s }]\n')).toEqual([
      'node: line 2: duplicate key',
    ]);
  });

  it('shows the line that is no YAML', () => {
    expect(problems('node: n\nmqtt: { url: mqtt://b\nstreams: [{ match: s }]\n')[0]).toMatch(
      /line \d+: .*: streams: \[\{ match: s \}\]/,
    );
    expect(problems('node: n\nmqtt:\n\turl: x\n')[0]).toContain(': url: x');
    for (const [text, line] of [
      [
        'node: n\nmqtt: { url: "mqtt://b }\nstreams: [{ match: s }]\n',
        '2: this quote is not closed: mqtt: { url: "mqtt://b }',
      ],
      [
        "node: n\nmqtt:\n  url: 'mqtt://b\nstreams:\n  - match: s\n",
        "3: this quote is not closed: url: 'mqtt://b",
      ],
    ] as const)
      expect(problems(text)).toEqual([`: line ${line}`]);
  });

  it('does not hang on 90,000 unknown keys', () => {
    const keys = Array.from({ length: 90_000 }, (_, at) => `k${at}: 1`).join('\n');
    // Processor time: the code is synchronous, and other processes must not count.
    const began = process.cpuUsage();
    const found = problems(`${keys}\nnode: n\nmqtt: { url: mqtt://b }\nstreams: [{ match: s }]\n`);
    expect(found.length).toBe(21);
    expect(found.at(-1)).toContain('89980 more unknown keys');
    const { user, system } = process.cpuUsage(began);
    expect((user + system) / 1000).toBeLessThan(6000);
  });
});

describe('a valid config that is probably a mistake', () => {
  const warnings = (rules: string, url = 'mqtt://b', more = ''): string[] =>
    configWarnings(parseConfig(`node: n\nmqtt: { url: "${url}" }\n${more}\nstreams: [${rules}]\n`)).map(
      ({ path, message }) => `${path}: ${message}`,
    );

  it('is a rule whose topics all match an earlier rule', () => {
    expect(warnings('{ match: "z/{d}" }, { match: z/plug, fields: [power] }')).toEqual([
      expect.stringMatching(/^streams\[1\]\.match: matches nothing: streams\[0\]/),
    ]);
    expect(warnings('{ match: "#", fields: [a, b] }, { match: "z/+", fields: [a] }')).toHaveLength(1);
    expect(warnings('{ match: "z/#" }, { match: "z/a/+/{d}", payload: number }')).toHaveLength(1);
    for (const fine of [
      '{ match: z/plug, fields: [power] }, { match: "z/{d}" }',
      '{ match: "z/{d}", fields: [a] }, { match: z/plug, fields: [b] }',
      '{ match: "z/{d}", payload: json }, { match: z/plug, payload: number }',
      '{ match: "z/{d}" }, { match: "z/{d}/x" }',
    ])
      expect(warnings(fine)).toEqual([]);
    expect(warnings('{ match: z/a }', 'mqtt://b', 'ignore: ["z/#"]')).toEqual([
      'streams[0].match: matches nothing: `ignore` contains z/#',
    ]);
  });

  it('is one name for many topics, or for two rules', () => {
    expect(warnings('{ match: "z/{d}", name: boiler }')[0]).toContain('put {d} into it');
    expect(warnings('{ match: "z/+", fields: [t], name: "boiler/{field}" }')[0]).toContain('put {1} into it');
    expect(
      warnings('{ match: "z/{d}", name: "{d}" }, { match: "y/+", name: "{/id}", payload: json }'),
    ).toEqual([]);
    for (const fields of ['fields: [t]', 'payload: number'])
      expect(warnings(`{ match: a, ${fields}, name: x }, { match: b, ${fields}, name: x }`)[0]).toMatch(
        /^streams\[1\]\.name: gives the same stream x as streams\[0\]/,
      );
  });

  it('is a threshold of fields with different units', () => {
    const of = (rule: string) =>
      warnings(`{ match: s, thresholds: [{ name: freezing, below: 0 }], ${rule} }`);
    for (const fields of ['temperature, humidity', '{ field: a, unit: °C }, { field: b, unit: "%" }'])
      expect(of(`fields: [${fields}]`)).toEqual([
        expect.stringMatching(/^streams\[0\]\.thresholds: apply to every field .* \(°C\), .* \(%\)/),
      ]);
    for (const fields of ['[temperature]', 'auto', '[temp_in, temp_out]', '[a, temperature]'])
      expect(of(`fields: ${fields}`)).toEqual([]);
    expect(of('unit: °C, fields: [temperature, humidity]')).toEqual([]);
    const frost = 'thresholds: [{ name: frost, below: -5 }]';
    expect(warnings(`{ match: s, ${frost}, fields: [temperature, humidity] }`)).toHaveLength(1);
    for (const [a, b] of [
      ['degC', '℃'],
      ['%', '%RH'],
      ['m³', 'm3'],
    ])
      expect(of(`fields: [{ field: a, unit: "${a}" }, { field: b, unit: "${b}" }]`)).toEqual([]);
    expect(of('fields: [{ field: a, unit: degC }, temperature]')).toEqual([]);
    expect(of('fields: [{ field: a, unit: degF }, temperature]')).toHaveLength(1);
  });

  it('is a duplicate threshold, and a port of another protocol', () => {
    expect(warnings('{ match: s, thresholds: [{ name: a, above: 1 }, { name: b, above: 1 }] }')[0]).toContain(
      '"b" and "a" are both above 1',
    );
    expect(warnings('{ match: s }', 'mqtts://b:1883')[0]).toMatch(/^mqtt\.url: .*8883/);
    expect(warnings('{ match: s }', 'mqtt://b:8883')[0]).toContain('mqtts://');
    for (const url of ['mqtts://b', 'mqtts://b:8883', 'mqtt://b:1883', 'mqtt://b:9000'])
      expect(warnings('{ match: s }', url)).toEqual([]);
  });
});
