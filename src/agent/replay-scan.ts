/**
 * Collects the stored samples that streams need for their replay. The rows of the store are in order of time, not of streams, so one
 * scan serves all streams. It goes back in time, slice by slice: a stream with a recent state has its samples soon, and
 * does not wait for those of a stream that has been silent for weeks.
 */
import type { StoredSample } from '../store/store-contract.ts';

export interface ScannedStore {
  /** Number of queries so far that could not read the stored samples, and so returned too few. */
  readonly failedReads: number;
  /** Start of a slice of time that ends before `beforeMs`, with few rows of all streams; -Infinity for the last slice. */
  sliceStart(beforeMs: number): number;
  /** Ascending by time. @param streams only theirs; default: all */
  since(
    fromMs: number,
    streams: readonly string[] | undefined,
    toMs: number,
  ): Iterable<StoredSample & { readonly stream: string }>;
}

export type ReplaySample = Pick<StoredSample, 'timeMs' | 'value'>;

export interface ReplayStart {
  /** `new`: there is no state; `rebuilt`: the state is of no use. */
  readonly state: 'saved' | 'new' | 'rebuilt';
  /** Possible times of the first sample, latest first, ms: the first one with enough samples after it is used, else the last one. */
  readonly fromMs: readonly number[];
  /** The saved state contains all buckets before this time, ms; -Infinity without a state. */
  readonly closedToMs?: number;
}

/** A replay of this many samples is long enough: it does not begin earlier. */
const ENOUGH_SAMPLES = 512;
/** Most samples held, 16 bytes each. */
const MOST_SAMPLES = 500_000;

/** The samples of a stream. */
interface Wanted {
  readonly fromMs: readonly number[];
  /** Position in `fromMs` of the start as far as it is known. */
  at: number;
  /** Samples found by the scan. */
  count: number;
  /** Their times and values in turn, newest first. */
  readonly found: number[];
  /** Times and values of samples that arrived after the scan had read their time. */
  readonly arrived: number[];
  /** Whether all of its samples are held. */
  isHeld: boolean;
}

export class ReplayScan {
  /** Streams whose samples are not complete yet. */
  private readonly open = new Map<string, Wanted>();
  private readonly complete = new Map<string, Wanted>();
  /** All samples at or after this time have been read, ms. */
  private readMs = Number.POSITIVE_INFINITY;
  private held = 0;
  private readonly failedReads: number;

  /** @param mostSamples see `MOST_SAMPLES`; 0: only finds the starts */
  constructor(
    private readonly store: ScannedStore,
    private readonly mostSamples = MOST_SAMPLES,
  ) {
    this.failedReads = store.failedReads;
  }

  /** Whether the store could not be read since the scan was made: samples may be missing. */
  get isIncomplete(): boolean {
    return this.store.failedReads !== this.failedReads;
  }

  /** Call before the first `read`. */
  want(stream: string, { fromMs }: ReplayStart): void {
    this.open.set(stream, { fromMs, at: 0, count: 0, found: [], arrived: [], isHeld: this.mostSamples > 0 });
  }

  forget(stream: string): void {
    this.drop(this.open, stream);
    this.drop(this.complete, stream);
  }

  /** Streams whose samples are complete, with their number. */
  get ready(): ReadonlyMap<string, { readonly count: number }> {
    return this.complete;
  }

  /** Whether nothing is left to read. Streams that were left out because of the memory need another scan. */
  get isOver(): boolean {
    return this.open.size === 0;
  }

  read(): void {
    const fromMs = this.store.sliceStart(this.readMs);
    const slice = [...this.store.since(fromMs, undefined, this.readMs)];
    for (let sample = slice.pop(); sample !== undefined; sample = slice.pop()) {
      const wanted = this.open.get(sample.stream);
      if (wanted !== undefined && startMs(wanted, sample.timeMs) <= sample.timeMs) this.add(wanted, sample);
    }
    this.readMs = fromMs;
    // Times are whole milliseconds.
    const unreadMs = fromMs - 1;
    for (const [stream, wanted] of this.open) {
      const isRead = !(startMs(wanted, unreadMs) <= unreadMs);
      const isKnown = this.mostSamples === 0 && wanted.at === wanted.fromMs.length - 1;
      if (isRead || isKnown) this.completed(stream, wanted);
    }
    this.limit();
  }

  /** A sample of a stream has been stored. */
  stored(stream: string, timeMs: number, value: number): void {
    // An older one is found by the scan.
    if (timeMs < this.readMs) return;
    const wanted = this.open.get(stream) ?? this.complete.get(stream);
    if (wanted?.isHeld !== true) return;
    wanted.arrived.push(timeMs, value);
    this.held++;
    // Another scan finds its samples in the store.
    if (this.held > this.mostSamples) this.forget(stream);
  }

  /**
   * Removes a stream that is ready.
   * @returns the start of its replay, ms, and its samples from then on. `samples` is null if they are too many to be held, `fromMs` then
   * not exact
   */
  take(stream: string): { readonly fromMs: number; readonly samples: ReplaySample[] | null } | null {
    const wanted = this.complete.get(stream);
    if (wanted === undefined) return null;
    const { found, arrived, isHeld, at } = wanted;
    const fromMs = wanted.fromMs[at];
    this.drop(this.complete, stream);
    if (!isHeld) return { fromMs, samples: null };
    const samples: ReplaySample[] = [];
    for (let i = found.length - 2; i >= 0; i -= 2) samples.push({ timeMs: found[i], value: found[i + 1] });
    for (let i = 0; i < arrived.length; i += 2) samples.push({ timeMs: arrived[i], value: arrived[i + 1] });
    // Of two with one time the one that was stored first comes first, as in the store.
    return { fromMs, samples: samples.sort((a, b) => a.timeMs - b.timeMs) };
  }

  private add(wanted: Wanted, { timeMs, value }: StoredSample): void {
    wanted.count++;
    if (!wanted.isHeld) return;
    wanted.found.push(timeMs, value);
    this.held++;
  }

  /** Leaves out half of the streams, until the rest fits into the memory. */
  private limit(): void {
    while (this.held > this.mostSamples && this.open.size > 1)
      for (const stream of [...this.open.keys()].slice(this.open.size >> 1)) this.drop(this.open, stream);
    if (this.held <= this.mostSamples) return;
    for (const [stream, wanted] of this.open) {
      // The restore reads them again.
      this.held -= heldBy(wanted);
      wanted.found.length = 0;
      wanted.arrived.length = 0;
      wanted.isHeld = false;
      this.completed(stream, wanted);
    }
  }

  private completed(stream: string, wanted: Wanted): void {
    this.open.delete(stream);
    this.complete.set(stream, wanted);
  }

  private drop(from: Map<string, Wanted>, stream: string): void {
    const wanted = from.get(stream);
    if (wanted !== undefined) this.held -= heldBy(wanted);
    from.delete(stream);
  }
}

const heldBy = ({ found, arrived }: Wanted): number => (found.length + arrived.length) / 2;

/** Start of the replay, ms, if all samples after `timeMs` have been counted. */
function startMs(wanted: Wanted, timeMs: number): number {
  const { fromMs, count } = wanted;
  while (timeMs < fromMs[wanted.at] && count < ENOUGH_SAMPLES && wanted.at < fromMs.length - 1) wanted.at++;
  return fromMs[wanted.at];
}
