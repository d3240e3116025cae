/** Tabs of Chromium with the page in them, and page servers with made-up streams. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect } from 'vitest';
import { GatecastError } from '../../src/errors.ts';
import type { PageServer } from '../../src/web/server.ts';
import type { TrainingView } from '../../src/web/views.ts';
import { type ChartPixels, chartPixels } from './chart-pixels.ts';
import { launchChromium } from './chromium.ts';
import { fakeStatus, fillBoard, openAccess, richViews, startPage } from './page.ts';

export type TabOptions = NonNullable<Parameters<Browser['newPage']>[0]>;

/** Opens the page and waits until it shows a forecast; collects its errors and what it fetches. */
export async function openTab(browser: Browser, address: string, options: TabOptions = {}) {
  const tab = await browser.newPage({ viewport: { width: 1280, height: 960 }, ...options });
  const problems: string[] = [];
  const requests: string[] = [];
  tab.on('pageerror', (error) => problems.push(String(error)));
  tab.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  tab.on('request', (request) => requests.push(request.url()));
  await tab.goto(address);
  await tab.waitForSelector('.row');
  await expect.poll(() => tab.textContent('#ahead')).not.toBe('–');
  return { tab, problems, requests };
}

export const row = (tab: Page, name: string) => tab.locator(`.row[title="${name}"]`);

/** The chart of a stream whose readings stand still, once it is drawn: two looks, some frames apart, see the same. */
export async function drawnChart(tab: Page, stream: string): Promise<ChartPixels> {
  await expect.poll(() => tab.getAttribute('#chart', 'aria-label')).toMatch(new RegExp(`^${stream}: now`));
  let last = '';
  let pixels: ChartPixels | undefined;
  const isSettled = async (): Promise<boolean> => {
    pixels = await chartPixels(tab, '#chart canvas');
    const text = JSON.stringify(pixels);
    const isSame = text === last;
    last = text;
    return isSame && pixels.ink.some((column) => column !== null);
  };
  await expect.poll(isSettled, { interval: 100 }).toBe(true);
  return pixels as ChartPixels;
}

/** A name that would run a script on a page that shows it as HTML. */
export const HOSTILE = '<img src=x onerror="document.title=1">/"\'&';

/** A page with four streams that have forecasts, and a stream without any. */
export async function startSmallPage() {
  const started = await startPage();
  fillBoard(started.board, [
    { name: 'vitals/cpu/percent', unit: '%', level: 30, swing: 12, periodS: 60 },
    { name: 'vitals/cpu/load', unit: null, level: 3, swing: 0.1, periodS: 60 },
    { name: 'vitals/memory/used', unit: 'MB', level: 5200, swing: 90, periodS: 90 },
    { name: 'holes/cpu', unit: '%', level: 40, swing: 10, periodS: 45, holes: true },
  ]);
  started.board.announce(HOSTILE, null);
  return started;
}

/** A page with ten days behind it, and actions for those who log in with `a-token-of-some-length`. */
export async function startRichPage() {
  const state = {
    /** What was asked of the agent. */
    acted: [] as unknown[],
    training: null as TrainingView | null,
    /** Whether there are enough buckets for a fine-tuning. */
    hasEnough: false,
  };
  const views = richViews();
  const started = await startPage({
    views: {
      ...views,
      model: () => ({ ...views.model(), training: state.training }),
      history: async (stream, span) => {
        state.acted.push(['history', stream, span.toMs - span.fromMs]);
        return views.history(stream, span);
      },
    },
    access: openAccess({ token: () => 'a-token-of-some-length' }),
    actions: ['finetune', 'rollback-model', 'reset-stream', 'forget-stream', 'reload', 'backup'],
    act: async (verb, ask) => {
      state.acted.push([verb, ask.stream]);
      if (verb === 'finetune' && state.hasEnough) return { status: 'started', reason: '' };
      if (verb === 'finetune')
        throw new GatecastError('NOT_ENOUGH_DATA', 'Fine-tuning cannot begin: too few buckets.', {
          hint: 'Wait a day.',
        });
      return { model: 'base' };
    },
    status: () =>
      fakeStatus({ alerts: 1, waiting: { reason: 'away', untilMs: Date.now() + 600_000 }, site: 'plant' }),
  });
  fillBoard(
    started.board,
    [
      { name: 'cellar/pump/power', unit: 'W', level: 300, swing: 280, periodS: 60 },
      { name: 'cellar/pump/flow', unit: 'l/min', level: 30, swing: 3, periodS: 60 },
    ],
    200,
  );
  return { ...started, state };
}

/** Call in a `describe`: the page runs during its tests. The members of the result are there from then on. */
export function pageDuring<T extends { readonly page: PageServer }>(start: () => Promise<T>): T {
  const started: Partial<T> = {};
  beforeAll(async () => void Object.assign(started, await start()));
  afterAll(() => started.page?.stop());
  return started as T;
}

/** The same with Chromium. `open` shows the small page in a tab. */
export function pageSuite() {
  const small = pageDuring(startSmallPage);
  const chromium = {} as { browser: Browser };
  beforeAll(async () => {
    chromium.browser = await launchChromium();
  });
  afterAll(() => chromium.browser?.close());
  const open = (options: TabOptions = {}, { at = small.url, hash = '' } = {}) =>
    openTab(chromium.browser, at + hash, options);
  return { small, chromium, open };
}
