import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openDatabase } from '../../src/store/database.ts';
import { RejectCounts, readRejects, trimRejects } from '../../src/store/reject-counts.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();
const T0 = Date.UTC(2025, 0, 1);

it.each([
  { name: 'was rolled back', committed: false },
  { name: 'had been made all the same', committed: true },
])('a count is written once although a commit was reported as failed, which $name', ({ committed }) => {
  const db = openDatabase(join(temp(), 'gatecast.db'));
  const counts = new RejectCounts();
  counts.add('a', 'late', T0, 3);
  db.exec('BEGIN');
  counts.write(db, 'first', null, () => 1);
  db.exec(committed ? 'COMMIT' : 'ROLLBACK');
  expect(counts.isEmpty).toBe(false);
  counts.add('a', 'late', T0, 2);
  counts.write(db, 'second', committed ? 'first' : null, () => 1);
  counts.settled();
  expect(counts.isEmpty).toBe(true);
  expect(readRejects(db, 1)).toEqual([{ dayMs: T0, reason: 'late', count: 5 }]);
  counts.add('a', 'late', T0, 1);
  counts.write(db, 'third', 'second', () => 1);
  expect(readRejects(db, 1)).toEqual([{ dayMs: T0, reason: 'late', count: 6 }]);
  db.close();
});

it('a count expires when its whole day is before the limit', () => {
  const db = openDatabase(join(temp(), 'gatecast.db'));
  const counts = new RejectCounts();
  const day = 86_400_000;
  for (const timeMs of [T0, T0 + day]) counts.add('a', 'late', timeMs, 1);
  counts.write(db, 'first', null, () => 1);
  const days = () => readRejects(db, 1).map(({ dayMs }) => dayMs);
  trimRejects(db, T0 + day);
  expect(days()).toEqual([T0, T0 + day]);
  trimRejects(db, T0 + day + 1);
  expect(days()).toEqual([T0 + day]);
  db.close();
});
