/** Makes and fills elements. Text from outside only ever becomes textContent. Runs in the browser. */

export const $ = (id) => document.getElementById(id);

/** @param props attributes; `on...` are listeners, `class` and `data-...` as in HTML; null and false leave one out */
export function el(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A stream's name with places for line breaks: after separators and before capital letters. */
export const breakable = (name) =>
  // No lookbehind: a browser that does not know it would not load the page.
  name
    .replace(/[/_.:-]|[a-z0-9](?=[A-Z])/g, '$&\0')
    .split('\0')
    .flatMap((part, at) => (at > 0 ? [el('wbr'), part] : [part]));

/** Parts of a text; what stands between backticks is code. */
export const withCode = (text) =>
  text.split('`').map((part, at) => (at % 2 === 1 ? el('code', {}, part) : part));

/** A small label with a tone: accent, good, warn, bad or none. */
export const badge = ([text, tone, title]) => el('span', { class: `badge ${tone}`, title }, text);

/**
 * @param rows arrays of text or elements; the first cell of each is its header
 * @param stacked on a phone, the cells of a row are below each other
 * @param minor columns that a phone leaves out
 */
export function table(caption, heads, rows, { stacked = false, minor = [] } = {}) {
  const importance = (at) => (minor.includes(at) ? 'minor' : null);
  const cell = (content, at) =>
    at === 0
      ? el('th', { scope: 'row' }, content)
      : el('td', { class: importance(at), 'data-head': stacked ? heads[at] : null }, content);
  const head = (text, at) => el('th', { scope: 'col', class: importance(at) }, text);
  return el(
    'section',
    { class: 'table-frame', 'aria-label': caption },
    el(
      'table',
      { class: stacked ? 'stacked' : null },
      el('caption', { class: 'hidden' }, caption),
      el('thead', {}, el('tr', {}, ...heads.map(head))),
      el('tbody', {}, ...rows.map((row) => el('tr', {}, ...row.map(cell)))),
    ),
  );
}
