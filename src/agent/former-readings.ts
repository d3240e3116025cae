/**
 * Reads from the store when the streams of an earlier run had their last readings, for a backlog without time stamps. The rows of the
 * store are in order of time, not of streams, so one scan serves all streams. It runs when a reading needs it first.
 */
import type { StreamView } from '../forecast/engine-contract.ts';
import type { SampleTime } from '../store/reading.ts';
import type { KnownStream } from './known-streams.ts';
import type { RestorePace } from './restore.ts';

/** Data about a stream from an earlier run. */
export interface FormerReadings {
  readonly lastMs: number;
  readonly spacingMs: number;
}

/** Number of stored readings from which the usual spacing is computed. */
const READINGS = 32;
/** Interval to assume while it is being learnt, ms. */
const UNKNOWN_INTERVAL_MS = 60_000;
/**
 * Most rows of a scan: in all, and in addition for each stream. A stream whose readings are much rarer than those of the others has
 * fewer than `READINGS` among them.
 */
const MOST_ROWS = 100_000;
const MOST_ROWS_EACH = 100;
/** Streams prepared between two pauses. */
const STREAMS_PER_BREATH = 256;

/** Readings of a stream to look for: from `fromMs` to `toMs`. */
interface Search {
  readonly fromMs: number;
  readonly toMs: number;
  /** Time of the last reading, or about it if none is found, ms. */
  readonly lastMs: number | null;
  readonly intervalMs: number | null;
  /** Newest first. */
  readonly times: number[];
}

export class FormerStreams {
  private readonly restored = new Map<string, { readonly lastMs: number; readonly intervalMs: number }>();
  private waiting: ReadonlyMap<string, KnownStream> = new Map();
  private found: Map<string, FormerReadings> | null = null;

  constructor(
    private readonly store: {
      newestFirst(): Iterable<readonly SampleTime[]>;
      replayFromMs(stream: string): number | null;
    },
  ) {}

  /** @param waiting streams that are restored after the start */
  start(
    restored: Iterable<Pick<StreamView, 'spec' | 'lastObservedMs' | 'intervalMs'>>,
    waiting: Iterable<KnownStream> = [],
  ): void {
    for (const { spec, lastObservedMs: lastMs, intervalMs } of restored)
      if (lastMs !== null && intervalMs !== null) this.restored.set(spec.name, { lastMs, intervalMs });
    this.waiting = new Map([...waiting].map((one) => [one.spec.name, one]));
  }

  /** Whether `load` must be called before `take`. */
  needs(stream: string): boolean {
    return this.found === null && (this.restored.has(stream) || this.waiting.has(stream));
  }

  /** Returns the data of a stream once; null if there are none. */
  take(stream: string): FormerReadings | null {
    const found = this.found?.get(stream);
    this.found?.delete(stream);
    return found ?? null;
  }

  /** Reads the data of all streams. If the agent stops, those of some streams are less exact. */
  async load({ breathe, stopped }: RestorePace): Promise<void> {
    const searches = new Map<string, Search>();
    try {
      for (const name of new Set([...this.restored.keys(), ...this.waiting.keys()])) {
        searches.set(name, this.searchFor(name));
        if (searches.size % STREAMS_PER_BREATH === 0) await breathe();
      }
      await this.scan(new Map(searches), { breathe, stopped });
    } finally {
      this.found = new Map();
      for (const [name, search] of searches) {
        const found = resultOf(search);
        if (found !== null) this.found.set(name, found);
      }
      this.restored.clear();
      this.waiting = new Map();
    }
  }

  private searchFor(name: string): Search {
    const restored = this.restored.get(name);
    const times: number[] = [];
    if (restored !== undefined) {
      const { lastMs, intervalMs } = restored;
      return { fromMs: lastMs - READINGS * intervalMs, toMs: lastMs, lastMs, intervalMs, times };
    }
    const { spec, firstMs = 0 } = this.waiting.get(name) ?? {};
    const intervalMs = spec?.intervalMs ?? null;
    const lastMs = this.store.replayFromMs(name);
    const spanMs = READINGS * (intervalMs ?? UNKNOWN_INTERVAL_MS);
    const fromMs = Math.max(firstMs, (lastMs ?? firstMs) - spanMs);
    return { fromMs, toMs: Number.POSITIVE_INFINITY, lastMs, intervalMs, times };
  }

  /** @param open the searches; a finished one is removed */
  private async scan(open: Map<string, Search>, { breathe, stopped }: RestorePace): Promise<void> {
    let rows = MOST_ROWS + MOST_ROWS_EACH * open.size;
    const earliestMs = [...open.values()].reduce(
      (ms, { fromMs }) => Math.min(ms, fromMs),
      Number.POSITIVE_INFINITY,
    );
    for (const page of this.store.newestFirst()) {
      for (const { stream, timeMs } of page) {
        const search = open.get(stream);
        if (search === undefined || timeMs > search.toMs) continue;
        const { times, fromMs } = search;
        if (timeMs >= fromMs && times.at(-1) !== timeMs) times.push(timeMs);
        if (timeMs < fromMs || times.length > READINGS) open.delete(stream);
      }
      rows -= page.length;
      const reachedMs = page.at(-1)?.timeMs ?? Number.NEGATIVE_INFINITY;
      if (open.size === 0 || reachedMs < earliestMs || rows <= 0 || stopped()) return;
      await breathe();
    }
  }
}

function resultOf({ times, toMs, lastMs: aboutMs, intervalMs }: Search): FormerReadings | null {
  const lastMs = Number.isFinite(toMs) ? toMs : (times[0] ?? aboutMs);
  const spacingMs = usualSpacing(times) ?? intervalMs;
  return lastMs === null || spacingMs === null ? null : { lastMs, spacingMs };
}

/** Median distance between descending times; null with fewer than two. */
function usualSpacing(times: readonly number[]): number | null {
  const gaps = times
    .slice(1)
    .map((timeMs, i) => (times[i] ?? timeMs) - timeMs)
    .sort((a, b) => a - b);
  return gaps[gaps.length >> 1] ?? null;
}
