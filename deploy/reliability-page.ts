/**
 * Writes docs/reliability.md from `test/fault/rows.ts`: promises, faults, and the tests that inject them. Reports of
 * vitest (`--reporter json`) given as arguments fill the column of results:
 * `npx tsx deploy/reliability-page.ts REPORT.json ...`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { ATTACKS, type Attack, FAULT_ROWS, type FaultRow, PROMISES } from '../test/fault/rows.ts';

interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly assertionResults: readonly { readonly title: string; readonly status: string }[];
  }[];
}

type Results = (file: string, title: string) => string;

/** `passed` with how many tests, `FAILED`, or `-` where no report has a test of that name. */
function resultsOf(reports: readonly Report[]): Results {
  const found = reports.flatMap(({ testResults }) =>
    testResults.flatMap(({ name, assertionResults }) =>
      assertionResults.map(({ title, status }) => ({ name, title, status })),
    ),
  );
  return (file, title) => {
    // A title of a table of tests has placeholders in the source; the part before the first of them is compared.
    const [plain = ''] = title.replaceAll('\\`', '`').split(/%[a-z]|\$\{/);
    const ran = found.filter((test) => test.name.endsWith(`/test/${file}`) && test.title.startsWith(plain));
    if (ran.length === 0) return '-';
    return ran.every(({ status }) => status === 'passed') ? `passed (${ran.length})` : 'FAILED';
  };
}

const cell = (text: string): string => text.replaceAll('|', '\\|');

const faultLines = ({ row, fault, holds, promises, tests }: FaultRow, results: Results): string[] =>
  lines([String(row), fault, holds, promises.join(' ')], tests, results);

const attackLines = ({ attack, holds, tests }: Attack, results: Results): string[] =>
  lines([attack, holds], tests, results);

/** A line of the table for each test; the first one has the other columns. */
function lines(first: readonly string[], tests: FaultRow['tests'], results: Results): string[] {
  return tests.map(([file, title], at) => {
    const head = at === 0 ? first : first.map(() => '');
    const name = title === '' ? 'all tests of the file' : title.replaceAll('\\`', '`');
    return `| ${[...head, `\`${file}\`: ${name}`, results(file, title)].map(cell).join(' | ')} |`;
  });
}

export function reliabilityPage(reports: readonly Report[]): string {
  const results = resultsOf(reports);
  const promises = Object.entries(PROMISES).map(([id, text]) => {
    const rows = FAULT_ROWS.filter((row) => row.promises.some((one) => one === id)).map(({ row }) => row);
    return `| ${id} | ${text} | ${rows.join(', ')} |`;
  });
  return `# Reliability

What gatecast promises, the faults that could break a promise, and the tests that inject each fault. This page is written by
\`deploy/reliability-page.ts\`. The tests run with \`npm test\`; those of \`fault/\` run with \`npm run test:fault\`.
What a sample survives: see [decision 14](decisions/0014-crash-or-power.md).

## Promises

| | promise | rows |
| --- | --- | --- |
${promises.join('\n')}

## Faults

The result is that of the last complete run of both suites, with the number of tests.

| row | fault | what holds | promises | test | result |
| --- | --- | --- | --- | --- | --- |
${FAULT_ROWS.flatMap((row) => faultLines(row, results)).join('\n')}

## Found by attack

Weaknesses that attacks on an early version found, and the tests that would find them again.

| attack | what holds now | test | result |
| --- | --- | --- | --- |
${ATTACKS.flatMap((attack) => attackLines(attack, results)).join('\n')}
`;
}

if (process.argv[1]?.endsWith('reliability-page.ts')) {
  const reports = process.argv.slice(2).map((file) => JSON.parse(readFileSync(file, 'utf8')) as Report);
  writeFileSync('docs/reliability.md', reliabilityPage(reports));
}
