/** Publishes this machine's vitals every second, and one stream with gaps, which shows how gaps are filled. */
import type { Clock } from '../system/clock.ts';
import { type Machine, type Reading, Vitals } from './vitals.ts';

interface VitalsOptions {
  readonly publish: (topic: string, payload: string) => void;
  readonly clock: Clock;
  readonly everyMs?: number;
  readonly machine?: Machine;
}

export const VITALS_ROOT = 'vitals';
export const HOLES_TOPIC = 'holes/cpu_pct';
/** The stream with gaps is silent for the first 6 s of a cycle, and for 10 s in every second cycle. The first cycle has no gap. */
const CYCLE = 45;
const silent = (tick: number): boolean =>
  tick % CYCLE < (Math.floor(tick / CYCLE) % 2 === 0 ? 6 : 10) && tick >= CYCLE;

/** Weight of the newest reading in the exponential mean that the stream with gaps carries. */
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

  /** Reads one third into each interval: a late or early timer then never puts two readings into one bucket. */
  private schedule(): void {
    const { clock, everyMs = 1000 } = this.options;
    const wait = everyMs - ((clock.now() - everyMs / 3) % everyMs);
    // a timer may fire a little early; the rest of the interval is then added to the next one
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
