/** Publishes the vitals every second, and one stream with holes, so that the filling of gaps can be seen. */
import type { Clock } from '../system/clock.ts';
import { type Machine, type Reading, Vitals } from './vitals.ts';

export interface VitalsOptions {
  readonly publish: (topic: string, payload: string) => void;
  readonly clock: Clock;
  readonly everyMs?: number;
  readonly machine?: Machine;
}

export const VITALS_ROOT = 'vitals';
export const HOLES_TOPIC = 'holes/cpu_pct';
/** The stream with holes is silent for the first seconds of each cycle, a little longer every second time. */
const CYCLE = 45;
const silent = (tick: number): boolean =>
  tick % CYCLE < (Math.floor(tick / CYCLE) % 2 === 0 ? 6 : 10) && tick >= CYCLE;

/** Weight of the newest reading in the mean that the stream with holes carries. */
const SMOOTHING = 0.25;

export class VitalsPublisher {
  private readonly vitals: Vitals;
  private cancel: (() => void) | null = null;
  private ticks = 0;
  private smooth: number | null = null;

  constructor(private readonly options: VitalsOptions) {
    this.vitals = new Vitals(options.machine);
  }

  start(): void {
    this.vitals.read(this.options.clock.monotonic());
    this.schedule();
  }

  stop(): void {
    this.cancel?.();
    this.cancel = null;
  }

  /** A third into each interval, so that jitter of the timer never puts two readings into one bucket and none into the next. */
  private schedule(): void {
    const { clock, everyMs = 1000 } = this.options;
    const wait = everyMs - ((clock.now() - everyMs / 3) % everyMs);
    // A timer may fire a little early; what is left of its interval then must not become an interval of its own.
    this.cancel = clock.after(wait < everyMs / 2 ? wait + everyMs : wait, () => {
      this.schedule();
      this.tick(this.vitals.read(clock.monotonic()));
    });
  }

  private tick(readings: readonly Reading[]): void {
    const { publish } = this.options;
    for (const { topic, values } of readings) publish(`${VITALS_ROOT}/${topic}`, JSON.stringify(values));
    const busy = readings.find((reading) => reading.topic === 'cpu')?.values.busy_pct;
    if (busy === undefined) return;
    this.smooth = this.smooth === null ? busy : this.smooth + SMOOTHING * (busy - this.smooth);
    if (!silent(this.ticks++)) publish(HOLES_TOPIC, this.smooth.toFixed(2));
  }
}
