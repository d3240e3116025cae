/** Sends reports at a limited rate: changes in between are sent with the next report, which is always sent. */
import type { Clock } from '../system/clock.ts';

const EVERY_MS = 100;

export class ReportSender {
  private lastMs = Number.NEGATIVE_INFINITY;
  private due = false;
  private stopped = false;

  constructor(
    private readonly clock: Pick<Clock, 'monotonic' | 'after'>,
    private readonly send: () => void,
  ) {}

  request(): void {
    if (this.stopped) return;
    const waitMs = this.lastMs + EVERY_MS - this.clock.monotonic();
    if (waitMs <= 0) {
      this.lastMs = this.clock.monotonic();
      this.due = false;
      this.send();
    } else if (!this.due) {
      this.due = true;
      this.clock.after(waitMs, () => {
        if (!this.due) return;
        // a timer may fire a little early; `request` then sets it again
        this.due = false;
        this.request();
      });
    }
  }

  stop(): void {
    this.stopped = true;
  }
}
