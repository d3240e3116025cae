import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { staleDocs } from '../../deploy/generate-docs.ts';
import { jsonSchema } from '../../src/config/issues.ts';
import { RELOAD_KEY } from '../../src/config/values.ts';
import { ERROR_CODES } from '../../src/errors.ts';
import { REJECTS } from '../../src/ingest/rejects.ts';

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

  it('says of every key what it means and whether a change is taken up while running', () => {
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

  it('has every reject that a decoder or the router gives, and none that no one gives', () => {
    const source = readdirSync(new URL('src/ingest', root), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && name !== 'rejects.ts')
      .map((name) => readFileSync(new URL(`src/ingest/${name}`, root), 'utf8'))
      .join();
    expect(Object.keys(REJECTS).filter((reason) => !source.includes(`'${reason}'`))).toEqual([]);
  });

  it('has every error code', () => {
    const page = readFileSync(new URL('docs/errors.md', root), 'utf8');
    for (const code of Object.keys(ERROR_CODES)) expect(page).toContain(`| \`${code}\` |`);
  });
});
