/** docs/reliability.md names tests that exist, for every fault and every promise. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { lastSoaks, reliabilityPage, withSoaks } from '../../deploy/reliability-page.ts';
import { ATTACKS, FAULT_ROWS, PROMISES, SITE_ROWS } from '../fault/rows.ts';

const ROOT = join(import.meta.dirname, '../..');

it('every fault has a row, and every row has tests', () => {
  expect(FAULT_ROWS.map(({ row }) => row)).toEqual(Array.from({ length: 36 }, (_, at) => at + 1));
  for (const { row, tests } of FAULT_ROWS) expect(tests.length, `row ${row}`).toBeGreaterThan(0);
});

const NAMED = [...FAULT_ROWS, ...SITE_ROWS, ...ATTACKS].flatMap(({ holds, tests }) =>
  tests.map(([file, title]) => [file, title, holds] as const),
);

it.each(NAMED)('%s has the test "%s": %s', (file, title) => {
  const path = join(ROOT, 'test', file);
  expect(existsSync(path)).toBe(true);
  const source = readFileSync(path, 'utf8');
  const quoted = ["'", '"', '`'].map((quote) => `${quote}${title}`);
  expect(title === '' || quoted.some((start) => source.includes(start)), title).toBe(true);
});

it('every fault of a site has tests', () => {
  for (const { fault, tests } of SITE_ROWS) expect(tests.length, fault).toBeGreaterThan(0);
});

it('every attack has tests', () => {
  for (const { attack, tests } of ATTACKS) expect(tests.length, attack).toBeGreaterThan(0);
});

it('every promise is tested by a fault', () => {
  const named = new Set(FAULT_ROWS.flatMap(({ promises }) => promises));
  expect([...named].sort()).toEqual(Object.keys(PROMISES));
});

it('the newest soaks of 20 minutes are put on the page by a command, whatever they found', () => {
  const dir = mkdtempSync(join(tmpdir(), 'gatecast-soaks-'));
  try {
    const [known] = JSON.parse(readFileSync(join(ROOT, 'test/soak/last-runs.json'), 'utf8')) as [
      { seed: number },
    ];
    const write = (seed: number, minutes: number, change = {}) =>
      writeFileSync(join(dir, `seed-${seed}.json`), JSON.stringify({ ...known, ...change, seed, minutes }));
    write(101, 5);
    write(102, 20, { wrong: ['p3: 2 lost: 7 8'], slowestReturnMs: 12_340 });
    const last = lastSoaks(dir, [known as never, { ...known, seed: 103 } as never]);
    expect(last.map(({ seed }) => seed)).toEqual([102, known.seed]);
    const page = readFileSync(join(ROOT, 'docs/reliability.md'), 'utf8');
    const next = withSoaks(page, last);
    expect(next).toContain('20 minutes, seed 102');
    expect(next).toMatch(/broken invariants \| p3: 2 lost: 7 8 \|/);
    expect(next).toContain('12.3 s');
    expect(next.slice(0, next.indexOf('## Soak'))).toBe(page.slice(0, page.indexOf('## Soak')));
    expect(next).not.toContain('seed 103');
  } finally {
    rmSync(dir, { recursive: true });
  }
});

it('the page is up to date', () => {
  const withoutResults = (page: string) => page.replaceAll(/ \| [^|]*\|$/gm, ' |');
  const page = readFileSync(join(ROOT, 'docs/reliability.md'), 'utf8');
  expect(withoutResults(page)).toBe(withoutResults(reliabilityPage([])));
});
