/**
 * Records what was announced to Home Assistant: for each discovery message, its streams and their components. Stored, so that a later
 * run can remove what no longer exists. The agent's own device is a message with the stream ''.
 */
import type { Store } from '../../store/store-contract.ts';
import type { ComponentId } from './discovery.ts';

const KEY = 'agent.home-assistant';

type Rows = Map<string, ReadonlyMap<string, readonly ComponentId[]>>;

export class Announced {
  private readonly rows: Rows;
  private readonly byStream = new Map<string, string>();
  private changed = false;

  /** @param formerId object id of a stream in old versions, which announced a device per stream */
  constructor(
    private readonly store: Pick<Store, 'getMeta' | 'setMeta'>,
    formerId: (stream: string) => string,
  ) {
    this.rows = read(store.getMeta(KEY), formerId);
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

  /** Streams of a message. */
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
    this.changed = false;
    this.store.setMeta(KEY, JSON.stringify([...this.rows].map(([id, streams]) => [id, [...streams]])));
  }
}

/** Skips damaged rows. Rows of old versions are `[stream, component keys]`. */
function read(text: string | null, formerId: (stream: string) => string): Rows {
  const rows: Rows = new Map();
  let found: unknown;
  try {
    found = JSON.parse(text ?? '[]');
  } catch {
    return rows;
  }
  for (const row of Array.isArray(found) ? found : []) {
    if (!Array.isArray(row) || typeof row[0] !== 'string' || !Array.isArray(row[1])) continue;
    const [name, list] = row as [string, unknown[]];
    if (list.every((one) => typeof one === 'string'))
      rows.set(formerId(name), new Map([[name, list.map((key) => `sensor:${key}`)]]));
    else
      rows.set(
        name,
        new Map(
          list.filter(
            (one): one is [string, string[]] =>
              Array.isArray(one) &&
              typeof one[0] === 'string' &&
              Array.isArray(one[1]) &&
              one[1].every((id) => typeof id === 'string'),
          ),
        ),
      );
  }
  return rows;
}
