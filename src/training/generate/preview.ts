/** A contact sheet of generated series as one SVG, to look at what the base model learns from. Pure. */
import { INK, label, linear, linePath, stroke, svgDocument } from '../../plot/svg.ts';
import type { GeneratedSeries } from './frame.ts';

const WIDTH = 420;
const HEIGHT = 120;
const COLUMNS = 3;

/** Gaps are left open; a lone reading between two gaps is a dot. */
export function previewSvg(series: readonly GeneratedSeries[]): string {
  const rows = Math.ceil(series.length / COLUMNS);
  const panels = series.map((one, i) => {
    const left = (i % COLUMNS) * WIDTH;
    const top = Math.floor(i / COLUMNS) * HEIGHT;
    const title = label(6, 13, `${one.name}, ${spanText(one.intervalMs)}, ${one.values.length} steps`);
    return `<g transform="translate(${left},${top})"><rect x="4" y="18" width="${WIDTH - 8}" height="${HEIGHT - 24}" fill="${INK.panel}"/>${title}${line(one.values)}</g>`;
  });
  return svgDocument(COLUMNS * WIDTH, rows * HEIGHT, 11, panels.join(''));
}

function line(values: Float32Array): string {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const x = linear(0, Math.max(1, values.length - 1), 6, WIDTH - 6);
  const y = linear(low, high, HEIGHT - 10, 22);
  return stroke(
    linePath(Array.from(values, (value, t) => [x(t), Number.isNaN(value) ? value : y(value)])),
    INK.line,
    0.8,
  );
}

/** 90000 -> "1.5 min" */
function spanText(ms: number): string {
  if (ms < 60_000) return `${round(ms / 1000)} s`;
  if (ms < 3_600_000) return `${round(ms / 60_000)} min`;
  return ms < 86_400_000 ? `${round(ms / 3_600_000)} h` : `${round(ms / 86_400_000)} d`;
}

const round = (x: number) => Math.round(x * 10) / 10;
