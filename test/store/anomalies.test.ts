import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { expect, it } from 'vitest';
import { AnomalyBuffer, trimAnomalies } from '../../src/store/anomalies.ts';
import { openDatabase } from '../../src/store/database.ts';
import { salvage } from '../../src/store/salvage.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { openStore } from '../support/stores.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();
const T0 = Date.UTC(2025, 0, 1);
const DAY = 86_400_000;
const anomaly = (second: number) => ({ timeMs: T0 + second * 1000, observed: second, score: 5 });
const FOREVER = Number.MAX_SAFE_INTEGER;

it('anomalies are read before and after they are written, and after a restart', () => {
  const dir = temp();
  const store = openStore(dir);
  for (let second = 0; second < 30; second++) store.anomaly(second % 3 === 0 ? 'a' : 'b', anomaly(second));
  const seconds = (of: typeof store, stream: string, from = 0, most = 100) =>
    of.anomaliesOf(stream, T0 + from * 1000, FOREVER, most).map(({ observed }) => observed);
  expect(seconds(store, 'a')).toEqual([0, 3, 6, 9, 12, 15, 18, 21, 24, 27]);
  expect(seconds(store, 'a', 20)).toEqual([21, 24, 27]);
  store.settle();
  store.anomaly('a', anomaly(30));
  store.anomaly('a', { ...anomaly(27), score: 6 });
  expect(seconds(store, 'a', 20)).toEqual([21, 24, 27, 30]);
  expect(store.anomaliesOf('a', 0, FOREVER, 2)).toEqual([{ ...anomaly(27), score: 6 }, anomaly(30)]);
  store.anomaly('a', { ...anomaly(40), observed: Number.NaN });
  store.close();

  const again = openStore(dir);
  expect(seconds(again, 'a', 20)).toEqual([21, 24, 27, 30]);
  expect(seconds(again, 'none')).toEqual([]);
  expect(again.newestAnomalies(2)).toEqual(
    [
      { stream: 'a', ...anomaly(27), score: 6 },
      { stream: 'b', ...anomaly(28) },
      { stream: 'b', ...anomaly(29) },
      { stream: 'a', ...anomaly(30) },
    ].map((one) => expect.objectContaining(one)),
  );
  expect(again.forget('a')).toBe(true);
  expect(seconds(again, 'a')).toEqual([]);
  expect(seconds(again, 'b')).toHaveLength(20);
});

it('anomalies expire with the samples, and the oldest of too many are deleted', () => {
  const dir = temp();
  const store = openStore(dir, { retentionMs: DAY });
  store.anomaly('a', anomaly(0));
  store.anomaly('a', anomaly(3 * 86_400));
  store.append({ stream: 'a', timeMs: T0 + 3 * DAY, value: 1, arrivalMs: T0 });
  store.settle();
  store.trim(T0 + 3 * DAY);
  expect(store.anomaliesOf('a', 0, FOREVER, 9)).toEqual([anomaly(3 * 86_400)]);
  store.close();

  const db = new Sqlite(join(dir, 'gatecast.db'));
  const buffer = new AnomalyBuffer();
  for (let second = 0; second < 1500; second++) buffer.add({ stream: 'b', ...anomaly(second) });
  db.transaction(() => buffer.write(db, () => 7))();
  trimAnomalies(db, 0, 100);
  const rows = db.prepare('SELECT count(*), min(time) FROM anomaly').raw().get();
  expect(rows).toEqual([100, T0 + 1401 * 1000]);
  db.close();
});

it('a batch that fails is written by the next one, and a long outage keeps the newest', () => {
  const db = openDatabase(join(temp(), 'gatecast.db'));
  const buffer = new AnomalyBuffer();
  for (let second = 0; second < 2500; second++) buffer.add({ stream: 'a', ...anomaly(second) });
  db.exec('BEGIN');
  buffer.write(db, () => 1);
  db.exec('ROLLBACK');
  expect(buffer.isEmpty).toBe(false);
  db.transaction(() => buffer.write(db, () => 1))();
  buffer.settled();
  expect(buffer.isEmpty).toBe(true);
  const [rows, newest] = db.prepare('SELECT count(*), max(observed) FROM anomaly').raw().get() as number[];
  expect(newest).toBe(2499);
  expect(rows).toBeGreaterThanOrEqual(1000);
  db.close();
});

it('a gateway that stores little writes them within ten minutes, and a damaged database gives them back', () => {
  const dir = temp();
  const clock = new FakeClock(T0);
  const store = openStore(dir, { clock });
  store.append({ stream: 'a', timeMs: T0, value: 1, arrivalMs: T0 });
  store.settle();
  store.anomaly('a', anomaly(1));
  clock.advance(601_000);
  store.trim(clock.now());
  const db = openDatabase(join(temp(), 'gatecast.db'));
  salvage(join(dir, 'gatecast.db'), db);
  expect(db.prepare('SELECT observed FROM anomaly').pluck().all()).toEqual([1]);
  db.close();
});
