/**
 * Writes `docs/dirty-data.md`: public files with real faults, each through a real Mosquitto into the built daemon and
 * through the backtest; and every way to fill a gap, on the same holes. Run with `npx tsx test/bench/dirty.ts --data DIR`.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { type BothWays, bothWays, type FileCase, PATIENT } from '../support/both-ways.ts';
import { ensureBuilt } from '../support/daemon.ts';
import { hasMosquitto, startMosquitto } from '../support/mosquitto.ts';
import { dirtyDocument, type FileResult } from './dirty-document.ts';
import { type GapResult, gapResults } from './dirty-gaps.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

interface DirtyCase extends Omit<FileCase, 'path' | 'horizon'> {
  readonly file: string;
  /** First row of the excerpt where the file is longer than that; negative: from the end. */
  readonly from?: number;
  /** What is wrong with it. */
  readonly faults: string;
}

const LORA = { time: ['unix_time'], timeFormat: 'unix_s' };
const LORA_SPATIENT = { time: ['Msg Time (Unix)'], timeFormat: 'unix_s' };
const PROBE = { time: ['Measurement Time'], timeFormat: '%m/%d/%Y %I:%M %p', intervalMs: 5 * MINUTE };

const CASES: readonly DirtyCase[] = [
  {
    file: 'lora_leaf_nodes/node1_freezer_gateway_5s_2020-09.csv.gz',
    ...LORA,
    intervalMs: MINUTE,
    faults: 'radio loss, a 24-minute hole, hexadecimal status',
  },
  {
    file: 'lora_leaf_nodes/node1_freezer_gateway_5s_2020-09_sf12.csv.gz',
    ...LORA,
    intervalMs: MINUTE,
    faults: 'radio loss',
  },
  {
    file: 'lora_leaf_nodes/node1_freezer_sd_5s_2020-09.csv.gz',
    ...LORA,
    intervalMs: MINUTE,
    faults: 'jitter',
  },
  {
    file: 'lora_leaf_nodes/node3_gateway_5min_2021.csv.gz',
    ...LORA_SPATIENT,
    intervalMs: 5 * MINUTE,
    faults: 'holes of hours, drifting period',
  },
  {
    file: 'lora_leaf_nodes/node3_yard_sd_5min_2021-2022.csv.gz',
    ...LORA,
    intervalMs: 5 * MINUTE,
    from: -1,
    faults: 'its last row is of 2038',
  },
  {
    file: 'lora_leaf_nodes/node5_goat_flat_hourly_2021-2022.csv.gz',
    ...LORA_SPATIENT,
    intervalMs: HOUR,
    faults: 'a period that is not quite an hour: empty and double buckets',
  },
  {
    file: 'soil_moisture_meter/EM40647_2020-11_2021-03.csv.gz',
    ...PROBE,
    faults: 'a clock in 2009, sensors that drop out',
  },
  {
    file: 'soil_moisture_meter/EM40647_2021-06_2021-07.csv.gz',
    ...PROBE,
    from: -1,
    faults: 'resets to 2000 and back, doubled stamps, `#N/A`',
  },
  {
    file: 'metro_traffic/Metro_Interstate_Traffic_Volume.csv.gz',
    time: ['date_time'],
    intervalMs: HOUR,
    from: 14_500,
    faults: 'doubled stamps, missing hours, a hole of 308 days, 0 K for a broken thermometer',
  },
  {
    file: 'wsn_library/library1_R1.csv.gz',
    time: ['ts_ms'],
    timeFormat: 'unix_ms',
    id: 'node',
    intervalMs: MINUTE,
    faults: 'twenty motes in one file, jitter, radio loss',
  },
  ...['TravelTime_387', 'occupancy_6005', 'speed_6005'].map((name) => ({
    file: `nab/realTraffic__${name}.csv`,
    time: ['timestamp'],
    intervalMs: 5 * MINUTE,
    faults: 'half of the slots are empty, at no fixed distance',
  })),
];
const HORIZON = 4;

const { values: flags } = parseArgs({
  options: {
    data: { type: 'string' },
    rows: { type: 'string', default: '2000' },
    out: { type: 'string', default: 'docs/dirty-data.md' },
    only: { type: 'string' },
  },
});
if (flags.data === undefined || !hasMosquitto) {
  process.stderr.write(
    'usage: npx tsx test/bench/dirty.ts --data DIR [--rows N] [--out FILE] [--only TEXT]; Mosquitto is needed\n',
  );
  process.exit(2);
}
const { data } = flags;
const most = Number(flags.rows);

ensureBuilt();
const folder = mkdtempSync(join(tmpdir(), 'gatecast-dirty-'));
try {
  const files: FileResult[] = [];
  for (const { file, from = 0, faults, ...rest } of CASES) {
    if (flags.only !== undefined && !file.includes(flags.only)) continue;
    const { path, rows } = excerpt(join(data, file), from, most);
    const started = performance.now();
    const result = await both({ ...rest, path, horizon: HORIZON });
    const seconds = (performance.now() - started) / 1000;
    process.stderr.write(
      `${file}: ${rows} rows, ${Math.round(seconds)} s, ${result.forecasts.compared} compared, ${result.different.length} differ\n`,
    );
    for (const line of result.different.slice(0, 5)) process.stderr.write(`  ${line}\n`);
    files.push({ file, faults, rowsOfFile: rows, ...result });
  }
  const gaps: GapResult[] =
    flags.only === undefined ? await gapResults((file, rows) => excerpt(join(data, file), 0, rows).path) : [];
  writeFileSync(flags.out, dirtyDocument(files, gaps, { most, horizon: HORIZON }));
  process.exitCode = files.some(({ different }) => different.length > 0) ? 1 : 0;
} finally {
  rmSync(folder, { recursive: true, force: true });
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
