/**
 * Promise P6: every counter of something dropped, lost, refused or skipped in the daemon is in `dropped` of the health message,
 * and so in the alert, the metrics and the page (`health.test.ts`). The list of counters is read from the sources: a new one
 * fails this test until it has a reason, or is named here with what it counts instead.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DROPS } from '../../src/agent/drops.ts';
import { ERROR_EVENTS } from '../../src/agent/logged-errors.ts';
import { REJECTS } from '../../src/ingest/rejects.ts';

const SRC = join(import.meta.dirname, '../../src');
/** Rooms that only the command line uses. */
const OFFLINE = /^(?:cli|backtest|demo|training|plot|table|network)\//;
const COUNTER =
  /([\w.]*(?:drop|lost|refus|skip|reject|discard|unread|damaged|deleted|fail|missed|unusable|notFinite|overflow)\w*)(?:\(\w+\))?(?:\+\+| \+= )/gi;

/** By file and counter: reasons in `dropped`; or a text, for what is no drop. */
const COUNTERS: Readonly<Record<string, readonly string[] | string>> = {
  'agent/known-ahead.ts unusable': ['table-unusable'],
  'agent/streams.ts unreadStreams': ['history-unread'],
  'forecast/engine.ts failures': 'runs of the network: naive forecasts go out; the alert `network`',
  'mqtt/feeder.ts refused': 'messages of the command `replay`',
  'mqtt/outbox.ts dropped': ['outbox-full'],
  'outputs/json/json-topics.ts notFinite': ['forecast-not-finite'],
  'outputs/outputs.ts failures': ['output-failed'],
  'outputs/sparkplug/sparkplug.ts droppedCount': ['sparkplug-backlog'],
  'remote/push-lifecycle.ts dropped': ['push-unread'],
  'site/bridge.ts failures': 'attempts to send: the messages stay unacknowledged and come again',
  'site/history.ts unreadable':
    'messages of a log that a fine-tuning reads again: the owner of the partition has counted them as `log-unreadable`',
  'site/owned-partition.ts lostMessages': ['log-lost'],
  'site/owned-partition.ts unreadable': ['log-unreadable'],
  'site/owned-partition.ts failed': ['log-failed'],
  'store/batch.ts refused': ['row-refused'],
  'store/database-connection.ts failedReads': 'reads that fail: nothing is lost; the alert `store`',
  'store/pending.ts dropped': ['store-full'],
  'store/sqlite-store.ts deletedForSpace': ['disk-full'],
  'store/sqlite-store.ts damagedParts': ['journal-damaged'],
  'store/sqlite-store.ts refusedRows': ['row-refused'],
};

function* counters(): Generator<string> {
  for (const file of readdirSync(SRC, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts') || OFFLINE.test(file)) continue;
    for (const [, name = ''] of readFileSync(join(SRC, file), 'utf8').matchAll(COUNTER))
      yield `${file} ${name.replace(/^.*\./, '')}`;
  }
}

test('every counter in the sources of the daemon has a reason', () => {
  expect([...new Set(counters())].sort()).toEqual(Object.keys(COUNTERS).sort());
  const reasons = new Set([...Object.keys(DROPS), ...Object.keys(REJECTS)]);
  for (const [counter, of] of Object.entries(COUNTERS))
    if (typeof of !== 'string') for (const reason of of) expect(reasons, counter).toContain(reason);
});

test('every reason in the sources is one of the tables', () => {
  const reasons = new Set([...Object.keys(DROPS), ...Object.keys(REJECTS)]);
  const used: string[] = [];
  for (const file of readdirSync(SRC, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts') || OFFLINE.test(file)) continue;
    const source = readFileSync(join(SRC, file), 'utf8');
    for (const [, reason = ''] of source.matchAll(/\.(?:drop|reject|count)\('([a-z-]+)'/g)) used.push(reason);
  }
  expect(used.length).toBeGreaterThan(5);
  for (const reason of used) expect(reasons).toContain(reason);
});

/**
 * What is logged at level error, or at a level that may be error, also by `logRun`. The kinds of the store's faults are in the type of
 * the table.
 */
const LOGGED = /\b(?:log(?:\.error|\[(?:\w+|[^\]]*'error'[^\]]*)\])\(|logRun\([\w.]+,)\s*(['"`])(.+?)\1/g;

test('every error in the log of the daemon has an alert, or is the answer to who asked', () => {
  const events: string[] = [];
  for (const file of readdirSync(SRC, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts') || OFFLINE.test(file)) continue;
    for (const [, , event = ''] of readFileSync(join(SRC, file), 'utf8').matchAll(LOGGED)) events.push(event);
  }
  const isOfStore = (event: string): boolean => event.startsWith('store ');
  expect([...new Set(events)].filter(isOfStore)).toHaveLength(1);
  expect([...new Set(events)].filter((event) => !isOfStore(event)).sort()).toEqual(
    Object.keys(ERROR_EVENTS)
      .filter((event) => !isOfStore(event))
      .sort(),
  );
});
