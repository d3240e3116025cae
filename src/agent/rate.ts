/** How fast a count grows, over about the last ten seconds. */
const WINDOW_MS = 10_000;

export class Rate {
  private readonly marks: { atMs: number; count: number }[] = [];

  /** Call now and then with the count so far. @returns growth a second; 0 before there are two marks */
  of(count: number, monotonicMs: number): number {
    const { marks } = this;
    const last = marks.at(-1);
    if (last === undefined || monotonicMs - last.atMs >= 500) marks.push({ atMs: monotonicMs, count });
    while (marks.length > 2 && marks[1]!.atMs <= monotonicMs - WINDOW_MS) marks.shift();
    const first = marks[0]!;
    const elapsedMs = monotonicMs - first.atMs;
    return elapsedMs <= 0 ? 0 : ((count - first.count) * 1000) / elapsedMs;
  }
}
