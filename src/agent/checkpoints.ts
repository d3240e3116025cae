/** When the state of a stream is saved: often enough that a restart replays little, seldom enough to spare the flash. */
import type { ForecastEngine, StreamSnapshot } from '../forecast/engine-contract.ts';
import type { Store } from '../store/store-contract.ts';

/** Samples of one stream that a restart may have to replay. */
export const MAX_REPLAY = 4096;
/** Streams saved in one go, so that no round of forecasts waits long for the disk. */
const PER_ROUND = 64;

export class Checkpoints {
  /** Samples since the last save, by stream. */
  private readonly since = new Map<string, number>();
  private readonly due = new Set<string>();
  /** Streams that have no saved state yet; they are saved as soon as they have one. */
  private readonly fresh = new Set<string>();

  constructor(
    private readonly engine: ForecastEngine,
    private readonly store: Pick<Store, 'saveSnapshots'>,
    private readonly maxReplay = MAX_REPLAY,
  ) {}

  /**
   * @param saved whether the store holds a state of it that can be used
   * @param replayed samples that came after that state
   */
  add(stream: string, saved: boolean, replayed: number): void {
    this.since.set(stream, replayed);
    if (!saved) this.fresh.add(stream);
  }

  remove(stream: string): void {
    for (const names of [this.since, this.due, this.fresh]) names.delete(stream);
  }

  accepted(stream: string): void {
    const count = (this.since.get(stream) ?? 0) + 1;
    this.since.set(stream, count);
    if (count >= this.maxReplay) this.due.add(stream);
  }

  /** A forecast shows that the stream has learnt its interval, so that there is a state to save. */
  forecast(stream: string): void {
    if (this.fresh.delete(stream)) this.due.add(stream);
  }

  /** Saves some of what is due. A failure is tried again at the next call. */
  save(): boolean {
    return this.due.size === 0 || this.write([...this.due].slice(0, PER_ROUND));
  }

  /** Saves every stream that has changed since its last save. */
  saveAll(): boolean {
    const names = [...this.since].filter(([name, count]) => count > 0 || this.due.has(name));
    return this.write(names.map(([name]) => name));
  }

  private write(names: readonly string[]): boolean {
    const snapshots: StreamSnapshot[] = [];
    for (const name of names) {
      const snapshot = this.engine.snapshot(name);
      if (snapshot !== null) snapshots.push(snapshot);
    }
    if (!this.store.saveSnapshots(snapshots)) return false;
    for (const name of names) {
      this.due.delete(name);
      if (this.since.has(name)) this.since.set(name, 0);
    }
    return true;
  }
}
