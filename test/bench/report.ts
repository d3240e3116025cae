/** What a benchmark says: figures beside the limits they are held to, on a machine that is described. */
import { readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';

export interface Figure {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** Of figures without a limit: less is better. Left out: more is. */
  readonly lowerIsBetter?: boolean;
  /**
   * The limit it must keep; null: told only. `isGoal`: depends on the machine and is missed today (docs/performance.md gives the
   * reasons), so it is printed, and is no regression.
   */
  readonly limit: {
    readonly side: 'most' | 'least';
    readonly value: number;
    readonly isGoal?: boolean;
  } | null;
  /**
   * A peer measured in the same run: its name and figure, in the same unit, and how many times as good this must be. `record`: how many
   * times as good it was in the run of docs/performance.md.
   */
  readonly peer?: {
    readonly name: string;
    readonly value: number;
    readonly least?: number;
    readonly record?: number;
  };
}

/** One group of figures; `only` picks it by name. Throws when it cannot be measured here; the message says why. */
export interface Bench {
  readonly name: string;
  readonly run: () => Promise<Figure[]>;
}

export function machine(): string {
  const model = /^model name\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? process.arch;
  const gigabytes = Math.round(totalmem() / 2 ** 30);
  return `${model}, ${cpus().length} cores, ${gigabytes} GB; Node ${process.versions.node}, ${process.platform} ${process.arch}`;
}

const keepsLimit = ({ value, limit }: Figure): boolean =>
  limit === null || (limit.side === 'most' ? value <= limit.value : value >= limit.value);

/** Above 1 is better than `other`, whichever way the figure counts. */
const better = ({ value, limit, lowerIsBetter = limit?.side === 'most' }: Figure, other: number): number =>
  lowerIsBetter ? other / value : value / other;

const keepsPeer = (figure: Figure): boolean =>
  figure.peer?.least === undefined || better(figure, figure.peer.value) >= figure.peer.least;

/** Whether the figure is no regression. */
export const keeps = (figure: Figure): boolean =>
  (figure.limit?.isGoal === true || keepsLimit(figure)) && keepsPeer(figure);

const short = (value: number): string =>
  value >= 1000
    ? Math.round(value).toLocaleString('en')
    : value >= 100
      ? value.toFixed(0)
      : value.toPrecision(3);

/** A Markdown table, to be pasted as it is. */
export function table(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => {
    const { what, value, unit, limit, peer } = figure;
    const ratio = (other: number) => `${better(figure, other).toFixed(2)}x`;
    const missed = (kept: boolean) => (kept ? '' : ' MISSED');
    const goal = limit?.isGoal === true;
    const recorded = peer?.record === undefined ? '' : ` (recorded: ${short(peer.record)}x)`;
    return [
      what,
      `${short(value)} ${unit}`,
      limit ? `${goal ? 'goal: ' : ''}at ${limit.side} ${short(limit.value)}` : '',
      limit
        ? `${ratio(limit.value)}${goal && !keepsLimit(figure) ? ' goal missed' : missed(keepsLimit(figure))}`
        : '',
      peer
        ? `${peer.name}: ${short(peer.value)}, ${ratio(peer.value)}${recorded}${missed(keepsPeer(figure))}`
        : '',
    ];
  });
  const all = [['measured', 'figure', 'limit', 'against it', 'beside it'], ...rows];
  const widths = all[0]!.map((_, column) => Math.max(3, ...all.map((row) => row[column]!.length)));
  const line = (row: readonly string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`;
  return [line(all[0]!), line(widths.map((width) => '-'.repeat(width))), ...all.slice(1).map(line)].join(
    '\n',
  );
}

/** The value below which this share of the values lies. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);
