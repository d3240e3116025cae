import { expect, test } from 'vitest';
import { warnOfSilence } from '../../src/agent/reports.ts';
import { FakeClock } from '../support/fake-clock.ts';

function linesAfter(minutes: number, streams: number, connected: boolean, end = false): string[] {
  const clock = new FakeClock();
  const lines: string[] = [];
  const stop = warnOfSilence({
    clock,
    log: { warn: (event) => lines.push(event) },
    streams: () => streams,
    connected: () => connected,
  });
  if (end) stop();
  clock.advance(minutes * 60_000);
  return lines;
}

test('a broker without any stream is reported once, after a while', () => {
  expect(linesAfter(1, 0, true)).toEqual([]);
  expect(linesAfter(60, 0, true)).toEqual(['no reading so far']);
});

test('nothing is reported while there are streams, while the broker is lost, or after the end', () => {
  expect(linesAfter(60, 1, true)).toEqual([]);
  expect(linesAfter(60, 0, false)).toEqual([]);
  expect(linesAfter(60, 0, true, true)).toEqual([]);
});
