import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatDuration,
  formatSize,
  parseDuration,
  parseRate,
  parseSize,
  readableDuration,
} from '../../src/config/units.ts';

describe('quantities', () => {
  it.each([
    ['30s', 30_000],
    ['250ms', 250],
    ['1.5h', 5_400_000],
    ['1h30m', 5_400_000],
    ['14d', 1_209_600_000],
    ['0s', 0],
    ['30', null],
    ['s', null],
    ['-1s', null],
    ['1 s', null],
    ['1y', null],
    ['9'.repeat(20), null],
  ])('duration %s is %j ms', (text, ms) => expect(parseDuration(text)).toBe(ms));

  it.each([
    ['256MB', 256 * 1024 ** 2],
    ['64 kb', 65_536],
    ['1.5GB', 1.5 * 1024 ** 3],
    ['10B', 10],
    ['10', null],
    ['10TB', null],
  ])('size %s is %j bytes', (text, bytes) => expect(parseSize(text)).toBe(bytes));

  it.each([
    ['5/1m', 5 / 60_000],
    ['0.5/10s', 0.5 / 10_000],
    ['5', null],
    ['5/0s', null],
    ['-5/1m', null],
  ])('rate %s is %j per ms', (text, perMs) => expect(parseRate(text)).toBe(perMs));

  it('are written as they are read', () => {
    fc.assert(fc.property(fc.nat(1e9), (ms) => parseDuration(formatDuration(ms)) === ms));
    fc.assert(fc.property(fc.nat(1e9), (ms) => parseDuration(readableDuration(ms)) === ms));
    expect([336 * 60_000, 90_000, 86_400_000, 0].map(readableDuration)).toEqual([
      '5h36m',
      '1m30s',
      '1d',
      '0s',
    ]);
    fc.assert(fc.property(fc.nat(1e12), (bytes) => parseSize(formatSize(bytes)) === bytes));
  });
});
