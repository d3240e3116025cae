/** `publish.every`: at most one forecast of a stream in this time of its own, so that a burst of late buckets is one message too. */
import type { Forecast } from '../forecast/forecast.ts';

export class Pace {
  /** Origin of the newest forecast published, by stream; changed in place: a number in a map is an object of its own. */
  private readonly published = new Map<string, { originMs: number }>();

  /** @param everyMs null: each forecast */
  allows({ stream, originMs }: Pick<Forecast, 'stream' | 'originMs'>, everyMs: number | null): boolean {
    const last = this.published.get(stream)?.originMs;
    return everyMs === null || last === undefined || originMs <= last || originMs - last >= everyMs;
  }

  note({ stream, originMs }: Pick<Forecast, 'stream' | 'originMs'>): void {
    const known = this.published.get(stream);
    if (known === undefined) this.published.set(stream, { originMs });
    else known.originMs = originMs;
  }

  forget(stream: string): void {
    this.published.delete(stream);
  }
}
