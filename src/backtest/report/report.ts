/**
 * `backtest --report`: one self-contained HTML file without scripts or external resources. Charts at most 60 series and
 * lists at most 1000.
 */

import { escapeHtml } from '../../plot/svg.ts';
import { scoreBaselines } from './baselines.ts';
import { calibration } from './calibration.ts';
import type { ComparedSeries, ReportInput } from './input.ts';
import { scoreTable, tiles } from './scores.ts';
import { fanLegend, overview, seriesCard } from './series.ts';
import { STYLE } from './style.ts';
import { stamp, tuningSection } from './tuning.ts';

const MOST_CHARTED = 60;

/** @returns the HTML. Of more than 60 series, those with the largest SQL are charted. */
export function buildReport(input: ReportInput): string {
  const judged = input.series.map((one): ComparedSeries => {
    const origins = one.played.map(({ origin }) => origin);
    return {
      ...one,
      ...scoreBaselines(one.grid, origins, input.horizon, one.first),
      counts: calibration(one.grid, one.played),
    };
  });
  const badness = ({ score }: ComparedSeries): number => (score.n === 0 ? -1 : score.sql);
  const worst = [...judged].sort((a, b) => badness(b) - badness(a)).slice(0, MOST_CHARTED);
  const charted = judged.filter((one) => worst.includes(one));
  const title = `Backtest of ${input.files.join(', ')}`;
  const body = [
    header(title, input),
    tiles(input.series),
    `<h2>Accuracy by lead</h2>`,
    overview(judged),
    `<h2>Scores</h2>`,
    scoreTable(judged, charted),
    `<h2>Forecasts</h2>`,
    fanLegend(),
    charted.length < judged.length
      ? `<p class="soft">Only the ${charted.length} of ${judged.length} series with the largest SQL are shown.</p>`
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
<dt>p10, median, p90</dt><dd>10 % of the readings should be below p10, 50 % below the median and 90 % below p90. The band from p10 to p90 should contain 80 % of the readings.</dd>
<dt>lead</dt><dd>Time from the newest reading to the forecast value.</dd>
<dt>MASE</dt><dd>Mean absolute error of the median, divided by the mean change from one season to the next before the scored part (Hyndman and Koehler 2006). Below 1: the error is smaller than that change. Comparable between sensors.</dd>
<dt>SQL</dt><dd>Scaled quantile loss: twice the pinball loss, averaged over all nine quantiles and divided by the same scale as MASE. It penalises intervals that miss and intervals that are too wide.</dd>
<dt>coverage</dt><dd>Share of readings between p10 and p90. Below 76 % the intervals are too narrow, above 84 % too wide.</dd>
<dt>calibration</dt><dd>For each level, the share of readings below it. A calibrated forecast follows the dashed line.</dd>
<dt>skill</dt><dd>1 minus the ratio of the SQL to that of a naive forecast, which repeats the last value (or the value of the day before) with intervals from its own past errors. 1 is perfect, 0 is equal, below 0 is worse. Overall: geometric mean of the ratios.</dd>
</dl></div>`;
