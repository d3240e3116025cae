/** The page: keeps what the server sends of each stream on show, and draws it. Text from outside only ever becomes textContent. */
import { Chart } from './chart.client.js';
import { Crosshair } from './crosshair.client.js';
import { clockText, duration, format } from './format.client.js';
import { markLabel, markText } from './marks.client.js';
import { pill, showStatus } from './status.client.js';

const MAX_CARDS = 48;
const KEPT_POINTS = 720;
const $ = (id) => document.getElementById(id);
const create = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};

/** name -> { summary, points, forecast, anomalies, card } */
const streams = new Map();
let order = [];
let focused = nameInAddress();
let source = null;
let watched = '';

/** The stream that the address names; null where it names none, or is cut in the middle of a character. */
function nameInAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1)) || null;
  } catch {
    return null;
  }
}

const KINDS = {
  gru: ['GRU', 'accent', 'Forecast by the recurrent network'],
  blend: ['blend', 'accent', 'Network and naive, weighted by how each did lately'],
  'seasonal-naive': ['seasonal naive', '', 'The season before, repeated'],
  naive: ['naive', '', 'The last value, with honest wide intervals'],
};
const QUALITIES = {
  good: ['good input', 'good', 'The latest bucket had readings'],
  filled: ['filled input', 'warn', 'The latest bucket was empty, or kept out, and filled in'],
  stale: ['stale input', 'bad', 'No reading for longer than the longest gap allowed'],
};

function badges(summary) {
  if (summary.kind === null) return [create('span', 'badge', 'waiting for samples')];
  const marks = summary.marks.map((name) => [markLabel(name), 'bad', markText(name)]);
  return [KINDS[summary.kind], QUALITIES[summary.quality], ...marks].map(([text, tone, title]) => {
    const badge = create('span', `badge ${tone}`, text);
    badge.title = title;
    return badge;
  });
}

function valueWithUnit(target, value, unit) {
  target.replaceChildren(document.createTextNode(format(value)));
  if (unit && value !== null) target.append(create('small', '', unit));
}

/** The newest bucket with a reading. */
const lastValue = (stream) =>
  stream.points.findLast((point) => point[1] !== null)?.[1] ?? stream.summary.value;

function makeCard(name) {
  const root = create('button', 'card');
  root.type = 'button';
  const head = create('div', 'card-head');
  const title = create('span', 'card-name', name);
  title.title = name;
  const value = create('span', 'card-value', '–');
  head.append(title, value);
  const canvas = create('canvas', 'chart');
  canvas.setAttribute('aria-hidden', 'true');
  const foot = create('div', 'card-foot');
  const marks = create('span', 'badges');
  const ahead = create('span', 'card-ahead');
  foot.append(marks, ahead);
  root.append(head, canvas, foot);
  root.addEventListener('click', () => focus(name, true));
  return { root, value, marks, ahead, chart: new Chart(canvas, { mini: true }) };
}

function drawCard(stream) {
  const { card, summary, points, forecast, anomalies } = stream;
  if (!card) return;
  valueWithUnit(card.value, lastValue(stream), summary.unit);
  card.marks.replaceChildren(...badges(summary));
  if (summary.ahead) {
    const [low, middle, high] = summary.ahead;
    card.ahead.textContent = `${format(middle)} in ${duration(summary.horizon_s)}`;
    card.ahead.title = `80 % between ${format(low)} and ${format(high)}`;
  }
  card.chart.set(points, forecast, summary.step_s, summary.unit, anomalies);
}

const big = new Chart($('focus-chart'));
new Crosshair(big, $('focus-tip'));

function drawFocus() {
  const stream = streams.get(focused);
  $('focus').hidden = !stream;
  if (!stream) return;
  const { summary, points, forecast, anomalies } = stream;
  $('focus-name').textContent = summary.stream;
  $('focus-badges').replaceChildren(...badges(summary));
  valueWithUnit($('focus-now'), lastValue(stream), summary.unit);
  big.set(points, forecast, summary.step_s, summary.unit, anomalies);
  if (!summary.ahead) {
    for (const id of ['focus-ahead', 'focus-interval', 'focus-coverage']) $(id).textContent = '–';
    $('focus-table').replaceChildren();
    $('focus-chart').setAttribute('aria-label', `${summary.stream}: waiting for samples`);
    return;
  }
  const [low, middle, high] = summary.ahead;
  $('focus-ahead-label').textContent = `in ${duration(summary.horizon_s)}`;
  valueWithUnit($('focus-ahead'), middle, summary.unit);
  $('focus-interval').textContent = `${format(low)} – ${format(high)}`;
  const { observed, n, target } = summary.coverage;
  const coverage = $('focus-coverage');
  coverage.textContent = observed === null ? '–' : `${Math.round(observed * 100)} %`;
  coverage.append(
    create('small', '', observed === null ? 'not scored yet' : `of ${n}, goal ${Math.round(target * 100)} %`),
  );
  $('focus-chart').setAttribute(
    'aria-label',
    `${summary.stream}: now ${format(lastValue(stream))} ${summary.unit ?? ''}, in ${duration(summary.horizon_s)} ${format(middle)}, 80 percent between ${format(low)} and ${format(high)}. Arrow keys move along the chart.`,
  );
  if (document.querySelector('.values').open) drawTable(summary, forecast);
}

function drawTable(summary, forecast) {
  const rows = forecast.p50.map((_, k) => {
    const row = create('tr');
    const time = forecast.origin_ms + (k + 1) * summary.step_s * 1000;
    const cells = [clockText(time, Math.min(summary.step_s, 59)), duration((k + 1) * summary.step_s)];
    for (const name of ['p10', 'p30', 'p50', 'p70', 'p90']) cells.push(format(forecast[name][k]));
    row.append(...cells.map((text) => create('td', '', text)));
    return row;
  });
  $('focus-table').replaceChildren(...rows);
}

function focus(name, byHand) {
  focused = name;
  if (byHand) {
    history.replaceState(null, '', `#${encodeURIComponent(name)}`);
    $('focus').scrollIntoView({ block: 'nearest' });
  }
  for (const [key, stream] of streams) stream.card?.root.setAttribute('aria-pressed', String(key === name));
  drawFocus();
  watch();
}

/** Shows the cards that match the filter, and asks the server for those. */
function layout() {
  const wanted = $('filter').value.trim().toLowerCase();
  const matching = order.filter((name) => name.toLowerCase().includes(wanted));
  const shown = matching.slice(0, MAX_CARDS);
  const grid = $('grid');
  for (const [name, stream] of streams) if (stream.card && !shown.includes(name)) stream.card = null;
  grid.replaceChildren(
    ...shown.map((name) => {
      const stream = streams.get(name);
      stream.card ??= makeCard(name);
      stream.card.root.setAttribute('aria-pressed', String(name === focused));
      return stream.card.root;
    }),
  );
  for (const name of shown) drawCard(streams.get(name));
  $('count').textContent = String(order.length);
  $('empty').hidden = order.length > 0;
  $('more').hidden = matching.length <= MAX_CARDS;
  $('more').textContent = `${matching.length - MAX_CARDS} more; narrow them down with the search field.`;
  document.querySelector('.search').hidden = order.length < 9;
  watch();
}

async function load() {
  const response = await fetch('/api/streams');
  if (!response.ok) return;
  const body = await response.json();
  order = body.streams.map((summary) => summary.stream);
  for (const name of [...streams.keys()]) if (!order.includes(name)) streams.delete(name);
  for (const summary of body.streams) {
    const known = streams.get(summary.stream);
    if (known) known.summary = summary;
    else streams.set(summary.stream, { summary, points: [], forecast: null, anomalies: [], card: null });
  }
  if (!streams.has(focused))
    focused = order.find((name) => streams.get(name).summary.kind !== null) ?? order[0] ?? null;
  layout();
  drawFocus();
}

/** Opens the event stream anew when the set of streams on show has changed. */
function watch() {
  const shown = order.filter((name) => streams.get(name).card || name === focused);
  const query = shown.map((name) => `stream=${encodeURIComponent(name)}`).join('&');
  if (source && query === watched) return;
  watched = query;
  source?.close();
  source = new EventSource(`/api/events?${query}`);
  source.addEventListener('open', () => live(true));
  source.addEventListener('error', () => {
    live(false);
    // A refusal (too many pages) ends it for good; a lost connection is taken up again by the browser.
    if (source.readyState === EventSource.CLOSED) setTimeout(reopen, 5000);
  });
  source.addEventListener('streams', () => void load());
  source.addEventListener('status', (event) => showStatus(JSON.parse(event.data)));
  source.addEventListener('stream', (event) => receive(JSON.parse(event.data)));
}

function reopen() {
  watched = '';
  watch();
}

function receive(message) {
  const stream = streams.get(message.stream);
  if (!stream) return;
  const { points, forecast, anomalies, ...summary } = message;
  stream.summary = summary;
  stream.anomalies = anomalies;
  stream.forecast = forecast;
  const first = points[0]?.[0] ?? Infinity;
  stream.points = [...stream.points.filter((point) => point[0] < first), ...points].slice(-KEPT_POINTS);
  drawCard(stream);
  if (message.stream === focused) drawFocus();
}

let wasLive = false;
function live(on) {
  pill('pill-live', on ? 'good' : 'bad', on ? 'live' : 'page disconnected');
  if (on && !wasLive) void load();
  wasLive = on;
}

$('zone').textContent = `times in ${Intl.DateTimeFormat().resolvedOptions().timeZone}`;
$('filter').addEventListener('input', layout);
document.querySelector('.values').addEventListener('toggle', drawFocus);
void load().catch(() => live(false));
watch();
