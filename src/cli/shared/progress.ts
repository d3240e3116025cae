/** A progress bar on a terminal; elsewhere (a journal, a file) an occasional line. */

const WIDTH = 24;
/** Minimum time between lines if the stream is not a terminal, ms. */
const PLAIN_EVERY_MS = 10_000;

export interface ProgressTarget {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export class ProgressBar {
  /** Length of the shown line, characters; 0: no line is shown. */
  private shown = 0;
  private lastMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly target: ProgressTarget,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** @param done share, 0..1 */
  update(done: number, text: string): void {
    const share = Math.max(0, Math.min(1, done));
    if (!this.target.isTTY) {
      if (this.now() - this.lastMs < PLAIN_EVERY_MS) return;
      this.lastMs = this.now();
      this.target.write(`${percent(share)}  ${text}\n`);
      return;
    }
    const full = Math.round(share * WIDTH);
    const all = `${'█'.repeat(full)}${'░'.repeat(WIDTH - full)} ${percent(share)}  ${text}`;
    const line = all.slice(0, Math.max(20, (this.target.columns || 100) - 1));
    // Spaces instead of an escape sequence: every terminal knows them.
    this.target.write(`\r${line.padEnd(this.shown)}`);
    this.shown = line.length;
  }

  /** Ends the line, so that the next output starts on a new one. */
  end(): void {
    if (this.shown > 0) this.target.write('\n');
    this.shown = 0;
  }
}

const percent = (share: number) => `${Math.floor(share * 100)}%`.padStart(4);

/** 95 -> "1 min 35 s" */
export function secondsText(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  return minutes < 60
    ? `${minutes} min ${whole % 60} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
