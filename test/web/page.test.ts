/** The page in a real browser: streams listed, fans drawn, nothing fetched from elsewhere, hostile names harmless. */
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PageServer } from '../../src/web/server.ts';
import { chartPixels, type Extent, middle } from '../support/chart-pixels.ts';
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

  /** Readings go up and down between 10 and 30, with a hole where 20 was expected; then a fan opens and rises. */
  const LEADS = 60;
  const TROUGHS = [-114, -90, -66, -18];
  const PEAKS = [-102, -78, -54, -30, -6];
  const triangle = (bucket: number) => 10 + (5 / 3) * Math.abs(((bucket + 246) % 24) - 12);
  const inHole = (bucket: number) => bucket >= -46 && bucket <= -36;
  const median = (k: number) => 20 + k / 6;
  const spread = (k: number) => 2 + k / 10;
  const recordKnown = (stream: string) => {
    for (let bucket = -149; bucket <= 0; bucket++)
      board.record(
        fakeForecast({
          stream,
          originMs: 1_700_000_000_000 + bucket * 1000,
          leads: LEADS,
          seq: 150 + bucket,
          observed: inHole(bucket) ? null : triangle(bucket),
          expected: { low: 19, p50: 20, high: 21 },
          median,
          spread,
        }),
        Date.now(),
      );
  };

  test('the chart shows readings, hole and fan where their values and times belong', async () => {
    const { tab } = await open();
    recordKnown('known/one');
    await tab.locator('.card', { hasText: 'known/one' }).click();
    await expect.poll(() => tab.textContent('#focus-name')).toBe('known/one');
    await tab.waitForTimeout(200);
    const { ink, fan, median: line, filled } = await chartPixels(tab, '#focus-chart');
    board.forget('known/one');
    await tab.locator('.card', { hasText: 'known/one' }).waitFor({ state: 'detached' });
    await tab.close();

    const lowest = Math.max(...ink.map((column) => column?.bottom ?? 0));
    const highest = Math.min(...ink.map((column) => column?.top ?? Infinity));
    /** The columns of the turning points. */
    const turns = (near: (column: Extent) => boolean): number[] => {
      const groups: number[][] = [];
      for (const [x, column] of ink.entries())
        if (column !== null && near(column)) {
          const group = groups.at(-1);
          if (group && x - (group.at(-1) ?? 0) < 8) group.push(x);
          else groups.push([x]);
        }
      return groups.map((group) => ((group[0] ?? 0) + (group.at(-1) ?? 0)) / 2);
    };
    const troughs = turns(({ bottom }) => bottom > lowest - 3);
    const peaks = turns(({ top }) => top < highest + 3);
    const [first = 0, last = 0] = [troughs[0], troughs.at(-1)];
    const columnOf = (bucket: number) => first + ((bucket + 114) / 96) * (last - first);
    const shifts = (found: number[], buckets: number[]) =>
      found.map((x, i) => Math.abs(x - columnOf(buckets[i] ?? NaN)));
    expect(shifts(troughs, TROUGHS)).toEqual(
      TROUGHS.map(() => expect.toSatisfy((shift: number) => shift < 2)),
    );
    expect(shifts(peaks, PEAKS)).toEqual(PEAKS.map(() => expect.toSatisfy((shift: number) => shift < 2)));

    // Half a line's width beyond the values at both ends.
    const rowOf = (value: number) => lowest - 1 - ((value - 10) / 20) * (lowest - highest - 2);
    const at = <T>(columns: readonly T[], bucket: number): T => columns[Math.round(columnOf(bucket))] as T;
    for (const k of [10, 25, 40, 58]) {
      expect(Math.abs((at(fan, k)?.top ?? 0) - rowOf(median(k) + spread(k))), `p90 of ${k}`).toBeLessThan(4);
      expect(Math.abs((at(fan, k)?.bottom ?? 0) - rowOf(median(k) - spread(k))), `p10 of ${k}`).toBeLessThan(
        4,
      );
      const drawn = at(line, k);
      expect(drawn && Math.abs(middle(drawn) - rowOf(median(k))), `median of ${k}`).toBeLessThan(4);
    }
    expect(at(fan, LEADS + 1)).toBeNull();
    expect(at(fan, -4)).toBeNull();
    for (let bucket = -46; bucket <= -36; bucket++) {
      expect(at(ink, bucket), `no reading at ${bucket}`).toBeNull();
      const circle = at(filled, bucket);
      expect(circle && Math.abs(middle(circle) - rowOf(20)), `a circle at ${bucket}`).toBeLessThan(4);
    }
    expect(at(filled, -50)).toBeNull();
    expect(at(ink, -50)).not.toBeNull();
  });

  test('shows the streams, and loads nothing from elsewhere', async () => {
    const { tab, problems, requests } = await open();
    expect(await tab.locator('.card-name').allTextContents()).toContain('vitals/memory/used');
    await tab.locator('.card').first().click();
    expect(await tab.locator('#focus-name').textContent()).toBe(hostile);
    expect(await tab.locator('#focus-ahead').textContent()).toBe('–');
    await tab.locator('.card', { hasText: 'holes/cpu' }).click();
    expect(await tab.locator('#focus-name').textContent()).toBe('holes/cpu');
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
    await tab.waitForTimeout(200);
    // Had the scale taken the spikes in, the readings, 20 to 22, would lie in one row of pixels at the bottom.
    const { ink, height } = await chartPixels(tab, '#focus-chart');
    const drawn = ink.filter((column) => column !== null);
    const top = Math.min(...drawn.map((column) => column.top));
    const bottom = Math.max(...drawn.map((column) => column.bottom));
    expect(bottom - top).toBeGreaterThan(height / 4);
    await tab.locator('#focus-chart').focus();
    for (let i = 0; i < 9; i++) await tab.keyboard.press('ArrowLeft');
    await expect.poll(() => tab.locator('#focus-tip').textContent()).toContain('kept out');
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
