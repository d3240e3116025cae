// Writes docs/reliability.md: which tests cover which fault. Run it with `npx tsx deploy/reliability-page.ts`; it reads the tests' titles.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const TITLE = /\b(?:it|test)(?:\.\w+\([^)]*\))*\(\s*(['"`])((?:(?!\1)[^\\]|\\.)*)\1/g;
const ROWS = /\brows? (\d+(?:(?:, | and )\d+)*)/;

const found = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.test.ts'))
  .sort()
  .flatMap((path) =>
    [...readFileSync(join('test', path), 'utf8').matchAll(TITLE)].flatMap(([, , title = '']) => {
      const rows = ROWS.exec(title)?.[1]?.split(/, | and /) ?? [];
      return rows.map((row) => ({ row: Number(row), path, title: title.replaceAll('\\`', '`') }));
    }),
  )
  .sort((a, b) => a.row - b.row);

const table = found.map(
  ({ row, path, title }) => `| ${row} | ${title.replaceAll('|', '\\|')} | \`test/${path}\` |`,
);
writeFileSync(
  'docs/reliability.md',
  `# Reliability

Faults that are injected by tests, by the number that the tests' titles carry. \`npm run test:fault\` runs those of \`test/fault\`.
This page is written by \`deploy/reliability-page.ts\`.

What a sample survives: see [decision 14](decisions/0014-crash-or-power.md). An acknowledged sample survives \`kill -9\` (rows 1 and 2),
with \`store.durability: power\` also a power cut (row 3).

| row | test | file |
| --- | --- | --- |
${table.join('\n')}
`,
);
