/** One scan collects the samples of many streams, newest first, within its memory. */
import { describe, expect, test } from 'vitest';
import { ReplayScan, type ScannedStore } from '../../src/agent/replay-scan.ts';
import { uniform } from '../support/random.ts';

const DAY = 86_400_000;
const START = Date.UTC(2025, 0, 1);

interface Row {
  readonly stream: string;
  readonly timeMs: number;
  readonly value: number;
  readonly mark: number;
}

/** Rows ascending by time, in slices of `size`. */
class Rows implements ScannedStore {
  readonly rows: Row[] = [];
  failedReads = 0;
  constructor(private readonly size: number) {}

  add(stream: string, timeMs: number, value: number): void {
    // Rows mostly come in order of time.
    const at = this.rows.findLastIndex((row) => row.timeMs <= timeMs) + 1;
    this.rows.splice(at, 0, { stream, timeMs, value, mark: 0 });
  }

  sliceStart(beforeMs: number): number {
    return (
      this.rows.filter(({ timeMs }) => timeMs < beforeMs).at(-this.size)?.timeMs ?? Number.NEGATIVE_INFINITY
    );
  }

  since(fromMs: number, _: unknown, toMs: number): Row[] {
    return this.rows.filter(({ timeMs }) => timeMs >= fromMs && timeMs < toMs);
  }

  of(stream: string, fromMs: number): { timeMs: number; value: number }[] {
    return this.rows
      .filter((row) => row.stream === stream && row.timeMs >= fromMs)
      .map(({ timeMs, value }) => ({ timeMs, value }));
  }
}

const saved = (fromMs: number) => ({ state: 'saved' as const, fromMs: [fromMs] });

describe('ReplayScan', () => {
  test.each([
    ['all in one scan', 1e6, 1],
    ['in several scans, because of the memory', 150, 4],
  ])('each stream gets its samples since its start: %s', (_, most, leastScans) => {
    const next = uniform(3);
    const store = new Rows(40);
    const starts = new Map(Array.from({ length: 12 }, (_, i) => [`s${i}`, START + Math.floor(900 * next())]));
    for (let timeMs = START; timeMs < START + 1000; timeMs++)
      for (const stream of starts.keys()) if (next() < 0.1) store.add(stream, timeMs, next());
    const waiting = new Map(starts);
    let scans = 0;
    for (; waiting.size > 0; scans++) {
      const scan = new ReplayScan(store, most);
      for (const [stream, fromMs] of waiting) scan.want(stream, saved(fromMs));
      for (;;) {
        for (const stream of [...scan.ready.keys()]) {
          const fromMs = starts.get(stream) ?? 0;
          expect(scan.take(stream)).toEqual({ fromMs, samples: store.of(stream, fromMs) });
          expect(waiting.delete(stream)).toBe(true);
        }
        if (scan.isOver) break;
        scan.read();
        // A reading arrives now, of any time: it is found once, by the scan or at its arrival.
        const timeMs = START + Math.floor(1000 * next());
        const stream = `s${Math.floor(12 * next())}`;
        if (!waiting.has(stream) || store.of(stream, timeMs)[0]?.timeMs === timeMs) continue;
        if (timeMs < (starts.get(stream) ?? 0)) continue;
        scan.stored(stream, timeMs, 7);
        store.add(stream, timeMs, 7);
      }
    }
    expect(scans).toBeGreaterThanOrEqual(leastScans);
  });

  test('readings that arrive during the scan count as well: a stream with too many needs another scan', () => {
    const store = new Rows(40);
    for (const stream of ['a', 'b']) store.add(stream, START, 1);
    const scan = new ReplayScan(store, 100);
    for (const stream of ['a', 'b']) scan.want(stream, saved(START));
    scan.read();
    for (let i = 1; i <= 200; i++) {
      scan.stored('a', START + i, i);
      store.add('a', START + i, i);
    }
    expect([...scan.ready.keys()]).toEqual(['b']);
    expect(scan.take('b')).toEqual({ fromMs: START, samples: [{ timeMs: START, value: 1 }] });
    const second = new ReplayScan(store, 1000);
    second.want('a', saved(START));
    while (!second.isOver) second.read();
    expect(second.take('a')?.samples).toHaveLength(201);
  });

  test('a stream with more samples than fit is ready without them', () => {
    const store = new Rows(40);
    for (let i = 0; i < 300; i++) store.add('big', START + i, i);
    const scan = new ReplayScan(store, 100);
    scan.want('big', saved(START));
    while (!scan.isOver) scan.read();
    expect(scan.take('big')).toMatchObject({ samples: null });
  });

  test.each([
    ['enough in the last day', 512, 1],
    ['enough in the last week', 100, 7],
    ['never enough', 1, 28],
  ])('a start with enough samples after it: %s', (_, perDay, days) => {
    const store = new Rows(1000);
    const nowMs = START + 28 * DAY;
    for (let day = 0; day < 28; day++)
      for (let i = 0; i < perDay; i++) {
        store.add('learnt', START + day * DAY + Math.floor((i * DAY) / perDay), i);
        store.add('other', START + day * DAY + Math.floor((i * DAY) / perDay), i);
      }
    const fromMs = [1, 7, 28].map((span) => nowMs - span * DAY);
    for (const most of [0, 1e6]) {
      const scan = new ReplayScan(store, most);
      scan.want('learnt', { state: 'rebuilt', fromMs });
      while (!scan.isOver) scan.read();
      const taken = scan.take('learnt');
      expect(taken?.fromMs).toBe(nowMs - days * DAY);
      expect(taken?.samples).toEqual(most === 0 ? null : store.of('learnt', nowMs - days * DAY));
    }
  });
});
