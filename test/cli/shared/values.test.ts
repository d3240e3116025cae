import { describe, expect, it } from 'vitest';
import { instant } from '../../../src/cli/shared/values.ts';

describe('a time on the command line', () => {
  it.each([
    ['2017-01-01', Date.UTC(2017, 0, 1)],
    ['2017-01-01 06:30', Date.UTC(2017, 0, 1, 6, 30)],
    ['2017-01-01T06:30:00+02:00', Date.UTC(2017, 0, 1, 4, 30)],
    ['1483228800', Date.UTC(2017, 0, 1)],
  ])('may be %s', (text, ms) => {
    expect(instant(text)).toBe(ms);
  });

  // V8 would read the first three, in the zone of the machine.
  it.each(['3/4/2017', 'March 2017', 'room 5', '2017-02-30', ''])('may not be "%s"', (text) => {
    expect(() => instant(text)).toThrow('2017-01-01T00:00:00Z');
  });
});
