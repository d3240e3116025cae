/** Scores in a report: the tiles at the top, the table, and the verdict on one series. */

import { escapeHtml } from '../../plot/svg.ts';
import { overall, type Score, type SeriesScore } from '../score.ts';
import type { ComparedSeries, ReportSeries } from './input.ts';

const MOST_ROWS = 1000;
/** A skill closer to 0 than this counts as equal. */
const EQUAL = 0.01;
/** Acceptable observed coverage of the 80 % interval. */
const COVERAGE_RANGE = [0.76, 0.84] as const;

export function tiles(series: readonly ReportSeries[]): string {
  const total = overall(series.map(({ score }) => score));
  const forecasts = series.reduce((sum, { played }) => sum + played.length, 0);
  const inside = total.coverage >= COVERAGE_RANGE[0] && total.coverage <= COVERAGE_RANGE[1];
  const tile = (value: string, text: string, tone = ''): string =>
    `<div class="tile"><b${tone && ` class="${tone}"`}>${value}</b><span>${text}</span></div>`;
  return `<div class="tiles">${[
    tile(against(total.skillNaive), 'than repeating the last value', tone(total.skillNaive)),
    tile(
      against(total.skillSeasonal),
      'than repeating the value of the day before',
      tone(total.skillSeasonal),
    ),
    tile(percent(total.coverage), 'of readings inside the 80 % interval', inside ? 'good' : 'warn'),
    tile(fixed(total.mase), 'MASE: error of the median, scaled'),
    tile(fixed(total.sql), 'SQL: error of all nine quantiles, scaled'),
    tile(forecasts.toLocaleString('en-US'), `forecasts of ${series.length} series`),
  ].join('')}</div>`;
}

/** Without scored readings there is no score; 0 would mean a perfect forecast. */
const fixed = (value: number): string => (Number.isNaN(value) ? '–' : value.toFixed(3));
const percent = (share: number): string => (Number.isNaN(share) ? '–' : `${(100 * share).toFixed(1)} %`);

const tone = (skill: number): string => (skill > EQUAL ? 'good' : skill < -EQUAL ? 'bad' : '');

function against(skill: number): string {
  if (Number.isNaN(skill)) return '–';
  if (Math.abs(skill) <= EQUAL) return 'as good';
  return `${(100 * Math.abs(skill)).toFixed(0)} % ${skill > 0 ? 'better' : 'worse'}`;
}

const skillCell = (skill: number): string =>
  `<td class="n ${tone(skill)}">${skill > 0 ? '+' : ''}${fixed(skill)}</td>`;

function scoreCells(score: Omit<Score, 'n' | 'mae' | 'bias'>): string {
  // a constant series is forecast exactly, with an interval of width 0: its coverage means nothing
  const wrong = score.sql !== 0 && (score.coverage < COVERAGE_RANGE[0] || score.coverage > COVERAGE_RANGE[1]);
  return `<td class="n">${fixed(score.mase)}</td><td class="n">${fixed(score.sql)}</td><td class="n ${wrong ? 'warn' : ''}">${percent(score.coverage)}</td>${skillCell(score.skillNaive)}${skillCell(score.skillSeasonal)}`;
}

export function scoreTable(judged: readonly ComparedSeries[], charted: readonly ComparedSeries[]): string {
  const rows = judged.slice(0, MOST_ROWS).map((one, i) => {
    const name = escapeHtml(one.score.series);
    const link = charted.includes(one) ? `<a href="#s${i}">${name}</a>` : name;
    return `<tr><td>${link}</td><td class="n">${one.score.n.toLocaleString('en-US')}</td>${scoreCells(one.score)}<td class="n">${fixed(one.naive.mase)}</td><td class="n">${fixed(one.seasonal.mase)}</td></tr>`;
  });
  const more = judged.length - rows.length;
  if (more > 0) rows.push(`<tr><td colspan="9" class="soft">and ${more} more series</td></tr>`);
  const mase = (of: (one: ComparedSeries) => SeriesScore): string => fixed(overall(judged.map(of)).mase);
  const all = judged.map(({ score }) => score);
  const n = all.reduce((sum, score) => sum + score.n, 0);
  const sum =
    judged.length > 1
      ? `<tr class="sum"><td>overall</td><td class="n">${n.toLocaleString('en-US')}</td>${scoreCells(overall(all))}<td class="n">${mase(({ naive }) => naive)}</td><td class="n">${mase(({ seasonal }) => seasonal)}</td></tr>`
      : '';
  return `<div class="card wide"><table><thead><tr><th>series</th><th class="n">readings scored</th><th class="n">MASE</th><th class="n">SQL</th><th class="n">coverage</th><th class="n">skill vs naive</th><th class="n">skill vs seasonal</th><th class="n">naive MASE</th><th class="n">seasonal MASE</th></tr></thead><tbody>${rows.join('')}${sum}</tbody></table></div>`;
}

export function verdict({ n, skillNaive, skillSeasonal }: SeriesScore): string {
  const least = Math.min(skillNaive, skillSeasonal);
  if (n === 0) return '<span class="chip plain">no readings to score</span>';
  if (least > EQUAL) return '<span class="chip good">better than both naives</span>';
  if (least >= -EQUAL) return '<span class="chip plain">as good as the better naive</span>';
  const which = skillNaive < skillSeasonal ? 'naive' : 'seasonal naive';
  return `<span class="chip bad">worse than the ${which}</span>`;
}
