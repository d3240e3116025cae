/** Every way to fill a gap on the same injected holes of regular public sets, by `gatecast backtest --compare gaps`. */
import type { FillRow } from '../../src/backtest/compare/compare.ts';
import { spawnProgram } from '../support/daemon.ts';
import { waitFor } from '../support/wait.ts';

export interface GapResult {
  readonly set: string;
  readonly command: string;
  /** Rows of the file that were taken. */
  readonly first: number;
  readonly rows: readonly FillRow[];
}

const SETS = [
  {
    set: 'a transformer: load and oil temperature, 1 h',
    file: 'ett/ETTh1.csv.gz',
    rows: 3000,
    args: ['--time', 'date', '--columns', 'HUFL,OT'],
  },
  {
    set: 'a city: the power of two zones, 10 min, in buckets of 1 h',
    file: 'tetouan_power/Tetuan_City_power_consumption.csv.gz',
    rows: 18_000,
    args: [
      ...['--columns', 'Zone 1 Power Consumption,Zone 3  Power Consumption'],
      ...['--clock-start', '2017-01-01T00:00:00Z', '--row-interval', '10m'],
    ],
  },
  {
    set: 'a wind farm: its power, 15 min, in buckets of 1 h',
    file: 'wind_15min/wind.csv.gz',
    rows: 12_000,
    args: ['--time', 'date', '--columns', 'target'],
  },
] as const;
const ALL =
  '--interval 1h --horizon 24 --start 0.4 --stride 3 --compare gaps --inject 0.05,0.2,0.5 --seed 1'.split(
    ' ',
  );
const PATIENCE_MS = 3_600_000;

/** @param excerpt makes a file of the first rows of one of the data folder and returns its path */
export async function gapResults(excerpt: (file: string, rows: number) => string): Promise<GapResult[]> {
  const results: GapResult[] = [];
  for (const { set, file, rows: first, args } of SETS) {
    const run = spawnProgram(['backtest', excerpt(file, first), ...args, ...ALL, '--json']);
    let printed = '';
    run.process.stdout?.on('data', (chunk) => {
      printed += chunk;
    });
    await waitFor(
      `the fills of ${set}`,
      () => run.process.exitCode !== null || run.process.signalCode !== null,
      PATIENCE_MS,
    );
    if (run.process.exitCode !== 0) throw new Error(`the comparison of fills failed: ${run.output()}`);
    const { rows } = JSON.parse(printed) as { rows: FillRow[] };
    process.stderr.write(
      `${set}: ${rows
        .filter(({ best }) => best)
        .map(({ fill }) => fill)
        .join(', ')} best\n`,
    );
    const command = ['gatecast', 'backtest', file, ...args, ...ALL].map(quoted).join(' ');
    results.push({ set, command, first, rows });
  }
  return results;
}

const quoted = (argument: string): string => (argument.includes(' ') ? `"${argument}"` : argument);
