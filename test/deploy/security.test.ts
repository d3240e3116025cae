/** SECURITY.md: each row of the table of threats names tests that exist. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const [, table = ''] = /^(\| who has \|[\s\S]*?)\n\n/m.exec(readFileSync('SECURITY.md', 'utf8')) ?? [];
const rows = table.split('\n').slice(2);

it('has a row for each right and key', () => {
  expect(rows.length).toBeGreaterThanOrEqual(13);
});

it.each(rows.map((row) => [row.split('|')[1]?.trim(), row] as const))('%s', (_who, row) => {
  const tests = [...row.matchAll(/\]\((test\/[^)]+)\) "([^"]+)"/g)];
  expect(tests.length).toBeGreaterThan(0);
  for (const [, file = '', title = ''] of tests) {
    expect(existsSync(file), file).toBe(true);
    const titles = [
      ...readFileSync(file, 'utf8').matchAll(/\b(?:it|test)\b[^'"`]*?\(\s*(['"`])(.*?)\1/gs),
    ].map(([, , text]) => text);
    expect(titles).toContain(title);
  }
});
