import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { admit } from '../../src/backtest/admit.ts';
import { readSeries } from '../../src/backtest/request.ts';
import { createRandom } from '../../src/network/random.ts';
import { Buckets } from '../../src/series/buckets.ts';
import { testSpec } from '../support/specs.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();
const MINUTE = 60_000;
const START = Date.UTC(2024, 4, 1);
const OPTIONS = {
  intervalMs: MINUTE,
  latenessMs: 0,
  min: null,
  max: null,
  order: 'file' as const,
  nowMs: START,
};
const at = (minutes: number, value = minutes, series = 0) => ({
  series,
  timeMs: START + minutes * MINUTE,
  value,
});

/** What is kept, as minutes, and why the rest is not. */
function judged(all: ReturnType<typeof at>[], change: Partial<Parameters<typeof admit>[1]> = {}) {
  const reasons: string[] = [];
  const kept = admit(all, { ...OPTIONS, ...change }, (reason) => reasons.push(reason));
  return { minutes: kept.map(({ timeMs }) => (timeMs - START) / MINUTE), reasons };
}

describe('admit', () => {
  it('excludes impossible time stamps and values beyond the limits', () => {
    const all = [at(0), { ...at(1), timeMs: Date.UTC(1969, 11, 31) }, at(1, 900), at(2)];
    all.push({ ...at(3), timeMs: Date.UTC(2038, 3, 19) });
    const { minutes, reasons } = judged(all, { max: 100, order: 'time' });
    expect(minutes).toEqual([0, 2]);
    expect(reasons).toEqual(['absurd-time', 'out-of-range', 'absurd-time']);
  });

  it('takes rows of after 2037 when it is after 2037', () => {
    const nowMs = Date.UTC(2041, 0, 1);
    const all = [
      { ...at(0), timeMs: nowMs - MINUTE },
      { ...at(1), timeMs: nowMs + 1000 * MINUTE },
    ];
    expect(judged(all, { nowMs }).reasons).toEqual(['absurd-time']);
    expect(judged(all).reasons).toEqual(['absurd-time', 'absurd-time']);
  });

  it('reads rows by time, or in file order, where rows that jump back are late; each series separately', () => {
    const all = [at(5), at(3), at(5.5), at(6), at(3, 1, 1), at(4, 1, 1), at(7)];
    expect(judged(all, { order: 'time' })).toEqual({ minutes: [3, 3, 4, 5, 5.5, 6, 7], reasons: [] });
    expect(judged(all)).toEqual({ minutes: [3, 4, 5, 5.5, 6, 7], reasons: ['late'] });
    expect(judged(all, { latenessMs: 2 * MINUTE }).reasons).toEqual([]);
  });

  it('marks the same buckets as the live agent, however often they are checked', () => {
    const random = createRandom(3);
    const all = Array.from({ length: 600 }, (_, i) =>
      at(i / 3 - Math.floor(random.next() * 1.1) * 4 * random.next()),
    );
    for (const latenessMs of [0, 90_000]) {
      for (const every of [1, 7, 20]) {
        const buckets = new Buckets(testSpec('s', { intervalMs: MINUTE, latenessMs }));
        const accepted = all.filter(({ timeMs, value }, i) => {
          if (i % every === 0) buckets.close(null);
          return buckets.push({ stream: 's', timeMs, value, arrivalMs: START + 1e9 }) !== 'late';
        });
        const kept = admit(all, { ...OPTIONS, latenessMs }, () => undefined);
        expect(accepted.length).toBeLessThan(all.length);
        expect(kept).toEqual(accepted.sort((a, b) => a.timeMs - b.timeMs));
      }
    }
  });
});

describe('readSeries', () => {
  const file = (text: string): string => {
    const path = join(temp(), 'f.csv');
    writeFileSync(path, text);
    return path;
  };
  const request = { time: ['t'], columns: 'all' as const, interval: MINUTE, horizon: 2 };
  const rows = (...stamps: string[]) =>
    file(`t,v\n${stamps.map((stamp, i) => `${stamp},${i}`).join('\n')}\n`);

  it('says why every reading of a file was refused', () => {
    const path = rows(...Array.from({ length: 9 }, (_, i) => `2061-06-15T0${i}:00:00Z`));
    expect(() => readSeries(path, request)).toThrow(
      expect.objectContaining({ code: 'NOT_ENOUGH_DATA', hint: expect.stringContaining('absurd-time 9') }),
    );
  });

  it('refuses a file whose clock was decades off, and plays it in file order on request', () => {
    const hours = Array.from({ length: 9 }, (_, i) => `2021-06-15T0${i}:00:00Z`);
    const path = rows(...hours, '2000-01-01T18:15:00Z');
    expect(() => readSeries(path, request)).toThrow(/from 2000-01-01 to 2021-06-15/);
    const wide = file(
      readFileSync(path, 'utf8')
        .replaceAll(/^(.*),(.*)$/gm, '$1,$2,$2,$2')
        .replace('v,v,v', 'v,w,x'),
    );
    expect(() => readSeries(wide, request)).toThrow(/nearly all/);
    const { series, refused } = readSeries(path, { ...request, order: 'file' });
    expect(refused).toEqual({ late: 1 });
    expect(series[0]!.actual).toHaveLength(8 * 60 + 1);
  });

  it('builds scored values as live builds its buckets: the aggregate, and the first of two readings at one time', () => {
    const text =
      't,v\n2021-06-15T00:00:00Z,10\n2021-06-15T00:00:30Z,13\n2021-06-15T00:00:30Z,99\n2021-06-15T00:02:00Z,20\n2021-06-15T00:03:00Z,21\n';
    const actual = (aggregate: 'mean' | 'max' | 'delta') => [
      ...readSeries(file(text), { ...request, horizon: 1, aggregate }).series[0]!.actual,
    ];
    expect(actual('mean')).toEqual([11.5, Number.NaN, 20, 21]);
    expect(actual('max')).toEqual([13, Number.NaN, 20, 21]);
    // What was counted over the gap is shared out by time: 7 in 90 s.
    expect(actual('delta')).toEqual([3, Number.NaN, (7 * 60) / 90, 1]);
  });

  it('excludes readings that changed too fast from the scored values, as live excludes them from buckets', () => {
    const path = rows(...Array.from({ length: 6 }, (_, i) => `2021-06-15T00:0${i}:00Z`));
    const text = readFileSync(path, 'utf8').replace(',3\n', ',900\n');
    const actual = readSeries(file(text), { ...request, maxRate: 5 / MINUTE }).series[0]!.actual;
    expect([...actual]).toEqual([0, 1, 2, Number.NaN, 4, 5]);
  });

  it('takes the distance of rows without a time apart from the length of a bucket', () => {
    const text = `v\n${Array.from({ length: 12 }, (_, i) => i).join('\n')}\n`;
    const { time: _, ...clock } = { ...request, clockStart: START, interval: 4 * MINUTE, horizon: 1 };
    const means = (rowInterval?: number) => [
      ...readSeries(file(text), { ...clock, ...(rowInterval && { rowInterval }) }).series[0]!.actual,
    ];
    expect(means(MINUTE)).toEqual([1.5, 5.5, 9.5]);
    expect(means()).toHaveLength(12);
  });
});
