/** The table that `gatecast backtest --compare gaps` prints. */
import type { FillRow, FillScore } from './compare.ts';

const COLUMNS = [8, 8, 8, 9] as const;

function cells(score: FillScore | null): string {
  if (score === null) return `${'-'.padStart(8)}${' '.repeat(25)}`;
  const { n, mase, sql, coverage } = score;
  return [String(n), mase.toFixed(3), sql.toFixed(3), `${(100 * coverage).toFixed(1)} %`]
    .map((text, i) => text.padStart(COLUMNS[i]))
    .join('');
}

export function compareText(rows: readonly FillRow[]): string {
  const head = ['n', 'MASE', 'SQL', 'coverage'].map((text, i) => text.padStart(COLUMNS[i])).join('');
  const lines = [
    `${''.padEnd(24)}${'all forecasts'.padStart(33)}${'made in a gap'.padStart(36)}`,
    `${'gaps'.padEnd(14)}${'fill'.padEnd(10)}${head}   ${head}`,
  ];
  let last: number | null | undefined;
  for (const row of rows) {
    if (last !== undefined && row.injected !== last) lines.push('');
    last = row.injected;
    const gaps = `${(100 * row.missing).toFixed(1)} %${row.injected === null ? ' real' : ''}`;
    lines.push(
      `${gaps.padEnd(14)}${row.fill.padEnd(10)}${cells(row.all)}   ${cells(row.inGap)}${row.best ? '  *' : ''}`.trimEnd(),
    );
  }
  lines.push(
    '',
    '* lowest SQL over all forecasts of that share. gaps: share of buckets without a reading, mean over the series.',
    'Only real readings are scored, including those hidden from the pipeline.',
    'linear: the end of a gap is unknown while it lasts, so linear repeats the last value, as hold does.',
    'drop: no step in a gap; the last forecast is used, shifted by the time that has passed.',
  );
  return `${lines.join('\n')}\n`;
}
