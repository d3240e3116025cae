/** The page: keeps the data of the shown streams, and passes it to the views. */
import { session } from './api.client.js';
import { byAttention } from './attention.client.js';
import { $, el } from './dom.client.js';
import { StreamList } from './list.client.js';
import { pill, showStatus } from './status.client.js';
import { StreamView } from './stream.client.js';
import { alertsView, configView, modelView, showView, siteView } from './views.client.js';

const KEPT_POINTS = 720;
/** Interval for fetching the figures of streams that are not shown, ms. */
const REFRESH_MS = 20_000;

/** name -> { summary, row, points, forecast, anomalies, crossings } */
const streams = new Map();
let selected = streamInAddress();
/** The agent has answered which streams there are. */
let isLoaded = false;
let rows = [];
let source = null;
let watched = '';
let watchTimer = 0;
/** Reading needs a login. */
let isRefused = false;

/** The stream named in the address; null if there is none, or if the address ends within a character. */
function streamInAddress() {
  const text = location.hash.replace(/^#(\/streams?\/)?/, '');
  try {
    return text.startsWith('/') ? null : decodeURIComponent(text) || null;
  } catch {
    return null;
  }
}

const list = new StreamList(choose, (names) => {
  rows = names;
  clearTimeout(watchTimer);
  watchTimer = setTimeout(watch, source ? 150 : 0);
});
const view = new StreamView();

function choose(name, byPointer) {
  history.replaceState(null, '', `#/stream/${encodeURIComponent(name)}`);
  show(name);
  if (byPointer && matchMedia('(max-width: 900px)').matches) $('stream').scrollIntoView({ block: 'start' });
}

function show(name) {
  selected = name;
  list.select(name);
  view.show(streams.get(name) ?? null);
  $('missing').hidden = name === null || streams.has(name);
  $('missing-name').textContent = name ?? '';
  watch();
}

/** Shows the stream that the address names, even if there is none of that name; else the shown one, or the most important. */
function showNamed() {
  const named = streamInAddress();
  if (named !== null) return show(named);
  if (streams.has(selected)) return show(selected);
  const [first] = [...streams.values()].map(({ summary }) => summary).sort(byAttention);
  show(first?.stream ?? null);
}

async function load() {
  const response = await fetch('api/streams');
  isRefused = response.status === 401;
  if (isRefused) session.needed();
  if (!response.ok) return;
  const { streams: summaries } = await response.json();
  const names = new Set(summaries.map(({ stream }) => stream));
  for (const name of [...streams.keys()]) if (!names.has(name)) streams.delete(name);
  for (const summary of summaries) {
    const known = streams.get(summary.stream);
    if (known) known.summary = summary;
    else
      streams.set(summary.stream, {
        summary,
        row: null,
        points: [],
        forecast: null,
        anomalies: [],
        crossings: [],
      });
  }
  list.set(streams);
  const isFirst = !isLoaded;
  isLoaded = true;
  showNamed();
  // The alerts were shown without streams.
  if (isFirst && VIEWS[location.hash]) void route();
  performance.mark('streams-shown');
}

/** Reopens the event stream if other streams are shown. */
function watch() {
  const query = [
    ...(selected === null ? [] : [`stream=${encodeURIComponent(selected)}`]),
    ...rows.map((name) => `row=${encodeURIComponent(name)}`),
  ].join('&');
  if (source && query === watched) return;
  watched = query;
  source?.close();
  source = new EventSource(`api/events?${query}`);
  source.addEventListener('open', () => live(true));
  source.addEventListener('error', () => {
    live(false);
    // After a refusal (too many pages) the browser does not reconnect; after a lost connection it does.
    if (source.readyState === EventSource.CLOSED) setTimeout(reopen, 5000);
  });
  source.addEventListener('streams', () => void load());
  source.addEventListener('status', (event) => showStatus(JSON.parse(event.data)));
  source.addEventListener('stream', (event) => receiveStream(JSON.parse(event.data)));
  source.addEventListener('row', (event) => receiveRow(JSON.parse(event.data)));
}

function reopen() {
  watched = '';
  watch();
}

function receiveStream({ points, forecast, anomalies, crossings, ...summary }) {
  const stream = streams.get(summary.stream);
  if (!stream) return;
  const first = points[0]?.[0] ?? Number.POSITIVE_INFINITY;
  const kept = stream.points.filter((point) => point[0] < first);
  Object.assign(stream, { summary, forecast, anomalies, crossings });
  stream.points = [...kept, ...points].slice(-KEPT_POINTS);
  if (summary.stream === selected) view.update(stream);
}

function receiveRow({ spark, fan, ...summary }) {
  const stream = streams.get(summary.stream);
  if (!stream) return;
  Object.assign(stream, { summary, row: { spark, fan } });
  list.update(summary.stream);
}

let wasLive = false;
function live(on) {
  pill('pill-live', on ? 'good' : 'bad', on ? 'live' : 'page disconnected');
  if (on && !wasLive && streams.size > 0) void load();
  wasLive = on;
}

/** The views beside the streams, by address. */
const VIEWS = {
  '#/alerts': () => alertsView(streams),
  '#/model': modelView,
  '#/config': configView,
  '#/site': siteView,
};

/** Shows the view that the address names. */
async function route() {
  const make = VIEWS[location.hash];
  for (const link of document.querySelectorAll('.tabs a')) {
    const isHere = link.hash === (make ? location.hash : '#/streams');
    if (isHere) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  $('streams').hidden = make !== undefined;
  $('view').hidden = make === undefined;
  if (make === undefined) {
    if (isLoaded) showNamed();
    return;
  }
  try {
    const elements = await make();
    if (VIEWS[location.hash] === make) showView(elements);
  } catch (error) {
    showView([el('p', { class: 'notice bad' }, error.message)]);
  }
}

addEventListener('hashchange', route);
session.changed = () => {
  if (isRefused) void load().then(reopen);
  void route();
};
setInterval(() => {
  if (document.visibilityState !== 'visible') return;
  void load().catch(() => {});
  // The user may be typing into the search field of the config.
  if (location.hash !== '#/config' && VIEWS[location.hash]) void route();
}, REFRESH_MS);
$('zone').textContent = `times in ${Intl.DateTimeFormat().resolvedOptions().timeZone}`;
void session.load();
void load().catch(() => live(false));
