import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { staleDocs } from '../../deploy/generate-docs.ts';
import { DROPS } from '../../src/agent/drops.ts';
import { jsonSchema } from '../../src/config/issues.ts';
import { RELOAD_KEY } from '../../src/config/values.ts';
import { ERROR_CODES } from '../../src/errors.ts';
import { REJECTS } from '../../src/ingest/rejects.ts';
import { withoutComments } from '../rooms/imports.ts';

interface Schema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly [RELOAD_KEY]?: string;
}
const root = new URL('../../', import.meta.url);

describe('the generated reference', () => {
  it('is up to date; `npm run docs` makes it so', () => {
    expect(staleDocs(root)).toEqual([]);
  });

  it('describes every key, and whether a change applies without a restart', () => {
    const silent: string[] = [];
    const walk = (schema: Schema, path: string): void => {
      for (const [key, inner] of Object.entries(schema.properties ?? {})) {
        const at = `${path}.${key}`;
        if (!inner.description || !['hot', 'reconnect', 'restart'].includes(String(inner[RELOAD_KEY])))
          silent.push(at);
        walk(inner, at);
      }
      for (const inner of [schema.items, ...(schema.anyOf ?? [])])
        if (inner !== undefined) walk(inner, `${path}[]`);
    };
    walk(jsonSchema() as Schema, '');
    expect(silent).toEqual([]);
  });

  /** Of the n-th table of docs/errors.md: name -> meaning. That each reject is given: test/ingest/rejects.test.ts. */
  const tables = readFileSync(new URL('docs/errors.md', root), 'utf8')
    .split('| --- | --- |\n')
    .slice(1)
    .map((text) =>
      Object.fromEntries(
        [...text.matchAll(/^\| `([^`]+)` \| (.+) \|$/gm)].map(([, name, meaning]) => [name, meaning]),
      ),
    );

  it('has the tables of errors, rejects and drops, with no row more or less', () => {
    expect(tables).toEqual([ERROR_CODES, REJECTS, DROPS]);
  });

  it('has no error code and no drop that the code never gives', () => {
    const source = readdirSync(new URL('src', root), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && name !== 'errors.ts' && name !== join('agent', 'drops.ts'))
      .map((name) => withoutComments(readFileSync(new URL(`src/${name}`, root), 'utf8')))
      .join('\n');
    // An argument, an assigned value or the key of a count; a name in a union of types or in a comparison does not count.
    const given = (name: string) =>
      new RegExp(`(?<![=!]==? |\\| |case )'${name}'(?! \\|)(?=[,)};\\]:]| :|\\n)`).test(source);
    expect([...Object.keys(ERROR_CODES), ...Object.keys(DROPS)].filter((name) => !given(name))).toEqual([]);
  });
});
