/**
 * Decides when the state of a stream is saved: often enough for a short replay after a restart, rarely enough to
 * spare the flash.
 */
import type { ForecastEngine, StreamSnapshot } from '../forecast/engine-contract.ts';
import type { Store } from '../store/store-contract.ts';

interface CheckpointLimits {
  /** Most samples of one stream that a restart may have to replay. */
  readonly replay: number;
  /** As `replay`, for a stream without a saved state: the state shows later whether a silent stream was active. */
  readonly first: number;
  /** Most samples of all streams that a restart may have to scan to find those of one stream. */
  readonly walk: number;
}

const LIMITS: CheckpointLimits = { replay: 2048, first: 64, walk: 500_000 };
/** Streams saved in one round of forecasts (about 1 ms each), so that none waits long for the disk. */
const PER_ROUND = 4;
/** Most streams linked by covariates that are saved together; more are saved separately. */
const MOST_LINKED = 32;
/** Streams saved in one transaction at the end. */
const PER_BATCH = 32;
/** Replaying fewer samples than this is faster than writing and reading a state. */
const WORTH_SAVING = 16;
/** Time limit for saving when the agent stops; the rest is replayed at the next start, ms. */
const END_MS = 700;

interface Mark {
  /** Samples of this stream since its last save. */
  samples: number;
  /** Samples of all streams at its last save. */
  readonly total: number;
  readonly saved: boolean;
}

/** State of streams that cannot be rebuilt from their own samples. */
interface Links {
  /** Whether a stream has another as a covariate, or is one. */
  joined(stream: string): boolean;
  /** As `joined`, and also true if the stream has a table as a covariate. */
  linked(stream: string): boolean;
}

const NO_LINKS: Links = { joined: () => false, linked: () => false };

export class Checkpoints {
  /** By stream, in order of their last save. */
  private readonly marks = new Map<string, Mark>();
  private readonly due = new Set<string>();
  private total = 0;

  constructor(
    private readonly engine: Pick<ForecastEngine, 'snapshot'>,
    private readonly store: Pick<Store, 'saveSnapshots'>,
    private readonly limits: CheckpointLimits = LIMITS,
    private readonly links: Links = NO_LINKS,
  ) {}

  /**
   * @param state `rebuilt`: the saved state is useless and must be replaced
   * @param replayed number of samples after the saved state
   */
  add(stream: string, state: 'saved' | 'new' | 'rebuilt', replayed: number): void {
    this.marks.set(stream, { samples: replayed, total: this.total, saved: state === 'saved' });
    if (state === 'rebuilt') this.due.add(stream);
  }

  /** Invalidates all saved states, because the model has changed. */
  renewAll(): void {
    for (const stream of this.marks.keys()) this.due.add(stream);
  }

  remove(stream: string): void {
    this.marks.delete(stream);
    this.due.delete(stream);
  }

  accepted(stream: string): void {
    this.total++;
    const mark = this.marks.get(stream);
    if (mark === undefined) return;
    const limit = mark.saved ? this.limits.replay : this.limits.first;
    if (++mark.samples >= limit) this.due.add(stream);
  }

  /** Saves some of the due states. Retries after a failure at the next call. */
  save(): boolean {
    for (const [stream, mark] of this.marks) {
      if (this.total - mark.total < this.limits.walk || this.due.size >= PER_ROUND) break;
      this.due.add(stream);
    }
    return this.due.size === 0 || this.write(this.together([...this.due].slice(0, PER_ROUND)));
  }

  /** Streams linked by covariates, which should be replayed from the same time. */
  private together(streams: readonly string[]): readonly string[] {
    const joined = (stream: string): boolean => this.links.joined(stream);
    if (!streams.some(joined)) return streams;
    const all = [...this.marks.keys()].filter(joined);
    return all.length > MOST_LINKED ? streams : [...new Set([...streams, ...all])];
  }

  /**
   * When the agent stops: saves streams with covariates, all at the same time, then those with the longest replays, as
   * long as there is time.
   */
  saveAll(monotonicMs: () => number): boolean {
    const untilMs = monotonicMs() + END_MS;
    const worth = (stream: string, { samples, saved }: Mark): number =>
      this.links.linked(stream)
        ? Number.POSITIVE_INFINITY
        : saved && samples < WORTH_SAVING
          ? 0
          : samples + 1;
    const streams = [...this.marks]
      .map(([stream, mark]) => ({ stream, worth: worth(stream, mark) }))
      .filter((one) => one.worth > 0)
      .sort((a, b) => (a.worth === b.worth ? 0 : b.worth - a.worth))
      .map(({ stream }) => stream);
    for (let i = 0; i < streams.length && monotonicMs() < untilMs; i += PER_BATCH)
      if (!this.write(streams.slice(i, i + PER_BATCH))) return false;
    return true;
  }

  private write(streams: readonly string[]): boolean {
    const snapshots: StreamSnapshot[] = [];
    for (const stream of streams) {
      const snapshot = this.engine.snapshot(stream);
      if (snapshot !== null) snapshots.push(snapshot);
    }
    if (!this.store.saveSnapshots(snapshots)) return false;
    for (const stream of streams) {
      this.due.delete(stream);
      if (this.marks.delete(stream)) this.marks.set(stream, { samples: 0, total: this.total, saved: true });
    }
    return true;
  }
}
