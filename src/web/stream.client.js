/** One stream: figures, chart, and its forecast as a table. Runs in the browser. */
import { attention } from './attention.client.js';
import { TimeChart } from './chart.client.js';
import { $, badge, el } from './dom.client.js';
import { clockText, duration, format, interval, percent } from './format.client.js';

const KINDS = {
  gru: ['GRU', 'accent', 'Forecast by the recurrent network'],
  blend: ['blend', 'accent', 'Network and naive forecasts, weighted by their recent scores'],
  'seasonal-naive': ['seasonal naive', '', 'The season before, repeated'],
  naive: ['naive', '', 'The last value, with intervals as wide as its usual changes'],
};
const QUALITIES = {
  good: ['good input', 'good', 'The latest bucket had readings'],
  filled: ['filled input', 'warn', 'The latest bucket was empty or kept out, and was filled in'],
  stale: ['stale input', 'bad', 'No reading for longer than the longest gap allowed'],
};

/** The newest bucket with a reading. */
const lastValue = (stream) =>
  stream.points.findLast((point) => point[1] !== null)?.[1] ?? stream.summary.value;

function valueWithUnit(target, value, unit, apart = 0) {
  target.replaceChildren(format(value, apart));
  if (unit && value !== null) target.append(el('small', {}, unit));
}

export class StreamView {
  constructor() {
    this.stream = null;
    this.chart = new TimeChart($('chart'), $('tip'), (range) => this.zoom(range));
    $('values').addEventListener('toggle', () => this.draw());
  }

  /** Goes over to another stream; null: none. */
  show(stream) {
    if (stream !== this.stream) this.chart.set({ range: null });
    this.stream = stream;
    this.draw();
  }

  /** The same stream has new figures. */
  update() {
    this.draw();
  }

  zoom(range) {
    this.chart.set({ range });
  }

  draw() {
    const { stream } = this;
    $('stream').hidden = stream === null;
    if (stream === null) return;
    const { summary, points, forecast, anomalies, crossings } = stream;
    const { unit } = summary;
    $('stream-name').textContent = summary.stream;
    const badges =
      summary.kind === null
        ? [['waiting for readings', '', 'The first forecast comes when the first interval is over']]
        : [KINDS[summary.kind], QUALITIES[summary.quality], ...attention(summary).badges];
    $('stream-badges').replaceChildren(...badges.filter(([text]) => text !== 'stale').map(badge));
    this.chart.set({
      points,
      forecast,
      anomalies,
      crossings,
      stepMs: (summary.step_s ?? 1) * 1000,
      unit: unit ?? '',
    });
    this.figures(stream);
    if ($('values').open && forecast) this.table(summary, forecast);
  }

  figures({ summary, ...stream }) {
    const { unit } = summary;
    const now = lastValue({ summary, ...stream });
    if (!summary.ahead) {
      for (const id of ['ahead', 'interval', 'coverage']) $(id).textContent = '–';
      valueWithUnit($('now'), now, unit);
      $('value-rows').replaceChildren();
      $('chart').setAttribute('aria-label', `${summary.stream}: waiting for readings`);
      return;
    }
    const [low, middle, high] = summary.ahead;
    const apart = (high - low) / 20;
    const ahead = `in ${duration(summary.horizon_s)}`;
    valueWithUnit($('now'), now, unit, apart);
    $('ahead-label').textContent = ahead;
    valueWithUnit($('ahead'), middle, unit, apart);
    $('interval').textContent = interval(low, high);
    const { observed, n, target } = summary.coverage;
    $('coverage').replaceChildren(
      observed === null ? '–' : percent(observed),
      el(
        'small',
        {},
        observed === null
          ? 'not scored yet'
          : `of ${Math.round(n).toLocaleString()}, goal ${percent(target)}`,
      ),
    );
    $('chart').setAttribute(
      'aria-label',
      `${summary.stream}: now ${format(now, apart)} ${unit ?? ''}, ${ahead} ${format(middle, apart)}, 80 percent between ${interval(low, high)}. Arrow keys move along the chart, plus and minus zoom.`,
    );
  }

  table(summary, forecast) {
    const all = [...forecast.p10, ...forecast.p90];
    const apart = (Math.max(...all) - Math.min(...all)) / 100;
    const rows = forecast.p50.map((_, k) => {
      const time = forecast.origin_ms + (k + 1) * summary.step_s * 1000;
      const cells = ['p10', 'p30', 'p50', 'p70', 'p90'].map((name) => format(forecast[name][k], apart));
      return el(
        'tr',
        {},
        el('th', { scope: 'row' }, clockText(time, Math.min(summary.step_s, 59))),
        el('td', {}, duration((k + 1) * summary.step_s)),
        ...cells.map((text) => el('td', {}, text)),
      );
    });
    $('value-rows').replaceChildren(...rows);
  }
}
