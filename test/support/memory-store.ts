/** A store without a disk, for tests of what uses one. Held to the same contract as the real one. */
import type { StreamSnapshot } from '../../src/forecast/engine-contract.ts';
import type { Sample } from '../../src/series/sample.ts';
import { isRefused, type MarkSpan } from '../../src/store/marks.ts';
import type { Store, StoredSample } from '../../src/store/store-contract.ts';

export class MemoryStore implements Store {
  readonly #samples = new Map<string, Map<number, StoredSample>>();
  readonly #snapshots = new Map<string, StreamSnapshot>();
  readonly #meta = new Map<string, string>();
  /** By `<stream> <reason>`. */
  readonly rejects = new Map<string, number>();
  /** Set to let flushes fail, as a full disk would. */
  broken = false;

  append(sample: Sample, mark = 0): void {
    const timeMs = Math.round(sample.timeMs);
    const rows = this.#samples.get(sample.stream) ?? new Map<number, StoredSample>();
    this.#samples.set(sample.stream, rows);
    const known = rows.get(timeMs);
    if (known === undefined || (isRefused(known.mark) && !isRefused(mark)))
      rows.set(timeMs, { timeMs, value: sample.value, mark });
  }

  mark(stream: string, { fromMs, toMs, marks }: MarkSpan): void {
    const rows = this.#samples.get(stream) ?? new Map<number, StoredSample>();
    for (const [timeMs, row] of rows)
      if (timeMs >= fromMs && timeMs < toMs) rows.set(timeMs, { ...row, mark: row.mark | marks });
  }

  reject(stream: string, reason: string, _atMs: number, count = 1): void {
    const key = `${stream} ${reason}`;
    this.rejects.set(key, (this.rejects.get(key) ?? 0) + count);
  }

  flush(done?: (safe: boolean) => void): boolean {
    done?.(!this.broken);
    return !this.broken;
  }

  *samples(stream: string, fromMs: number, toMs = Number.POSITIVE_INFINITY): Generator<StoredSample> {
    const rows = [...(this.#samples.get(stream)?.values() ?? [])];
    yield* rows.filter((r) => r.timeMs >= fromMs && r.timeMs < toMs).sort((a, b) => a.timeMs - b.timeMs);
  }

  sliceEnd(): number {
    return Number.POSITIVE_INFINITY;
  }

  saveSnapshots(snapshots: readonly StreamSnapshot[]): boolean {
    if (this.broken) return false;
    for (const s of snapshots) this.#snapshots.set(s.stream, { ...s, bytes: s.bytes.slice() });
    return true;
  }

  loadSnapshot(stream: string): StreamSnapshot | null {
    return this.#snapshots.get(stream) ?? null;
  }

  forget(stream: string): boolean {
    if (this.broken) return false;
    this.#samples.delete(stream);
    this.#snapshots.delete(stream);
    return true;
  }

  dropSnapshots(stream: string): boolean {
    if (this.broken) return false;
    this.#snapshots.delete(stream);
    return true;
  }

  getMeta(key: string): string | null {
    return this.#meta.get(key) ?? null;
  }

  setMeta(key: string, value: string): void {
    this.#meta.set(key, value);
  }

  trim(): number {
    return 0;
  }

  stats(): ReturnType<Store['stats']> {
    const samples = [...this.#samples.values()].reduce((sum, rows) => sum + rows.size, 0);
    return {
      dbBytes: 0,
      samples,
      pending: 0,
      droppedPending: 0,
      deletedForSpace: 0,
      refusedRows: 0,
      damagedParts: 0,
      writtenBytes: 0,
    };
  }

  close(): void {}
}
