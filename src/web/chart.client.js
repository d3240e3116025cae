/** One chart on a canvas: observed buckets on the left, the forecast fan on the right. Runs in the browser. */
import { clockText, format, niceStep, TIME_STEPS_S } from './format.client.js';
import { isMasked } from './marks.client.js';

const FONT = '11.5px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif';

export class Chart {
  /** `mini`: no axis of times but its ends, no ticks, no marks of the past interval. */
  constructor(canvas, { mini = false } = {}) {
    this.canvas = canvas;
    this.mini = mini;
    this.unit = '';
    this.points = [];
    this.forecast = null;
    this.anomalies = [];
    this.stepMs = 1000;
    /** Painted last, such as a crosshair: `paint(context)`. */
    this.overlay = null;
    this.pending = false;
    this.colors = null;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      this.colors = null;
      this.draw();
    });
  }

  set(points, forecast, stepS, unit, anomalies = []) {
    this.points = points;
    this.forecast = forecast;
    this.anomalies = anomalies;
    this.stepMs = (stepS ?? 1) * 1000;
    this.unit = unit ?? '';
    this.draw();
  }

  draw() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.paint();
    });
  }

  color(name) {
    this.colors ??= getComputedStyle(document.documentElement);
    return this.colors.getPropertyValue(`--${name}`);
  }

  /** Times and values on show; null when there is nothing to draw. */
  domain() {
    const { points, forecast, stepMs } = this;
    const origin = forecast?.origin_ms ?? points.at(-1)?.[0];
    if (origin === undefined) return null;
    const leads = forecast?.p50.length ?? 0;
    const past = Math.max(leads * (this.mini ? 1.5 : 2), 30) * stepMs;
    const from = Math.max(origin - past, Math.min(points[0]?.[0] ?? origin, origin - 10 * stepMs));
    const to = origin + Math.max(leads, 4) * stepMs;
    let low = Infinity;
    let high = -Infinity;
    const see = (value) => {
      if (value === null) return;
      if (value < low) low = value;
      if (value > high) high = value;
    };
    // A spike that was kept out must not flatten everything else.
    for (const point of points) if (point[0] >= from && !isMasked(point)) see(point[1]);
    for (const name of ['p10', 'p90']) for (const value of forecast?.[name] ?? []) see(value);
    if (low > high) return null;
    const floor = Math.max(Math.abs(low), Math.abs(high)) * 1e-6 || 1e-3;
    const pad = Math.max((high - low) * 0.08, floor);
    low = low >= 0 && low - pad < 0 ? 0 : low - pad;
    high += pad;
    return { from, to, origin, low, high, step: niceStep(high - low, 5) };
  }

  paint() {
    const { canvas, mini } = this;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (width === 0 || height === 0) return;
    const ratio = Math.min(window.devicePixelRatio || 1, 3);
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const g = canvas.getContext('2d');
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    const d = this.domain();
    this.scale = null;
    if (!d) return;
    g.font = FONT;
    const tickText = (value) => format(Math.abs(value) < d.step / 1e6 ? 0 : value);
    const left = mini
      ? 0
      : Math.max(g.measureText(tickText(d.high)).width, g.measureText(tickText(d.low)).width) + 12;
    const box = {
      left,
      right: width - (mini ? 2 : 10),
      top: mini ? 4 : 20,
      bottom: height - (mini ? 4 : 24),
    };
    const x = (time) => box.left + ((time - d.from) / (d.to - d.from)) * (box.right - box.left);
    const y = (value) => box.bottom - ((value - d.low) / (d.high - d.low)) * (box.bottom - box.top);
    this.scale = { x, y, box, d };
    if (!mini) this.axes(g, tickText);
    else this.floor(g);
    g.save();
    g.beginPath();
    g.rect(box.left, 0, width - box.left, height);
    g.clip();
    this.gaps(g);
    if (!mini) this.expected(g);
    this.fan(g);
    this.observed(g);
    this.marked(g);
    this.rings(g);
    g.restore();
    this.overlay?.paint(g);
  }

  floor(g) {
    const { box } = this.scale;
    g.strokeStyle = this.color('grid');
    g.lineWidth = 1;
    g.beginPath();
    for (const at of [box.top, (box.top + box.bottom) / 2, box.bottom]) {
      g.moveTo(box.left, Math.round(at) + 0.5);
      g.lineTo(box.right, Math.round(at) + 0.5);
    }
    g.stroke();
  }

  axes(g, tickText) {
    const { x, y, box, d } = this.scale;
    g.lineWidth = 1;
    g.strokeStyle = this.color('grid');
    g.fillStyle = this.color('faint');
    g.textBaseline = 'middle';
    g.textAlign = 'right';
    for (let value = Math.ceil(d.low / d.step - 1e-9) * d.step; value <= d.high; value += d.step) {
      const at = Math.round(y(value)) + 0.5;
      g.beginPath();
      g.moveTo(box.left, at);
      g.lineTo(box.right, at);
      g.stroke();
      g.fillText(tickText(value), box.left - 8, at);
    }
    if (this.unit) {
      g.textAlign = 'left';
      g.fillText(this.unit, 0, 7);
    }
    g.textAlign = 'center';
    const room = Math.max(2, Math.floor((box.right - box.left) / 96));
    const stepS = TIME_STEPS_S.find((s) => (d.to - d.from) / 1000 / s <= room) ?? 604800 * 4;
    const offset = new Date(d.from).getTimezoneOffset() * 60000;
    const stepMs = stepS * 1000;
    for (let time = Math.ceil((d.from - offset) / stepMs) * stepMs + offset; time <= d.to; time += stepMs) {
      const at = Math.round(x(time)) + 0.5;
      g.beginPath();
      g.moveTo(at, box.top);
      g.lineTo(at, box.bottom + 4);
      g.stroke();
      if (at > box.left + 26 && at < box.right - 18) g.fillText(clockText(time, stepS), at, box.bottom + 15);
    }
  }

  /** A tinted column where a bucket had no reading. */
  gaps(g) {
    const { x, box, d } = this.scale;
    const { stepMs } = this;
    g.fillStyle = this.color('gap');
    for (const [time, observed] of this.points)
      if (observed === null && time >= d.from - stepMs)
        g.fillRect(
          x(time - stepMs / 2),
          box.top,
          x(time + stepMs / 2) - x(time - stepMs / 2),
          box.bottom - box.top,
        );
  }

  band(g, lower, upper, color) {
    if (lower.length < 2) return;
    g.beginPath();
    for (const [px, py] of lower) g.lineTo(px, py);
    for (let i = upper.length - 1; i >= 0; i--) g.lineTo(...upper[i]);
    g.closePath();
    g.fillStyle = color;
    g.fill();
  }

  expected(g) {
    const { x, y, d } = this.scale;
    let lower = [];
    let upper = [];
    const flush = () => {
      this.band(g, lower, upper, this.color('expected'));
      lower = [];
      upper = [];
    };
    for (const [time, , low, , high] of this.points) {
      if (time < d.from) continue;
      if (low === null) flush();
      else {
        lower.push([x(time), y(Math.max(low, d.low))]);
        upper.push([x(time), y(Math.min(high, d.high))]);
      }
    }
    flush();
  }

  fan(g) {
    const f = this.forecast;
    if (!f) return;
    const { x, y, box, d } = this.scale;
    const last = this.points.at(-1);
    const start = last ? ((isMasked(last) ? null : last[1]) ?? last[3]) : null;
    const row = (name) => {
      const line = f[name].map((value, k) => [x(d.origin + (k + 1) * this.stepMs), y(value)]);
      if (start !== null) line.unshift([x(d.origin), y(start)]);
      return line;
    };
    this.band(g, row('p10'), row('p90'), this.color('outer'));
    this.band(g, row('p30'), row('p70'), this.color('inner'));
    this.line(g, row('p50'), this.color('median'), this.mini ? 1.6 : 2);
    g.strokeStyle = this.color('faint');
    g.lineWidth = 1;
    g.setLineDash([3, 4]);
    g.beginPath();
    g.moveTo(Math.round(x(d.origin)) + 0.5, box.top);
    g.lineTo(Math.round(x(d.origin)) + 0.5, box.bottom);
    g.stroke();
    g.setLineDash([]);
    if (!this.mini) {
      g.fillStyle = this.color('faint');
      g.textAlign = 'center';
      g.fillText('now', x(d.origin), box.top - 9);
    }
  }

  line(g, path, color, width) {
    g.beginPath();
    for (const [px, py] of path) g.lineTo(px, py);
    g.strokeStyle = color;
    g.lineWidth = width;
    g.lineJoin = 'round';
    g.lineCap = 'round';
    g.stroke();
  }

  observed(g) {
    const { x, y, d } = this.scale;
    const ink = this.color('observed');
    let run = [];
    const flush = () => {
      if (run.length === 1) this.dot(g, run[0], ink, 1.5);
      else if (run.length > 1) this.line(g, run, ink, this.mini ? 1.4 : 1.8);
      run = [];
    };
    const { stepMs } = this;
    let before = null;
    for (const point of this.points) {
      const [time, observed, , p50] = point;
      if (time < d.from - stepMs) continue;
      if (before !== null && time - before > stepMs * 1.5) flush();
      before = time;
      if (observed !== null && !isMasked(point)) {
        run.push([x(time), y(observed)]);
        continue;
      }
      flush();
      if (p50 === null) continue;
      g.beginPath();
      g.arc(x(time), y(Math.min(Math.max(p50, d.low), d.high)), this.mini ? 1.7 : 2.8, 0, 7);
      g.strokeStyle = this.color('filled');
      g.lineWidth = this.mini ? 1.1 : 1.6;
      g.stroke();
    }
    flush();
    const last = this.points.at(-1);
    if (last && last[1] !== null && !isMasked(last))
      this.dot(g, [x(last[0]), y(last[1])], ink, this.mini ? 2.4 : 3.4);
  }

  /** A ring around every anomalous bucket. */
  rings(g) {
    const { x, y, d } = this.scale;
    g.strokeStyle = this.color('bad');
    g.lineWidth = this.mini ? 1.2 : 2;
    for (const { at_ms, value } of this.anomalies) {
      if (at_ms < d.from) continue;
      g.beginPath();
      g.arc(x(at_ms), y(Math.min(Math.max(value, d.low), d.high)), this.mini ? 3.5 : 6, 0, 7);
      g.stroke();
    }
  }

  /** A cross where a reading was found wrong, at the chart's edge where it lies beyond. */
  marked(g) {
    const { x, y, d, box } = this.scale;
    const arm = this.mini ? 2.4 : 4;
    g.strokeStyle = this.color('bad');
    g.lineWidth = this.mini ? 1.2 : 1.8;
    g.beginPath();
    for (const [time, observed, , p50, , marks] of this.points) {
      const value = observed ?? p50;
      if (!marks || value === null || time < d.from) continue;
      const px = x(time);
      const py = Math.min(Math.max(y(value), box.top + arm), box.bottom - arm);
      g.moveTo(px - arm, py - arm);
      g.lineTo(px + arm, py + arm);
      g.moveTo(px - arm, py + arm);
      g.lineTo(px + arm, py - arm);
    }
    g.stroke();
  }

  dot(g, [px, py], color, radius) {
    g.beginPath();
    g.arc(px, py, radius, 0, 7);
    g.fillStyle = color;
    g.fill();
  }
}
