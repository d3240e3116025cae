/** docs/reliability.md names tests that exist, for every fault and every promise. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { reliabilityPage } from '../../deploy/reliability-page.ts';
import { ATTACKS, FAULT_ROWS, PROMISES } from '../fault/rows.ts';

const ROOT = join(import.meta.dirname, '../..');

it('every fault has a row, and every row has tests', () => {
  expect(FAULT_ROWS.map(({ row }) => row)).toEqual(Array.from({ length: 36 }, (_, at) => at + 1));
  for (const { row, tests } of FAULT_ROWS) expect(tests.length, `row ${row}`).toBeGreaterThan(0);
});

const NAMED = [...FAULT_ROWS, ...ATTACKS].flatMap(({ holds, tests }) =>
  tests.map(([file, title]) => [file, title, holds] as const),
);

it.each(NAMED)('%s has the test "%s": %s', (file, title) => {
  const path = join(ROOT, 'test', file);
  expect(existsSync(path)).toBe(true);
  const source = readFileSync(path, 'utf8');
  const quoted = ["'", '"', '`'].map((quote) => `${quote}${title}`);
  expect(title === '' || quoted.some((start) => source.includes(start)), title).toBe(true);
});

it('every attack has tests', () => {
  for (const { attack, tests } of ATTACKS) expect(tests.length, attack).toBeGreaterThan(0);
});

it('every promise is tested by a fault', () => {
  const named = new Set(FAULT_ROWS.flatMap(({ promises }) => promises));
  expect([...named].sort()).toEqual(Object.keys(PROMISES));
});

it('the page is up to date', () => {
  const withoutResults = (page: string) => page.replaceAll(/ \| [^|]*\|$/gm, ' |');
  const page = readFileSync(join(ROOT, 'docs/reliability.md'), 'utf8');
  expect(withoutResults(page)).toBe(withoutResults(reliabilityPage([])));
});
