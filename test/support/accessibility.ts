/**
 * Rules of WCAG 2.2 AA that a program can check, held against what a browser shows: names (4.1.2, 1.1.1), unique ids, order of headings
 * (1.3.1), contrast of text (1.4.3), and with the Tab key alone that each control is reached once, is in view and shows its focus (2.1.1,
 * 2.4.3, 2.4.7, 2.4.11).
 */
import type { Page } from 'playwright-core';

/** Runs in the page. @returns one line for each broken rule */
const CHECKS = `(() => {
  const problems = [];
  const shown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const hidden = (element) => element.closest('[aria-hidden="true"], .hidden') !== null;
  const all = [...document.body.querySelectorAll('*')].filter((element) => shown(element) && !hidden(element));
  const where = (element) => element.tagName.toLowerCase() + (element.id ? '#' + element.id : '') + ' ' + (element.textContent ?? '').trim().slice(0, 30);
  const labelled = (element) =>
    element.getAttribute('aria-label') || element.getAttribute('title') || element.textContent.trim() ||
    [...(element.labels ?? [])].map((label) => label.textContent.trim()).join('') ||
    document.getElementById(element.getAttribute('aria-labelledby') ?? '')?.textContent.trim();
  for (const element of all)
    if (element.matches('a[href], button, input, select, textarea, [tabindex="0"], [role="img"], canvas') && !labelled(element) && !labelled(element.closest('[role="img"], [role="application"]') ?? element))
      problems.push('no name: ' + where(element));
  const ids = [...document.querySelectorAll('[id]')].map(({ id }) => id);
  for (const id of new Set(ids)) if (ids.indexOf(id) !== ids.lastIndexOf(id)) problems.push('the id ' + id + ' twice');
  for (const element of document.querySelectorAll('[aria-labelledby], [aria-controls], [aria-activedescendant], [aria-describedby]'))
    for (const name of ['aria-labelledby', 'aria-controls', 'aria-activedescendant', 'aria-describedby'])
      for (const id of (element.getAttribute(name) ?? '').split(' ').filter(Boolean))
        if (!ids.includes(id)) problems.push(name + ' names no element: ' + id);
  let level = 0;
  for (const heading of all.filter((element) => /^H[1-6]$/.test(element.tagName))) {
    const next = Number(heading.tagName[1]);
    if (next > level + 1) problems.push('heading of level ' + next + ' after ' + level + ': ' + where(heading));
    level = next;
  }
  for (const name of ['main', 'nav', 'header', 'h1'])
    if (document.querySelectorAll(name).length !== 1) problems.push('not one ' + name);
  if (!document.documentElement.lang || !document.title) problems.push('no language or title');
  const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (color) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map((at) => top[at] * top[3] + under[at] * (1 - top[3]));
  const behind = (element) => {
    if (element === null) return [255, 255, 255];
    const color = rgba(getComputedStyle(element).backgroundColor);
    return color[3] === 1 ? color.slice(0, 3) : over(color, behind(element.parentElement));
  };
  const luminance = (color) => {
    const [r, g, b] = color.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  for (const element of all) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== '');
    if (!own) continue;
    const style = getComputedStyle(element);
    const back = behind(element);
    const [one, two] = [luminance(over(rgba(style.color), back)), luminance(back)].sort((a, b) => b - a);
    const contrast = (one + 0.05) / (two + 0.05);
    const isLarge = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    if (contrast < (isLarge ? 3 : 4.5)) problems.push('contrast ' + contrast.toFixed(2) + ': ' + where(element));
  }
  return problems;
})()`;

/** Runs in the page. Null: the focus is on no element. */
const FOCUSED = `(() => {
  const element = document.activeElement;
  if (element === null || element === document.body) return null;
  const { top, bottom, left, right } = element.getBoundingClientRect();
  const style = getComputedStyle(element);
  const isMarked = (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== 'none';
  window.controls ??= new Map();
  if (!window.controls.has(element)) window.controls.set(element, window.controls.size);
  return {
    number: window.controls.get(element),
    what: element.tagName.toLowerCase() + (element.id ? '#' + element.id : '') + ' ' + (element.textContent ?? '').trim().slice(0, 30),
    isInView: bottom > 0 && top < innerHeight && right > 0 && left < innerWidth,
    isMarked,
  };
})()`;

interface Focused {
  readonly number: number;
  readonly what: string;
  readonly isInView: boolean;
  readonly isMarked: boolean;
}

const MOST_CONTROLS = 200;

/** @returns broken rules, and the controls in the order of the Tab key */
export async function accessibility(tab: Page): Promise<{ problems: string[]; order: string[] }> {
  const problems = (await tab.evaluate(CHECKS)) as string[];
  const order: string[] = [];
  await tab.evaluate('document.activeElement?.blur(), scrollTo(0, 0), (window.controls = undefined)');
  for (let at = 0; at < MOST_CONTROLS; at++) {
    await tab.keyboard.press('Tab');
    const focused = (await tab.evaluate(FOCUSED)) as Focused | null;
    // Past the last control the focus leaves the page, or begins again.
    if (focused === null || focused.number < order.length) break;
    order.push(focused.what);
    if (!focused.isInView) problems.push(`out of view with the focus: ${focused.what}`);
    if (!focused.isMarked) problems.push(`does not show the focus: ${focused.what}`);
  }
  return { problems, order };
}

export interface AxNode {
  readonly role: string;
  readonly name: string;
  /** `polite` or `assertive` if a screen reader announces its changes. */
  readonly live: string | null;
}

/** What a screen reader is given: the tree of accessible objects as Chromium computes it, without ignored ones. */
export async function accessibleObjects(page: Page): Promise<AxNode[]> {
  const session = await page.context().newCDPSession(page);
  const { nodes } = await session.send('Accessibility.getFullAXTree');
  await session.detach();
  return nodes
    .filter(({ ignored }) => !ignored)
    .map(({ role, name, properties = [] }) => ({
      role: String(role?.value ?? ''),
      name: String(name?.value ?? '').trim(),
      live: (properties.find((one) => one.name === 'live')?.value.value as string | undefined) ?? null,
    }));
}

/** Roles that need a name (WAI-ARIA 1.2: widgets, landmarks with a choice, figures and tables). */
const NAMED =
  /^(button|link|checkbox|combobox|searchbox|textbox|listbox|option|dialog|navigation|region|table|image|img|application|progressbar|ProgressIndicator|group|DisclosureTriangle|heading|columnheader)$/;

export const withoutName = (objects: readonly AxNode[]): AxNode[] =>
  objects.filter(({ role, name }) => NAMED.test(role) && name === '');
