/**
 * Keeps the list of discovered streams in the store, so that the next start restores them before their first
 * message.
 */
import type { Router } from '../ingest/router.ts';
import type { DiscoveredStream } from '../ingest/rule.ts';
import type { StreamSpec } from '../series/spec.ts';
import { type MetaStore, StoredValue } from '../system/stored-value.ts';

const MARGIN_MS = 3_600_000;

/** Data to restore a stream in the router; `firstMs`: no sample is older; and its name, or `FORMER` and the name it had. */
type Row = readonly [
  topic: string,
  field: string,
  unit: string | null,
  firstMs: number,
  name?: string,
  formerName?: string,
];

/** Instead of the name of a stream that the config no longer reads. */
const FORMER = '';
/** Most streams to remember that the config no longer reads. */
const MOST_FORMER = 1000;

const sourceOf = ([topic, field]: Row): string => JSON.stringify([topic, field]);

const isRow = (row: unknown): row is Row =>
  Array.isArray(row) &&
  typeof row[0] === 'string' &&
  typeof row[1] === 'string' &&
  (row[2] === null || typeof row[2] === 'string') &&
  typeof row[3] === 'number' &&
  (row[5] === undefined || typeof row[5] === 'string');

export interface KnownStream {
  readonly spec: StreamSpec;
  /** No stored sample of the stream is older, ms. */
  readonly firstMs: number;
}

export class KnownStreams {
  private readonly rows = new Map<string, Row>();
  /**
   * Streams that the config no longer reads, by name. If it does again, they return with their next reading, and their stored ones, unless
   * those are mixed with the readings of another source that had the name since.
   */
  private readonly former = new Map<string, Row>();
  private isRestored = false;
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
    const rows = this.isRestored ? [...this.rows.values()] : this.list.read();
    this.isRestored = true;
    return this.adopt(rows, router);
  }

  /**
   * Reads a list that could not be read before, and adds the streams that were found meanwhile.
   * @returns the streams of the list; null if it still cannot be read
   */
  readMissed(router: Pick<Router, 'adopt' | 'forget'>): KnownStream[] | null {
    const stored = this.list.read();
    if (this.isUnread) return null;
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
    for (const row of rows) {
      const [topic, field, unit, firstMs, name, formerName = name] = row;
      const found = name === FORMER ? null : router.adopt({ topic, field });
      if ((found?.spec.name ?? FORMER) !== name) this.changed = true;
      if (found === null) {
        if (formerName !== undefined) this.setAside(row, formerName);
        continue;
      }
      const spec = { ...found.spec, unit: found.spec.unit ?? unit };
      this.rows.set(spec.name, [topic, field, unit, firstMs, spec.name]);
      streams.push({ spec, firstMs });
    }
    for (const name of this.rows.keys()) this.former.delete(name);
    this.gone = rows.flatMap(([, , , , name = FORMER]) =>
      name === FORMER || this.rows.has(name) ? [] : [name],
    );
    return streams;
  }

  /**
   * @param firstMs time of its first reading
   * @returns since when it has stored samples, ms; null if the config did not read it before
   */
  add({ spec, source: { topic, field } }: DiscoveredStream, firstMs: number): number | null {
    const former = this.former.get(spec.name);
    const isSame = former !== undefined && former[0] === topic && former[1] === field;
    const formerMs = isSame ? former[3] : null;
    this.former.delete(spec.name);
    // While the interval is learnt, earlier readings may follow.
    this.rows.set(spec.name, [topic, field, spec.unit, formerMs ?? firstMs - MARGIN_MS, spec.name]);
    this.changed = true;
    return formerMs;
  }

  /** A stream that `add` returned with its stored samples, and that cannot be taken up now, returns with them the next time. */
  returnLater(stream: string): void {
    const row = this.rows.get(stream);
    if (row !== undefined) this.setAside(row, stream);
  }

  private setAside([topic, field, unit, firstMs]: Row, name: string): void {
    this.former.delete(name);
    this.former.set(name, [topic, field, unit, firstMs, FORMER, name]);
    const [oldest = name] = this.former.keys();
    if (this.former.size > MOST_FORMER) this.former.delete(oldest);
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
    this.list.save([...this.former.values(), ...this.rows.values()]);
    this.changed = false;
  }
}
