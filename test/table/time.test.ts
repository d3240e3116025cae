import { describe, expect, it } from 'vitest';
import { detectTimeReader, timeReaderOf } from '../../src/table/time.ts';

const iso = (ms: number): string => (Number.isNaN(ms) ? 'unreadable' : new Date(ms).toISOString());
const read = (texts: string[], columns = 1): string[] => texts.map(detectTimeReader(texts, columns)).map(iso);

describe('detectTimeReader', () => {
  it.each([
    ['2016-07-01 00:00:00', '2016-07-01T00:00:00.000Z'],
    ['2020/1/1 0:15', '2020-01-01T00:15:00.000Z'],
    ['2009-05-21T19:00:00Z', '2009-05-21T19:00:00.000Z'],
    ['2009-05-21T19:00:00.25+02:00', '2009-05-21T17:00:00.250Z'],
    ['2009-05-21T19:00:00-0330', '2009-05-21T22:30:00.000Z'],
    ['1958-03-01', '1958-03-01T00:00:00.000Z'],
    ['2011-01-01 5', '2011-01-01T05:00:00.000Z'],
    ['2011-12-31 24:00', '2012-01-01T00:00:00.000Z'],
    ['13/03/2012 11:45', '2012-03-13T11:45:00.000Z'],
    ['6/15/2021 3:25 PM', '2021-06-15T15:25:00.000Z'],
    ['6/15/2021 12:05 AM', '2021-06-15T00:05:00.000Z'],
    ['1163438041250', '2006-11-13T17:14:01.250Z'],
    ['1600165831', '2020-09-15T10:30:31.000Z'],
    ['2147483648', '2038-01-19T03:14:08.000Z'],
    ['1704067200123456', '2024-01-01T00:00:00.123Z'],
    ['1704067200123456789', '2024-01-01T00:00:00.123Z'],
    ['20240131', '2024-01-31T00:00:00.000Z'],
    ['202401311230', '2024-01-31T12:30:00.000Z'],
    ['20240131123059', '2024-01-31T12:30:59.000Z'],
    ['2024-01-31 12:30:59 UTC', '2024-01-31T12:30:59.000Z'],
    ['Wed, 31 Jan 2024 12:30:59 +0100', '2024-01-31T11:30:59.000Z'],
    ['-1', '1969-12-31T23:59:59.000Z'],
    ['2023-02-29', 'unreadable'],
    ['2023-04-31', 'unreadable'],
    ['2023-04-01 25:00', 'unreadable'],
    ['2023-04-01 13:00 PM', 'unreadable'],
    ['yesterday', 'unreadable'],
    ['12-13-14', 'unreadable'],
  ])('%s', (text, expected) => {
    expect(read([text])).toEqual([expected]);
  });

  it('lets the whole file decide between day and month first', () => {
    expect(read(['10/03/2004 18.00.00', '13/03/2004 00.00.00'])[0]).toBe('2004-03-10T18:00:00.000Z');
    expect(read(['10/03/2004', '10/13/2004'])[0]).toBe('2004-10-03T00:00:00.000Z');
    expect(read(['4/4/2004'])).toEqual(['2004-04-04T00:00:00.000Z']);
    expect(() => read(['10/03/2004', '11/03/2004'])).toThrow(/day\/month or month\/day/);
    expect(() => read(['13/03/2004', '03/13/2004'])).toThrow(/some dates/);
  });

  it('reads year, month, day and hour in columns of their own', () => {
    expect(read(['2013 3 1 7'], 4)).toEqual(['2013-03-01T07:00:00.000Z']);
    expect(read(['2013 3 1'], 3)).toEqual(['2013-03-01T00:00:00.000Z']);
    expect(read(['2013 13 1'], 3)).toEqual(['unreadable']);
  });
});

describe('timeReaderOf', () => {
  it.each([
    ['%d/%m/%Y %H.%M.%S', '10/03/2004 18.00.00', '2004-03-10T18:00:00.000Z'],
    ['%y%m%d-%H%M', '200915-1030', '2020-09-15T10:30:00.000Z'],
    ['%m/%d/%Y %I:%M %p', '6/5/2021 3:25 PM', '2021-06-05T15:25:00.000Z'],
    ['%Y-%m-%dT%H:%M:%S.%f%z', '2020-01-01T00:00:00.5+01:00', '2019-12-31T23:00:00.500Z'],
    ['(%Y)', '(2020)', '2020-01-01T00:00:00.000Z'],
    ['unix_s', '86400', '1970-01-02T00:00:00.000Z'],
    ['unix_ms', '86400000', '1970-01-02T00:00:00.000Z'],
    ['unix_ms', 'x', 'unreadable'],
    ['%Y', '20', 'unreadable'],
  ])('%s reads %s', (format, text, expected) => {
    expect(iso(timeReaderOf(format)(text))).toBe(expected);
  });

  it('names a directive it does not know', () => {
    expect(() => timeReaderOf('%Y %Q')).toThrow(/%Q/);
  });
});
