/** Calibration: nominal and observed share of readings below each of the nine levels. */
import { axes, type Frame, linear, linePath, svg } from '../../plot/svg.ts';
import { Q, QUANTILES } from '../../quantiles.ts';
import type { Grid, Played } from '../play.ts';

export interface Calibration {
  readonly n: number;
  /** [9] readings below the quantile, and readings equal to it. */
  readonly below: Float64Array;
  readonly equal: Float64Array;
}

/** Counts over all leads of all forecasts of one series. */
export function calibration({ actual }: Grid, played: readonly Played[]): Calibration {
  const below = new Float64Array(Q);
  const equal = new Float64Array(Q);
  let n = 0;
  for (const { origin, quantiles } of played) {
    for (let k = 1; k * Q <= quantiles.length; k++) {
      const y = actual[origin + k];
      if (y === undefined || Number.isNaN(y)) continue;
      n++;
      for (let q = 0; q < Q; q++) {
        const level = quantiles[(k - 1) * Q + q];
        if (y < level) below[q]++;
        else if (y === level) equal[q]++;
      }
    }
  }
  return { n, below, equal };
}

export function mergeCalibrations(parts: readonly Calibration[]): Calibration {
  const sum = (of: (part: Calibration) => Float64Array): Float64Array =>
    parts.reduce((total, part) => total.map((count, q) => count + of(part)[q]), new Float64Array(Q));
  return {
    n: parts.reduce((total, part) => total + part.n, 0),
    below: sum((part) => part.below),
    equal: sum((part) => part.equal),
  };
}

/**
 * Observed share at each level, [9]. A reading equal to its quantile may count as below or above (a closed valve reads 0
 * for hours), so the result is the possible share nearest to the nominal one.
 */
export function shares({ n, below, equal }: Calibration): number[] {
  return QUANTILES.map((level, q) => {
    const least = below[q] / n;
    return Math.max(least, Math.min(least + equal[q] / n, level));
  });
}

const FRAME: Frame = { width: 300, height: 210, left: 46, right: 10, top: 10, bottom: 36 };

export function calibrationChart(counts: Calibration): string {
  if (counts.n === 0) return '';
  const observed = shares(counts);
  const x = linear(0, 1, FRAME.left, FRAME.width - FRAME.right);
  const y = linear(0, 1, FRAME.height - FRAME.bottom, FRAME.top);
  const percent = [0, 0.2, 0.4, 0.6, 0.8, 1];
  const points = QUANTILES.map((level, q) => [x(level), y(observed[q])] as const);
  const dots = points.map(
    ([cx, cy], q) =>
      `<circle class="dot" cx="${cx.toFixed(1)}" cy="${cy.toFixed(1)}" r="3"><title>p${10 * (q + 1)}: ${(100 * observed[q]).toFixed(1)} % of readings were below</title></circle>`,
  );
  const content = [
    axes(
      FRAME,
      percent.map((share) => ({ at: x(share), label: `${Math.round(100 * share)}` })),
      percent.map((share) => ({ at: y(share), label: `${Math.round(100 * share)} %` })),
    ),
    `<path class="ideal" d="${linePath([
      [x(0), y(0)],
      [x(1), y(1)],
    ])}"/>`,
    `<path class="line-f" d="${linePath(points)}"/>`,
    ...dots,
    `<text class="axis" x="${(FRAME.left + FRAME.width - FRAME.right) / 2}" y="${FRAME.height - 4}" text-anchor="middle">level of the forecast, %</text>`,
  ];
  const label = `Calibration: share of readings below each level, ${observed.map((share, q) => `p${10 * (q + 1)} ${(100 * share).toFixed(0)} %`).join(', ')}`;
  return svg(FRAME, label, content.join(''));
}
