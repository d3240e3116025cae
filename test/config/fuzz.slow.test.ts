/** Fault 28 for configs: a mutated file is a config or a CONFIG_INVALID with its issues, and nothing else. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parseConfig, validateConfig } from '../../src/config/index.ts';
import { GatecastError } from '../../src/errors.ts';

const full = readFileSync(new URL('fixtures/full.yaml', import.meta.url), 'utf8');

function holds(load: () => unknown): void {
  try {
    load();
  } catch (error) {
    if (!(error instanceof GatecastError)) throw error;
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.issues.length).toBeGreaterThan(0);
  }
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
}

it('answers mutated files with a config or a list of problems', () => {
  const token = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 12 }),
    fc.constantFrom(
      '[',
      '{',
      '- ',
      ': ',
      '? ',
      '&a ',
      '*a ',
      '!!set ',
      '|\n',
      '"',
      '---\n',
      '__proto__: 1\n',
      '<<: *a\n',
      '\t',
      '.nan',
      '1e999',
    ),
  );
  fc.assert(
    fc.property(fc.nat(full.length), fc.nat(40), token, (at, cut, insert) => {
      holds(() => parseConfig(full.slice(0, at) + insert + full.slice(at + cut)));
    }),
    { numRuns: 1500, seed: 7 },
  );
});

it('answers any data with a config or a list of problems', () => {
  const key = fc.constantFrom(
    'node',
    'mqtt',
    'streams',
    'match',
    'fields',
    'url',
    '__proto__',
    'constructor',
    'limits',
    'thresholds',
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 5 },
      fc.jsonValue(),
      fc.array(tie('tree'), { maxLength: 3 }),
      fc.array(fc.tuple(key, tie('tree')), { maxLength: 4 }).map((entries) => Object.fromEntries(entries)),
    ),
  }));
  fc.assert(
    fc.property(tree, (value) => holds(() => validateConfig(value))),
    { numRuns: 1500, seed: 7 },
  );
});
