/** `publish.every`: at most one forecast per stream in this span of the stream's own time, so that a burst of late buckets also gives one message. */
import type { Forecast } from '../forecast/forecast.ts';

export class Pace {
  /** Origin of the newest forecast published, by stream; an object changed in place, because a number in a map would be allocated again with each change. */
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
