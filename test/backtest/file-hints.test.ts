/** What is found out of a file before it is played: how far its rows are apart, and marks of missing values. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { findInterval } from '../../src/backtest/find-interval.ts';
import { sentinelHints } from '../../src/backtest/sentinel-hints.ts';
import { readTable } from '../../src/table/table.ts';
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

describe('gatecast backtest', () => {
  it('finds out the interval, and says so; it names marks and shows how far it is', async () => {
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
