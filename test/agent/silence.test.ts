import { expect, test } from 'vitest';
import { silentRules } from '../../src/agent/alerts.ts';
import { warnOfSilence } from '../../src/agent/reports.ts';
import { Router } from '../../src/ingest/router.ts';
import { rule } from '../ingest/rules.ts';
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

const HOUR = 3_600_000;

test('a rule without any message is named', () => {
  const router = new Router([rule('s/{x}', 'auto'), rule('t/{x}', 'auto')]);
  router.message('s/a', Buffer.from('5'), 0);
  expect(silentRules(router.unheard(), HOUR)[0]?.text).toMatch(/no message has arrived for t\/\{x\}:/);
  router.adopt({ topic: 't/a', field: '' });
  expect(silentRules(router.unheard(), HOUR)).toEqual([]);
});

test.each([
  [null, HOUR],
  [60_000, HOUR / 4],
  [HOUR, 3 * HOUR],
])('a rule with the interval %s is silent after %i ms', (intervalMs, afterMs) => {
  const slow = { ...rule('s/{x}', 'auto'), stream: { ...rule('s/{x}', 'auto').stream, intervalMs } };
  const unheard = new Router([slow]).unheard();
  expect(silentRules(unheard, afterMs - 1)).toEqual([]);
  expect(silentRules(unheard, afterMs)).toHaveLength(1);
});
