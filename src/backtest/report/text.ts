/** The score table printed by `gatecast backtest`. */
import { overall, type Score, type SeriesScore } from '../score.ts';
import type { TunerRun } from '../tuner.ts';

interface TextInput {
  readonly scores: readonly SeriesScore[];
  readonly horizon: number;
  readonly kinds: Readonly<Record<string, number>>;
  readonly refused: Readonly<Record<string, number>>;
  readonly runs: readonly TunerRun[];
  /** Paths of the written files, by content. */
  readonly written: Readonly<Record<string, string>>;
}

const LEGEND = [
  'n: forecast values with a reading to compare. lead: steps ahead.',
  "MASE: absolute error of the median, SQL: loss of all nine quantiles; both divided by the seasonal naive's error before --start, lower is better.",
  'coverage: share of the readings between p10 and p90; the target is 80 %.',
  'vs: reduction of the SQL compared with the naive forecast; 0 is equal, 1 is perfect, below 0 is worse.',
];

const WIDTHS = [9, 9, 10, 11, 14];
const cell = (text: string, width: number): string => text.padStart(width);
/** Without scored readings there is no score; 0 would mean a perfect forecast. */
const row = (name: string, score: Omit<Score, 'n' | 'mae' | 'bias'>, n: number): string =>
  n === 0
    ? `${name.slice(0, 32).padEnd(32)}${cell('0', 8)}${WIDTHS.map((width) => cell('-', width)).join('')}`
    : `${name.slice(0, 32).padEnd(32)}${cell(String(n), 8)}${cell(score.mase.toFixed(3), 9)}${cell(score.sql.toFixed(3), 9)}${cell(`${(100 * score.coverage).toFixed(1)} %`, 10)}${cell(score.skillNaive.toFixed(3), 11)}${cell(score.skillSeasonal.toFixed(3), 14)}`;

export function scoreText({ scores, horizon, kinds, refused, runs, written }: TextInput): string {
  const head = `${cell('n', 8)}${cell('MASE', 9)}${cell('SQL', 9)}${cell('coverage', 10)}${cell('vs naive', 11)}${cell('vs seasonal', 14)}`;
  const lines = [`${'series'.padEnd(32)}${head}`];
  for (const score of scores) lines.push(row(score.series, score, score.n));
  if (scores.length > 1)
    lines.push(
      row(
        'overall',
        overall(scores),
        scores.reduce((sum, one) => sum + one.n, 0),
      ),
    );
  lines.push('', `${'lead'.padEnd(32)}${head}`);
  for (const lead of shownLeads(horizon)) {
    const at = scores.map((score) => ({ ...score, ...score.byLead[lead - 1] }));
    lines.push(
      row(
        String(lead),
        overall(at),
        at.reduce((sum, one) => sum + one.n, 0),
      ),
    );
  }
  const counted = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .map(([name, n]) => `${name} ${n}`)
      .join(', ');
  lines.push('', `forecasts by kind: ${counted(kinds) || 'none'}`);
  if (Object.keys(refused).length > 0) lines.push(`readings refused: ${counted(refused)}`);
  for (const run of runs) {
    const what = run.promoted ? 'promoted' : 'refused';
    lines.push(`fine-tune at bucket ${run.bucket}: ${what}, ${run.reason} (${run.seconds.toFixed(1)} s)`);
  }
  for (const [what, path] of Object.entries(written)) lines.push(`${what}: ${path}`);
  lines.push('', ...LEGEND);
  return `${lines.join('\n')}\n`;
}

/** 1, 2, 4, ... and the last. */
function shownLeads(horizon: number): number[] {
  const leads: number[] = [];
  for (let lead = 1; lead < horizon; lead *= 2) leads.push(lead);
  return [...leads, horizon];
}
