/** Charts of one time series, and small charts of scores, on uPlot. Runs in the browser. */
import uPlot from 'uplot';
import { COLUMNS, columnsOf, withoutDoubles } from './columns.client.js';
import { clockText, duration, format, interval, tickTexts } from './format.client.js';
import { isMasked, markText } from './marks.client.js';

const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif';

/** The colours of the style sheet; read again when the scheme changes. */
let colors = null;
export function color(name) {
  colors ??= getComputedStyle(document.documentElement);
  return colors.getPropertyValue(`--${name}`);
}
const charts = new Set();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  colors = null;
  for (const chart of charts) chart.redraw();
});

/** Widest label, in CSS pixels. */
function axisWidth(u, texts) {
  if (!texts) return 20;
  u.ctx.save();
  u.ctx.font = FONT.replace('12px', `${12 * uPlot.pxRatio}px`);
  const widest = Math.max(0, ...texts.map((text) => u.ctx.measureText(text).width));
  u.ctx.restore();
  return Math.ceil(widest / uPlot.pxRatio) + 12;
}

const axis = (more) => ({
  font: FONT,
  stroke: () => color('soft'),
  grid: { stroke: () => color('grid'), width: 1 },
  ticks: { show: false },
  ...more,
});
export const valueAxis = () =>
  axis({
    values: (_u, splits, _at, _space, step) => tickTexts(splits, step),
    size: axisWidth,
    gap: 6,
    space: 44,
  });
/** Distances of ticks, s. The list of uPlot has no step between 1 and 5 minutes, so a phone might show no tick at all. */
const MINUTES = [1, 2, 5, 10, 15, 30].map((minutes) => minutes * 60);
const HOURS = [1, 2, 3, 4, 6, 12].map((hours) => hours * 3600);
const DAYS = [1, 2, 3, 5, 7, 10, 15, 30, 60, 90, 180, 365, 730, 1825].map((days) => days * 86_400);
const TIME_STEPS_MS = [1, 2, 5, 10, 15, 30, ...MINUTES, ...HOURS, ...DAYS].map((seconds) => seconds * 1000);
const timeAxis = () =>
  axis({
    size: 30,
    space: 70,
    incrs: TIME_STEPS_MS,
    values: (_u, splits, _at, _space, stepMs) =>
      splits.map((ms, i) => {
        const midnight = new Date(ms).getHours() === 0 && new Date(ms).getMinutes() === 0;
        const newDay = stepMs < 86_400_000 && stepMs >= 60_000 && midnight && i > 0;
        return clockText(ms, newDay ? 86_400 : stepMs / 1000);
      }),
  });

/** A uPlot that fills its host and follows its size. */
export function mount(host, options, data) {
  const size = () => ({ width: Math.max(120, host.clientWidth), height: Math.max(80, host.clientHeight) });
  const chart = new uPlot({ ...size(), legend: { show: false }, ...options }, data, host);
  const observer = new ResizeObserver(() => {
    if (chart.width !== size().width || chart.height !== size().height) chart.setSize(size());
  });
  observer.observe(host);
  charts.add(chart);
  return {
    chart,
    remove() {
      observer.disconnect();
      charts.delete(chart);
      chart.destroy();
    },
  };
}

const at = Object.fromEntries(COLUMNS.map(({ name }, i) => [name, i + 1]));
const BANDS = [
  ['expectedHigh', 'expectedLow', 'expected'],
  ['rangeHigh', 'rangeLow', 'range'],
  ['pastHigh', 'pastLow', 'past-soft'],
  ['p90', 'p10', 'outer'],
  ['p70', 'p30', 'inner'],
];

/** What a chart shows; `set` takes any of these. */
const EMPTY = {
  /** [time, observed, low, p50, high, marks?] of each bucket. */
  points: [],
  /** Stored readings of a span, possibly thinned: [time, mean, low, high, marks?]; `mean` is null if there was no reading. */
  history: [],
  /** Duration of an entry of `history`, ms. */
  binMs: 0,
  forecast: null,
  anomalies: [],
  /** Anomalies of the stored readings. */
  storedAnomalies: [],
  crossings: [],
  /** Past forecasts at one lead: [time, p10, p50, p90]. */
  past: [],
  stepMs: 1000,
  unit: '',
  /** [from, to] ms on show; null: the newest readings and the forecast. */
  range: null,
};

export class TimeChart {
  /**
   * @param host element that the chart fills
   * @param tip element that shows the values under the cursor
   * @param zoomed called with [from, to] when the user selects a range, with null to reset it
   */
  constructor(host, tip, zoomed) {
    this.host = host;
    this.tip = tip;
    this.zoomed = zoomed;
    this.given = EMPTY;
    this.data = EMPTY;
    this.mounted = null;
    this.rows = [[]];
    host.tabIndex = 0;
    host.setAttribute('role', 'application');
    host.setAttribute('aria-roledescription', 'chart');
    host.addEventListener('keydown', (event) => this.key(event));
    host.addEventListener('blur', () => this.leave());
  }

  set(change) {
    this.given = { ...this.given, ...change };
    this.data = withoutDoubles(this.given);
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.show();
    });
  }

  /** The newest and the stored anomalies, each once. */
  get anomalies() {
    const { anomalies, storedAnomalies } = this.data;
    const known = new Set(anomalies.map(({ at_ms }) => at_ms));
    return [...storedAnomalies.filter(({ at_ms }) => !known.has(at_ms)), ...anomalies];
  }

  /** Whether each stored value stands for several readings, whose range is drawn. */
  get isThinned() {
    const { history, binMs, stepMs } = this.data;
    return history.length > 0 && binMs > stepMs;
  }

  get origin() {
    return this.data.forecast?.origin_ms ?? this.data.points.at(-1)?.[0] ?? null;
  }

  /** The times on show. */
  domain() {
    const { range, points, forecast, stepMs } = this.data;
    if (range) return range;
    const { origin } = this;
    if (origin === null) return null;
    const leads = forecast?.p50.length ?? 0;
    const past = Math.max(leads * 2, 30) * stepMs;
    const from = Math.max(origin - past, Math.min(points[0]?.[0] ?? origin, origin - 10 * stepMs));
    return [from, origin + Math.max(leads, 4) * stepMs];
  }

  show() {
    const domain = this.domain();
    if (domain === null || this.host.clientWidth === 0) {
      this.mounted?.remove();
      this.mounted = null;
      this.leave();
      return;
    }
    [this.host.dataset.from, this.host.dataset.to] = domain;
    this.rows = columnsOf(this.data);
    this.mounted ??= mount(this.host, this.options(), this.rows);
    const { chart } = this.mounted;
    chart.batch(() => {
      chart.setData(this.rows, false);
      chart.setScale('x', { min: domain[0], max: domain[1] });
    });
    if (this.hover !== undefined) this.tell(this.hover);
  }

  options() {
    const column = ({ stroke, width = 0, auto = false }) => ({
      auto,
      width,
      stroke: stroke ? () => color(stroke) : undefined,
      points: { show: false },
    });
    return {
      ms: 1,
      padding: [28, 26, 0, 0],
      scales: {
        x: { time: true },
        y: { range: (_u, low, high) => padded(this.withThresholds(low, high)) },
      },
      series: [{}, ...COLUMNS.map(column)],
      bands: BANDS.map(([high, low, fill]) => ({ series: [at[high], at[low]], fill: () => color(fill) })),
      axes: [timeAxis(), valueAxis()],
      cursor: {
        y: false,
        points: { show: false },
        drag: { x: true, y: false, setScale: false },
        bind: { dblclick: () => () => this.zoomed(null) },
      },
      hooks: {
        drawAxes: [(u) => this.drawGaps(u)],
        draw: [(u) => this.drawOverlay(u)],
        setCursor: [(u) => this.tell(u.cursor.left >= 0 ? u.cursor.idx : null)],
        setSelect: [(u) => this.select(u)],
      },
    };
  }

  /** Includes thresholds that are near; a distant one would flatten the curve. */
  withThresholds(low, high) {
    if (low === null || high === null) return [low, high];
    const near = high - low;
    const values = this.data.crossings
      .map(({ value }) => value)
      .filter((value) => value > low - near && value < high + near);
    return [Math.min(low, ...values), Math.max(high, ...values)];
  }

  select(u) {
    const { left, width } = u.select;
    if (width < 8) return;
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.zoomed([u.posToVal(left, 'x'), u.posToVal(left + width, 'x')]);
  }

  drawGaps(u) {
    const { ctx, bbox } = u;
    const { points, history, stepMs, binMs } = this.data;
    ctx.save();
    ctx.fillStyle = color('gap');
    const column = (time, width) => {
      const left = Math.max(u.valToPos(time - width / 2, 'x', true), bbox.left);
      const right = Math.min(u.valToPos(time + width / 2, 'x', true), bbox.left + bbox.width);
      if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
    };
    for (const [time, observed] of points) if (observed === null) column(time, stepMs);
    for (const [time, mean] of history) if (mean === null) column(time, binMs);
    ctx.restore();
  }

  drawOverlay(u) {
    const { ctx, bbox } = u;
    const ratio = uPlot.pxRatio;
    const x = (time) => u.valToPos(time, 'x', true);
    const y = (value) =>
      Math.min(
        Math.max(u.valToPos(value, 'y', true), bbox.top + 4 * ratio),
        bbox.top + bbox.height - 4 * ratio,
      );
    const line = (from, to, stroke, width, dash = []) => {
      ctx.strokeStyle = stroke;
      ctx.lineWidth = width * ratio;
      ctx.setLineDash(dash.map((length) => length * ratio));
      ctx.beginPath();
      ctx.moveTo(...from);
      ctx.lineTo(...to);
      ctx.stroke();
    };
    const ring = (time, value, radius, stroke) => {
      ctx.setLineDash([]);
      ctx.strokeStyle = stroke;
      ctx.lineWidth = 1.7 * ratio;
      ctx.beginPath();
      ctx.arc(x(time), y(value), radius * ratio, 0, 7);
      ctx.stroke();
    };
    const text = (what, px, py, align, fill) => {
      ctx.fillStyle = fill;
      ctx.textAlign = align;
      ctx.textBaseline = 'middle';
      ctx.fillText(what, px, py);
    };
    const { points, history, crossings, forecast } = this.data;
    const { origin, anomalies } = this;
    const [from, to] = [u.scales.x.min, u.scales.x.max];
    const shown = (time) => time >= from && time <= to;
    ctx.save();
    ctx.font = FONT.replace('12px', `${12 * ratio}px`);
    for (const { name, value } of crossings) {
      if (value < u.scales.y.min || value > u.scales.y.max) continue;
      line([bbox.left, y(value)], [bbox.left + bbox.width, y(value)], color('warn'), 1.2, [6, 4]);
      text(name, bbox.left + 6 * ratio, y(value) - 9 * ratio, 'left', color('warn'));
    }
    if (origin !== null && forecast && shown(origin)) {
      line([x(origin), bbox.top], [x(origin), bbox.top + bbox.height], color('faint'), 1, [3, 4]);
      text('now', x(origin), bbox.top - 10 * ratio, 'center', color('soft'));
    }
    for (const point of points) {
      const [time, observed, , p50] = point;
      if (shown(time) && p50 !== null && (observed === null || isMasked(point)))
        ring(time, p50, 2.8, color('filled'));
    }
    for (const { at_ms, value } of anomalies) if (shown(at_ms)) ring(at_ms, value, 6, color('bad'));
    const arm = 4 * ratio;
    for (const [time, value, , p50, , marks] of points)
      if (marks && shown(time)) cross(x(time), y(value ?? p50 ?? u.scales.y.min));
    for (const [time, mean, , , marks] of history)
      if (marks && shown(time)) cross(x(time), y(mean ?? u.scales.y.min));
    function cross(px, py) {
      line([px - arm, py - arm], [px + arm, py + arm], color('bad'), 1.8);
      line([px - arm, py + arm], [px + arm, py - arm], color('bad'), 1.8);
    }
    const last = points.at(-1);
    if (last && last[1] !== null && !isMasked(last) && shown(last[0])) {
      ctx.fillStyle = color('observed');
      ctx.beginPath();
      ctx.arc(x(last[0]), y(last[1]), 3.2 * ratio, 0, 7);
      ctx.fill();
    }
    if (this.data.unit) text(this.data.unit, 2 * ratio, bbox.top - 19 * ratio, 'left', color('soft'));
    ctx.restore();
  }

  key(event) {
    const chart = this.mounted?.chart;
    if (event.key === 'Escape') {
      this.leave();
      this.zoomed(null);
    }
    const zoom = { '+': 0.5, '=': 0.5, '-': 2 }[event.key];
    if (zoom && chart) {
      const { min, max } = chart.scales.x;
      const middle = this.hover == null ? (min + max) / 2 : this.rows[0][this.hover];
      this.zoomed([middle - ((max - min) * zoom) / 2, middle + ((max - min) * zoom) / 2]);
    }
    const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 }[event.key];
    if (move === undefined || !chart) return;
    event.preventDefault();
    const times = this.rows[0];
    const { min, max } = chart.scales.x;
    const first = times.findIndex((time) => time >= min);
    const last = times.findLastIndex((time) => time <= max);
    const start = this.hover ?? Math.max(0, times.indexOf(this.origin));
    const next = Math.max(first, Math.min(last, start + move));
    chart.setCursor({ left: chart.valToPos(times[next], 'x'), top: 1 });
  }

  leave() {
    this.hover = undefined;
    this.tip.hidden = true;
    this.mounted?.chart.setCursor({ left: -10, top: -10 }, false);
  }

  /** Shows the values at an index of the data; null: hides them. */
  tell(index) {
    const reading = index === null || index === undefined ? null : this.reading(this.rows[0][index]);
    this.hover = reading === null ? undefined : index;
    this.tip.hidden = reading === null;
    if (!reading) return;
    const line = (tag, what) => {
      const element = document.createElement(tag);
      element.textContent = what;
      return element;
    };
    this.tip.replaceChildren(line('b', reading.head), ...reading.rows.map((row) => line('span', row)));
    const { chart } = this.mounted;
    const left = chart.valToPos(reading.time, 'x') + chart.bbox.left / uPlot.pxRatio;
    const onRight = left > this.host.clientWidth / 2;
    this.tip.style.left = onRight ? 'auto' : `${left + 14}px`;
    this.tip.style.right = onRight ? `${this.host.clientWidth - left + 14}px` : 'auto';
  }

  /** The values at a time as text; null without any. */
  reading(time) {
    const { points, history, binMs, forecast, past, stepMs, unit } = this.data;
    const [low, high] = [this.mounted?.chart.scales.y.min ?? 0, this.mounted?.chart.scales.y.max ?? 0];
    const apart = (high - low) / 200;
    const text = (value) => format(value, apart);
    const withUnit = (value) => `${text(value)}${unit ? ` ${unit}` : ''}`;
    const clock = new Date(time).toLocaleString(undefined, {
      ...(Date.now() - time > 43_200_000 ? { month: 'short', day: 'numeric' } : {}),
      hour: '2-digit',
      minute: '2-digit',
      ...(stepMs < 60_000 ? { second: '2-digit' } : {}),
      hour12: false,
    });
    const k = forecast ? Math.round((time - forecast.origin_ms) / stepMs) - 1 : -1;
    if (forecast && k >= 0) {
      if (k >= forecast.p50.length) return null;
      return {
        time,
        head: withUnit(forecast.p50[k]),
        rows: [
          `${clock}, in ${duration(((k + 1) * stepMs) / 1000)}`,
          `p30–p70  ${text(forecast.p30[k])} – ${text(forecast.p70[k])}`,
          `p10–p90  ${text(forecast.p10[k])} – ${text(forecast.p90[k])}`,
        ],
      };
    }
    const before = past.find(([then]) => then === time);
    const pastRows = before
      ? [`forecast then  ${text(before[2])} (${text(before[1])} – ${text(before[3])})`]
      : [];
    const anomalyRows = (width) =>
      this.anomalies
        .filter(({ at_ms }) => at_ms >= time && at_ms < time + width)
        .map(({ score }) => `anomaly: once in 10^${score} buckets`);
    const point = points.findLast(([then]) => then === time);
    if (point) {
      const [, observed, expectedLow, p50, expectedHigh, marks = []] = point;
      const rows = [clock];
      if (expectedLow !== null) rows.push(`expected ${text(expectedLow)} – ${text(expectedHigh)}`);
      rows.push(...anomalyRows(stepMs), ...pastRows, ...marks.map(markText));
      if (observed !== null) return { time, head: withUnit(observed), rows };
      return { time, head: p50 === null ? 'no reading' : `filled: ${withUnit(p50)}`, rows };
    }
    const bin = history.find(([then]) => then === time);
    if (!bin) return before ? { time, head: 'no reading', rows: [clock, ...pastRows] } : null;
    const [, mean, least, most, marks = []] = bin;
    const span = binMs > stepMs ? `${clock}, ${duration(binMs / 1000)} together` : clock;
    const rows = [span, ...(mean !== null && most > least ? [interval(least, most)] : []), ...pastRows];
    rows.push(...anomalyRows(binMs), ...marks.map(markText));
    return { time, head: mean === null ? 'no reading' : withUnit(mean), rows };
  }
}

/** Adds a margin above and below, also if all values are equal; no margin below 0 if no value is negative. */
function padded([low, high]) {
  if (low === null || high === null) return [0, 1];
  const least = Math.max(Math.abs(low), Math.abs(high)) * 1e-6 || 1e-3;
  const pad = Math.max((high - low) * 0.08, least);
  return [low >= 0 && low - pad < 0 ? 0 : low - pad, high + pad];
}

/**
 * Shares of readings below each quantile: on the diagonal if the forecasts are calibrated.
 * @param leads { below } of each lead; the first is drawn darkest
 */
export function drawCalibration(host, levels, leads) {
  const line = (stroke, width, dash = []) => ({
    stroke: () => color(stroke),
    width,
    dash,
    points: { show: dash.length === 0, size: 5 },
  });
  const shades = ['observed', 'median', 'past', 'filled'];
  const share = (_u, splits) => splits.map((value) => `${Math.round(value * 100)} %`);
  return mount(
    host,
    {
      padding: [10, 26, 0, 0],
      scales: { x: { time: false, range: [0, 1] }, y: { range: [0, 1] } },
      series: [{}, line('faint', 1.2, [4, 4]), ...leads.map((_, i) => line(shades[i] ?? 'soft', 1.8))],
      axes: [
        axis({ values: share, size: 30, space: 50 }),
        axis({ values: share, size: axisWidth, space: 32, gap: 6 }),
      ],
      cursor: { show: false },
    },
    [[0, ...levels, 1], [0, ...levels, 1], ...leads.map(({ below }) => [null, ...below, null])],
  );
}

/** A small chart of a row of the list: the newest readings and the fan, without axes. */
export function drawSpark(canvas, { spark, fan }) {
  const ratio = Math.min(window.devicePixelRatio || 1, 3);
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const g = canvas.getContext('2d');
  const values = [...spark, ...(fan ? [...fan.p10, ...fan.p90] : [])].filter((value) => value !== null);
  if (values.length === 0) return;
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  const [low, high] = padded([Math.min(...values), Math.max(...values)]);
  const leads = fan?.p50.length ?? 0;
  const middle = leads === 0 ? width : width * 0.64;
  const y = (value) => height - 1 - ((value - low) / (high - low)) * (height - 2);
  const past = spark.map((value, i) => [(middle * (i + 1)) / spark.length, value === null ? null : y(value)]);
  const ahead = (name) =>
    fan[name].map((value, i) => [middle + ((width - middle) * (i + 1)) / leads, y(value)]);
  const trace = (path) => {
    let drawing = false;
    g.beginPath();
    for (const [px, py] of path) {
      if (py === null) drawing = false;
      else if (drawing) g.lineTo(px, py);
      else {
        g.moveTo(px, py);
        g.lineTo(px + 0.1, py);
        drawing = true;
      }
    }
  };
  g.lineJoin = 'round';
  if (leads > 0) {
    const start = past.findLast(([, py]) => py !== null);
    const lead = start ? [[middle, start[1]]] : [];
    trace([...lead, ...ahead('p90'), ...ahead('p10').reverse(), ...lead]);
    g.fillStyle = color('outer');
    g.fill();
    trace([...lead, ...ahead('p50')]);
    g.strokeStyle = color('median');
    g.lineWidth = 1.4;
    g.stroke();
  }
  trace(past);
  g.strokeStyle = color('observed');
  g.lineWidth = 1.2;
  g.stroke();
}
