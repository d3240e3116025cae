/**
 * What a new stream learns from similar sensors of the same gateway: how much more streams of the same quantity and step
 * change than the prior says. Each stream says so once, when it has seen enough, and after a restart.
 */

/** Streams of one kind that are remembered. */
const MOST = 16;

/** What a stream has learnt for new streams of its kind: its kind, its name, and how much more it changes. */
export type Told = readonly [kind: string, stream: string, learnt: number];

export class Relatives {
  /** By kind and stream. */
  private readonly byKind = new Map<string, Map<string, number>>();
  /** Kind of each stream that is remembered. */
  private readonly kinds = new Map<string, string>();

  /** @param learnt logarithm of how much larger the changes of the stream are than the prior says */
  tell(kind: string, stream: string, learnt: number): void {
    this.forget(stream);
    const known = this.byKind.get(kind) ?? new Map<string, number>();
    if (known.size >= MOST) return;
    known.set(stream, learnt);
    this.byKind.set(kind, known);
    this.kinds.set(stream, kind);
  }

  forget(stream: string): void {
    const kind = this.kinds.get(stream);
    if (kind === undefined) return;
    this.kinds.delete(stream);
    const known = this.byKind.get(kind);
    known?.delete(stream);
    if (known?.size === 0) this.byKind.delete(kind);
  }

  /** What the relatives of a stream have learnt: how many they are, and their mean. */
  of(kind: string, stream: string): { readonly count: number; readonly mean: number } {
    let [count, sum] = [0, 0];
    for (const [name, learnt] of this.byKind.get(kind) ?? []) {
      if (name === stream) continue;
      count++;
      sum += learnt;
    }
    return { count, mean: count === 0 ? 0 : sum / count };
  }

  /** All that is remembered. */
  told(): Told[] {
    return [...this.byKind].flatMap(([kind, known]) =>
      [...known].map(([stream, learnt]): Told => [kind, stream, learnt]),
    );
  }

  /** Remembers nothing else from now on. */
  restore(told: readonly Told[]): void {
    this.byKind.clear();
    this.kinds.clear();
    for (const one of told) this.tell(...one);
  }
}
