/**
 * Writes docs/reliability.md from `test/fault/rows.ts`: promises, faults, and the tests that inject them; and from the
 * reports of the last complete soaks, `test/soak/last-runs.json`. Reports of
 * vitest (`--reporter json`) given as arguments fill the column of results:
 * `npx tsx deploy/reliability-page.ts REPORT.json ...`.
 *
 * `npx tsx deploy/reliability-page.ts --soak` only puts the soak reports of this machine (`test/soak/reports`) on the page: of the
 * last 20 minutes or more, the newest two, whatever they found.
 */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ATTACKS, type Attack, FAULT_ROWS, type FaultRow, PROMISES, SITE_ROWS } from '../test/fault/rows.ts';

const SOAK = join(import.meta.dirname, '../test/soak/last-runs.json');
const PAGE = 'docs/reliability.md';
const SOAKS_SHOWN = 2;
const LEAST_MINUTES = 20;

interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly assertionResults: readonly { readonly title: string; readonly status: string }[];
  }[];
}

export interface SoakReport {
  readonly minutes: number;
  readonly seed: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly sent: number;
  readonly stored: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly forecasts: number;
  readonly starts: number;
  readonly slowestReturnMs: number;
  readonly residentMb: readonly number[];
  readonly finetunes: Readonly<Record<string, number>>;
  readonly pushes: Readonly<Record<string, number>>;
  readonly wrong: readonly string[];
  readonly note?: string;
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

const siteLines = ({ fault, holds, tests }: (typeof SITE_ROWS)[number], results: Results): string[] =>
  lines([fault, holds], tests, results);

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

const counts = (of: Readonly<Record<string, number>>): string =>
  Object.entries(of)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ') || 'none';

function soakTable(reports: readonly SoakReport[]): string {
  const number = (value: number): string => value.toLocaleString('en');
  const rows: readonly (readonly [string, (report: SoakReport) => string])[] = [
    ['faults', ({ faults }) => counts(faults)],
    ['readings sent at QoS 1; stored, each once', ({ sent, stored }) => `${number(sent)}; ${number(stored)}`],
    ['marked or refused', ({ refused }) => counts(refused)],
    ['forecasts received', ({ forecasts }) => number(forecasts)],
    ['starts', ({ starts }) => number(starts)],
    [
      'longest time to the next forecast after a fault',
      (one) => `${(one.slowestReturnMs / 1000).toFixed(1)} s`,
    ],
    ['resident memory', ({ residentMb }) => `${Math.min(...residentMb)} to ${Math.max(...residentMb)} MB`],
    ['fine-tunings, by last status', ({ finetunes }) => counts(finetunes)],
    ['config pushes, by last status', (one) => `${counts(one.pushes)}${one.note ? ` (${one.note})` : ''}`],
    ['broken invariants', ({ wrong }) => (wrong.length === 0 ? 'none' : wrong.join('; '))],
  ];
  return [
    `| | ${reports.map(({ minutes, seed }) => `${minutes} minutes, seed ${seed}`).join(' | ')} |`,
    `| --- |${' --- |'.repeat(reports.length)}`,
    ...rows.map(([what, value]) => `| ${what} | ${reports.map((one) => cell(value(one))).join(' | ')} |`),
  ].join('\n');
}

export function reliabilityPage(reports: readonly Report[]): string {
  const soak = JSON.parse(readFileSync(SOAK, 'utf8')) as readonly SoakReport[];
  const results = resultsOf(reports);
  const promises = Object.entries(PROMISES).map(([id, text]) => {
    const rows = FAULT_ROWS.filter((row) => row.promises.some((one) => one === id)).map(({ row }) => row);
    return `| ${id} | ${text} | ${rows.join(', ')} |`;
  });
  return `# Reliability

What gatecast promises, the faults that could break a promise, and the tests that inject each fault. This page is written by
\`deploy/reliability-page.ts\`. The tests run with \`npm test\`, \`npm run test:slow\` and, those of \`fault/\`, \`npm run test:fault\`.
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

## A site

What must hold in a [group of agents](site.md), whatever fails.

| fault | what holds | test | result |
| --- | --- | --- | --- |
${SITE_ROWS.flatMap((row) => siteLines(row, results)).join('\n')}

## Found by attack

Weaknesses that attacks on an early version found, and the tests that would find them again.

| attack | what holds now | test | result |
| --- | --- | --- | --- |
${ATTACKS.flatMap((attack) => attackLines(attack, results)).join('\n')}

## Soak

\`npm run test:soak\` runs the daemon with 20 sensors at 1 Hz for 20 minutes and injects a seeded sequence of faults: broker, network, disk, clock, kills, stops,
reloads, fine-tunings, config pushes and hostile messages. Invariants: no reading that the broker accepted is lost or stored twice; no forecast is older than one
before it, and quantiles do not cross; forecasts are back within 30 s of every fault; no push that must be refused is applied; the database is
intact; memory stays below 250 MB. \`GATECAST_SOAK_MINUTES\` and \`GATECAST_SOAK_SEED\` change length and sequence. Jumps of the clock need the package \`faketime\`.
The last complete runs, on a machine that was busy otherwise:

${soakTable(soak)}
`;
}

/** Newest first: reports of `folder`, then those known before, of each seed the newest. */
export function lastSoaks(folder: string, known: readonly SoakReport[]): SoakReport[] {
  const found = readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => join(folder, name))
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)
    .map((file) => JSON.parse(readFileSync(file, 'utf8')) as SoakReport)
    .filter(({ minutes }) => minutes >= LEAST_MINUTES);
  const others = known.filter(({ seed }) => !found.some((one) => one.seed === seed));
  return [...found, ...others].slice(0, SOAKS_SHOWN);
}

/** The page with another table of soaks. */
export function withSoaks(page: string, reports: readonly SoakReport[]): string {
  const table = page.indexOf('\n| ', page.indexOf('## Soak')) + 1;
  return `${page.slice(0, table)}${soakTable(reports)}\n`;
}

if (process.argv[1]?.endsWith('reliability-page.ts')) {
  const given = process.argv.slice(2);
  if (given[0] === '--soak') {
    const known = JSON.parse(readFileSync(SOAK, 'utf8')) as readonly SoakReport[];
    const last = lastSoaks(join(import.meta.dirname, '../test/soak/reports'), known);
    writeFileSync(SOAK, `${JSON.stringify(last, null, 2)}\n`);
    writeFileSync(PAGE, withSoaks(readFileSync(PAGE, 'utf8'), last));
  } else {
    const reports = given.map((file) => JSON.parse(readFileSync(file, 'utf8')) as Report);
    writeFileSync(PAGE, reliabilityPage(reports));
  }
}
