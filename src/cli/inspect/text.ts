/** The text output of `gatecast inspect`. */
import { formatDuration, formatSize } from '../../config/units.ts';
import { MARK_TEXTS, type MarkName } from '../../series/quality.ts';
import { factLine, indentedTable, sameDecimals } from '../shared/text-table.ts';
import type { StreamReport } from './run.ts';
import type { Counts } from './stream.ts';

/** Minimum number of significant digits. */
const DIGITS = 4;

const counted = (counts: Counts): string =>
  Object.entries(counts)
    .map(([name, n]) => `${name} ${n}`)
    .join(', ');

const UNITS: readonly (readonly [name: string, seconds: number])[] = [
  ['d', 86_400],
  ['h', 3600],
  ['m', 60],
  ['s', 1],
];

/** Elapsed time in its two largest units: `2d 3h ago`. */
function ago(seconds: number): string {
  const at = Math.max(
    0,
    UNITS.findIndex(([, size]) => seconds >= size),
  );
  const parts: string[] = [];
  let left = Math.floor(seconds);
  for (const [name, size] of UNITS.slice(seconds < 1 ? 3 : at).slice(0, 2)) {
    const n = Math.floor(left / size);
    left -= n * size;
    if (n > 0 || parts.length === 0) parts.push(`${n}${name}`);
  }
  return `${parts.join(' ')} ago`;
}

export function reportText(report: StreamReport, nowMs: number): string {
  const { stream, unit, state, scores, days, readings, marks, rejects } = report;
  const since = (iso: string | null): string =>
    iso === null ? 'none' : `${iso}, ${ago(Math.max(0, nowMs - Date.parse(iso)) / 1000)}`;
  const lines = [
    `${stream}${unit === null ? '' : ` in ${unit}`}`,
    factLine('interval', intervalText(report)),
    factLine('readings', `${report.samples} since ${report.first ?? '-'}`),
    factLine('last', since(report.last)),
    factLine('marks', counted(marks) || 'none'),
    factLine('refused', counted(rejects) || 'none'),
    factLine('state', stateText(state)),
  ];
  if (readings.length > 0) {
    lines.push('', 'newest readings');
    const shown = column(readings.map(({ value }) => value));
    const named = readings.map(({ time, value, marks: own }) => [time, shown(value), own.join(', ')]);
    lines.push(indentedTable(named));
  }
  const seen = new Set(readings.flatMap(({ marks: own }) => own));
  for (const name of seen) lines.push(`  ${name}: ${MARK_TEXTS.get(name as MarkName) ?? ''}`);
  if (days.length > 0) {
    lines.push('', 'by day (UTC)');
    const head = ['day', 'readings', 'buckets', 'gaps', 'marks', 'refused'];
    const cells = days.map((day) => [
      day.day,
      String(day.samples),
      String(day.buckets ?? '-'),
      String(day.gaps ?? '-'),
      counted(day.marks) || '-',
      counted(day.rejects) || '-',
    ]);
    lines.push(indentedTable([head, ...cells]));
  }
  if (scores.length > 0) {
    lines.push('', 'scores of the published forecasts, as of the saved state');
    const head = ['lead', 'n', 'mae', 'mase', 'bias', 'coverage', 'vs naive', 'vs seasonal'];
    const keys = ['h', 'n', 'mae', 'mase', 'bias', 'coverage', 'skill_vs_naive', 'skill_vs_seasonal'];
    const columns = keys.map((key) => column(scores.map((score) => score[key] ?? null)));
    const cells = scores.map((score) => keys.map((key, at) => columns[at]?.(score[key] ?? null) ?? ''));
    lines.push(indentedTable([head, ...cells]));
  }
  return `${lines.join('\n')}\n`;
}

/** Function that writes the numbers of a column. */
function column(values: readonly (number | null)[]): (value: number | null) => string {
  const text = sameDecimals(
    values.filter((value) => value !== null),
    DIGITS,
  );
  return (value) => (value === null ? '-' : text(value));
}

function intervalText({ interval_s, interval_from, horizon_steps }: StreamReport): string {
  if (interval_s === null) return 'unknown';
  const from = { state: '', config: ', from the config', readings: ', from the times of the readings' };
  const ahead = horizon_steps === null ? '' : `, forecast ${horizon_steps} ahead`;
  return `${formatDuration(interval_s * 1000)}${ahead}${from[interval_from ?? 'state']}`;
}

function stateText(state: StreamReport['state']): string {
  if (state === null) return 'none saved';
  const saved = state.age_s === null ? 'saved by an older version' : `saved ${ago(state.age_s)}`;
  const buckets = state.buckets === null ? '' : `, ${state.buckets} buckets`;
  return `${saved}${buckets}, ${formatSize(state.bytes)}, of model ${state.model.slice(0, 12)}; replay from ${state.replay_from}`;
}
