/** Fine-tuning runs in a report: when each ran, whether the candidate was promoted, and why. */

import { escapeHtml, type Frame, linear, svg, timeTicks } from '../../plot/svg.ts';
import type { TunerRun } from '../tuner.ts';
import type { ReportInput } from './input.ts';

export interface ReportedRun extends TunerRun {
  readonly file: string;
  /** End of the bucket after which the run took place, ms since 1970 UTC. */
  readonly timeMs: number;
}

const FRAME: Frame = { width: 760, height: 54, left: 14, right: 14, top: 8, bottom: 24 };

/** All runs of one file as marks on a time line, filled if promoted. */
function tuningChart(runs: readonly ReportedRun[]): string {
  const times = runs.map((run) => run.timeMs);
  const from = Math.min(...times);
  const to = Math.max(...times);
  const x = linear(from, to, FRAME.left + 10, FRAME.width - FRAME.right - 10);
  const middle = (FRAME.top + FRAME.height - FRAME.bottom) / 2;
  const floor = FRAME.height - FRAME.bottom;
  const ticks = timeTicks(from, to, 9).map(
    ({ at, label }) =>
      `<path class="g" d="M${x(at).toFixed(1)} ${floor - 4}v4"/><text x="${x(at).toFixed(1)}" y="${floor + 12}" text-anchor="middle">${label}</text>`,
  );
  const marks = runs.map(
    (run) =>
      `<circle class="${run.promoted ? 'promoted' : 'refused'}" cx="${x(run.timeMs).toFixed(1)}" cy="${middle}" r="6"><title>${escapeHtml(`${stamp(run.timeMs)}: ${run.promoted ? 'promoted' : 'refused'}, ${run.reason}`)}</title></circle>`,
  );
  const promoted = runs.filter((run) => run.promoted).length;
  return svg(
    FRAME,
    `${runs.length} fine-tunes, ${promoted} promoted`,
    `<path class="g" d="M${FRAME.left} ${middle}H${FRAME.width - FRAME.right}"/>${ticks.join('')}${marks.join('')}`,
  );
}

function tuningTable(runs: readonly ReportedRun[]): string {
  const rows = runs.map(
    (run) =>
      `<tr><td>${stamp(run.timeMs)}</td><td>${escapeHtml(run.file)}</td><td class="n">${run.bucket}</td><td><span class="chip ${run.promoted ? 'good' : 'plain'}">${run.promoted ? 'promoted' : 'refused'}</span></td><td>${escapeHtml(run.reason)}</td><td class="n">${run.seconds.toFixed(1)} s</td></tr>`,
  );
  return `<div class="wide"><table><thead><tr><th>when (file's clock)</th><th>file</th><th class="n">bucket</th><th>verdict</th><th>why</th><th class="n">took</th></tr></thead><tbody>${rows.join('')}</tbody></table></div>`;
}

export const stamp = (ms: number): string => new Date(ms).toISOString().slice(0, 16).replace('T', ' ');

export function tuningSection({ runs, tuned, kinds, refused }: ReportInput): string {
  const counted = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .map(([name, n]) => `${escapeHtml(name)} ${n.toLocaleString('en-US')}`)
      .join(', ');
  const published = `<p class="soft">Forecasts by kind: ${counted(kinds) || 'none'}.${Object.keys(refused).length > 0 ? ` Readings refused: ${counted(refused)}.` : ''}</p>`;
  if (!tuned) {
    return `<div class="card"><p>Fine-tuning was off: one model served the whole file. <code>--finetune 1d</code> turns it on.</p>${published}</div>`;
  }
  if (runs.length === 0) {
    return `<div class="card"><p>Fine-tuning was on, but the file never had enough new readings for a run.</p>${published}</div>`;
  }
  const files = [...new Set(runs.map((run) => run.file))];
  const charts = files.map((file) => {
    const own = runs.filter((run) => run.file === file);
    return own.length > 1
      ? `<figure><figcaption>${escapeHtml(file)}: filled marks were promoted</figcaption>${tuningChart(own)}</figure>`
      : '';
  });
  return `<div class="card"><p>A candidate is trained on the readings up to that time. It is promoted only if it is better on the newest readings, which are held out from its training.</p>${charts.join('')}${tuningTable(runs)}${published}</div>`;
}
