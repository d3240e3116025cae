/** The page in a real browser: streams listed, fans drawn, nothing fetched from elsewhere, hostile names harmless. */
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PageServer } from '../../src/web/server.ts';
import { fakeForecast } from '../support/forecasts.ts';
import { fillBoard, startPage } from '../support/page.ts';

const CHROMIUM = process.env.GATECAST_CHROMIUM ?? '/usr/bin/chromium';
const hostile = '<img src=x onerror="document.title=1">/"\'&';

describe.skipIf(!existsSync(CHROMIUM))('the page in Chromium', () => {
  let browser: Browser;
  let page: PageServer;
  let url: string;
  let board: Awaited<ReturnType<typeof startPage>>['board'];

  beforeAll(async () => {
    ({ page, url, board } = await startPage());
    fillBoard(board, [
      { name: 'vitals/cpu/percent', unit: '%', level: 30, swing: 12, periodS: 60 },
      { name: 'vitals/memory/used', unit: 'MB', level: 5200, swing: 90, periodS: 90 },
      { name: 'holes/cpu', unit: '%', level: 40, swing: 10, periodS: 45, holes: true },
    ]);
    board.announce(hostile, null);
    browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
    });
  });
  afterAll(async () => {
    await browser?.close();
    await page?.stop();
  });

  const open = async (options: Parameters<Browser['newPage']>[0] = {}, hash = '') => {
    const tab = await browser.newPage({ viewport: { width: 1280, height: 960 }, ...options });
    const problems: string[] = [];
    const requests: string[] = [];
    tab.on('pageerror', (error) => problems.push(String(error)));
    tab.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    tab.on('request', (request) => requests.push(request.url()));
    await tab.goto(url + hash);
    await tab.waitForSelector('.card:nth-child(4)');
    await expect.poll(() => tab.textContent('#focus-ahead')).not.toBe('–');
    return { tab, problems, requests };
  };

  /** Pixels of a canvas by what they are nearest to; proves that something of that colour was drawn. */
  const blueAndDark = `(() => {
    const canvas = document.querySelector('#focus-chart');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let blue = 0, dark = 0, orange = 0;
    for (let i = 0; i < data.length; i += 4) {
      const [r, g, b, a] = data.subarray(i, i + 4);
      if (a > 20 && b > r + 60) blue++;
      if (a > 200 && r < 60 && g < 60 && b < 80) dark++;
      if (a > 120 && r > b + 120 && r > g + 60) orange++;
    }
    return { blue, dark, orange };
  })()`;

  test('shows the streams with fans, marks the holes, and loads nothing from elsewhere', async () => {
    const { tab, problems, requests } = await open();
    expect(await tab.locator('.card-name').allTextContents()).toContain('vitals/memory/used');
    await tab.locator('.card').first().click();
    expect(await tab.locator('#focus-name').textContent()).toBe(hostile);
    expect(await tab.locator('#focus-ahead').textContent()).toBe('–');
    await tab.locator('.card', { hasText: 'holes/cpu' }).click();
    expect(await tab.locator('#focus-name').textContent()).toBe('holes/cpu');
    await tab.waitForTimeout(200);
    const drawn = (await tab.evaluate(blueAndDark)) as { blue: number; dark: number; orange: number };
    expect(drawn.blue).toBeGreaterThan(5000);
    expect(drawn.dark).toBeGreaterThan(300);
    expect(drawn.orange).toBeGreaterThan(50);
    expect(await tab.title()).toContain('gatecast');
    expect(await tab.locator('img').count()).toBe(0);
    expect(problems).toEqual([]);
    for (const request of requests) expect(request.startsWith(url) || request.startsWith('data:')).toBe(true);
    await tab.close();
  });

  test('what was found wrong is said in words, and a spike does not flatten the chart', async () => {
    const { tab } = await open();
    const stream = 'poked/one';
    for (let i = 0; i < 40; i++) {
      const spiky = i === 30 || i === 39;
      board.record(
        fakeForecast({
          stream,
          originMs: 1_700_000_000_000 + i * 1000,
          observed: spiky ? 1e6 : 20 + (i % 3),
          leads: 12,
          ...(spiky ? { marks: ['spike'], quality: 'filled' } : {}),
        }),
        Date.now(),
      );
    }
    const card = tab.locator('.card', { hasText: stream });
    await card.click();
    const badge = tab.locator('#focus-badges .badge', { hasText: 'spike' });
    await badge.waitFor();
    expect(await badge.getAttribute('title')).toMatch(/^spike: .*kept out of the forecast and of training$/);
    await tab.locator('#focus-chart').focus();
    for (let i = 0; i < 9; i++) await tab.keyboard.press('ArrowLeft');
    await expect.poll(() => tab.locator('#focus-tip').textContent()).toContain('kept out');
    await tab.waitForTimeout(200);
    const drawn = (await tab.evaluate(blueAndDark)) as { dark: number };
    // Had the scale taken the spikes in, the readings would lie in one row of pixels at the bottom.
    expect(drawn.dark).toBeGreaterThan(1500);
    board.forget(stream);
    await card.waitFor({ state: 'detached' });
    await tab.close();
  });

  test('an address that was cut off is no reason to show nothing', async () => {
    const { tab, problems } = await open({}, '#vitals%2Fcpu%2');
    expect(await tab.locator('.card').count()).toBe(4);
    expect(problems).toEqual([]);
    await tab.close();
  });

  test('a new forecast reaches the open page by itself', async () => {
    const { tab } = await open();
    board.record(fakeForecast({ stream: 'new/one', unit: 'bar', observed: 7.25, leads: 12 }), Date.now());
    const card = tab.locator('.card', { hasText: 'new/one' });
    await card.waitFor();
    await expect.poll(() => card.locator('.card-value').textContent()).toContain('7.25');
    board.record(
      fakeForecast({ stream: 'new/one', unit: 'bar', observed: 7.5, originMs: 1_700_000_001_000 }),
      Date.now(),
    );
    await expect.poll(() => card.locator('.card-value').textContent()).toContain('7.5');
    board.forget('new/one');
    await card.waitFor({ state: 'detached' });
    await tab.close();
  });

  test('the crosshair reads values with the mouse and with the keyboard', async () => {
    const { tab } = await open();
    await tab.locator('.card', { hasText: 'vitals/cpu/percent' }).click();
    const tip = tab.locator('#focus-tip');
    const box = (await tab.locator('#focus-chart').boundingBox())!;
    await tab.mouse.move(box.x + box.width * 0.95, box.y + box.height / 2);
    await tip.waitFor();
    expect(await tip.textContent()).toMatch(/%.*p10–p90/);
    await tab.mouse.move(box.x, box.y - 50);
    await tip.waitFor({ state: 'hidden' });
    await tab.locator('#focus-chart').focus();
    await tab.keyboard.press('ArrowRight');
    await tip.waitFor();
    expect(await tip.textContent()).toContain('in 1 s');
    await tab.close();
  });

  test('fits a phone in both colour schemes', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const { tab, problems } = await open({ viewport: { width: 375, height: 740 }, colorScheme });
      const overflow = await tab.evaluate(
        'document.documentElement.scrollWidth - document.documentElement.clientWidth',
      );
      expect(overflow).toBe(0);
      expect(problems).toEqual([]);
      await tab.close();
    }
  });
});
