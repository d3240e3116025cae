/**
 * Keeps the list of discovered streams in the store, so that the next start restores them before their first
 * message.
 */
import type { Router } from '../ingest/router.ts';
import type { DiscoveredStream, StreamSource } from '../ingest/rule.ts';
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
  /** Names that the last `restore` gave to a renamed stream, and that may have stored states and samples of another source. */
  taken: ReadonlySet<string> = new Set();
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

  /**
   * Keeps only streams that the config still reads, according to `router`; the others are removed from the list. A renamed stream is a new
   * one: the samples before `nowMs` are of whatever had the name, unless it gets its former name back.
   */
  restore(router: Pick<Router, 'adopt'>, nowMs = 0): KnownStream[] {
    const rows = this.isRestored ? [...this.rows.values()] : this.list.read();
    this.isRestored = true;
    return this.adopt(rows, router, nowMs);
  }

  /**
   * Reads a list that could not be read before, and adds the streams that were found meanwhile.
   * @returns the streams of the list; null if it still cannot be read
   */
  readMissed(router: Pick<Router, 'adopt' | 'forget'>, nowMs: number): KnownStream[] | null {
    const stored = this.list.read();
    if (this.isUnread) return null;
    const sources = new Set(stored.map(sourceOf));
    const found = [...this.rows.values()].filter((row) => !sources.has(sourceOf(row)));
    for (const [, , , , name] of [...stored, ...this.rows.values()])
      if (name !== undefined) router.forget(name);
    this.changed ||= found.length > 0;
    const foundNames = new Set(found.map(([, , , , name]) => name));
    return this.adopt([...stored, ...found], router, nowMs).filter(({ spec }) => !foundNames.has(spec.name));
  }

  private adopt(rows: readonly Row[], router: Pick<Router, 'adopt'>, nowMs: number): KnownStream[] {
    const streams: KnownStream[] = [];
    const taken = new Set<string>();
    this.rows.clear();
    for (const row of rows) {
      const [topic, field, unit, sinceMs, name, formerName = name] = row;
      const found = name === FORMER ? null : router.adopt({ topic, field });
      if ((found?.spec.name ?? FORMER) !== name) this.changed = true;
      if (found === null) {
        if (formerName !== undefined) this.setAside(row, formerName);
        continue;
      }
      const spec = { ...found.spec, unit: found.spec.unit ?? unit };
      let firstMs = sinceMs;
      if (name !== undefined && name !== spec.name) {
        const ownMs = this.formerMs(spec.name, found.source);
        if (ownMs === null) taken.add(spec.name);
        firstMs = ownMs ?? nowMs;
        this.setAside(row, name);
      }
      this.rows.set(spec.name, [topic, field, unit, firstMs, spec.name]);
      streams.push({ spec, firstMs });
    }
    for (const name of this.rows.keys()) this.former.delete(name);
    this.taken = taken;
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
    const formerMs = this.formerMs(spec.name, { topic, field });
    // While the interval is learnt, earlier readings may follow; but none of another source.
    const newMs = this.isFormer(spec.name) ? firstMs : firstMs - MARGIN_MS;
    this.former.delete(spec.name);
    this.rows.set(spec.name, [topic, field, spec.unit, formerMs ?? newMs, spec.name]);
    this.changed = true;
    return formerMs;
  }

  /** Whether a stream had this name that the config no longer reads. */
  isFormer(name: string): boolean {
    return this.former.has(name);
  }

  /** Since when a source that had the name before has stored samples, ms; null if it had not, or if another one had the name since. */
  private formerMs(name: string, { topic, field }: StreamSource): number | null {
    const former = this.former.get(name);
    return former !== undefined && former[0] === topic && former[1] === field ? former[3] : null;
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
