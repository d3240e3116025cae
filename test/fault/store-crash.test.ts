/** Faults 1, 2, 4, 5 of the list: what was reported safe is there after every end. */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { SqliteStore } from '../../src/store/sqlite-store.ts';
import { type Child, canRun, startChild } from '../support/child.ts';
import { uniform } from '../support/random.ts';
import { computed } from '../support/run-delay.ts';
import { tempDirs } from '../support/temp.ts';
import { sleep, waitFor } from '../support/wait.ts';
import { countNumbered, keepAll, NUMBERED_T0 } from './store-numbered.ts';

const LOOPS = Number(process.env.GATECAST_FAULT_LOOPS ?? 200);
const CHILD = 'test/fault/store-child.ts';
const temp = tempDirs();

const safe = (child: Child): number =>
  Math.max(0, ...child.lines.filter((l) => l.startsWith('safe ')).map((l) => Number(l.slice(5))));

/** How many readings the database says were refused. */
function rejected(dir: string): number {
  const db = new Sqlite(join(dir, 'gatecast.db'), { readonly: true });
  const total = db.prepare('SELECT sum(count) FROM reject').pluck().get() as number;
  db.close();
  return total;
}

/** Opens what is left and checks it; returns how many rows there are. */
function inspect(dir: string): number {
  const faults: string[] = [];
  const opened = computed(() => SqliteStore.open(keepAll(dir, ({ kind }) => faults.push(kind))));
  // The syncs of a slow disk do not count.
  expect(opened.ms).toBeLessThan(5000);
  const store = opened.result;
  const rows = countNumbered(store.since(NUMBERED_T0));
  const snapshot = store.loadSnapshot('s0');
  if (snapshot !== null) expect(snapshot.bytes[0]).toBe(snapshot.replayFromMs % 256);
  store.close();
  expect(faults.filter((kind) => kind !== 'journal-damaged')).toEqual([]);
  const db = new Sqlite(join(dir, 'gatecast.db'), { readonly: true });
  expect(db.pragma('integrity_check', { simple: true })).toBe('ok');
  db.close();
  return rows;
}

describe('kill -9', () => {
  it(`row 2: at ${LOOPS} random instants loses nothing that was safe`, async () => {
    const random = uniform(1);
    let dir = temp();
    for (let loop = 0; loop < LOOPS; loop++) {
      if (loop % 20 === 0) dir = temp();
      const perFlush = 1 + Math.floor(random() * 400);
      const child = startChild(CHILD, [dir, '1000000', String(perFlush)]);
      await waitFor('the child', () => child.lines.length > 0);
      await sleep(random() * 150);
      child.process.kill('SIGKILL');
      await child.ended;
      expect(inspect(dir)).toBeGreaterThanOrEqual(safe(child));
    }
  });
});

const STRACE = canRun('strace', ['-e', 'trace=none', 'true'], 'injecting faults into system calls');

describe.skipIf(!STRACE)('a fault in a system call', () => {
  const traced = (inject: string, args: string[]): Child =>
    startChild(CHILD, args, [
      'strace',
      '-f',
      '-qqq',
      // faster, but strace then delivers no injected signals
      ...(inject.includes('error=') ? ['--seccomp-bpf'] : []),
      '-e',
      'trace=fdatasync,fsync,pwrite64',
      '-o',
      '/dev/null',
      '-e',
      inject,
    ]);

  it('row 1: killed at every sync, one after the other', async () => {
    let finished = false;
    let ends = 0;
    for (let n = 1; !finished && n < 200; n++) {
      const dir = join(temp(), 'data');
      mkdirSync(dir);
      const child = traced(`inject=fdatasync,fsync:signal=SIGKILL:when=${n}`, [dir, '6000', '300', 'power']);
      await child.ended;
      finished = child.lines.includes('done');
      if (!finished) ends++;
      expect(inspect(dir)).toBeGreaterThanOrEqual(safe(child));
    }
    expect(finished).toBe(true);
    expect(ends).toBeGreaterThan(10);
  });

  it('row 4: a database that cannot be read, from any page on, is not taken for damaged and moved aside', async () => {
    const dir = join(temp(), 'data');
    mkdirSync(dir);
    const child = startChild(CHILD, [dir, '5000', '500']);
    await child.ended;
    const seen: string[] = [];
    for (const when of [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24]) {
      const inject = `inject=pread64:error=EIO:when=${when}+`;
      const files = ['', '-wal'].flatMap((end) => ['-P', join(dir, `gatecast.db${end}`)]);
      const blind = startChild(
        'test/fault/store-unreadable-child.ts',
        [dir],
        ['strace', '-f', '-qqq', '-o', '/dev/null', ...files, '-e', 'trace=pread64', '-e', inject],
      );
      expect((await blind.ended).code, blind.errors()).toBe(0);
      seen.push(...blind.lines);
      expect(readdirSync(dir).filter((name) => name.includes('damaged'))).toEqual([]);
    }
    expect(new Set(seen)).toEqual(new Set(['unavailable', 'true']));
    expect(inspect(dir)).toBe(5100);
  });

  it.each([
    ['fdatasync,fsync:error=EIO:when=8..10', 'power'],
    ['fdatasync,fsync:error=EIO:when=3..60+7', 'power'],
    ['pwrite64:error=EIO:when=40..43', 'crash'],
    ['pwrite64:error=ENOSPC:when=40..43', 'crash'],
  ])(
    'row 4: %s is reported, nothing is called safe that is not, nothing is counted twice, and it recovers',
    async (inject, mode) => {
      const dir = join(temp(), 'data');
      mkdirSync(dir);
      const child = traced(`inject=${inject}`, [dir, '8000', '100', mode]);
      const { code } = await child.ended;
      expect(child.errors()).toBe('');
      expect(code).toBe(0);
      expect(child.lines.at(-1)).toBe('done');
      expect(child.lines).toContain('fault unavailable');
      expect(child.lines).toContain('fault recovered');
      expect(inspect(dir)).toBe(8000);
      expect(rejected(dir)).toBe(8000);
    },
  );
});

const MOUNT = canRun('unshare', ['-rm', 'true'], 'a full disk');

describe.skipIf(!MOUNT)('a full disk', () => {
  it('rows 5 and 35: deletes the oldest rows, reports that once, counts them, and keeps the new ones', async () => {
    const dir = temp();
    const script = `mount -t tmpfs -o size=14m tmpfs ${dir} && "$@"`;
    const child = startChild(
      'test/fault/store-full-child.ts',
      [dir],
      ['unshare', '-rm', 'sh', '-c', script, 'sh'],
    );
    const { code } = await child.ended;
    expect(child.errors()).toBe('');
    expect(code).toBe(0);
    const result = JSON.parse(child.lines.at(-1)!) as {
      flushed: number;
      rows: number;
      newest: number;
      faults: string[];
      deleted: number;
    };
    expect(result.newest).toBe(699_999);
    expect(result.rows).toBeGreaterThan(200_000);
    expect(result.rows).toBeLessThan(600_000);
    expect(result.faults).toEqual(['disk-full: the oldest samples are deleted to make room for new ones']);
    expect(result.deleted).toBe(700_000 - result.rows);
    expect(result.flushed).toBe(1400);
  });

  it('row 5: stores in memory while the disk is read-only, and writes when it can again', async () => {
    const dir = temp();
    const script = `mount -t tmpfs -o size=4m tmpfs ${dir} && "$@"`;
    const child = startChild(
      'test/fault/store-read-only-child.ts',
      [dir],
      ['unshare', '-rm', 'sh', '-c', script, 'sh'],
    );
    const { code } = await child.ended;
    expect(child.errors()).toBe('');
    expect(code).toBe(0);
    expect(child.lines).toEqual(['before 1000', 'read-only 1500', 'unavailable', 'recovered', 'after 2000']);
  });

  it('row 6: stores in memory if a damaged database cannot be moved aside', async () => {
    const dir = temp();
    const script = `mount -t tmpfs -o size=64m tmpfs ${dir} && "$@"`;
    const child = startChild(
      'test/fault/store-damaged-read-only-child.ts',
      [dir],
      ['unshare', '-rm', 'sh', '-c', script, 'sh'],
    );
    const { code } = await child.ended;
    expect(child.errors()).toBe('');
    expect(code).toBe(0);
    expect(child.lines).toEqual(['unavailable', 'quarantined', 'recovered', 'newest 260000.5']);
  });
});
