#!/usr/bin/env node
/**
 * Mutation testing: `npm run test:mutation -- series forecast --sample 150`. For each room (a folder of src/) it draws a random
 * sample of small changes to the code, makes one at a time, and runs the tests of the room (test/<room>) that reach the
 * changed place. A change that no test notices survives and is printed. Results, one a line: .cache/mutation/<room>.jsonl.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Instrumenter } from '@stryker-mutator/instrumenter';

const USAGE = `npm run test:mutation -- ROOM... [options]
  --sample 100       mutants of each room that are run, drawn at random; "all" for every one
  --seed 1           another seed draws another sample
  --only TEXT        only mutants of files whose path contains TEXT
  --minutes 30       most time for each room; what was not run by then is left out
  --concurrency 2    test runners at a time`;

const root = new URL('../../', import.meta.url).pathname;
const { values, positionals: rooms } = parseArgs({
  allowPositionals: true,
  options: {
    sample: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
    minutes: { type: 'string', default: '30' },
    concurrency: { type: 'string', default: '2' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
function fail(message) {
  console.error(message);
  process.exit(2);
}
function number(name, low, high) {
  const value = Number(values[name]);
  if (!(value >= low && value <= high)) fail(`--${name} is a number from ${low} to ${high}.`);
  return value;
}
if (values.help || rooms.length === 0) fail(USAGE);
for (const room of rooms)
  if (!existsSync(join(root, 'src', room)) || !existsSync(join(root, 'test', room)))
    fail(`There is no room '${room}' with a folder in src/ and in test/.`);
const sampleSize = values.sample === 'all' ? Infinity : number('sample', 1, 1e6);
const minutes = number('minutes', 0.1, 1440);
const concurrency = number('concurrency', 1, 64);

const results = join(root, '.cache/mutation');
mkdirSync(results, { recursive: true });
for (const room of rooms) await test(room);

/** Every mutant of a room, and a random sample of them. */
async function draw(room) {
  const log = { debug() {}, info() {}, isDebugEnabled: () => false };
  const options = { plugins: null, excludedMutations: [], ignorers: [], noHeader: false };
  const files = readdirSync(join(root, 'src', room), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
    .map((name) => join('src', room, name))
    .filter((name) => name.includes(values.only))
    .map((name) => ({ name, mutate: true, content: readFileSync(join(root, name), 'utf8') }));
  const contents = new Map(files.map(({ name, content }) => [name, content]));
  const { mutants } = await new Instrumenter(log).instrument(files, options);
  const named = mutants.map(({ fileName, location: { start, end }, replacement }) => {
    const place = `${fileName}:${start.line + 1}:${start.column}-${end.line + 1}:${end.column}`;
    const name = `${place} ${replacement}`;
    const rank = createHash('sha256').update(`${values.seed}\0${name}`).digest('hex');
    return { place, name, rank, original: between(contents.get(fileName), start, end) };
  });
  const sample = named.sort((a, b) => (a.rank < b.rank ? -1 : 1)).slice(0, sampleSize);
  return { all: named.length, sample };
}

/** The text between two places; lines and columns count from 0. */
function between(content, start, end) {
  const lines = content.split('\n').slice(start.line, end.line + 1);
  lines[lines.length - 1] = lines.at(-1).slice(0, end.column);
  lines[0] = lines[0].slice(start.column);
  return lines.join('\n');
}

async function test(room) {
  const { all, sample } = await draw(room);
  const lines = join(results, `${room}.jsonl`);
  writeFileSync(lines, '');
  const temp = mkdtempSync(join(tmpdir(), 'gatecast-mutation-'));
  const [config, names] = [join(temp, 'stryker.json'), join(temp, 'sample.json')];
  writeFileSync(names, JSON.stringify(Object.fromEntries(sample.map((one) => [one.name, one.original]))));
  const settings = {
    // Only the places of the sample are instrumented, so that the tests run at nearly their usual speed.
    mutate: [...new Set(sample.map(({ place }) => place))],
    testRunner: 'vitest',
    vitest: { configFile: 'test/mutation/vitest.config.ts', related: false },
    plugins: ['@stryker-mutator/vitest-runner', join(root, 'test/mutation/plugin.mjs')],
    checkers: ['sample'],
    reporters: ['lines'],
    concurrency,
    // Long: a busy machine must not look like a mutant that hangs. Endless loops are found by counting.
    timeoutMS: 20_000,
    timeoutFactor: 3,
    dryRunTimeoutMinutes: Math.max(5, minutes),
    tempDirName: join(temp, 'sandbox'),
    // Stryker reads tsconfig with an interface that TypeScript 7 no longer has; vitest does without.
    tsconfigFile: 'none.json',
    ignorePatterns: ['/dist', '/packages', '/.cache'],
    allowConsoleColors: false,
    logLevel: 'warn',
  };
  writeFileSync(config, JSON.stringify(settings));
  const started = Date.now();
  const stryker = spawn(
    process.execPath,
    [join(root, 'node_modules/@stryker-mutator/core/bin/stryker.js'), 'run', config],
    {
      cwd: root,
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: {
        ...process.env,
        GATECAST_MUTATION_ROOM: room,
        GATECAST_MUTATION_SAMPLE: names,
        GATECAST_MUTATION_LINES: lines,
      },
    },
  );
  /** Ends Stryker and its runners, which share a process group. */
  const end = () => {
    try {
      process.kill(-stryker.pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
    rmSync(temp, { recursive: true, force: true, maxRetries: 3 });
  };
  const interrupted = () => {
    end();
    process.exit(130);
  };
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, interrupted);
  let late = false;
  const limit = setTimeout(() => {
    late = true;
    end();
  }, minutes * 60_000);
  const code = await new Promise((done) => stryker.once('exit', done));
  clearTimeout(limit);
  for (const signal of ['SIGINT', 'SIGTERM']) process.off(signal, interrupted);
  end();
  if (code !== 0 && !late) process.exitCode = 1;
  const mutants = readFileSync(lines, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
  report(room, mutants, { all, late, seconds: Math.round((Date.now() - started) / 1000) });
}

function report(room, mutants, { all, late, seconds }) {
  const by = (status) => mutants.filter((mutant) => mutant.status === status);
  const [killed, timeout, survived, uncovered] = ['Killed', 'Timeout', 'Survived', 'NoCoverage'].map(by);
  const run = killed.length + timeout.length + survived.length + uncovered.length;
  const order = (a, b) => (a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1);
  for (const { file, line, original, replacement, status } of [...survived, ...uncovered].sort(order))
    console.log(
      `${status === 'NoCoverage' ? 'not covered' : 'survived'}: ${file}:${line}: ${original} => ${replacement}`,
    );
  const share = run === 0 ? 0 : ((killed.length + timeout.length) / run) * 100;
  console.log(
    `${room}: ${share.toFixed(1)} % of ${run} mutants killed (${killed.length} by a test, ${timeout.length} without end), ` +
      `${survived.length} survived, ${uncovered.length} not covered; ${all} mutants in all, seed ${values.seed}, ${seconds} s` +
      `${late ? '; the time was up before the sample was through' : ''}`,
  );
}
