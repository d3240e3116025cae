import { describe, expect, it } from 'vitest';
import { seriesName } from '../../src/backtest/run.ts';

describe('seriesName', () => {
  it('is the column in one file, file and column in several', () => {
    expect(seriesName(['x/a.csv'], 'x/a.csv', 'temp')).toBe('temp');
    expect(seriesName(['x/a.csv', 'x/b.csv.gz'], 'x/b.csv.gz', 'temp')).toBe('b:temp');
  });

  it('distinguishes files of the same name', () => {
    const files = ['x/a.csv', 'y/a.csv.gz', 'y/b.csv'];
    expect(files.map((file) => seriesName(files, file, 't'))).toEqual(['x/a:t', 'y/a:t', 'b:t']);
  });
});
