/** What is found out of a file before it is played: how far its rows are apart, and marks of missing values. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { aggregateHints } from '../../src/backtest/aggregate-hints.ts';
import { findInterval } from '../../src/backtest/find-interval.ts';
import { sentinelHints } from '../../src/backtest/sentinel-hints.ts';
import type { Aggregate } from '../../src/series/spec.ts';
import { readTable } from '../../src/table/table.ts';
import { Random } from '../../src/training/random.ts';
import { run } from '../support/run.ts';

const folder = mkdtempSync(join(tmpdir(), 'gatecast-hints-'));
afterAll(() => rmSync(folder, { recursive: true }));
const write = (name: string, lines: readonly string[]): string => {
  const path = join(folder, name);
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
};
const at = (minute: number): string => new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString();
const ASKED = { columns: 'all' as const, horizon: 24 };

describe('the interval of a file', () => {
  it('is the distance of its rows, also with gaps', () => {
    const rows = Array.from({ length: 60 }, (_, n) => n).filter((n) => n % 7 !== 3);
    const path = write('plain.csv', ['time,v', ...rows.map((n) => `${at(15 * n)},${n}`)]);
    expect(findInterval(path, ASKED)).toBe(900_000);
  });

  it('is that of one series in a long file', () => {
    const rows = Array.from({ length: 30 }, (_, n) =>
      ['a', 'b', 'c'].map((id) => `${at(60 * n)},${id},${n}`),
    ).flat();
    const path = write('long.csv', ['time,id,v', ...rows]);
    expect(findInterval(path, { ...ASKED, id: ['id'] })).toBe(3_600_000);
  });

  it('must be said where too few rows tell it', () => {
    const path = write('short.csv', ['time,v', `${at(0)},1`, `${at(5)},2`]);
    expect(() => findInterval(path, ASKED)).toThrow(/cannot determine the interval/);
    expect(() => findInterval(join(folder, 'none.csv'), ASKED)).toThrow(/ENOENT/);
  });
});

describe('marks of missing values', () => {
  const hints = (columns: readonly (readonly number[])[]): string[] => {
    const rows = (columns[0] ?? []).map((_, n) => [at(n), ...columns.map((values) => values[n])].join(','));
    const names = columns.map((_, c) => `c${c}`);
    const path = write('marks.csv', [['time', ...names].join(','), ...rows]);
    return sentinelHints('f.csv', readTable(path, { columns: 'all' }));
  };
  const wave = (count: number, mean: number, swing: number): number[] =>
    Array.from({ length: count }, (_, n) => mean + swing * Math.sin(n));
  const with_ = (values: readonly number[], mark: number, every: number): number[] =>
    values.map((value, n) => (n % every === 0 ? mark : value));

  it('are named with how often they stand and what to do', () => {
    expect(
      hints([with_(wave(100, 20, 5), -200, 10), with_(wave(100, 700, 600), -200, 5), wave(100, 0, 1)]),
    ).toEqual([
      'f.csv: -200 occurs 30 times in 2 columns and looks like a mark for a missing value; --missing -200 drops it',
    ]);
    expect(hints([with_(wave(60, 21, 2), -127, 12), with_(wave(60, 50, 5), 65_535, 12)])).toHaveLength(2);
  });

  it('are not values that a series could have', () => {
    expect(hints([with_(wave(100, -150, 100), -200, 10)])).toEqual([]);
    expect(hints([with_(wave(100, 20, 5), -200, 60)])).toEqual([]);
    expect(hints([Array.from({ length: 100 }, () => -999)])).toEqual([]);
    expect(hints([wave(100, 20, 5)])).toEqual([]);
  });
});

describe('a series that another aggregate fits', () => {
  const hints = (values: readonly number[], aggregate: Aggregate = 'mean'): string[] => {
    const path = write('aggregate.csv', ['time,v', ...values.map((value, n) => `${at(n)},${value}`)]);
    return aggregateHints('f.csv', readTable(path, { columns: 'all' }), aggregate);
  };
  const random = new Random(4);
  const from = (next: (n: number) => number): number[] => Array.from({ length: 300 }, (_, n) => next(n));
  let total = 5000;
  const net = from((n) => {
    total += 0.1 - 0.3 * Math.max(0, Math.sin(n / 15));
    return total;
  });
  const backwards = ['f.csv: v also runs backwards; --aggregate change forecasts the signed increase'];
  const direction = [
    'f.csv: v looks like a direction in degrees; --aggregate circular-mean averages and forecasts on the circle',
  ];

  it('is a meter that also runs backwards', () => {
    expect(hints(net, 'delta')).toEqual(backwards);
    expect(
      hints(
        net.map((value) => value - 4990),
        'delta',
      ),
    ).toEqual(backwards);
    expect([hints(net, 'change'), hints(net)]).toEqual([[], []]);
    // Resets, and single wrong readings.
    expect(
      hints(
        from((n) => n % 40),
        'delta',
      ),
    ).toEqual([]);
    expect(
      hints(
        from((n) => (n % 90 === 5 ? 5000 + n - 3 : 5000 + n)),
        'delta',
      ),
    ).toEqual([]);
  });

  it('is a direction that passes north', () => {
    const around = (center: number, spread: number) => from(() => center + spread * random.normal());
    const wrapped = (values: number[], low = 0) => values.map((v) => ((((v - low) % 360) + 360) % 360) + low);
    expect(hints(wrapped(around(2, 20)))).toEqual(direction);
    expect(hints(wrapped(around(178, 20), -180))).toEqual(direction);
    expect(hints(wrapped(around(2, 20)), 'circular-mean')).toEqual([]);
    expect(hints(wrapped(around(180, 20)))).toEqual([]);
    // Light that goes off and on, and noise over the whole range.
    expect(hints(from((n) => (n % 20 < 10 ? 298 + random.range(0, 1) : 3 * random.range(0, 1))))).toEqual([]);
    expect(hints(from(() => 360 * random.range(0, 1)))).toEqual([]);
  });
});

describe('gatecast backtest', () => {
  it('detects and prints the interval, names marks, and shows its progress', async () => {
    const rows = Array.from(
      { length: 400 },
      (_, n) => `${at(15 * n)},${n % 9 === 0 ? -200 : 20 + Math.sin(n)}`,
    );
    const path = write('backtest.csv', ['time,v', ...rows]);
    const said: string[] = [];
    const spies = [
      vi.spyOn(process.stderr, 'write').mockImplementation((text) => said.push(String(text)) > 0),
      vi.spyOn(process.stdout, 'write').mockImplementation(() => true),
    ];
    const { code, err } = await run('backtest', path, '--horizon', '4', '--model', 'none');
    for (const spy of spies) spy.mockRestore();
    said.push(err);
    expect([code, said.join('')]).toEqual([
      0,
      expect.stringContaining(`--interval 15m: detected from the rows of ${path}`),
    ]);
    expect(said.join('')).toMatch(/^warning: .*-200 occurs 45 times in one column/m);
    expect(said.join('')).toMatch(/\d+% +backtest\.csv/);
  });
});
