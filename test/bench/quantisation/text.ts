/** The report as text. */
import type { QuantisationReport } from './quantisation.ts';

const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(1)} kB`;
const signed = (share: number): string => `${share >= 0 ? '+' : ''}${(100 * share).toFixed(2)} %`;

export function quantisationText(report: QuantisationReport): string {
  const { model, parameters, leads, bytes, scores, drift } = report;
  const row = (name: string, float32: string, int8: string, difference: string): string =>
    `${name.padEnd(22)}${float32.padStart(12)}${int8.padStart(12)}${difference.padStart(13)}`;
  const lines = [
    `${model}: ${parameters} parameters, step graph of ${leads} leads`,
    '',
    row('', 'float32', 'int8', 'difference'),
    row(
      'step graph',
      kilobytes(bytes.float32),
      kilobytes(bytes.int8),
      signed(bytes.int8 / bytes.float32 - 1),
    ),
    ...(['mase', 'sql'] as const).map((name) =>
      row(
        name.toUpperCase(),
        scores.float32[name].toFixed(4),
        scores.int8[name].toFixed(4),
        signed(scores.difference[name]),
      ),
    ),
    `(${scores.series} series, ${scores.n} readings scored)`,
    '',
    'state error |h int8 - h float32| on the same inputs, both started from a zero state',
    `${'steps'.padStart(18)}${'mean'.padStart(12)}${'max'.padStart(12)}`,
    ...drift.map(
      (point, i) =>
        `${`${(drift[i - 1]?.steps ?? 0) + 1} - ${point.steps}`.padStart(18)}${point.mean.toExponential(2).padStart(12)}${point.max.toExponential(2).padStart(12)}`,
    ),
  ];
  return `${lines.join('\n')}\n`;
}
