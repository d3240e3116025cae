/**
 * Records what was announced to Home Assistant: for each discovery message, its streams and their components. Stored, so that a later
 * run can remove what no longer exists. The agent's own device is a message with the stream ''.
 */
import { type MetaStore, StoredValue } from '../../system/stored-value.ts';
import type { ComponentId } from './discovery.ts';

type Rows = Map<string, ReadonlyMap<string, readonly ComponentId[]>>;

/** `Rows` as JSON. */
type StoredRows = readonly (readonly [string, readonly (readonly [string, readonly ComponentId[]])[]])[];

export class Announced {
  private rows: Rows = new Map();
  private readonly kept: StoredValue<StoredRows>;
  private readonly byStream = new Map<string, string>();
  private changed = false;

  /** @param formerId object id of a stream in old versions, which announced a device per stream */
  constructor(store: MetaStore, formerId: (stream: string) => string) {
    const read = (json: unknown): StoredRows => rowsOf(json, formerId);
    this.kept = new StoredValue(store, 'agent.home-assistant', read, merged);
    this.take(this.kept.read());
  }

  private take(rows: StoredRows): void {
    this.rows = new Map(rows.map(([id, streams]) => [id, new Map(streams)]));
    for (const [id, streams] of this.rows) for (const stream of streams.keys()) this.byStream.set(stream, id);
  }

  /** Object ids of the messages. */
  messages(): string[] {
    return [...this.rows.keys()];
  }

  /** Object id of the message that announced a stream; null: none. */
  messageOf(stream: string): string | null {
    return this.byStream.get(stream) ?? null;
  }

  has(id: string): boolean {
    return this.rows.has(id);
  }

  streams(id: string): string[] {
    return [...(this.rows.get(id)?.keys() ?? [])];
  }

  components(id: string): ComponentId[] {
    return [...(this.rows.get(id)?.values() ?? [])].flat();
  }

  set(id: string, streams: ReadonlyMap<string, readonly ComponentId[]>): void {
    const same = JSON.stringify([...(this.rows.get(id) ?? [])]) === JSON.stringify([...streams]);
    if (same) return;
    this.unindex(id);
    for (const stream of streams.keys()) this.byStream.set(stream, id);
    this.rows.set(id, streams);
    this.changed = true;
  }

  delete(id: string): void {
    this.unindex(id);
    if (this.rows.delete(id)) this.changed = true;
  }

  private unindex(id: string): void {
    for (const stream of this.streams(id)) if (this.byStream.get(stream) === id) this.byStream.delete(stream);
  }

  save(): void {
    if (!this.changed) return;
    const own: StoredRows = [...this.rows].map(([id, streams]) => [id, [...streams]]);
    const saved = this.kept.save(own);
    if (saved === null) return;
    this.changed = false;
    // What was read only now is removed by the next run if it no longer exists.
    if (saved !== own) this.take(saved);
  }
}

/** The entries of both: Home Assistant keeps what it was sent until it is removed. */
function merged(stored: StoredRows, own: StoredRows): StoredRows {
  const rows = new Map<string, Map<string, readonly ComponentId[]>>();
  for (const [id, streams] of [...stored, ...own]) {
    const row = rows.get(id) ?? new Map<string, readonly ComponentId[]>();
    for (const [stream, ids] of streams) row.set(stream, [...new Set([...(row.get(stream) ?? []), ...ids])]);
    // The rows of this run last: they say where a stream is now.
    rows.delete(id);
    rows.set(id, row);
  }
  return [...rows].map(([id, streams]) => [id, [...streams]]);
}

/** Skips damaged rows. Rows of old versions are `[stream, component keys]`. */
function rowsOf(json: unknown, formerId: (stream: string) => string): StoredRows {
  return (Array.isArray(json) ? json : []).flatMap((row): StoredRows => {
    if (!Array.isArray(row) || typeof row[0] !== 'string' || !Array.isArray(row[1])) return [];
    const [name, list] = row as [string, unknown[]];
    if (list.every((one) => typeof one === 'string'))
      return [[formerId(name), [[name, list.map((key) => `sensor:${key}` as ComponentId)]]]];
    return [[name, list.filter(isStream)]];
  });
}

const isStream = (one: unknown): one is [string, ComponentId[]] =>
  Array.isArray(one) &&
  typeof one[0] === 'string' &&
  Array.isArray(one[1]) &&
  one[1].every((id) => typeof id === 'string');
