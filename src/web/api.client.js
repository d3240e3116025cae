/** Requests to the server, the login, and actions. Runs in the browser. */
import { $, el } from './dom.client.js';

/** @throws Error with a text for the reader */
export async function get(path) {
  const response = await fetch(`api/${path}`);
  if (response.status === 401) session.needed();
  const body = await response.json();
  if (!response.ok) throw new Error(body.error?.message ?? response.statusText);
  return body;
}

async function post(path, data) {
  const response = await fetch(`api/${path}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(data),
  });
  const body = await response.json();
  if (response.ok) return body;
  const { message, hint } = body.error ?? {};
  throw new Error([message ?? response.statusText, hint].filter(Boolean).join(' '));
}

/** The logged-in user and the allowed actions. */
export const session = {
  user: null,
  login: null,
  actions: [],
  /** Called after a login or logout. */
  changed: () => {},

  async load() {
    Object.assign(this, await (await fetch('api/session')).json());
    $('login-button').hidden = this.login !== 'token';
    $('login-button').textContent = this.user === null ? 'Log in' : 'Log out';
    this.changed();
  },

  /** Opens the login, because reading requires it. */
  needed() {
    if (this.login !== 'proxy' && !$('login').open) $('login').showModal();
  },

  may(verb) {
    return this.user !== null && this.actions.includes(verb);
  },
};

/** A button for an action; null without a login. @param sure text of a confirmation; null: none */
export function actionButton(verb, text, ask = {}, sure = null) {
  if (!session.may(verb)) return null;
  return el(
    'button',
    { type: 'button', class: sure ? 'danger' : '', onclick: () => run(verb, text, ask, sure) },
    text,
  );
}

async function run(verb, text, ask, sure) {
  if (sure !== null && !confirm(sure)) return;
  say(`${text} …`, '');
  try {
    const answer = await post(`actions/${verb}`, ask);
    const details = Object.entries(answer).filter(([, value]) => value !== '' && typeof value !== 'object');
    say(`${text}: ${details.map(([key, value]) => `${key} ${value}`).join(', ') || 'done'}.`, 'good');
  } catch (error) {
    say(`${text} was refused: ${error.message}`, 'bad');
  }
  session.changed();
}

function say(text, tone) {
  $('answer').className = `notice ${tone}`;
  $('answer').textContent = text;
  $('answer').hidden = false;
}

$('login-button').addEventListener('click', async () => {
  if (session.user === null) $('login').showModal();
  else {
    await post('logout', {});
    await session.load();
  }
});
$('login-cancel').addEventListener('click', () => $('login').close());
$('login-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  try {
    await post('login', { token: $('token').value });
    $('token').value = '';
    $('login-problem').textContent = '';
    $('login').close();
    await session.load();
  } catch (error) {
    $('login-problem').textContent = error.message;
  }
});
