/**
 * Samples waiting to be written: a ring of plain columns (21 bytes per row) that grows up to a bound, then drops and
 * counts its oldest row for each new one. Not durable: its content is lost when the process ends.
 */
export class PendingRows {
  private readonly limit: number;
  private streams = new Int32Array(256);
  private times = new Float64Array(256);
  private values = new Float64Array(256);
  private marks = new Uint16Array(256);
  private head = 0;
  size = 0;
  /** Number of rows dropped because of the limit since the start. */
  dropped = 0;

  /** @param limit most rows held */
  constructor(limit: number) {
    this.limit = Math.max(1, limit);
  }

  /** Returns whether the oldest row was dropped for it. */
  push(stream: number, timeMs: number, value: number, mark: number): boolean {
    const full = this.size >= this.limit;
    if (full) {
      this.head = (this.head + 1) % this.times.length;
      this.size--;
      this.dropped++;
    } else if (this.size === this.times.length) {
      this.grow();
    }
    const at = (this.head + this.size) % this.times.length;
    this.streams[at] = stream;
    this.times[at] = timeMs;
    this.values[at] = value;
    this.marks[at] = mark;
    this.size++;
    return full;
  }

  /** Sets bits of the rows of one stream from `fromMs` up to, but not including, `toMs`. */
  mark(stream: number, fromMs: number, toMs: number, bits: number): void {
    for (let i = 0; i < this.size; i++) {
      const at = (this.head + i) % this.times.length;
      if (this.streams[at] === stream && this.times[at] >= fromMs && this.times[at] < toMs)
        this.marks[at] |= bits;
    }
  }

  /** Oldest first; `index` counts from the oldest row. */
  forEach(
    visit: (stream: number, timeMs: number, value: number, mark: number, index: number) => void,
    from = 0,
    to = this.size,
  ): void {
    for (let i = from; i < to; i++) {
      const at = (this.head + i) % this.times.length;
      visit(this.streams[at], this.times[at], this.values[at], this.marks[at], i);
    }
  }

  /** Forgets the oldest rows, which are stored elsewhere. */
  shift(rows: number): void {
    this.head = (this.head + rows) % this.times.length;
    this.size -= rows;
  }

  clear(): void {
    this.head = 0;
    this.size = 0;
    // Free the memory of a burst.
    if (this.times.length > 65_536) this.reallocate(256);
  }

  private grow(): void {
    this.reallocate(Math.min(this.limit, this.times.length * 2));
  }

  private reallocate(capacity: number): void {
    const streams = new Int32Array(capacity);
    const times = new Float64Array(capacity);
    const values = new Float64Array(capacity);
    const marks = new Uint16Array(capacity);
    this.forEach((stream, timeMs, value, mark, i) => {
      streams[i] = stream;
      times[i] = timeMs;
      values[i] = value;
      marks[i] = mark;
    });
    this.streams = streams;
    this.times = times;
    this.values = values;
    this.marks = marks;
    this.head = 0;
  }
}
