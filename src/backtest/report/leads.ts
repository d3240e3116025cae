/** Charts of one measure (MASE, SQL or coverage) by lead, for the forecast, the naive and the seasonal naive. */

import { axes, type Frame, linear, linePath, niceTicks, numberText, svg } from '../../plot/svg.ts';
import { overall, type SeriesScore } from '../score.ts';

type Measure = 'mase' | 'sql' | 'coverage';

/** Scores of the same series by three forecasters. */
export interface Compared {
  readonly forecast: readonly SeriesScore[];
  readonly naive: readonly SeriesScore[];
  readonly seasonal: readonly SeriesScore[];
}

const FRAME: Frame = { width: 300, height: 210, left: 46, right: 10, top: 10, bottom: 36 };
/** More points are indistinguishable at this size. */
const MOST_POINTS = 48;
const TITLES: Readonly<Record<Measure, string>> = {
  mase: 'MASE by lead',
  sql: 'SQL by lead',
  coverage: 'coverage by lead',
};
const INTERVAL = 0.8;

/** For each lead, the mean over the series that have a score at it. */
function byLead(scores: readonly SeriesScore[], measure: Measure): { lead: number; value: number }[] {
  const leads = scores[0]?.byLead.length ?? 0;
  return Array.from({ length: leads }, (_, i) => {
    const scored = scores.map((score) => score.byLead[i]).filter((one) => one.n > 0);
    const values = scored.map((one) => ({ ...one, series: '', season: 1, byLead: [] }));
    return { lead: i + 1, value: scored.length > 0 ? overall(values)[measure] : Number.NaN };
  });
}

/** @param intervalMs of the series, for the time labels of the lead axis */
export function leadChart(compared: Compared, measure: Measure, intervalMs: number): string {
  const lines = (['naive', 'seasonal', 'forecast'] as const).map((who) => ({
    who,
    points: byLead(compared[who], measure).filter(
      ({ lead }, _, all) => lead === all.length || (lead - 1) % Math.ceil(all.length / MOST_POINTS) === 0,
    ),
  }));
  const leads = compared.forecast[0]?.byLead.length ?? 1;
  const values = lines.flatMap(({ points }) => points.map(({ value }) => value)).filter(Number.isFinite);
  if (values.length === 0) return '';
  const share = measure === 'coverage';
  const top = share ? 1 : Math.max(...values) * 1.05 || 1;
  const x = linear(1, leads, FRAME.left + 4, FRAME.width - FRAME.right - 4);
  const y = linear(0, top, FRAME.height - FRAME.bottom, FRAME.top);
  const marks = niceTicks(0, top, 4);
  const content = [
    axes(
      FRAME,
      leadTicks(leads).map((lead) => ({ at: x(lead), label: spanText(lead * intervalMs) })),
      marks.map((at) => ({ at: y(at), label: share ? `${Math.round(100 * at)} %` : numberText(at) })),
    ),
    share
      ? `<path class="ideal" d="M${FRAME.left} ${y(INTERVAL).toFixed(1)}H${FRAME.width - FRAME.right}"/>`
      : '',
    ...lines.map(
      ({ who, points }) =>
        `<path class="line-${who[0]}" d="${linePath(points.map(({ lead, value }) => [x(lead), y(value)]))}"/>`,
    ),
    `<text class="axis" x="${(FRAME.left + FRAME.width - FRAME.right) / 2}" y="${FRAME.height - 4}" text-anchor="middle">ahead</text>`,
  ];
  const ends = lines.map(
    ({ who, points }) =>
      `${who} ${numberText(points[0]?.value ?? Number.NaN)} to ${numberText(points.at(-1)?.value ?? Number.NaN)}`,
  );
  return svg(FRAME, `${TITLES[measure]}: ${ends.join(', ')}`, content.join(''));
}

/** About five leads, including the first and the last. */
function leadTicks(leads: number): number[] {
  if (leads <= 5) return Array.from({ length: leads }, (_, i) => i + 1);
  const step = Math.max(1, Math.round(leads / 4));
  const ticks = [1];
  for (let lead = step; lead < leads - step / 2; lead += step) if (lead > step / 2) ticks.push(lead);
  return [...new Set([...ticks, leads])];
}

/** 5400000 -> 1.5 h */
export function spanText(ms: number): string {
  const units = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
    [1000, 's'],
  ] as const;
  const [unit, name] = units.find(([size]) => ms >= size) ?? [1, 'ms'];
  return `${Number((ms / unit).toPrecision(3))} ${name}`;
}
