/**
 * Keeps the list of discovered streams in the store, so that the next start restores them before their first
 * message.
 */
import type { Router } from '../ingest/router.ts';
import type { DiscoveredStream, StreamSource } from '../ingest/rule.ts';
import type { StreamSpec } from '../series/spec.ts';
import type { SqliteStore } from '../store/sqlite-store.ts';
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
/** Instead of a source: several have the name. */
const SEVERAL = '';
/** Most streams to remember that the config no longer reads: all of a gateway, so that a rollback restores each. */
const MOST_FORMER = 10_000;

const sourceOf = ([topic, field]: Row): string => JSON.stringify([topic, field]);

const isRow = (row: unknown): row is Row =>
  Array.isArray(row) &&
  typeof row[0] === 'string' &&
  typeof row[1] === 'string' &&
  (row[2] === null || typeof row[2] === 'string') &&
  typeof row[3] === 'number' &&
  (row[5] === undefined || typeof row[5] === 'string');

/** Of the present, or the last one. */
const nameIn = ([, , , , name, formerName = name]: Row): string | undefined => formerName;

type StreamNames = Pick<Router, 'adopt' | 'nameOf'>;

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
  /** Former names of the streams that the last `restore` renamed with their stored data, by their new ones. */
  renamed: ReadonlyMap<string, string> = new Map();
  private readonly list: StoredValue<readonly Row[]>;

  constructor(private readonly store: MetaStore & Partial<Pick<SqliteStore, 'rename'>>) {
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
   * Keeps only streams that the config still reads, according to `router`; the others are removed from the list. A renamed stream keeps its
   * stored data. Where another source has or had one of the names, it is a new one: the samples before `nowMs` are of whatever had the name,
   * unless it gets its former name back.
   */
  restore(router: StreamNames, nowMs = 0): KnownStream[] {
    const rows = this.isRestored ? [...this.rows.values()] : this.list.read();
    this.isRestored = true;
    return this.adopt(rows, router, nowMs);
  }

  /**
   * Reads a list that could not be read before, and adds the streams that were found meanwhile.
   * @returns the streams of the list; null if it still cannot be read
   */
  readMissed(router: StreamNames & Pick<Router, 'forget'>, nowMs: number): KnownStream[] | null {
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

  private adopt(rows: readonly Row[], router: StreamNames, nowMs: number): KnownStream[] {
    const all = rows.map((row) => {
      const [topic, field, , , name] = row;
      return { row, found: name === FORMER ? null : router.adopt({ topic, field }) };
    });
    this.renamed = this.rename(all, router);
    const formerNames = new Set(this.renamed.values());
    const read = new Set(all.flatMap(({ row, found }) => (found === null ? [] : sourceOf(row))));
    const streams: KnownStream[] = [];
    const taken = new Set<string>();
    this.rows.clear();
    for (const { row, found } of all) {
      const [topic, field, unit, sinceMs, name, formerName = name] = row;
      if ((found?.spec.name ?? FORMER) !== name) this.changed = true;
      if (found === null) {
        // A source that the config reads has its data under the new name, see `rename`.
        const isRenamed = name !== FORMER && read.has(sourceOf(row));
        if (formerName !== undefined && !isRenamed) this.setAside(row, formerName);
        continue;
      }
      const spec = { ...found.spec, unit: found.spec.unit ?? unit };
      let firstMs = sinceMs;
      if (name !== undefined && name !== spec.name && !formerNames.has(name)) {
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
   * Renames streams in the store, unless another source has, had or gets the former or the new name.
   * @returns the former names, by the new ones
   */
  private rename(
    all: readonly { readonly row: Row; readonly found: DiscoveredStream | null }[],
    router: StreamNames,
  ): ReadonlyMap<string, string> {
    const names = new Map<string, string>();
    for (const { row, found } of all) {
      const from = row[4] ?? FORMER;
      if (found !== null && from !== FORMER && from !== found.spec.name) names.set(from, found.spec.name);
    }
    // A list that could not be read must not be replaced.
    if (names.size === 0 || this.isUnread || this.store.rename === undefined) return new Map();
    const rows = [...this.former.values(), ...all.map(({ row }) => row)];
    const owners = new Map<string, string>();
    for (const row of rows)
      for (const name of [nameIn(row), router.nameOf({ topic: row[0], field: row[1] })]) {
        const source = sourceOf(row);
        if (name != null) owners.set(name, (owners.get(name) ?? source) === source ? source : SEVERAL);
      }
    for (const [from, to] of names)
      if (owners.get(from) === SEVERAL || owners.get(to) === SEVERAL) names.delete(from);
    if (names.size === 0) return new Map();
    const renamed = this.store.rename(names, this.list.key, (done) => {
      // The former name stays behind the new one: if the agent is killed now, the next start removes what was published under it.
      const both = (row: Row): Row[] => {
        const to = done.has(row[4] ?? FORMER) ? names.get(row[4] ?? FORMER) : undefined;
        return to === undefined ? [row] : [[row[0], row[1], row[2], row[3], to], row];
      };
      return JSON.stringify(rows.flatMap(both));
    });
    return new Map([...renamed].map((from) => [names.get(from) ?? from, from]));
  }

  /**
   * @param firstMs time of its first reading
   * @returns since when it has stored samples, ms; null if the config did not read it before
   */
  add({ spec, source: { topic, field } }: DiscoveredStream, firstMs: number): number | null {
    const formerMs = this.formerMs(spec.name, { topic, field });
    // While the interval is learnt, earlier readings may follow; but none of another source.
    const newMs = this.former.has(spec.name) ? firstMs : firstMs - MARGIN_MS;
    this.former.delete(spec.name);
    this.rows.set(spec.name, [topic, field, spec.unit, formerMs ?? newMs, spec.name]);
    this.changed = true;
    return formerMs;
  }

  /** The source of a stream that had this name and that the config no longer reads; null: there is none. */
  formerSource(name: string): StreamSource | null {
    const row = this.former.get(name);
    return row === undefined ? null : { topic: row[0], field: row[1] };
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
