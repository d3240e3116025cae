/** Whether a count has grown lately: an ill that is told of for a while after it happened. */
export class Recently {
  private count = 0;
  private untilMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly forMs: number) {}

  /** @param count so far; call at least as often as its growth should be noticed */
  grew(count: number, monotonicMs: number): boolean {
    if (count > this.count) this.untilMs = monotonicMs + this.forMs;
    this.count = count;
    return monotonicMs < this.untilMs;
  }
}
