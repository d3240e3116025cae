/** The views of alerts, model, config and site. Each fetches its own data. Runs in the browser. */
import { actionButton, get, session } from './api.client.js';
import { attention, byAttention } from './attention.client.js';
import { $, badge, breakable, el, table, withCode } from './dom.client.js';
import {
  columnFormat,
  dateText,
  duration,
  evenFormat,
  format,
  percent,
  scheduleText,
  signedPercent,
} from './format.client.js';

const time = (ms) => (ms === null ? '–' : dateText(ms));
const section = (title, ...content) =>
  el('section', { class: 'card panel' }, el('h2', {}, title), ...content);
/** Most streams in the table of the alerts. */
const MOST_WATCHED = 100;
const note = (text) => el('p', { class: 'soft' }, ...withCode(text));

/** @param streams name -> { summary } */
export async function alertsView(streams) {
  const { alerts } = await get('alerts');
  const tone = ({ severity, untilMs }) => (untilMs !== null ? '' : severity === 'error' ? 'bad' : 'warn');
  const row = (alert) => [
    badge([alert.untilMs === null ? alert.severity : 'cleared', tone(alert), alert.id]),
    el(
      'span',
      { class: 'wide' },
      el('b', {}, alert.text),
      el('small', { class: 'soft' }, ...withCode(alert.meaning)),
    ),
    time(alert.sinceMs),
    time(alert.untilMs),
  ];
  const heads = ['state', 'alert', 'since', 'until'];
  const held = alerts.filter(({ untilMs }) => untilMs === null);
  const over = alerts.filter(({ untilMs }) => untilMs !== null);
  const watched = [...streams.values()]
    .map(({ summary }) => summary)
    .filter((summary) => attention(summary).rank > 0)
    .sort(byAttention);
  const streamRow = (summary) => [
    el('a', { href: `#/stream/${encodeURIComponent(summary.stream)}` }, ...breakable(summary.stream)),
    el('span', { class: 'badges' }, ...attention(summary).badges.map(badge)),
    `${format(summary.value)} ${summary.unit ?? ''}`,
    time(summary.observed_ms),
  ];
  return [
    section(
      'Alerts',
      held.length === 0
        ? note('There are no active alerts.')
        : table(
            'Active alerts',
            heads.slice(0, -1),
            held.map((alert) => row(alert).slice(0, -1)),
            { stacked: true },
          ),
    ),
    section(
      'Streams that need attention',
      watched.length === 0
        ? note('No stream has a threshold crossing ahead, a new anomaly, a mark or stale readings.')
        : table(
            'Streams that need attention',
            ['stream', 'why', 'now', 'last reading'],
            watched.slice(0, MOST_WATCHED).map(streamRow),
          ),
      watched.length > MOST_WATCHED
        ? note(
            `And ${(watched.length - MOST_WATCHED).toLocaleString()} more: the view Streams lists all of them first, sorted by priority.`,
          )
        : null,
    ),
    ...(over.length === 0
      ? []
      : [
          section(
            'Cleared since the start',
            table('Cleared alerts', heads, over.map(row), { stacked: true }),
          ),
        ]),
  ];
}

const PHASES = {
  reading: 'reading the history',
  features: 'computing the inputs',
  training: 'training the candidate',
  comparing: 'comparing the candidate with the model in use (gate)',
};
/** Interval for fetching the progress of a training, ms. */
const PROGRESS_MS = 2000;

const probationText = (probation) =>
  probation === null
    ? 'no'
    : `since ${time(probation.sinceMs)}, until ${time(probation.untilMs)}: ${probation.found}`;

/** The candidate in training. */
function trainingSection({ phase, done, step, maxSteps, ...training }) {
  const { startedMs, trigger, paused, loss, validation, best, leftMs } = training;
  const figure = evenFormat([loss, validation, best], 0.001);
  const facts = [
    ['state', paused === null ? PHASES[phase] : `paused: ${paused}`],
    ['started', `${time(startedMs)} (${trigger ?? '–'})`],
    ['step', step === null ? '–' : `${step.toLocaleString()} of at most ${maxSteps.toLocaleString()}`],
    ['loss', figure(loss)],
    ['loss on unseen data', validation === null ? '–' : `${figure(validation)}, best ${figure(best)}`],
    ['time left', leftMs === null ? '–' : `at most ${duration(leftMs / 1000)}`],
  ];
  const value = phase === 'features' || phase === 'training' ? String(done) : null;
  const bar = el('progress', { max: 1, value, 'aria-label': PHASES[phase] });
  return section('Fine-tuning in progress', bar, factList(facts));
}

const factList = (facts) =>
  el(
    'dl',
    { class: 'facts' },
    ...facts.map(([term, text]) =>
      el('div', { class: (text ?? '').length > 40 ? 'long' : null }, el('dt', {}, term), el('dd', {}, text)),
    ),
  );

/** Renews the progress of a training until it ends; then the whole view is shown again. */
function followed(shown) {
  setTimeout(async () => {
    const model = shown.isConnected ? await get('model').catch(() => null) : null;
    if (!shown.isConnected) return;
    if (model !== null && model.training === null) dispatchEvent(new Event('hashchange'));
    else if (model === null) followed(shown);
    else {
      const next = trainingSection(model.training);
      shown.replaceWith(next);
      followed(next);
    }
  }, PROGRESS_MS);
  return shown;
}

const STATUS_TONES = { promoted: 'good', confirmed: 'good', failed: 'bad', 'rolled-back': 'bad' };

export async function modelView() {
  const model = await get('model');
  const facts = [
    ['model in use', `${model.champion} ${model.version}`],
    ['trained', model.trainedAt === null ? '–' : time(Date.parse(model.trainedAt))],
    ['previous model', model.previous ?? 'none'],
    ['probation', probationText(model.probation)],
    ['schedule', scheduleText(model.schedule)],
    ['next run', model.waitsFor === '' ? 'as soon as it is due' : model.waitsFor],
  ];
  const gainText = (gain) =>
    gain === null ? 'not finite' : `${(100 * Math.abs(gain)).toFixed(1)} % ${gain < 0 ? 'worse' : 'better'}`;
  const gate = ({ gate: found }) =>
    found === null
      ? '–'
      : `${gainText(found.gain)}, p = ${found.pValue.toFixed(2)}, ${found.origins} forecasts compared, ${found.harmed} streams worse`;
  const loss = evenFormat(
    model.runs.flatMap(({ losses }) => Object.values(losses ?? {})),
    0.001,
  );
  const run = (one) => [
    time(one.startedMs),
    badge([one.status, STATUS_TONES[one.status] ?? '', one.status]),
    el('span', { class: 'wide' }, one.reason || '–', ...leftOut(one)),
    one.trigger ?? '–',
    one.seconds === null ? '–' : duration(one.seconds),
    one.streams === null ? '–' : String(one.streams),
    el('span', { class: 'wide' }, gate(one)),
    loss(one.losses?.candidate),
    loss(one.losses?.champion),
    loss(one.losses?.seasonal),
    loss(one.losses?.naive),
  ];
  const buttons = [
    actionButton('finetune', 'Fine-tune now'),
    model.previous === null
      ? null
      : actionButton(
          'rollback-model',
          `Roll back to ${model.previous}`,
          {},
          `Return to the model ${model.previous}?`,
        ),
    actionButton('backup', 'Write a backup'),
  ];
  return [
    section('Model', factList(facts), el('p', { class: 'buttons' }, ...buttons), ...loginHint()),
    ...(model.training === null ? [] : [followed(trainingSection(model.training))]),
    section(
      'Fine-tuning runs',
      ...(model.runs.length === 0
        ? [note('No run has ended on this gateway yet.')]
        : [
            table(
              'Fine-tuning runs',
              [
                'started',
                'result',
                'reason',
                'trigger',
                'training',
                'streams',
                'gate',
                'candidate',
                'in use',
                'seasonal',
                'naive',
              ],
              model.runs.map(run),
              { stacked: true },
            ),
            note(
              'Candidate, in use, seasonal and naive: losses on readings that were held out from the training, divided by the loss of the naive forecast; lower is better. Gate: how much better the candidate is than the model in use, the probability p that this is chance, the number of forecasts compared, and the number of streams that are at least 10 % worse.',
            ),
          ]),
    ),
    section(
      'Models on this gateway',
      table(
        'Models on this gateway',
        ['name', 'version', 'network', 'from', 'state'],
        model.models.map((one) => [
          one.name,
          one.version ?? '–',
          one.cell === null || one.hidden === null ? '–' : `${one.cell}, ${one.hidden} units`,
          one.source === 'shipped' ? 'shipped' : 'this gateway',
          one.problem ?? (one.name === model.champion ? 'in use' : 'ready'),
        ]),
        { stacked: true },
      ),
    ),
  ];
}

const leftOut = ({ leftOut: streams }) =>
  streams.length === 0
    ? []
    : [
        el(
          'small',
          { class: 'soft' },
          `Not used for training: ${streams.map(({ stream, problem }) => `${stream} (${problem})`).join(', ')}`,
        ),
      ];

const loginHint = () =>
  session.user !== null
    ? []
    : [
        note(
          session.login === null
            ? 'Actions are off. They need a login: set `http.token_file` or `http.user_header` in the config.'
            : 'Log in to start a fine-tuning or to roll back.',
        ),
      ];

const PUSH_RESULTS = {
  rejected: ['was refused', 'bad'],
  rolled_back: ['was rolled back', 'bad'],
  probation: ['is on probation', ''],
  applying: ['is being applied', ''],
};

/** What became of the newest push, unless it is simply in use. */
function pushNotice(push) {
  const [result, tone] = PUSH_RESULTS[push?.status] ?? [];
  if (result === undefined) return [];
  const which = push.version === null ? 'A push' : `Push ${push.version}`;
  const to = push.layer === 'node' ? 'to this gateway' : `to ${push.layer}`;
  const problems = push.problems.map((problem) => el('li', {}, problem));
  return [
    el(
      'div',
      { class: `notice ${tone}` },
      `${which} ${to} ${result} on ${time(push.atMs)}.`,
      ...(problems.length === 0 ? [] : [el('ul', {}, ...problems)]),
    ),
  ];
}

/** Text in the search field of the config. */
let wanted = '';
let withDefaults = false;

export async function configView() {
  const { keys, hash, version, notice, push } = await get('config');
  const body = el('div', {});
  const show = () => {
    const words = wanted.toLowerCase().split(/\s+/);
    const shown = keys.filter(
      ({ path, origin }) =>
        (withDefaults || origin !== 'default') && words.every((word) => path.toLowerCase().includes(word)),
    );
    const text = (value) => (typeof value === 'string' ? value : JSON.stringify(value));
    body.replaceChildren(
      shown.length === 0
        ? note('No such key.')
        : table(
            'Keys of the config',
            ['key', 'value', 'from'],
            shown.map(({ path, value, origin }) => [
              el('code', {}, path),
              el('code', { class: 'wide' }, text(value)),
              badge([origin, origin === 'default' ? '' : origin === 'file' ? 'accent' : 'warn', origin]),
            ]),
            { stacked: true },
          ),
    );
  };
  const search = el('input', {
    type: 'search',
    placeholder: 'Find a key',
    'aria-label': 'Find a key',
    value: wanted,
    oninput: (event) => {
      wanted = event.target.value.trim();
      show();
    },
  });
  const all = el('input', {
    type: 'checkbox',
    checked: withDefaults,
    onchange: (event) => {
      withDefaults = event.target.checked;
      show();
    },
  });
  show();
  return [
    section(
      'Config',
      note(
        `${version === null ? 'Nothing was pushed to this gateway' : `The pushed config ${version} is in use`}; hash ${hash.slice(0, 12)}. A key comes from its default, the local file, a fleet group, or a push to this gateway (node).`,
      ),
      ...(notice === null ? [] : [el('p', { class: 'notice' }, notice)]),
      ...pushNotice(push),
      el(
        'p',
        { class: 'buttons' },
        search,
        el('label', {}, all, ' include defaults'),
        actionButton('reload', 'Reload the file'),
      ),
      body,
    ),
  ];
}

export async function siteView() {
  const view = await get('site');
  if (view === null) return [section('Site', note('This agent is not a member of a site.'))];
  const { site, member, members, partitions } = view;
  const number = (value) => (value === null ? '–' : value.toLocaleString());
  const streams = partitions.reduce((sum, one) => sum + (one.streams ?? 0), 0);
  const unowned = partitions.filter(({ owner }) => owner === null).length;
  const memberRow = (one) => [
    one.member === member ? el('b', {}, one.member) : one.member,
    one.role,
    badge(one.draining ? ['draining', 'warn', 'draining'] : ['up', 'good', 'up']),
    number(one.partitions),
    number(one.streams),
    number(one.lag),
    one.model || '–',
    one.version,
  ];
  const partitionRow = (one) => [
    String(one.partition),
    el(
      'span',
      one.fault === null ? {} : { class: 'wide' },
      one.owner ?? badge(['none', 'bad', 'none']),
      one.fault === null ? null : el('small', { class: 'problem' }, one.fault),
    ),
    number(one.epoch),
    number(one.streams),
    number(one.lag),
    number(one.model),
    one.checkpoint === null ? '–' : time(Date.parse(one.checkpoint)),
    number(one.sinceCheckpoint),
  ];
  return [
    section(
      `Site ${site}`,
      note(
        `${number(streams)} streams in ${partitions.length} partitions; ${unowned === 0 ? 'every partition has an owner' : `${unowned} without an owner`}.`,
      ),
      table(
        'Members of the site',
        ['member', 'role', 'state', 'partitions', 'streams', 'lag', 'model', 'version'],
        members.map(memberRow),
        { stacked: true },
      ),
    ),
    section(
      'Partitions',
      table(
        'Partitions of the site',
        ['partition', 'owner', 'epoch', 'streams', 'lag', 'model', 'checkpoint', 'messages since'],
        partitions.map(partitionRow),
        { stacked: true },
      ),
      note(
        'Lag: messages of the log that the owner has not read. Epoch: the number of owners so far. Messages since: those after the checkpoint.',
      ),
    ),
  ];
}

/** Scores by lead as a table. */
export function scoresTable(scores, stepS, unit) {
  const few = 20;
  const gain = (skill) => (skill === null ? '–' : signedPercent(skill));
  const error = columnFormat(scores.by_lead.filter(({ n }) => n >= few).map(({ mae }) => mae));
  const rows = scores.by_lead.map((one) =>
    one.n < few
      ? [duration(one.h * stepS), String(Math.round(one.n)), 'too few yet', '', '', '', '']
      : [
          duration(one.h * stepS),
          Math.round(one.n).toLocaleString(),
          error(one.mae),
          error(one.bias),
          percent(one.coverage),
          gain(one.skill_vs_naive),
          gain(one.skill_vs_seasonal),
        ],
  );
  const heads = [
    'ahead',
    'scored',
    `error${unit ? `, ${unit}` : ''}`,
    'bias',
    'coverage',
    'vs naive',
    'vs seasonal',
  ];
  return rows.length === 0
    ? note('No forecast has been scored yet.')
    : table('Scores by lead', heads, rows, { minor: [1, 3] });
}

export function showView(elements) {
  $('view').replaceChildren(...elements);
}
