/**
 * Writes `docs/dirty-data.md`: public files with real faults, each through a real Mosquitto into the built daemon and
 * through the backtest; and every way to fill a gap, on the same holes. Run with `npx tsx test/bench/dirty.ts --data DIR`.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { type BothWays, bothWays, type FileCase, PATIENT } from '../support/both-ways.ts';
import { ensureBuilt } from '../support/daemon.ts';
import { hasMosquitto, startMosquitto } from '../support/mosquitto.ts';
import { CASES } from './dirty-cases.ts';
import { dirtyDocument, type FileResult } from './dirty-document.ts';
import { type GapResult, gapResults } from './dirty-gaps.ts';

const HORIZON = 4;

const { values: flags } = parseArgs({
  options: {
    data: { type: 'string' },
    rows: { type: 'string' },
    out: { type: 'string', default: 'docs/dirty-data.md' },
    only: { type: 'string' },
    keep: { type: 'string' },
  },
});
if (flags.data === undefined || !hasMosquitto) {
  process.stderr.write(
    'usage: npx tsx test/bench/dirty.ts --data DIR [--rows N] [--out FILE] [--only TEXT] [--keep FILE]; Mosquitto is needed\n',
  );
  process.exit(2);
}
const { data } = flags;
/** Of a file: all but where `--rows` says less. */
const most = Number(flags.rows ?? Number.POSITIVE_INFINITY);

/** What is measured, by what it is of; with `--keep` an interrupted run goes on where it was. */
const known: Record<string, unknown> =
  flags.keep !== undefined && existsSync(flags.keep) ? JSON.parse(readFileSync(flags.keep, 'utf8')) : {};

ensureBuilt();
const folder = mkdtempSync(join(tmpdir(), 'gatecast-dirty-'));
try {
  for (const { file, from = 0, faults, ...rest } of CASES) {
    if (!wanted(keyOf(file))) continue;
    const { path, rows } = excerpt(join(data, file), from, most);
    const result = await both({ ...rest, path, horizon: HORIZON });
    const { forecasts, different } = result;
    process.stderr.write(
      `${file}: ${forecasts.compared} forecasts compared, ${different.length} numbers differ\n`,
    );
    for (const line of different.slice(0, 5)) process.stderr.write(`  ${line}\n`);
    keep(keyOf(file), { file, faults, rowsOfFile: rows, ...result } satisfies FileResult);
  }
  if (wanted('gaps')) keep('gaps', await gapResults((file, rows) => excerpt(join(data, file), 0, rows).path));
  const files = CASES.flatMap(({ file }) => (known[keyOf(file)] ?? []) as FileResult[] | FileResult);
  writeFileSync(
    flags.out,
    dirtyDocument(files, (known.gaps ?? []) as GapResult[], { most, horizon: HORIZON }),
  );
  process.exitCode = files.some(({ different }) => different.length > 0) ? 1 : 0;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Results of other excerpts are not these. */
function keyOf(file: string): string {
  return `${file}, ${Number.isFinite(most) ? most : 'all'} rows`;
}

function wanted(name: string): boolean {
  return known[name] === undefined && (flags.only === undefined || name.includes(flags.only));
}

function keep(name: string, result: unknown): void {
  known[name] = result;
  if (flags.keep !== undefined) writeFileSync(flags.keep, JSON.stringify(known));
}

async function both(file: FileCase): Promise<BothWays> {
  const broker = await startMosquitto(PATIENT);
  try {
    return await bothWays(file, broker, mkdtempSync(join(folder, 'd')));
  } finally {
    await broker.stop();
  }
}

/** The header and at most `count` rows, as they are written. */
function excerpt(source: string, from: number, count: number): { path: string; rows: number } {
  const bytes = readFileSync(source);
  const text = (source.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
  const [header = '', ...rows] = text.split('\n').filter((line) => line.trim() !== '');
  const first = rows.length <= count ? 0 : from < 0 ? rows.length - count : from;
  const path = join(mkdtempSync(join(folder, 'd')), `${source.split('/').at(-1)?.replace(/\.gz$/, '')}`);
  writeFileSync(path, `${[header, ...rows.slice(first, first + count)].join('\n')}\n`);
  return { path, rows: rows.length };
}
