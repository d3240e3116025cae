/** Charts of a report: an overview, and one card per series. */

import { escapeHtml, numberText } from '../../plot/svg.ts';
import { type Calibration, calibrationChart, mergeCalibrations } from './calibration.ts';
import { chooseForecasts, fanChart } from './fan.ts';
import type { ComparedSeries } from './input.ts';
import { type Compared, leadChart } from './leads.ts';
import { verdict } from './scores.ts';
import { stamp } from './tuning.ts';

const LEAD_LEGEND = `<div class="legend"><span>${key('<path class="line-f" d="M1 6H25"/>')}forecast</span><span>${key('<path class="line-n" d="M1 6H25"/>')}naive (last value)</span><span>${key('<path class="line-s" d="M1 6H25"/>')}seasonal naive (value of the day before, if known)</span><span>${key('<path class="ideal" d="M1 6H25"/>')}ideal</span></div>`;

function key(content: string): string {
  return `<svg viewBox="0 0 26 12" aria-hidden="true">${content}</svg>`;
}

export function fanLegend(): string {
  return `<div class="legend"><span>${key('<path class="observed" d="M1 6H25"/>')}observed, before and after</span><span>${key('<path class="median" d="M1 6H25"/>')}median</span><span>${key('<path class="outer" d="M1 1H25V11H1Z"/><path class="inner" d="M1 3H25V9H1Z"/>')}p10 to p90, p30 to p70</span><span>${key('<path class="now" d="M13 0V12"/>')}when the forecast was made</span></div><p class="soft">For each series: a typical forecast (half were better, half worse), a poor one (one in ten was worse), and the newest.</p>`;
}

function comparedOf(judged: readonly ComparedSeries[]): Compared {
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
    figure('MASE (lower is better)', leadChart(compared, 'mase', intervalMs)),
    figure('SQL (lower is better)', leadChart(compared, 'sql', intervalMs)),
    figure('Coverage of p10 to p90', leadChart(compared, 'coverage', intervalMs)),
    figure('Calibration: readings below', calibrationChart(counts)),
  ].join('');
}

export function overview(judged: readonly ComparedSeries[]): string {
  const intervalMs = judged[0]?.grid.intervalMs ?? 1;
  const counts = mergeCalibrations(judged.map((one) => one.counts));
  return `<div class="card">${LEAD_LEGEND}<div class="charts small">${leadFigures(comparedOf(judged), counts, intervalMs)}</div></div>`;
}

export function seriesCard(one: ComparedSeries, index: number): string {
  const { grid, score, played, naive, seasonal, counts } = one;
  const picks = chooseForecasts(grid, played);
  const fans = picks.map((pick) => {
    const at = stamp(grid.startMs + pick.played.origin * grid.intervalMs);
    return figure(`<b>${pick.name}</b>, made ${at} UTC`, fanChart(grid, pick));
  });
  const compared = { forecast: [score], naive: [naive], seasonal: [seasonal] };
  const facts =
    score.n === 0
      ? ''
      : `MASE ${score.mase.toFixed(3)}, SQL ${score.sql.toFixed(3)}, coverage ${(100 * score.coverage).toFixed(1)} %, mean error ${numberText(score.bias)}`;
  return `<section class="card" id="s${index}"><div class="head"><h3>${escapeHtml(score.series)}</h3>${verdict(score)}<span class="facts">${facts}</span></div><div class="charts">${fans.join('') || '<p class="soft">There is no reading in the scored part.</p>'}</div><div class="charts small">${leadFigures(compared, counts, grid.intervalMs)}</div></section>`;
}
