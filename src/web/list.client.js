/**
 * The list of all streams, grouped by device. Only the rows in view are elements of the page, so ten thousand streams scroll
 * like ten. A listbox for screen readers: one tab stop, arrow keys move. Runs in the browser.
 */
import { attention, byAttention, byName } from './attention.client.js';
import { drawSpark } from './chart.client.js';
import { $, badge, breakable, el } from './dom.client.js';
import { format } from './format.client.js';

const ROW = 52;
const HEAD = 32;
/** Space between a group and a stream on its own. */
const GAP = 6;
/** Rows outside the view that are rendered too. */
const SPARE = 4;
const MOST_WATCHED = 48;

/** '': the stream is on its own. */
const deviceOf = ({ stream, device }) =>
  device === stream ? '' : (device ?? stream.slice(0, Math.max(0, stream.lastIndexOf('/'))));
const count = (n, one, many = `${one}s`) => `${n.toLocaleString()} ${n === 1 ? one : many}`;

const SORTS = {
  attention: byAttention,
  name: byName,
  lively: (a, b) => b.liveliness - a.liveliness || byName(a, b),
};

export class StreamList {
  /**
   * @param chosen called with a name
   * @param watching called when other rows are in view
   */
  constructor(chosen, watching) {
    this.chosen = chosen;
    this.watching = watching;
    this.streams = new Map();
    this.selected = null;
    /** Rows and group heads, top to bottom: { top, height, name? , head? }. */
    this.items = [];
    this.elements = new Map();
    this.box = $('list');
    this.sheet = el('div', { class: 'sheet', role: 'presentation' });
    this.box.append(this.sheet);
    this.box.addEventListener('scroll', () => this.schedule());
    this.box.addEventListener('keydown', (event) => this.key(event));
    this.box.addEventListener('click', (event) => {
      const row = event.target.closest('[data-name]');
      if (row) this.chosen(row.dataset.name, true);
    });
    new ResizeObserver(() => this.schedule()).observe(this.box);
    $('filter').addEventListener('input', () => this.layout());
    $('sort').addEventListener('change', () => this.layout());
  }

  /** @param streams name -> { summary, row } */
  set(streams) {
    this.streams = streams;
    this.layout();
  }

  /** Brings its row into view, unless it is selected already: the user may have scrolled elsewhere. */
  select(name) {
    const item = name === this.selected ? undefined : this.items.find((one) => one.name === name);
    this.selected = name;
    if (item) {
      const { scrollTop, clientHeight } = this.box;
      if (item.top < scrollTop) this.box.scrollTop = item.top - HEAD;
      else if (item.top + ROW > scrollTop + clientHeight) this.box.scrollTop = item.top + ROW - clientHeight;
    }
    this.draw();
  }

  /** Sorts, groups and filters; keeps the place. */
  layout() {
    const wanted = $('filter').value.trim().toLowerCase().split(/\s+/);
    const sort = SORTS[$('sort').value] ?? byAttention;
    const matching = [...this.streams.values()]
      .map(({ summary }) => summary)
      .filter(({ stream, unit }) => {
        const text = `${stream} ${unit ?? ''}`.toLowerCase();
        return wanted.every((word) => text.includes(word));
      })
      .sort(sort);
    const groups = new Map();
    for (const summary of matching) {
      const device = deviceOf(summary);
      const group = groups.get(device);
      if (group) group.push(summary);
      else groups.set(device, [summary]);
    }
    this.items = [];
    let top = 0;
    let position = 0;
    for (const [device, members] of groups) {
      const headed = members.length > 1 && device !== '';
      const isApart = !headed && this.items.at(-1)?.group;
      if (isApart) top += GAP;
      if (headed) {
        this.items.push({ top, height: HEAD, head: `${device}`, members: members.length });
        top += HEAD;
      }
      for (const { stream } of members) {
        this.items.push({
          top,
          height: ROW,
          name: stream,
          group: headed ? device : '',
          isApart: isApart && stream === members[0].stream,
          position: ++position,
        });
        top += ROW;
      }
    }
    this.total = matching.length;
    this.sheet.style.height = `${top}px`;
    this.box.style.setProperty('--rows', `${top}px`);
    this.elements.clear();
    this.sheet.replaceChildren();
    this.counts(matching.length, groups);
    this.draw();
  }

  counts(shown, groups) {
    const all = this.streams.size;
    const waiting = [...groups.values()].flat().filter(({ kind }) => kind === null).length;
    const devices = [...groups.keys()].filter((device) => device !== '').length;
    const parts = [
      shown === all ? count(all, 'stream') : `${shown.toLocaleString()} of ${count(all, 'stream')}`,
      ...(devices > 1 ? [count(devices, 'device')] : []),
      ...(waiting > 0 ? [`${waiting.toLocaleString()} without a forecast yet`] : []),
    ];
    $('count').textContent = parts.join(', ');
    $('empty').hidden = all > 0;
    $('list-tools').hidden = all === 0;
    $('no-match').hidden = all === 0 || shown > 0;
    this.box.hidden = shown === 0;
  }

  schedule() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.draw();
    });
  }

  /** Makes the rows in view, and removes the others. */
  draw() {
    const { scrollTop, clientHeight } = this.box;
    const from = scrollTop - SPARE * ROW;
    const to = scrollTop + (clientHeight || 600) + SPARE * ROW;
    const inView = this.items.filter(({ top, height }) => top + height >= from && top <= to);
    const keep = new Set(inView);
    for (const [item, element] of this.elements)
      if (!keep.has(item)) {
        element.remove();
        this.elements.delete(item);
      }
    for (const item of inView) {
      let element = this.elements.get(item);
      if (!element) {
        element = item.head === undefined ? this.makeRow(item) : makeHead(item);
        element.style.transform = `translateY(${item.top}px)`;
        this.elements.set(item, element);
        this.sheet.append(element);
        if (item.name !== undefined) this.fill(item, element);
      }
      if (item.name !== undefined) element.setAttribute('aria-selected', String(item.name === this.selected));
    }
    const chosen = inView.find(({ name }) => name === this.selected);
    if (chosen) this.box.setAttribute('aria-activedescendant', this.elements.get(chosen).id);
    else this.box.removeAttribute('aria-activedescendant');
    const names = inView.flatMap(({ name }) => name ?? []).slice(0, MOST_WATCHED);
    if (names.join('\n') === this.watched) return;
    this.watched = names.join('\n');
    this.watching(names);
  }

  makeRow({ name, group, isApart, position }) {
    const label =
      group !== '' && name.startsWith(`${group}/`)
        ? name.slice(group.length + 1)
        : name.split('/').slice(-2).join('/');
    return el(
      'div',
      {
        class: `row${group === '' ? '' : ' grouped'}${isApart ? ' apart' : ''}`,
        role: 'option',
        id: `row-${position}`,
        'data-name': name,
        'aria-posinset': position,
        'aria-setsize': this.total,
        title: name,
      },
      el('canvas', { class: 'spark', 'aria-hidden': 'true' }),
      el(
        'span',
        { class: 'row-text' },
        el('span', { class: 'row-name' }, ...breakable(label)),
        el('span', { class: 'badges' }),
      ),
      el('span', { class: 'row-value' }),
    );
  }

  /** New figures of a stream. */
  update(name) {
    const item = this.items.find((one) => one.name === name);
    const element = item && this.elements.get(item);
    if (element) this.fill(item, element);
  }

  fill({ name }, element) {
    const { summary, row } = this.streams.get(name);
    const value = element.querySelector('.row-value');
    value.replaceChildren(format(row?.spark.findLast((one) => one !== null) ?? summary.value));
    if (summary.unit) value.append(el('small', {}, summary.unit));
    const badges = summary.kind === null ? [['waiting for readings', '', '']] : attention(summary).badges;
    element.querySelector('.badges').replaceChildren(...badges.slice(0, 2).map(badge));
    if (row) drawSpark(element.querySelector('canvas'), row);
  }

  key(event) {
    const names = this.items.flatMap(({ name }) => name ?? []);
    const now = names.indexOf(this.selected);
    const page = Math.max(1, Math.floor(this.box.clientHeight / ROW) - 1);
    const moves = { ArrowUp: now - 1, ArrowDown: now + 1, PageUp: now - page, PageDown: now + page };
    const to = { ...moves, Home: 0, End: names.length - 1 }[event.key];
    if (to === undefined || names.length === 0) return;
    event.preventDefault();
    this.chosen(names[Math.max(0, Math.min(names.length - 1, to))], false);
  }
}

function makeHead({ head, members }) {
  return el(
    'div',
    { class: 'group', role: 'presentation' },
    el('span', { class: 'group-name', title: head }, head),
    el('span', { class: 'count' }, String(members)),
  );
}
