/** Mistakes in a config that would otherwise be silent. */
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/index.ts';
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

  it('names a key that stands twice, with its line', () => {
    expect(problems('node: n\nnode: m\nmqtt: { url: mqtt://b }\nstreams: [{ match: s }]\n')).toEqual([
      'node: line 2: this key stands here twice',
    ]);
  });

  it('does not hang on 90,000 unknown keys', () => {
    const keys = Array.from({ length: 90_000 }, (_, at) => `k${at}: 1`).join('\n');
    const began = performance.now();
    const found = problems(`${keys}\nnode: n\nmqtt: { url: mqtt://b }\nstreams: [{ match: s }]\n`);
    expect(found.length).toBe(21);
    expect(found.at(-1)).toContain('89980 more unknown keys');
    expect(performance.now() - began).toBeLessThan(8000);
  });
});
