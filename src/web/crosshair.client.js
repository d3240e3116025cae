/** Reads values off a chart: with the pointer, or with the arrow keys. Runs in the browser. */
import { clockText, duration, format } from './format.client.js';
import { markText } from './marks.client.js';

export class Crosshair {
  /** @param tip element that shows the reading, beside the chart's canvas */
  constructor(chart, tip) {
    this.chart = chart;
    this.tip = tip;
    /** Buckets from the origin: 0 and below observed, above forecast; null when nothing is read. */
    this.hover = null;
    chart.overlay = this;
    const { canvas } = chart;
    canvas.addEventListener('pointermove', (event) => this.point(event.offsetX));
    canvas.addEventListener('pointerleave', () => this.leave());
    canvas.addEventListener('blur', () => this.leave());
    canvas.addEventListener('keydown', (event) => this.key(event));
  }

  /** Moves to the bucket nearest to `px`, CSS pixels from the left. */
  point(px) {
    const { scale, stepMs } = this.chart;
    if (!scale) return;
    const { box, d } = scale;
    const time = d.from + ((px - box.left) / (box.right - box.left)) * (d.to - d.from);
    this.hover = Math.round((time - d.origin) / stepMs);
    this.chart.draw();
  }

  leave() {
    this.hover = null;
    this.tip.hidden = true;
    this.chart.draw();
  }

  key(event) {
    const { scale, stepMs, forecast } = this.chart;
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[event.key];
    if (event.key === 'Escape') this.leave();
    if (move === undefined || !scale) return;
    event.preventDefault();
    const first = Math.ceil((scale.d.from - scale.d.origin) / stepMs);
    this.hover = Math.max(first, Math.min(forecast?.p50.length ?? 0, (this.hover ?? 0) + move));
    this.chart.draw();
  }

  /** What the bucket holds, as lines of text; null where there is nothing. */
  reading() {
    const { chart, hover } = this;
    const time = chart.scale.d.origin + hover * chart.stepMs;
    const clock = clockText(time, Math.min(chart.stepMs / 1000, 59));
    const unit = chart.unit ? ` ${chart.unit}` : '';
    if (hover > 0) {
      const k = hover - 1;
      const f = chart.forecast;
      if (!f || k >= f.p50.length) return null;
      return {
        time,
        value: f.p50[k],
        head: `${format(f.p50[k])}${unit}`,
        rows: [
          `${clock}, in ${duration((hover * chart.stepMs) / 1000)}`,
          `p30–p70  ${format(f.p30[k])} – ${format(f.p70[k])}`,
          `p10–p90  ${format(f.p10[k])} – ${format(f.p90[k])}`,
        ],
      };
    }
    const point = chart.points.findLast(([at]) => at === time);
    if (!point) return null;
    const [, observed, low, p50, high, marks = []] = point;
    const rows = low === null ? [clock] : [clock, `expected ${format(low)} – ${format(high)}`];
    const anomaly = chart.anomalies.find(({ at_ms }) => at_ms === time);
    if (anomaly) rows.push(`anomaly: once in 10^${anomaly.score} buckets`);
    rows.push(...marks.map(markText));
    if (observed !== null) return { time, value: observed, head: `${format(observed)}${unit}`, rows };
    return { time, value: p50, head: p50 === null ? 'no reading' : `filled: ${format(p50)}${unit}`, rows };
  }

  paint(g) {
    if (this.hover === null) return;
    const reading = this.reading();
    this.tip.hidden = reading === null;
    if (!reading) return;
    const { chart } = this;
    const { x, y, box } = chart.scale;
    const at = x(reading.time);
    chart.line(
      g,
      [
        [Math.round(at) + 0.5, box.top],
        [Math.round(at) + 0.5, box.bottom],
      ],
      chart.color('soft'),
      1,
    );
    if (reading.value !== null) {
      const height = Math.min(Math.max(y(reading.value), box.top), box.bottom);
      chart.dot(g, [at, height], chart.color('card'), 5.5);
      chart.dot(g, [at, height], chart.color(this.hover > 0 ? 'median' : 'observed'), 4);
    }
    const line = (tag, text) => {
      const element = document.createElement(tag);
      element.textContent = text;
      return element;
    };
    this.tip.replaceChildren(line('b', reading.head), ...reading.rows.map((row) => line('span', row)));
    const leftSide = at > (box.left + box.right) / 2;
    this.tip.style.left = leftSide ? 'auto' : `${at + 14}px`;
    this.tip.style.right = leftSide ? `${chart.canvas.clientWidth - at + 14}px` : 'auto';
  }
}
