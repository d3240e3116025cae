/** Header and footer of the page: the connection, the broker, the model, and the agent's figures. Runs in the browser. */
import { $, el } from './dom.client.js';
import { clockText, duration, format } from './format.client.js';

export function pill(id, tone, text, title = text) {
  const element = $(id);
  element.className = `pill ${tone}`;
  element.title = title;
  element.querySelector('span').textContent = text;
}

const size = (bytes) => (bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

function fact([term, text]) {
  return el('div', {}, el('dt', {}, term), el('dd', {}, text));
}

const WAITING = {
  clock: 'The clock of this machine is not set: forecasts start when it is.',
  start: 'Waiting for the first connection to the broker',
  away: 'No connection to the broker: forecasts wait for its backlog',
  backlog: "Reading the broker's backlog: forecasts continue afterwards",
};

/** Forecasts pause while readings may still arrive from the broker, because forecasts without them would be worse. */
function showWaiting(waiting) {
  $('waiting').hidden = waiting === null;
  if (waiting === null) return;
  const { reason, untilMs } = waiting;
  const until = untilMs === null ? '' : `, at the latest at ${clockText(untilMs, 1)}.`;
  $('waiting').textContent = `${WAITING[reason]}${until}`;
}

export function showStatus(status) {
  const { broker, model, finetune, health, rates } = status;
  $('node').textContent = status.node;
  document.title = `${status.node} · gatecast`;
  const where = broker.protocol ? `${broker.url}, ${broker.protocol}` : broker.url;
  if (broker.connected) pill('pill-broker', 'good', broker.url, where);
  else pill('pill-broker', 'bad', `no broker at ${broker.url}`);
  const tuned = finetune.reason ? `${finetune.status}: ${finetune.reason}` : finetune.status;
  if (model.loaded) pill('pill-model', 'good', `model ${model.id} ${model.version}`, `fine-tuning ${tuned}`);
  else pill('pill-model', 'warn', 'no model: naive forecasts');
  const degraded = health.degraded.map((text) => text.replace(/\.$/, '')).join('; ');
  if (health.state === 'ok') pill('pill-health', 'good', 'healthy');
  else pill('pill-health', 'warn', 'degraded', degraded);
  showWaiting(status.waiting);
  $('site-tab').hidden = status.site === null;
  $('alert-count').hidden = status.alerts === 0;
  $('alert-count').textContent = String(status.alerts);
  $('notice').hidden = degraded === '';
  $('notice').textContent = `Degraded: ${degraded}`;
  const dropped = Object.values(health.dropped).reduce((sum, n) => sum + n, 0);
  const facts = [
    ['samples', `${format(rates.samples)} /s`],
    ['forecasts', `${format(rates.forecasts)} /s`],
    ['rejected', format(dropped)],
    ['memory', `${Math.round(health.rssMb)} MB`],
    ['cpu', `${health.cpuPct.toFixed(1)} %`],
    ['store', size(health.dbBytes)],
    ['fine-tuning', finetune.status],
    ['up', duration((status.nowMs - status.sinceMs) / 1000)],
    ['version', status.version],
  ];
  $('facts').replaceChildren(...facts.map(fact));
  $('facts').title = Object.entries(health.dropped)
    .map(([reason, n]) => `${reason}: ${n}`)
    .join('\n');
}
