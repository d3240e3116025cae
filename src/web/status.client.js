/** The head and the foot of the page: state of the connection, the broker, the model, and the agent's figures. */
import { duration, format } from './format.client.js';

const $ = (id) => document.getElementById(id);

export function pill(id, tone, text, title = text) {
  const element = $(id);
  element.className = `pill ${tone}`;
  element.title = title;
  element.querySelector('span').textContent = text;
}

const size = (bytes) => (bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

function fact([term, text]) {
  const row = document.createElement('div');
  const name = document.createElement('dt');
  const value = document.createElement('dd');
  name.textContent = term;
  value.textContent = text;
  row.append(name, value);
  return row;
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
  $('notice').hidden = degraded === '';
  $('notice').textContent = `Degraded: ${degraded}`;
  const dropped = Object.values(health.dropped).reduce((sum, n) => sum + n, 0);
  const facts = [
    ['samples', `${format(rates.samples)} /s`],
    ['forecasts', `${format(rates.forecasts)} /s`],
    ['rejected', format(dropped)],
    ['memory', `${Math.round(health.rssMb)} MB`],
    ['cpu', `${format(health.cpuPct)} %`],
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
