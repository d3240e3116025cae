/** When the state of a stream is saved: often enough that a restart replays little, seldom enough to spare the flash. */
import type { ForecastEngine, StreamSnapshot } from '../forecast/engine-contract.ts';
import type { Store } from '../store/store-contract.ts';

export interface CheckpointLimits {
  /** Samples of one stream that a restart may have to replay. */
  readonly replay: number;
  /** Samples of all streams that a restart may have to walk over to find those of one. */
  readonly walk: number;
}

const LIMITS: CheckpointLimits = { replay: 4096, walk: 500_000 };
/** Streams saved in one go, so that no round of forecasts waits long for the disk. */
const PER_ROUND = 64;

interface Mark {
  /** Samples of this stream since its last save. */
  samples: number;
  /** Samples of all streams at its last save. */
  readonly total: number;
  /** Whether there is anything new to save. */
  changed: boolean;
}

export class Checkpoints {
  /** By stream, in order of their last save. */
  private readonly marks = new Map<string, Mark>();
  private readonly due = new Set<string>();
  /** Streams that have no saved state yet; they are saved as soon as they have one. */
  private readonly fresh = new Set<string>();
  private total = 0;

  constructor(
    private readonly engine: Pick<ForecastEngine, 'snapshot'>,
    private readonly store: Pick<Store, 'saveSnapshots'>,
    private readonly limits: CheckpointLimits = LIMITS,
  ) {}

  /**
   * @param saved whether the store holds a state of it that can be used
   * @param replayed samples that came after that state
   */
  add(stream: string, saved: boolean, replayed: number): void {
    this.marks.set(stream, { samples: replayed, total: this.total, changed: replayed > 0 });
    if (!saved) this.fresh.add(stream);
  }

  remove(stream: string): void {
    this.marks.delete(stream);
    this.due.delete(stream);
    this.fresh.delete(stream);
  }

  accepted(stream: string): void {
    this.total++;
    const mark = this.marks.get(stream);
    if (mark === undefined) return;
    mark.changed = true;
    if (++mark.samples >= this.limits.replay) this.due.add(stream);
  }

  /** A forecast moves the state on, also without samples; the first shows that there is one to save. */
  forecast(stream: string): void {
    const mark = this.marks.get(stream);
    if (mark !== undefined) mark.changed = true;
    if (this.fresh.delete(stream)) this.due.add(stream);
  }

  /** Saves some of what is due. A failure is tried again at the next call. */
  save(): boolean {
    for (const [stream, mark] of this.marks) {
      if (this.total - mark.total < this.limits.walk || this.due.size >= PER_ROUND) break;
      this.due.add(stream);
    }
    return this.due.size === 0 || this.write([...this.due].slice(0, PER_ROUND));
  }

  /** Saves every stream that has changed since its last save. */
  saveAll(): boolean {
    return this.write([...this.marks].filter(([, mark]) => mark.changed).map(([stream]) => stream));
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
      if (this.marks.delete(stream))
        this.marks.set(stream, { samples: 0, total: this.total, changed: false });
    }
    return true;
  }
}
