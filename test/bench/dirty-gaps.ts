/** Every way to fill a gap on the same injected holes of regular public sets, by `gatecast backtest --compare gaps`. */
import { join } from 'node:path';
import type { FillRow } from '../../src/backtest/compare.ts';
import { spawnProgram } from '../support/daemon.ts';
import { waitFor } from '../support/wait.ts';

export interface GapResult {
  readonly set: string;
  readonly command: string;
  readonly rows: readonly FillRow[];
}

const SHARES = '0.05,0.2,0.5';
const SETS: readonly { readonly set: string; readonly file: string; readonly args: readonly string[] }[] = [
  {
    set: 'ETTh1: a transformer, 1 h',
    file: 'ett/ETTh1.csv.gz',
    args: [
      ...'--time date --columns HUFL,LUFL,OT --interval 1h --horizon 24 --start 0.8 --stride 7'.split(' '),
    ],
  },
  {
    set: 'tetouan_power: three zones of a city, 10 min, read as 1 h',
    file: 'tetouan_power/Tetuan_City_power_consumption.csv.gz',
    args: [
      ...['--columns', [1, 2, 3].map((n) => `Zone ${n}${n > 1 ? ' ' : ''} Power Consumption`).join(',')],
      ...'--clock-start 2017-01-01T00:00:00Z --row-interval 10m --interval 1h --horizon 24 --start 0.7 --stride 7'.split(
        ' ',
      ),
    ],
  },
  {
    set: 'wind_15min: a wind farm, 15 min, read as 1 h',
    file: 'wind_15min/wind.csv.gz',
    args: [...'--time date --columns target --interval 1h --horizon 24 --start 0.6 --stride 5'.split(' ')],
  },
];
const PATIENCE_MS = 3_600_000;

export async function gapResults(data: string): Promise<GapResult[]> {
  const results: GapResult[] = [];
  for (const { set, file, args } of SETS) {
    const all = [...args, '--compare', 'gaps', '--inject', SHARES, '--seed', '1'];
    const run = spawnProgram(['backtest', join(data, file), ...all, '--json']);
    let printed = '';
    run.process.stdout?.on('data', (chunk) => {
      printed += chunk;
    });
    await waitFor(`the fills of ${set}`, () => run.process.exitCode !== null, PATIENCE_MS);
    if (run.process.exitCode !== 0) throw new Error(`the comparison of fills failed: ${run.output()}`);
    const { rows } = JSON.parse(printed) as { rows: FillRow[] };
    process.stderr.write(
      `${set}: ${rows
        .filter(({ best }) => best)
        .map(({ fill }) => fill)
        .join(', ')} best\n`,
    );
    results.push({ set, command: `gatecast backtest ${file} ${all.map(quoted).join(' ')}`, rows });
  }
  return results;
}

const quoted = (argument: string): string => (argument.includes(' ') ? `"${argument}"` : argument);
