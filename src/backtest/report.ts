/**
 * `backtest --report`: one self-contained HTML file for a person who runs gateways. No scripts, nothing fetched, bounded:
 * charts for at most 60 series, rows for at most 1000.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { GatecastError } from '../errors.ts';
import type { Grid, Played } from './play.ts';
import { scoreBaselines } from './report-baselines.ts';
import { type Calibration, calibration, calibrationChart, joined } from './report-calibration.ts';
import { fanChart, pickForecasts } from './report-fan.ts';
import { type Compared, leadChart } from './report-leads.ts';
import { STYLE } from './report-style.ts';
import { escapeHtml, numberText } from './report-svg.ts';
import { type ReportedRun, stamp, tuningChart, tuningTable } from './report-tuning.ts';
import { overall, type Score, type SeriesScore } from './score.ts';

export interface ReportSeries {
  readonly grid: Grid;
  readonly score: SeriesScore;
  readonly played: readonly Played[];
  /** Number of the first bucket that is scored. */
  readonly first: number;
}

export interface ReportInput {
  readonly files: readonly string[];
  readonly series: readonly ReportSeries[];
  readonly horizon: number;
  /** What was set, as name and value. */
  readonly settings: readonly (readonly [string, string])[];
  /** What was published, counted. */
  readonly kinds: Readonly<Record<string, number>>;
  readonly refused: Readonly<Record<string, number>>;
  readonly runs: readonly ReportedRun[];
  /** Whether fine-tuning was on. */
  readonly tuned: boolean;
}

const MOST_CHARTED = 60;
const MOST_ROWS = 1000;
/** A skill nearer to 0 than this is called equal. */
const EQUAL = 0.01;
/** Observed coverage of the 80 % interval that is called honest. */
const HONEST = [0.76, 0.84] as const;

/** Makes the file, and its folder, empty. Throws FILE_UNREADABLE when that cannot be: better before a long run than after. */
export function prepareReport(path: string): void {
  writeReport(path, '');
}

export function writeReport(path: string, html: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, html);
  } catch (cause) {
    throw new GatecastError('FILE_UNREADABLE', `${path} cannot be written.`, { cause });
  }
}

interface Judged extends ReportSeries {
  readonly naive: SeriesScore;
  readonly seasonal: SeriesScore;
  readonly counts: Calibration;
}

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
  const worst = [...judged].sort((a, b) => b.score.sql - a.score.sql).slice(0, MOST_CHARTED);
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
    tuning(input),
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
  const from = Math.min(...spans.map(([start]) => start!));
  const to = Math.max(...spans.map(([, end]) => end!));
  const facts = settings.map(([name, value]) => `${escapeHtml(name)} <b>${escapeHtml(value)}</b>`);
  return `<header><h1>${escapeHtml(title)}</h1><p class="facts">${stamp(from)} to ${stamp(to)} UTC was scored &nbsp;·&nbsp; ${facts.join(' &nbsp;·&nbsp; ')}</p></header>`;
}

function tiles(series: readonly ReportSeries[]): string {
  const total = overall(series.map(({ score }) => score));
  const forecasts = series.reduce((sum, { played }) => sum + played.length, 0);
  const inside = total.coverage >= HONEST[0] && total.coverage <= HONEST[1];
  const tile = (value: string, text: string, tone = ''): string =>
    `<div class="tile"><b${tone && ` class="${tone}"`}>${value}</b><span>${text}</span></div>`;
  return `<div class="tiles">${[
    tile(against(total.skillNaive), 'than repeating the last value', tone(total.skillNaive)),
    tile(
      against(total.skillSeasonal),
      'than repeating the same time of the day before',
      tone(total.skillSeasonal),
    ),
    tile(
      `${(100 * total.coverage).toFixed(1)} %`,
      'of readings inside the 80 % interval',
      inside ? 'good' : 'warn',
    ),
    tile(total.mase.toFixed(3), 'MASE: error of the median, scaled'),
    tile(total.sql.toFixed(3), 'SQL: error of all nine quantiles, scaled'),
    tile(
      forecasts.toLocaleString('en-US'),
      `forecasts of ${series.length} ${series.length === 1 ? 'series' : 'series'} scored`,
    ),
  ].join('')}</div>`;
}

const tone = (skill: number): string => (skill > EQUAL ? 'good' : skill < -EQUAL ? 'bad' : '');

function against(skill: number): string {
  if (Math.abs(skill) <= EQUAL) return 'as good';
  return `${(100 * Math.abs(skill)).toFixed(0)} % ${skill > 0 ? 'better' : 'worse'}`;
}

const LEAD_LEGEND = `<div class="legend"><span>${key('<path class="line-f" d="M1 6H25"/>')}forecast</span><span>${key('<path class="line-n" d="M1 6H25"/>')}naive (last value)</span><span>${key('<path class="line-s" d="M1 6H25"/>')}seasonal naive (day before, where a day is known)</span><span>${key('<path class="ideal" d="M1 6H25"/>')}ideal</span></div>`;

function key(content: string): string {
  return `<svg viewBox="0 0 26 12" aria-hidden="true">${content}</svg>`;
}

function fanLegend(): string {
  return `<div class="legend"><span>${key('<path class="observed" d="M1 6H25"/>')}observed, before and after</span><span>${key('<path class="median" d="M1 6H25"/>')}median</span><span>${key('<path class="outer" d="M1 1H25V11H1Z"/><path class="inner" d="M1 3H25V9H1Z"/>')}p10 to p90, p30 to p70</span><span>${key('<path class="now" d="M13 0V12"/>')}when the forecast was made</span></div>`;
}

function comparedOf(judged: readonly Judged[]): Compared {
  return {
    forecast: judged.map(({ score }) => score),
    naive: judged.map(({ naive }) => naive),
    seasonal: judged.map(({ seasonal }) => seasonal),
  };
}

const figure = (caption: string, chart: string): string =>
  chart === '' ? '' : `<figure><figcaption>${caption}</figcaption>${chart}</figure>`;

function leadFigures(compared: Compared, counts: Calibration, intervalMs: number): string {
  return [
    figure('MASE: error of the median (lower is better)', leadChart(compared, 'mase', intervalMs)),
    figure('SQL: error of the quantiles (lower is better)', leadChart(compared, 'sql', intervalMs)),
    figure('coverage of the 80 % interval', leadChart(compared, 'coverage', intervalMs)),
    figure('calibration: share of readings below', calibrationChart(counts)),
  ].join('');
}

function overview(judged: readonly Judged[]): string {
  const intervalMs = judged[0]?.grid.intervalMs ?? 1;
  const counts = joined(judged.map((one) => one.counts));
  return `<div class="card">${LEAD_LEGEND}<div class="charts small">${leadFigures(comparedOf(judged), counts, intervalMs)}</div></div>`;
}

const skillCell = (skill: number): string =>
  `<td class="n ${tone(skill)}">${skill > 0 ? '+' : ''}${skill.toFixed(3)}</td>`;

function scoreCells(score: Omit<Score, 'n' | 'mae' | 'bias'>): string {
  const honest = score.coverage >= HONEST[0] && score.coverage <= HONEST[1];
  return `<td class="n">${score.mase.toFixed(3)}</td><td class="n">${score.sql.toFixed(3)}</td><td class="n ${honest ? '' : 'warn'}">${(100 * score.coverage).toFixed(1)} %</td>${skillCell(score.skillNaive)}${skillCell(score.skillSeasonal)}`;
}

function scoreTable(judged: readonly Judged[], charted: readonly Judged[]): string {
  const rows = judged.slice(0, MOST_ROWS).map((one, i) => {
    const name = escapeHtml(one.score.series);
    const link = charted.includes(one) ? `<a href="#s${i}">${name}</a>` : name;
    return `<tr><td>${link}</td><td class="n">${one.score.n.toLocaleString('en-US')}</td>${scoreCells(one.score)}<td class="n">${one.naive.mase.toFixed(3)}</td><td class="n">${one.seasonal.mase.toFixed(3)}</td></tr>`;
  });
  const more = judged.length - rows.length;
  if (more > 0) rows.push(`<tr><td colspan="9" class="soft">and ${more} more series</td></tr>`);
  const mean = (of: (one: Judged) => number): number =>
    judged.reduce((sum, one) => sum + of(one), 0) / Math.max(1, judged.length);
  const all = judged.map(({ score }) => score);
  const n = all.reduce((sum, score) => sum + score.n, 0);
  const sum =
    judged.length > 1
      ? `<tr class="sum"><td>overall</td><td class="n">${n.toLocaleString('en-US')}</td>${scoreCells(overall(all))}<td class="n">${mean((one) => one.naive.mase).toFixed(3)}</td><td class="n">${mean((one) => one.seasonal.mase).toFixed(3)}</td></tr>`
      : '';
  return `<div class="card wide"><table><thead><tr><th>series</th><th class="n">readings scored</th><th class="n">MASE</th><th class="n">SQL</th><th class="n">coverage</th><th class="n">skill vs naive</th><th class="n">skill vs seasonal</th><th class="n">naive MASE</th><th class="n">seasonal MASE</th></tr></thead><tbody>${rows.join('')}${sum}</tbody></table></div>`;
}

function seriesCard(one: Judged, index: number): string {
  const { grid, score, played, naive, seasonal, counts } = one;
  const picks = pickForecasts(grid, played);
  const fans = picks.map((pick) => {
    const at = stamp(grid.startMs + pick.played.origin * grid.intervalMs);
    return figure(`${at} UTC, ${pick.why}`, fanChart(grid, pick));
  });
  const compared = { forecast: [score], naive: [naive], seasonal: [seasonal] };
  const facts = `MASE ${score.mase.toFixed(3)}, SQL ${score.sql.toFixed(3)}, coverage ${(100 * score.coverage).toFixed(1)} %, mean error ${numberText(score.bias)}`;
  return `<section class="card" id="s${index}"><div class="head"><h3>${escapeHtml(score.series)}</h3>${verdict(score)}<span class="facts">${facts}</span></div><div class="charts">${fans.join('') || '<p class="soft">No reading came in the scored part.</p>'}</div><div class="charts small">${leadFigures(compared, counts, grid.intervalMs)}</div></section>`;
}

function verdict({ n, skillNaive, skillSeasonal }: SeriesScore): string {
  const least = Math.min(skillNaive, skillSeasonal);
  if (n === 0) return '<span class="chip plain">nothing to score</span>';
  if (least > EQUAL) return '<span class="chip good">better than both naives</span>';
  if (least >= -EQUAL) return '<span class="chip plain">as good as the better naive</span>';
  const which = skillNaive < skillSeasonal ? 'naive' : 'seasonal naive';
  return `<span class="chip bad">worse than the ${which}</span>`;
}

function tuning({ runs, tuned, kinds, refused }: ReportInput): string {
  const counted = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .map(([name, n]) => `${escapeHtml(name)} ${n.toLocaleString('en-US')}`)
      .join(', ');
  const published = `<p class="soft">Published: ${counted(kinds) || 'nothing'}.${Object.keys(refused).length > 0 ? ` Readings refused: ${counted(refused)}.` : ''}</p>`;
  if (!tuned) {
    return `<div class="card"><p>Fine-tuning was off: one model served the whole file. <code>--finetune 1d</code> turns it on.</p>${published}</div>`;
  }
  if (runs.length === 0) {
    return `<div class="card"><p>Fine-tuning was on, but there never was enough new history for a run.</p>${published}</div>`;
  }
  const files = [...new Set(runs.map((run) => run.file))];
  const charts = files.map((file) => {
    const own = runs.filter((run) => run.file === file);
    return figure(`${escapeHtml(file)}: full marks were promoted`, own.length > 1 ? tuningChart(own) : '');
  });
  return `<div class="card"><p>A candidate is trained on what had arrived by then and takes over only where it is better on the newest stretch, which it was not trained on.</p>${charts.join('')}${tuningTable(runs)}${published}</div>`;
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
