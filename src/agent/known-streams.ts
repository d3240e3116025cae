/**
 * Keeps the list of discovered streams in the store, so that the next start restores them before their first
 * message.
 */
import type { Router } from '../ingest/router.ts';
import type { DiscoveredStream } from '../ingest/rule.ts';
import type { StreamSpec } from '../series/spec.ts';
import { type MetaStore, StoredValue } from '../system/stored-value.ts';

const MARGIN_MS = 3_600_000;

/** Data to restore a stream in the router; `firstMs`: no sample is older; and its name. */
type Row = readonly [topic: string, field: string, unit: string | null, firstMs: number, name?: string];

const isRow = (row: unknown): row is Row =>
  Array.isArray(row) &&
  typeof row[0] === 'string' &&
  typeof row[1] === 'string' &&
  (row[2] === null || typeof row[2] === 'string') &&
  typeof row[3] === 'number';

export interface KnownStream {
  readonly spec: StreamSpec;
  /** No stored sample of the stream is older, ms. */
  readonly firstMs: number;
}

export class KnownStreams {
  private readonly rows = new Map<string, Row>();
  private changed = false;
  /** Names of streams that the last `restore` dropped or renamed. */
  gone: readonly string[] = [];
  private readonly list: StoredValue<readonly Row[]>;

  constructor(store: MetaStore) {
    const read = (rows: unknown): Row[] => (Array.isArray(rows) ? rows.filter(isRow) : []);
    // `readMissed` merges: only the router knows which streams of both lists are the same.
    this.list = new StoredValue<readonly Row[]>(store, 'agent.streams', read, (_stored, own) => own);
  }

  /** Whether the stored list could not be read. It is not replaced until `readMissed` has read it. */
  get isUnread(): boolean {
    return this.list.isUnread;
  }

  has(stream: string): boolean {
    return this.rows.has(stream);
  }

  /** Null if the stream does not exist. */
  firstMs(stream: string): number | null {
    return this.rows.get(stream)?.[3] ?? null;
  }

  /** Keeps only streams that the config still reads, according to `router`; the others are removed from the list. */
  restore(router: Pick<Router, 'adopt'>): KnownStream[] {
    return this.adopt(
      this.rows.size > 0 || this.isUnread ? [...this.rows.values()] : this.list.read(),
      router,
    );
  }

  /**
   * Reads a list that could not be read before, and adds the streams that were found meanwhile.
   * @returns the streams of the list; null if it still cannot be read
   */
  readMissed(router: Pick<Router, 'adopt' | 'forget'>): KnownStream[] | null {
    const stored = this.list.read();
    if (this.isUnread) return null;
    const sourceOf = ([topic, field]: Row): string => JSON.stringify([topic, field]);
    const sources = new Set(stored.map(sourceOf));
    const found = [...this.rows.values()].filter((row) => !sources.has(sourceOf(row)));
    for (const [, , , , name] of [...stored, ...this.rows.values()])
      if (name !== undefined) router.forget(name);
    this.changed ||= found.length > 0;
    const foundNames = new Set(found.map(([, , , , name]) => name));
    return this.adopt([...stored, ...found], router).filter(({ spec }) => !foundNames.has(spec.name));
  }

  private adopt(rows: readonly Row[], router: Pick<Router, 'adopt'>): KnownStream[] {
    const streams: KnownStream[] = [];
    this.rows.clear();
    for (const [topic, field, unit, firstMs, name] of rows) {
      const found = router.adopt({ topic, field });
      if (found?.spec.name !== name) this.changed = true;
      if (found === null) continue;
      const spec = { ...found.spec, unit: found.spec.unit ?? unit };
      this.rows.set(spec.name, [topic, field, unit, firstMs, spec.name]);
      streams.push({ spec, firstMs });
    }
    this.gone = rows.flatMap(([, , , , name]) => (name === undefined || this.rows.has(name) ? [] : [name]));
    return streams;
  }

  /** @param firstMs time of its first reading */
  add({ spec, source }: DiscoveredStream, firstMs: number): void {
    // While the interval is learnt, earlier readings may follow.
    this.rows.set(spec.name, [source.topic, source.field, spec.unit, firstMs - MARGIN_MS, spec.name]);
    this.changed = true;
  }

  /** Excludes samples before `firstMs` from learning. */
  begins(stream: string, firstMs: number): void {
    const row = this.rows.get(stream);
    if (row === undefined) return;
    this.rows.set(stream, [row[0], row[1], row[2], firstMs, stream]);
    this.changed = true;
  }

  remove(stream: string): void {
    if (this.rows.delete(stream)) this.changed = true;
  }

  /** Hands the list to the store when it has changed, unless `isUnread`; durable with the store's next flush. */
  save(): void {
    if (!this.changed || this.isUnread) return;
    this.list.save([...this.rows.values()]);
    this.changed = false;
  }
}
