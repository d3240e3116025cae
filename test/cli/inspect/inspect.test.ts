import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type InspectRequest, inspect, type StreamReport } from '../../../src/cli/inspect/run.ts';
import { summarise } from '../../../src/cli/inspect/stream.ts';
import { Engine } from '../../../src/forecast/engine.ts';
import { FLAT_LINE, OUT_OF_RANGE, SPIKE, TOO_FAST } from '../../../src/series/quality.ts';
import type { SqliteStore } from '../../../src/store/sqlite-store.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { testSpec } from '../../support/specs.ts';
import { openStore } from '../../support/stores.ts';
import { tempDirs } from '../../support/temp.ts';

const temp = tempDirs();
const DAY = 86_400_000;
const MINUTE = 60_000;
const T0 = Date.UTC(2025, 2, 1);

const at = (minutes: number, mark = 0, value = minutes) => ({ timeMs: T0 + minutes * MINUTE, value, mark });

describe('summarise', () => {
  it('counts readings, buckets, gaps, marks and refusals by day, days of silence among them', () => {
    const samples = [
      at(1430),
      at(1431),
      at(1431.5, SPIKE),
      at(1432, OUT_OF_RANGE),
      at(1439),
      at(1440 * 3 + 2),
    ];
    const rejects = [{ dayMs: T0 + DAY, reason: 'late', count: 4 }];
    const { days, firstMs, lastMs } = summarise(() => samples, rejects, MINUTE, 3);
    expect([firstMs, lastMs]).toEqual([samples[0]!.timeMs, samples.at(-1)!.timeMs]);
    expect(days).toEqual([
      {
        day: '2025-03-01',
        samples: 4,
        buckets: 3,
        gaps: 7,
        marks: { spike: 1, 'out-of-range': 1 },
        rejects: {},
      },
      { day: '2025-03-02', samples: 0, buckets: 0, gaps: 1440, marks: {}, rejects: { late: 4 } },
      { day: '2025-03-03', samples: 0, buckets: 0, gaps: 1440, marks: {}, rejects: {} },
      { day: '2025-03-04', samples: 1, buckets: 1, gaps: 2, marks: {}, rejects: {} },
    ]);
  });

  it('detects the interval, keeps only the newest rows, and is empty without readings', () => {
    const samples = Array.from({ length: 40 }, (_, i) => at(5 * i, i === 2 ? TOO_FAST : 0));
    const summary = summarise(() => samples, [], null, 3);
    expect(summary.intervalMs).toBe(5 * MINUTE);
    expect(summary.last).toEqual(samples.slice(-3));
    expect(summary.days[0]).toMatchObject({ samples: 39, buckets: 39, gaps: 1 });
    expect(summarise(() => [], [], null, 3)).toEqual({
      intervalMs: null,
      firstMs: null,
      lastMs: null,
      days: [],
      last: [],
    });
  });
});

/** A folder as a running agent has it: some of it in the database, some in the journal, one saved state. */
async function agentFolder(): Promise<{ dir: string; store: SqliteStore }> {
  const dir = temp();
  const clock = new FakeClock(T0 + DAY);
  const store = openStore(dir, { clock });
  const engine = new Engine(null);
  engine.add(testSpec('cellar/temperature', { intervalMs: MINUTE, horizonMs: 12 * MINUTE, unit: '°C' }));
  const push = (i: number): void => {
    const sample = { stream: 'cellar/temperature', ...at(i, 0, 20 + (i % 7)), arrivalMs: at(i).timeMs };
    engine.push(sample);
    store.append(sample);
  };
  for (let i = 0; i < 200; i++) push(i);
  await engine.tick(null);
  store.reject('cellar/temperature', 'duplicate', T0, 3);
  store.saveSnapshots([engine.snapshot('cellar/temperature')!]);
  store.settle();
  for (let i = 200; i < 210; i++) push(i);
  store.append({ stream: 'cellar/temperature', ...at(205.5, 0, 999), arrivalMs: T0 }, OUT_OF_RANGE);
  store.append({ stream: 'attic', ...at(1), arrivalMs: T0 });
  store.mark('cellar/temperature', { fromMs: at(199).timeMs, toMs: at(202).timeMs, marks: FLAT_LINE });
  store.flush();
  return { dir, store };
}

const request = (dir: string, change: Partial<InspectRequest> = {}): InspectRequest => ({
  dataDir: dir,
  stream: 'cellar/temperature',
  last: 5,
  days: 14,
  nowMs: T0 + DAY + 3_900_000,
  ...change,
});

describe('gatecast inspect', () => {
  it('shows the samples of database and journal while the agent has them open', async () => {
    const { dir, store } = await agentFolder();
    const report = JSON.parse(inspect(request(dir, { json: true }))) as StreamReport;
    expect(report).toMatchObject({
      stream: 'cellar/temperature',
      unit: '°C',
      interval_s: 60,
      interval_from: 'state',
      horizon_steps: 12,
      samples: 210,
      first: '2025-03-01T00:00:00.000Z',
      last: '2025-03-01T03:29:00.000Z',
      state: { saved: '2025-03-02T00:00:00.000Z', age_s: 3900, buckets: 199 },
      marks: { 'flat-line': 3, 'out-of-range': 1 },
      rejects: { duplicate: 3 },
    });
    expect(report.days).toHaveLength(1);
    expect(report.days[0]).toMatchObject({ buckets: 210, gaps: 0 });
    expect(report.readings.at(-1)).toEqual({ time: '2025-03-01T03:29:00.000Z', value: 26, marks: [] });
    expect(report.scores[0]).toMatchObject({ h: 1 });
    expect(report.scores[0]!.n).toBeGreaterThan(100);
    const text = inspect(request(dir));
    expect(text).toContain('saved 1h 5m ago');
    expect(text).toContain('out-of-range: outside the limits of the stream');
    expect(text).toMatch(/2025-03-01 +210 +210 +0 +flat-line 3, out-of-range 1 +duplicate 3/);
    // What was only read is whole: the agent goes on.
    store.append({ stream: 'attic', ...at(2), arrivalMs: T0 });
    expect(store.settle()).toBe(true);
    expect([...store.samples('cellar/temperature', 0)]).toHaveLength(211);
  });

  it('lists the streams where none is named, and names those there are where it is not among them', async () => {
    const { dir } = await agentFolder();
    const { stream: _, ...all } = request(dir);
    expect(inspect(all)).toBe('attic\ncellar/temperature\n');
    expect(JSON.parse(inspect({ ...all, json: true }))).toEqual(['attic', 'cellar/temperature']);
    const ask = () => inspect(request(dir, { stream: 'celar/temperature' }));
    expect(ask).toThrow(
      expect.objectContaining({ code: 'STREAM_UNKNOWN', hint: expect.stringContaining('cellar/') }),
    );
  });

  it('reads the journal alone of an agent that has not filled a batch, and refuses a folder without a store', () => {
    const dir = temp();
    const store = openStore(dir, { clock: new FakeClock(T0) });
    for (let i = 0; i < 8; i++) store.append({ stream: 'a', ...at(i), arrivalMs: T0 });
    for (let i = 0; i < 3; i++)
      store.append({ stream: 'meter', ...at(i, 0, 45_678.9 + i / 4), arrivalMs: T0 });
    store.flush();
    const report = JSON.parse(inspect(request(dir, { stream: 'a', json: true }))) as StreamReport;
    expect(report).toMatchObject({
      samples: 8,
      interval_s: 60,
      interval_from: 'readings',
      state: null,
      scores: [],
    });
    expect(inspect(request(dir, { stream: 'a' }))).toContain('none saved');
    expect(inspect(request(dir, { stream: 'meter' }))).toMatch(/ 45678\.90\n.* 45679\.15\n.* 45679\.40\n/);
    store.close();
    expect(() => inspect(request(temp()))).toThrow(expect.objectContaining({ code: 'FILE_UNREADABLE' }));
  });

  it('takes folder, interval and unit from the config, and needs to know the folder', () => {
    const dir = temp();
    const config = join(dir, 'gatecast.json');
    const streams = [
      { match: 's/{p}', payload: 'json', fields: ['v'], name: '{p}', unit: 'bar', interval: '2m' },
    ];
    writeFileSync(
      config,
      JSON.stringify({ node: 'n', mqtt: { url: 'mqtt://127.0.0.1' }, data_dir: dir, streams }),
    );
    const store = openStore(dir, { clock: new FakeClock(T0) });
    store.append({ stream: 'pump', ...at(1), arrivalMs: T0 });
    store.setMeta('agent.streams', JSON.stringify([['s/pump', 'v', null, T0]]));
    store.flush();
    const { dataDir: _, ...asked } = request(dir, { stream: 'pump', config, json: true });
    expect(JSON.parse(inspect(asked))).toMatchObject({
      unit: 'bar',
      interval_s: 120,
      interval_from: 'config',
    });
    store.close();
    const { config: __, ...nowhere } = asked;
    expect(() => inspect(nowhere)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});
