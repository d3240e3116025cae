/** All SVG charts are written here: scales, ticks, paths, and whole pictures as text. Pure. */

type Scale = (value: number) => number;

/** Size of a chart and the room for its axes, in units of its viewBox. */
export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** A tenth of a pixel is exact enough, and keeps the file small. */
const short = (value: number): string => String(Math.round(value * 10) / 10);

/** A constant domain maps to the middle of the range. */
export function linear(low: number, high: number, from: number, to: number): Scale {
  const span = high - low;
  if (!(span > 0)) return () => (from + to) / 2;
  return (value) => from + ((value - low) / span) * (to - from);
}

/** Round numbers within [low, high], `about` of them. */
export function niceTicks(low: number, high: number, about: number): number[] {
  const span = high - low;
  if (!(span > 0)) return [low];
  const rough = span / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough) ?? rough;
  const ticks: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * span; i++) ticks.push(i * step);
  return ticks;
}

/** 1234567 -> 1.23M, 0.000012 -> 1.2e-5, -0.5 -> -0.5; at most 7 characters. */
export function numberText(value: number): string {
  const size = Math.abs(value);
  if (!Number.isFinite(value)) return '–';
  if (size < 1e-12) return '0';
  if (size >= 1e12 || size < 1e-3) return value.toExponential(1).replace('e+', 'e');
  for (const [unit, sign] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e4, 'k'],
  ] as const) {
    const per = sign === 'k' ? 1000 : unit;
    if (size >= unit) return `${Number((value / per).toPrecision(3))}${sign}`;
  }
  return String(Number(value.toPrecision(4)));
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
  ...[1, 2, 5, 10, 30, 90, 365].map((n) => n * DAY),
];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const two = (n: number): string => String(n).padStart(2, '0');

/** At most `most` round UTC times within [from, to], ms, labelled with the day at midnight and the time otherwise. */
export function timeTicks(from: number, to: number, most: number): { at: number; label: string }[] {
  const step = STEPS.find((one) => (to - from) / one <= most) ?? (to - from) / most;
  const ticks: { at: number; label: string }[] = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    const date = new Date(at);
    const day = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
    const clock = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
    const label = at % DAY === 0 ? day : step < MINUTE ? `${clock}:${two(date.getUTCSeconds())}` : clock;
    ticks.push({ at, label });
  }
  return ticks;
}

/** A line through [x, y] pairs. A NaN interrupts it; a single point between two NaNs is drawn as a dot. */
export function linePath(points: readonly (readonly [number, number])[]): string {
  let path = '';
  for (let i = 0; i < points.length; i++) {
    const [x, y] = points[i];
    if (Number.isNaN(y)) continue;
    const first = i === 0 || Number.isNaN(points[i - 1][1]);
    const last = i === points.length - 1 || Number.isNaN(points[i + 1][1]);
    path += `${first ? 'M' : 'L'}${short(x)} ${short(y)}`;
    // Round line ends draw it as a dot.
    if (first && last) path += 'h0.1';
  }
  return path;
}

/** The area between two lines over the same x. */
export function bandPath(xs: readonly number[], low: readonly number[], high: readonly number[]): string {
  const there = xs.map((x, i) => `${short(x)} ${short(high[i])}`);
  const back = xs.map((x, i) => `${short(x)} ${short(low[i])}`).reverse();
  return `M${there.join('L')}L${back.join('L')}Z`;
}

/** Grid lines and labels of both axes. Positions are in the chart's own units. */
export function axes(
  frame: Frame,
  x: readonly { at: number; label: string }[],
  y: readonly { at: number; label: string }[],
): string {
  const right = frame.width - frame.right;
  const floor = frame.height - frame.bottom;
  const rows = y.map(
    ({ at, label }) =>
      `<path class="g" d="M${frame.left} ${short(at)}H${right}"/><text x="${frame.left - 5}" y="${short(at + 3)}" text-anchor="end">${escapeHtml(label)}</text>`,
  );
  const columns = x.map(
    ({ at, label }) =>
      `<path class="g" d="M${short(at)} ${floor}v4"/><text x="${short(at)}" y="${floor + 15}" text-anchor="middle">${escapeHtml(label)}</text>`,
  );
  return rows.join('') + columns.join('');
}

/** @param label for screen readers, and the tooltip of the chart */
export function svg(frame: Frame, label: string, content: string): string {
  const title = escapeHtml(label);
  return `<svg viewBox="0 0 ${frame.width} ${frame.height}" role="img" aria-label="${title}"><title>${title}</title>${content}</svg>`;
}

/** Colours of `picture`; a chart of `svg` has those of the report's style sheet. */
export const INK = { line: '#1f5f8b', accent: '#b3412e', grid: '#e3e3de', faint: '#bbb' } as const;

/** A picture on a white background, as the text of an .svg file. Sizes are in pixels. */
export function svgDocument(width: number, height: number, fontSize: number, content: string): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="${fontSize}"><rect width="100%" height="100%" fill="#fff"/>${content}</svg>\n`;
}

/** A line of a `picture`. */
export const stroke = (path: string, colour: string, width = 1): string =>
  `<path d="${path}" fill="none" stroke="${colour}" stroke-width="${width}"/>`;

/** A label of a `picture`; `text` is escaped. @param turned from bottom to top */
export function label(
  x: number,
  y: number,
  text: string,
  { anchor = 'start', fill = '#000', turned = false } = {},
): string {
  const turn = turned ? ` transform="rotate(-90 ${x} ${y})"` : '';
  return `<text x="${short(x)}" y="${short(y)}"${turn} text-anchor="${anchor}" fill="${fill}">${escapeHtml(text)}</text>`;
}
