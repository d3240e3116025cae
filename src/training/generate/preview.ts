/** A contact sheet of generated series as one SVG, to look at what the base model learns from. Pure. */
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
    const title = xmlText(`${one.name}, ${spanText(one.intervalMs)}, ${one.values.length} steps`);
    return `<g transform="translate(${left},${top})"><rect x="4" y="18" width="${WIDTH - 8}" height="${HEIGHT - 24}" fill="#f7f7f5"/><text x="6" y="13">${title}</text>${line(one.values)}</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${COLUMNS * WIDTH}" height="${rows * HEIGHT}" font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="#fff"/>${panels.join('')}</svg>\n`;
}

function line(values: Float32Array): string {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const scale = high > low ? (HEIGHT - 32) / (high - low) : 0;
  let path = '';
  let open = false;
  for (let t = 0; t < values.length; t++) {
    const value = values[t]!;
    if (Number.isNaN(value)) {
      open = false;
      continue;
    }
    const x = (6 + (t * (WIDTH - 12)) / Math.max(1, values.length - 1)).toFixed(1);
    const y = (HEIGHT - 10 - (value - low) * scale).toFixed(1);
    path += open ? `L${x} ${y}` : `M${x} ${y}h.1`;
    open = true;
  }
  return `<path d="${path}" fill="none" stroke="#1f5f8b" stroke-width="0.8"/>`;
}

/** 90000 -> "1.5 min" */
export function spanText(ms: number): string {
  if (ms < 60_000) return `${round(ms / 1000)} s`;
  if (ms < 3_600_000) return `${round(ms / 60_000)} min`;
  return ms < 86_400_000 ? `${round(ms / 3_600_000)} h` : `${round(ms / 86_400_000)} d`;
}

const round = (x: number) => Math.round(x * 10) / 10;
const xmlText = (text: string) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');
