/** One stream: figures, chart, and its forecast as a table. Runs in the browser. */
import { actionButton, get } from './api.client.js';
import { attention } from './attention.client.js';
import { drawCalibration, TimeChart } from './chart.client.js';
import { $, badge, breakable, el } from './dom.client.js';
import { clockText, dateText, duration, evenFormat, format, interval, percent } from './format.client.js';
import { scoresTable } from './views.client.js';

const KINDS = {
  gru: ['GRU', 'accent', 'Forecast by the recurrent network'],
  blend: ['blend', 'accent', 'Network and naive forecasts, weighted by their recent scores'],
  'seasonal-naive': ['seasonal naive', '', 'The previous season, repeated'],
  naive: ['naive', '', 'The last value, with intervals as wide as its usual changes'],
};
const QUALITIES = {
  good: ['good input', 'good', 'The latest bucket had readings'],
  filled: ['filled input', 'warn', 'The latest bucket was empty or masked, and was filled in'],
  stale: ['stale input', 'bad', 'No reading for longer than the configured maximum gap'],
};

/** The newest bucket with a reading. */
const lastValue = (stream) =>
  stream.points.findLast((point) => point[1] !== null)?.[1] ?? stream.summary.value;

function valueWithUnit(target, value, unit, apart = 0) {
  target.replaceChildren(format(value, apart));
  if (unit && value !== null) target.append(el('small', {}, unit));
}

const NO_HISTORY = { history: [], storedAnomalies: [] };
const NOTHING_KEPT = { ...NO_HISTORY, range: null, past: [] };

const streamButtons = (stream) =>
  [
    actionButton(
      'reset-stream',
      'Reset the learnt state',
      { stream },
      `Reset the learnt state of ${stream}? Its readings are kept.`,
    ),
    actionButton(
      'forget-stream',
      'Remove the stream',
      { stream },
      `Remove ${stream} with all its readings? This cannot be undone.`,
    ),
  ].filter((button) => button !== null);

const HOUR = 3_600_000;
/** Spans to show; null: the newest readings and the forecast. */
const RANGES = [
  ['live', null],
  ['1 h', HOUR],
  ['6 h', 6 * HOUR],
  ['1 d', 24 * HOUR],
  ['7 d', 168 * HOUR],
  ['30 d', 720 * HOUR],
  ['all', Number.POSITIVE_INFINITY],
];
/** Intervals for fetching scores and past forecasts, ms. */
const SCORES_MS = 15_000;
const PAST_MS = 2_000;
/** Wait after an answer that did not come, ms. */
const RETRY_MS = 2_000;
/** Interval for past forecasts that the agent has to compute, ms. */
const REPLAY_MS = 60_000;
/** Most leads to choose from. */
const MOST_LEADS = 300;

export class StreamView {
  constructor() {
    this.stream = null;
    /** Length of the shown span, ms; null: live, or a span that the user selected in the chart. */
    this.span = null;
    /** Shown span [from, to], ms; null: live. */
    this.range = null;
    this.chart = new TimeChart($('chart'), $('tip'), (range) => this.zoom(range));
    this.calibration = null;
    this.buttons = RANGES.map(([text, span]) =>
      el(
        'button',
        { type: 'button', 'aria-pressed': String(span === null), onclick: () => this.choose(span) },
        text,
      ),
    );
    $('ranges').append(...this.buttons);
    $('lead').addEventListener('change', () => void this.fetchPast(true));
    $('to-list').addEventListener('click', () => {
      $('streams-title').scrollIntoView({ block: 'start' });
      $('list').focus({ preventScroll: true });
    });
    $('values').addEventListener('toggle', () => this.draw());
  }

  /** Shows another stream; null: none. */
  show(stream) {
    if (stream?.summary.stream !== this.stream?.summary.stream) {
      this.stream = stream;
      this.chart.set({ ...NOTHING_KEPT });
      $('lead').value = '';
      this.choose(null);
      $('scores').replaceChildren();
      $('scores-note').hidden = true;
      $('calibration-part').hidden = true;
      this.scoresAt = this.pastAt = this.pastEvery = this.historyAt = 0;
    }
    this.stream = stream;
    this.draw();
  }

  /** Shows new figures of the same stream. */
  update() {
    if (this.span !== null) this.move();
    this.draw();
    const domain = this.range ?? this.chart.domain();
    if (this.span === null && domain !== null && Date.now() - this.historyAt > SCORES_MS)
      void this.fetchHistory(domain);
    void this.fetchPast(false);
    void this.fetchScores();
  }

  /** Shows the newest span of this length. @param span ms; null: live */
  choose(span) {
    this.span = span;
    this.range = null;
    this.chart.set({ ...NO_HISTORY, range: null });
    $('range-key').hidden = true;
    this.mark();
    if (span !== null) this.move(true);
    void this.fetchPast(true);
  }

  /** Shows a span selected in the chart; null: resets it. */
  zoom(range) {
    if (range === null) return this.choose(null);
    this.span = null;
    this.range = range;
    this.chart.set({ range });
    this.mark();
    void this.fetchHistory(range);
    void this.fetchPast(true);
  }

  mark() {
    const chosen = RANGES.findIndex(([, span]) => span === this.span);
    this.buttons.forEach((button, at) => {
      button.setAttribute(
        'aria-pressed',
        String(at === chosen && (this.span !== null || this.range === null)),
      );
    });
  }

  /** Moves the shown span so that it ends with the forecast. */
  move(anew = false) {
    const { stream, span } = this;
    const { forecast, points, summary } = stream ?? {};
    const last = forecast?.origin_ms ?? points?.at(-1)?.[0];
    if (last === undefined) return;
    const from = span === Number.POSITIVE_INFINITY ? (this.firstMs ?? 0) : last - span;
    // The forecast takes at most a third of the span.
    const ahead = Math.min((summary.horizon_s ?? 0) * 1000, (last - from) / 2);
    this.range = [from, last + ahead];
    if (from > 0) this.chart.set({ range: this.range });
    const every = Math.max(SCORES_MS, Number.isFinite(span) ? span / 200 : SCORES_MS * 4);
    if (anew || Date.now() - this.historyAt > every) void this.fetchHistory(this.range);
  }

  /** Whether buckets after `from` are missing: of a backlog, only the newest bucket was forecast and sent to the page. */
  isIncomplete(from) {
    const { points, summary } = this.stream;
    const times = points.map(([time]) => time).filter((time) => time >= from);
    const most = 1500 * (summary.step_s ?? Number.POSITIVE_INFINITY);
    return (
      from < (points[0]?.[0] ?? Number.POSITIVE_INFINITY) ||
      times.some((time, at) => time - (times[at - 1] ?? from) > most)
    );
  }

  /** Fetches the stored readings of a span that the page does not have. */
  async fetchHistory([from, to]) {
    const { stream } = this;
    const name = stream?.summary.stream;
    const first = stream?.points[0]?.[0] ?? Number.POSITIVE_INFINITY;
    if (name === undefined) return;
    this.historyAt = Date.now();
    if (!this.isIncomplete(from)) {
      this.asked = '';
      this.chart.set({ ...NO_HISTORY });
      $('range-key').hidden = true;
      return;
    }
    const points = Math.max(400, Math.round($('chart').clientWidth / 1.5));
    const query = `from=${Math.round(Math.max(0, from))}&to=${Math.round(Math.min(to, Date.now()))}&points=${points}`;
    this.asked = query;
    const found = await get(`history/${encodeURIComponent(name)}?${query}`).catch(() => null);
    if (this.asked !== query || this.stream?.summary.stream !== name) return;
    if (found === null) {
      setTimeout(() => {
        if (this.asked === query && this.stream?.summary.stream === name) void this.fetchHistory([from, to]);
      }, RETRY_MS);
      return;
    }
    const history = found.bins;
    if (this.span === Number.POSITIVE_INFINITY) {
      this.firstMs = history[0]?.[0] ?? first;
      this.range = [this.firstMs, this.range[1]];
    }
    const { bin_ms: binMs, anomalies: storedAnomalies } = found;
    this.chart.set({ history, binMs, storedAnomalies, range: this.range });
    $('range-key').hidden = !this.chart.isThinned;
  }

  /** Past forecasts at the chosen lead: those published, or, for other leads and times, those of a replay. */
  async fetchPast(anew) {
    const { stream, range } = this;
    const lead = $('lead').value;
    $('past-key').hidden = lead === '';
    if (stream === null || lead === '') {
      this.pastAsked = '';
      this.chart.set({ past: [] });
      return;
    }
    if (!anew && Date.now() - this.pastAt < this.pastEvery) return;
    this.pastAt = Date.now();
    this.pastEvery = PAST_MS;
    const { stream: name, step_s: step } = stream.summary;
    const span =
      range === null ? '' : `&from=${Math.round(Math.max(0, range[0]))}&to=${Math.round(range[1])}`;
    const query = `past/${encodeURIComponent(name)}?lead=${lead}${span}`;
    const key = $('past-key').lastElementChild;
    const ahead = duration(lead * step);
    if (anew) {
      this.isPastDrawn = false;
      this.chart.set({ past: [] });
      key.textContent = `forecast made ${ahead} before: computing`;
    }
    this.pastAsked = query;
    const found = await get(query).catch((error) => ({ error: error.message }));
    if (this.pastAsked !== query) return;
    if (found.error !== undefined) {
      // What is drawn stays.
      if (!this.isPastDrawn) key.textContent = `forecast made ${ahead} before: not available. ${found.error}`;
      setTimeout(() => {
        if (this.pastAsked === query) void this.fetchPast(false);
      }, RETRY_MS);
      return;
    }
    this.isPastDrawn = true;
    if (found.replayed) this.pastEvery = REPLAY_MS;
    const learnt = found.trained_to_ms !== null && found.points[0]?.[0] < found.trained_to_ms;
    const cut = found.complete ? '' : ': not all, because the computation takes too long on this machine now';
    key.textContent =
      found.points.length === 0 && found.complete
        ? `no forecast made ${ahead} before yet`
        : `forecast made ${ahead} before${found.replayed ? ', computed now from stored readings with the model in use' : ''}${learnt ? `, which learnt from readings up to ${dateText(found.trained_to_ms)}` : ''}${cut}`;
    this.chart.set({ past: found.points });
  }

  async fetchScores() {
    const { stream } = this;
    if (stream === null || Date.now() - this.scoresAt < SCORES_MS) return;
    this.scoresAt = Date.now();
    const name = stream.summary.stream;
    const scores = await get(`scores/${encodeURIComponent(name)}`).catch(() => null);
    if (this.stream?.summary.stream !== name) return;
    if (scores === null) {
      clearTimeout(this.scoresRetry);
      this.scoresRetry = setTimeout(() => {
        this.scoresAt = 0;
        void this.fetchScores();
      }, RETRY_MS);
      return;
    }
    $('scores').replaceChildren(scoresTable(scores, stream.summary.step_s, stream.summary.unit));
    $('scores-note').hidden = scores.by_lead.length === 0;
    const leads = scores.calibration.filter(({ n }) => n >= 20);
    $('calibration-part').hidden = leads.length === 0;
    this.calibration?.remove();
    this.calibration = leads.length === 0 ? null : drawCalibration($('calibration'), scores.levels, leads);
    const ahead = (lead) => `${duration(lead * stream.summary.step_s)} ahead`;
    $('calibration-key').replaceChildren(
      ...leads.map(({ lead }, at) => el('li', {}, el('i', { class: `legend-key k-lead${at}` }), ahead(lead))),
    );
    $('calibration-text').textContent = leads
      .map(({ lead, n, below }) => {
        const shares = below.map((share, q) => `${percent(share)} below p${scores.levels[q] * 100}`);
        return `${ahead(lead)}, ${Math.round(n)} readings: ${shares.join(', ')}.`;
      })
      .join(' ');
  }

  draw() {
    const { stream } = this;
    $('stream').hidden = stream === null;
    if (stream === null) return;
    const { summary, points, forecast, anomalies, crossings } = stream;
    const { unit } = summary;
    $('stream-name').replaceChildren(...breakable(summary.stream));
    const badges =
      summary.kind === null
        ? [['waiting for readings', '', 'The first forecast is made at the end of the first interval']]
        : [KINDS[summary.kind], QUALITIES[summary.quality], ...attention(summary).badges];
    $('stream-badges').replaceChildren(...badges.filter(([text]) => text !== 'stale').map(badge));
    const isWaiting = points.length === 0 && summary.kind === null;
    $('chart-empty').hidden = !isWaiting;
    $('legend').hidden = isWaiting;
    this.chart.set({
      points,
      forecast,
      anomalies,
      crossings,
      stepMs: (summary.step_s ?? 1) * 1000,
      unit: unit ?? '',
    });
    this.leads(summary);
    $('stream-buttons').replaceChildren(...streamButtons(summary.stream));
    this.figures(stream);
    if ($('values').open && forecast) this.table(summary, forecast);
  }

  /** The leads to choose from: all of them, or, of very many, some at equal distances and the last. */
  leads({ step_s: step, horizon_s: horizon }) {
    const shown = `${step} ${horizon}`;
    if (shown === this.leadsShown) return;
    this.leadsShown = shown;
    const last = step === null ? 0 : Math.round(horizon / step);
    const count = Math.min(last, MOST_LEADS);
    const leads = Array.from({ length: count }, (_, i) => Math.ceil(((i + 1) * last) / count));
    const chosen = $('lead').value;
    const option = (lead) => el('option', { value: lead }, `${duration(lead * step)} ahead`);
    $('lead').replaceChildren(el('option', { value: '' }, 'off'), ...leads.map(option));
    $('lead').value = leads.includes(Number(chosen)) ? chosen : '';
    $('lead').disabled = last === 0;
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
    // No more digits than its interval has.
    valueWithUnit($('ahead'), apart >= 1 ? Math.round(middle) : middle, unit, apart);
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
    const text = evenFormat(all, (Math.max(...all) - Math.min(...all)) / 100);
    const isLong = forecast.p50.length * summary.step_s > 86_400 && summary.step_s < 86_400;
    const rows = forecast.p50.map((_, k) => {
      const time = forecast.origin_ms + (k + 1) * summary.step_s * 1000;
      const cells = ['p10', 'p30', 'p50', 'p70', 'p90'].map((name) => text(forecast[name][k]));
      return el(
        'tr',
        {},
        el('th', { scope: 'row' }, isLong ? dateText(time) : clockText(time, summary.step_s)),
        el('td', {}, duration((k + 1) * summary.step_s)),
        ...cells.map((cell) => el('td', {}, cell)),
      );
    });
    $('value-rows').replaceChildren(...rows);
  }
}
