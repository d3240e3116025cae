import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GatecastError } from '../../src/errors.ts';
import { readTable, type TableOptions } from '../../src/table/table.ts';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'gatecast-csv-'));
});
afterAll(() => rmSync(dir, { recursive: true }));

function write(text: string | Buffer, name = 'a.csv'): string {
  const path = join(dir, name);
  writeFileSync(path, text);
  return path;
}
function read(text: string | Buffer, options: Partial<TableOptions> = {}) {
  const table = readTable(write(text), { time: ['t'], columns: 'all', ...options });
  const rows = [...table.rows()];
  return {
    table,
    times: rows.map((r) => new Date(r.timeMs).toISOString()),
    values: rows.map((r) => [...r.values]),
    ids: rows.map((r) => r.id),
  };
}
function failure(action: () => unknown): GatecastError {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(GatecastError);
    return error as GatecastError;
  }
  throw new Error('nothing was thrown');
}

describe('readTable', () => {
  it('reads numbers, gaps and text columns', () => {
    const { table, times, values } = read(
      't,a,wind,b,flags,empty\n2024-01-01 00:00:00,1.5,NE,NA,0x00,\n2024-01-01 01:00:00,,N,-3e2,0x01,\n',
    );
    expect(table.columns).toEqual(['a', 'b']);
    expect(times).toEqual(['2024-01-01T00:00:00.000Z', '2024-01-01T01:00:00.000Z']);
    expect(values).toEqual([
      [1.5, Number.NaN],
      [Number.NaN, -300],
    ]);
    expect(table.leftOut.columns).toEqual([
      { name: 'wind', line: 2, cell: 'NE' },
      { name: 'flags', line: 2, cell: '0x00' },
      { name: 'empty', line: 1, cell: '' },
    ]);
  });

  it('reads gzip, a byte order mark, CRLF and quotes', () => {
    const text = '\ufeff"t","a, b"\r\n"2024-01-01T00:00:00Z","7"\r\n';
    expect(read(gzipSync(text)).table.columns).toEqual(['a, b']);
    expect(read(text).values).toEqual([[7]]);
  });

  it('finds semicolons and decimal commas, and takes sentinels as missing', () => {
    const { values, times } = read(
      'Date;Time;CO;T;;\n10/03/2004;18.00.00;2,6;-200;;\n13/03/2004;19.00.00;-200,0;48,9;;\n;;;;;\n',
      { time: ['Date', 'Time'], missing: ['-200'] },
    );
    expect(times).toEqual(['2004-03-10T18:00:00.000Z', '2004-03-13T19:00:00.000Z']);
    expect(values).toEqual([
      [2.6, Number.NaN],
      [Number.NaN, 48.9],
    ]);
  });

  it('keeps the row names of R out of the columns', () => {
    const { values } = read('"t","a"\n"1","2015-02-04 17:51:00",23\n"2","2015-02-04 17:52:00",24\n');
    expect(values).toEqual([[23], [24]]);
  });

  it('reads long files by id', () => {
    const { ids, table } = read('t,node,room,v\n1,20,x,1\n2,10,x,2\n3,20,x,3\n', { id: ['node', 'room'] });
    expect(ids).toEqual(['20/x', '10/x', '20/x']);
    expect(table.ids).toEqual(['20/x', '10/x']);
    expect(table.columns).toEqual(['v']);
  });

  it('gives files without a time column a clock', () => {
    const clock = { time: [], clockStartMs: Date.UTC(2017, 0, 1), intervalMs: 600_000 };
    expect(read('a\n1\n2\n', clock).times).toEqual(['2017-01-01T00:00:00.000Z', '2017-01-01T00:10:00.000Z']);
  });

  it('skips rows without a time and says how many', () => {
    expect(read('t,a\n1,1\n,2\nNA,3\n').table.leftOut.rowsWithoutTime).toBe(2);
  });

  it('grows past its first allocation', () => {
    const rows = Array.from({ length: 5000 }, (_, i) => `${i},${i * 2}`).join('\n');
    const { values } = read(`t,a\n${rows}\n`);
    expect(values.length).toBe(5000);
    expect(values[4999]).toEqual([9998]);
  });

  it.each([
    ['id,Time,a\nx,2024-03-01 06:00,1\n'],
    ['a;DATE;Time\n1;01.03.2024;6:00\n2;13.03.2024;6:00\n'],
    ['time,a,timestamp\n7,1,1709272800\n'],
    ['no,year,month,day,hour,a\n1,2024,3,1,6,4\n'],
  ])('finds the time columns of %j by their names', (text) => {
    const { times, table } = read(text, { time: [] });
    expect(times[0]).toBe('2024-03-01T06:00:00.000Z');
    expect(table.columns).toContain('a');
  });

  it('leaves columns with such names alone where the clock of the file is given', () => {
    const { times, table } = read('time,a\n7,1\n', { time: [], clockStartMs: 0, intervalMs: 1000 });
    expect([times, table.columns]).toEqual([['1970-01-01T00:00:00.000Z'], ['time', 'a']]);
  });

  it.each([
    ['t,a\n2024-01-01,1\n2024-01-02,x\n', { columns: ['a'] }, 'CSV_INVALID', /line 3: column "a" has "x"/],
    ['t,a\n2024-01-01,1\n', { columns: ['b'] }, 'CSV_INVALID', /no column "b"/],
    ['t,a\n2024-01-01,1\nsoon,1\n', {}, 'CSV_INVALID', /line 3: the time "soon"/],
    ['t,a\n2024-02-30,1\n', {}, 'CSV_INVALID', /2024-02-30/],
    ['t,a\n2024-01-01,1\n2024-01-02,1,2,3\n', {}, 'CSV_INVALID', /line 3: has 4 cells, the header has 2/],
    ['t,a\n2024-01-01,x\n', {}, 'CSV_INVALID', /no column holds numbers/],
    ['t,a,a\n2024-01-01,1,1\n', {}, 'CSV_INVALID', /duplicate column/],
    ['t,a\n', {}, 'CSV_INVALID', /no row below/],
    ['', {}, 'CSV_INVALID', /empty/],
    ['t,a\n1,"2\n', {}, 'CSV_INVALID', /Quote/],
    ['a\n1\n', { time: [] }, 'USAGE', /rows need a time/],
  ] as const)('refuses %j', (text, options, code, message) => {
    const error = failure(() => read(text, options));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  it('says which file cannot be read', () => {
    const error = failure(() => readTable(join(dir, 'nowhere.csv'), { time: ['t'], columns: 'all' }));
    expect(error.code).toBe('FILE_UNREADABLE');
    const cut = write(gzipSync('t,a\n1,2\n').subarray(0, 20), 'cut.csv.gz');
    expect(failure(() => readTable(cut, { time: ['t'], columns: 'all' })).code).toBe('FILE_UNREADABLE');
  });
});
