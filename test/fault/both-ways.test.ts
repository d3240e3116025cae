/**
 * One pipeline, two clocks: a dirty file through a real broker into the built daemon, and through the backtest. What is
 * refused and what is forecast must be the same.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { inspect, type StreamReport } from '../../src/cli/inspect/run.ts';
import { bothWays, PATIENT } from '../support/both-ways.ts';
import { ensureBuilt } from '../support/daemon.ts';
import { hasMosquitto, startMosquitto } from '../support/mosquitto.ts';
import { seeded } from '../support/page.ts';
import { tempDirs } from '../support/temp.ts';

const MINUTE = 60_000;
const START = Date.UTC(2025, 2, 29, 20);
const ROWS = 700;
/** Less than the shortest pause that an agent notices, ms. */
const HELD_UP_MS = 700;

/** Two sensors over the night in which the clocks change: doubled and late rows, holes, spikes, stuck and mad readings, bad clocks. */
function dirtyRows(): string[] {
  const random = seeded(11);
  const rows: string[] = [];
  const stamp = (ms: number): string => new Date(ms).toISOString();
  let stuck = 0;
  for (let i = 0; i < ROWS; i++) {
    const timeMs = START + i * MINUTE + Math.floor(random() * 20_000);
    const wave = 20 + 5 * Math.sin(i / 30) + random();
    let first = wave.toFixed(3);
    if (i % 97 === 50) first = '200';
    if (i % 113 === 30) first = '480';
    if (i % 131 === 60) first = '5000';
    if (i > 400 && i < 470) first = '21.500';
    const second = i % 3 === 0 ? '' : i % 41 === 0 ? 'NA' : (100 - 2 * wave + 3 * random()).toFixed(2);
    if (i > 520 && i < 545) continue;
    rows.push(`${stamp(timeMs)},${first},${second}`);
    if (random() < 0.05) rows.push(rows.at(-1)!);
    if (random() < 0.05) rows.push(`${stamp(timeMs - 90_000)},${(wave + 1).toFixed(3)},`);
    if (random() < 0.03) rows.push(`${stamp(timeMs - 5000)},${(wave + 1).toFixed(3)},`);
    stuck++;
  }
  rows.splice(300, 0, '1969-12-31T23:59:00Z,20,50', '2038-04-19T13:34:14Z,20,50', ',20,50');
  expect(stuck).toBeGreaterThan(600);
  return rows;
}

describe.skipIf(!hasMosquitto)('live and backtest', () => {
  const temp = tempDirs();
  beforeAll(() => ensureBuilt());

  test('refuse the same readings of a dirty file, and forecast the same numbers from the rest', async () => {
    const path = join(temp(), 'dirty.csv');
    writeFileSync(path, `time,warm,"odd, name/°C"\n${dirtyRows().join('\n')}\n`);
    const file = { path, time: ['time'], intervalMs: MINUTE, horizon: 6, max: 1000, maxRate: '300/1m' };
    // An agent that was held up takes what has come meanwhile as a backlog, in the order of its times: then the two ways differ.
    const attempt = async () => {
      const dir = temp();
      const broker = await startMosquitto(PATIENT);
      try {
        return { dir, ...(await bothWays(file, broker, dir)) };
      } finally {
        await broker.stop();
      }
    };
    let made = await attempt();
    for (let more = 4; more > 0 && made.pauseMs > HELD_UP_MS; more--) made = await attempt();
    const { dir, readings, live, backtest, forecasts, different } = made;
    const { 'no-time': withoutTime, ...refused } = backtest.refused;
    expect(withoutTime).toBe(1);
    expect(Object.keys(refused).sort()).toEqual([
      'absurd-time',
      'duplicate',
      'late',
      'out-of-range',
      'too-fast',
    ]);
    expect(live.dropped).toMatchObject(refused);
    // Those that were too fast were taken: that shows when their bucket closes.
    const atArrival = Object.entries(refused).filter(([reason]) => reason !== 'too-fast');
    expect(atArrival.reduce((sum, [, n]) => sum + n, live.taken)).toBe(readings);
    expect(different).toEqual([]);
    // Not all go out: of several that wait for a slow broker, or of buckets that close at once, the newest alone is sent.
    expect(forecasts.compared).toBeGreaterThan(0.1 * forecasts.backtest);

    // What was wrong is there to be looked up, reading by reading.
    const reports = ['c0', 'c1'].map(
      (stream) =>
        JSON.parse(
          inspect({ dataDir: dir, stream, json: true, last: 5, days: 5, nowMs: Date.now() }),
        ) as StreamReport,
    );
    const sum = (kind: 'marks' | 'rejects', name: string): number =>
      reports.reduce((total, report) => total + (report[kind][name] ?? 0), 0);
    for (const [reason, n] of Object.entries(refused)) expect(sum('rejects', reason), reason).toBe(n);
    for (const name of ['out-of-range', 'too-fast']) expect(sum('marks', name), name).toBe(refused[name]);
    expect(sum('marks', 'spike')).toBeGreaterThan(3);
    expect(sum('marks', 'stuck') + sum('marks', 'flat-line')).toBeGreaterThan(5);
    expect(reports[0]?.state).not.toBeNull();
    expect(reports[0]?.scores.length).toBeGreaterThan(1);
  });
});
