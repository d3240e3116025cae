/**
 * `backtest --report`: one self-contained HTML file for a person who runs gateways. No scripts, nothing fetched, bounded:
 * charts for at most 60 series, rows for at most 1000.
 */

import { escapeHtml } from '../../plot/svg.ts';
import { scoreBaselines } from './baselines.ts';
import { calibration } from './calibration.ts';
import type { Judged, ReportInput } from './input.ts';
import { scoreTable, tiles } from './scores.ts';
import { fanLegend, overview, seriesCard } from './series.ts';
import { STYLE } from './style.ts';
import { stamp, tuningSection } from './tuning.ts';

const MOST_CHARTED = 60;

/** @returns the HTML. Charts of more than 60 series are limited to those with the largest SQL. */
export function buildReport(input: ReportInput): string {
  const judged = input.series.map((one): Judged => {
    const origins = one.played.map(({ origin }) => origin);
    return {
      ...one,
      ...scoreBaselines(one.grid, origins, input.horizon, one.first),
      counts: calibration(one.grid, one.played),
    };
  });
  const badness = ({ score }: Judged): number => (score.n === 0 ? -1 : score.sql);
  const worst = [...judged].sort((a, b) => badness(b) - badness(a)).slice(0, MOST_CHARTED);
  const charted = judged.filter((one) => worst.includes(one));
  const title = `Backtest of ${input.files.join(', ')}`;
  const body = [
    header(title, input),
    tiles(input.series),
    `<h2>How good, how far ahead</h2>`,
    overview(judged),
    `<h2>Scores</h2>`,
    scoreTable(judged, charted),
    `<h2>Forecasts</h2>`,
    fanLegend(),
    charted.length < judged.length
      ? `<p class="soft">Shown are the ${charted.length} of ${judged.length} series with the largest SQL.</p>`
      : '',
    ...charted.map((one) => seriesCard(one, judged.indexOf(one))),
    `<h2>Fine-tuning</h2>`,
    tuningSection(input),
    `<h2>How to read this</h2>`,
    GLOSSARY,
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escapeHtml(title)}</title><style>${STYLE}</style></head><body><main>
${body.join('\n')}
</main></body></html>
`;
}

function header(title: string, { series, settings }: ReportInput): string {
  const spans = series.map(({ grid, first }) => [
    grid.startMs + first * grid.intervalMs,
    grid.startMs + grid.actual.length * grid.intervalMs,
  ]);
  const from = Math.min(...spans.map(([start]) => start));
  const to = Math.max(...spans.map(([, end]) => end));
  const facts = settings.map(([name, value]) => `${escapeHtml(name)} <b>${escapeHtml(value)}</b>`);
  return `<header><h1>${escapeHtml(title)}</h1><p class="facts list"><span>scored <b>${stamp(from)} to ${stamp(to)} UTC</b></span> ${facts.map((fact) => `<span>${fact}</span>`).join(' ')}</p></header>`;
}

const GLOSSARY = `<div class="card"><dl>
<dt>p10, median, p90</dt><dd>In one case of ten the reading should be below p10, in five below the median, in nine below p90. The band from p10 to p90 should hold 80 % of readings.</dd>
<dt>lead</dt><dd>How far ahead of the newest reading a forecast looks.</dd>
<dt>MASE</dt><dd>Mean absolute error of the median, divided by the mean change from one season to the next in the part before the first score (Hyndman and Koehler 2006). Below 1: better than that change. Comparable between sensors.</dd>
<dt>SQL</dt><dd>The same scaling for all nine quantiles at once (twice the pinball loss): it punishes intervals that miss and intervals that are too wide.</dd>
<dt>coverage</dt><dd>Share of readings between p10 and p90. Below 76 % the intervals are too narrow, above 84 % too wide.</dd>
<dt>calibration</dt><dd>For each level, the share of readings below it. On the dashed line, "in nine of ten cases" means nine of ten.</dd>
<dt>skill</dt><dd>1 minus the SQL divided by that of a naive forecaster, which repeats the last value (or that of a day before) with intervals from its own past errors. 1 is perfect, 0 is equal, below 0 is worse. Overall: by geometric mean.</dd>
</dl></div>`;
