/** The page in a real browser: every view is opened and clicked, nothing is fetched from elsewhere, hostile names are harmless. */
import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';
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
      { name: 'vitals/cpu/load', unit: null, level: 3, swing: 0.1, periodS: 60 },
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

  const open = async (
    options: Parameters<Browser['newPage']>[0] = {},
    { at = url, hash = '' }: { at?: string; hash?: string } = {},
  ) => {
    const tab = await browser.newPage({ viewport: { width: 1280, height: 960 }, ...options });
    const problems: string[] = [];
    const requests: string[] = [];
    tab.on('pageerror', (error) => problems.push(String(error)));
    tab.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    tab.on('request', (request) => requests.push(request.url()));
    await tab.goto(at + hash);
    await tab.waitForSelector('.row');
    await expect.poll(() => tab.textContent('#ahead')).not.toBe('–');
    return { tab, problems, requests };
  };
  const row = (tab: Page, name: string) => tab.locator(`.row[title="${name}"]`);

  /** Labels of the value axis: uPlot draws them on its canvas, so they are caught on the way. */
  const axisLabels = async (name: string): Promise<string[]> => {
    const tab = await browser.newPage({ viewport: { width: 1280, height: 960 } });
    await tab.addInitScript(`
      window.drawn = [];
      const fill = CanvasRenderingContext2D.prototype.fillText;
      CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
        if (this.textAlign === 'right') window.drawn.push(text);
        return fill.call(this, text, ...rest);
      };`);
    await tab.goto(`${url}#/stream/${encodeURIComponent(name)}`);
    await expect.poll(() => tab.evaluate('window.drawn.length')).toBeGreaterThan(0);
    const labels = (await tab.evaluate('[...new Set(window.drawn)]')) as string[];
    await tab.close();
    return labels;
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
    await row(tab, 'known/one').click();
    await expect.poll(() => tab.textContent('#stream-name')).toBe('known/one');
    await tab.waitForTimeout(200);
    const { ink, fan, median: line, filled } = await chartPixels(tab, '#chart canvas');
    board.forget('known/one');
    await row(tab, 'known/one').waitFor({ state: 'detached' });
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
    expect(await tab.locator('.row').count()).toBe(5);
    await tab.locator('.row', { hasText: '<img' }).click();
    expect(await tab.locator('#stream-name').textContent()).toBe(hostile);
    expect(await tab.locator('#ahead').textContent()).toBe('–');
    await row(tab, 'holes/cpu').click();
    expect(await tab.locator('#stream-name').textContent()).toBe('holes/cpu');
    expect(await tab.title()).toContain('gatecast');
    expect(await tab.locator('img').count()).toBe(0);
    expect(problems).toEqual([]);
    for (const request of requests) expect(request.startsWith(url) || request.startsWith('data:')).toBe(true);
    await tab.close();
  });

  test('opens on a stream with a crossing, else an anomaly, else the liveliest', async () => {
    const { board: own, url: at, page: server } = await startPage();
    const opened = async () => {
      const { tab } = await open({}, { at });
      const name = await tab.textContent('#stream-name');
      await tab.close();
      return name;
    };
    const record = (stream: string, level: number, swing: number, crossing = 0) => {
      for (let i = 0; i < 20; i++)
        own.record(
          {
            ...fakeForecast({
              stream,
              originMs: 1_700_000_000_000 + i * 1000,
              observed: level + (i % 2) * swing,
            }),
            crossings:
              crossing > 0
                ? [{ name: 'empty', side: 'below', value: 5, atMs: 1_700_000_023_000, probability: crossing }]
                : [],
          },
          1_700_000_000_000 + i * 1000,
        );
    };
    record('a/constant', 20, 0);
    record('b/wavy', 20, 10);
    record('c/quiet', 20, 0.1);
    expect(await opened()).toBe('b/wavy');
    own.mark('c/quiet', { timeMs: 1_700_000_015_000, observed: 20, score: 5 });
    expect(await opened()).toBe('c/quiet');
    record('d/tank', 20, 0, 0.8);
    expect(await opened()).toBe('d/tank');
    const { tab } = await open({}, { at });
    expect(await row(tab, 'd/tank').locator('.badge').textContent()).toBe('empty in 4 s');
    await tab.close();
    await server.stop();
  });

  test('labels of the value axis differ, however small the range or large the values', async () => {
    const streams = [
      { name: 'axis/pressure', unit: 'hPa', level: 1013.25, swing: 0.004, periodS: 60 },
      { name: 'axis/energy', unit: 'Wh', level: 64_123_456, swing: 3, periodS: 60 },
      { name: 'axis/tiny', unit: 'A', level: 2e-6, swing: 1e-8, periodS: 60 },
      { name: 'axis/total', unit: 'B', level: 3.2e12, swing: 4e9, periodS: 60 },
      { name: 'axis/minus', unit: '°C', level: -18.5, swing: 0.02, periodS: 60 },
    ];
    fillBoard(board, streams);
    for (const { name } of streams) {
      const labels = await axisLabels(name);
      expect(labels.length, name).toBeGreaterThan(2);
      expect(new Set(labels).size, `${name}: ${labels}`).toBe(labels.length);
      for (const label of labels) expect(label.length, `${name}: ${label}`).toBeLessThan(14);
    }
    for (const { name } of streams) board.forget(name);
  });

  test('finds, sorts and groups streams, and counts them honestly', async () => {
    const { tab } = await open();
    expect(await tab.textContent('#count')).toBe('5 streams, 4 devices, 1 without a forecast yet');
    expect(await tab.locator('.group-name').allTextContents()).toEqual(['vitals/cpu']);
    await tab.selectOption('#sort', 'name');
    expect((await tab.locator('.row').first().getAttribute('title')) ?? '').toBe(hostile);
    await tab.fill('#filter', 'cpu %');
    expect(await tab.textContent('#count')).toBe('2 of 5 streams, 2 devices');
    await tab.fill('#filter', 'nothing like it');
    await tab.locator('#no-match').waitFor();
    await tab.fill('#filter', '');
    await tab.locator('#list').focus();
    for (let i = 0; i < 4; i++) await tab.keyboard.press('ArrowDown');
    await tab.keyboard.press('Home');
    expect(await tab.textContent('#stream-name')).toBe(hostile);
    await tab.keyboard.press('ArrowDown');
    expect(await tab.textContent('#stream-name')).toBe('holes/cpu');
    expect(await tab.locator('.row[aria-selected="true"]').getAttribute('title')).toBe('holes/cpu');
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
    await row(tab, stream).click();
    const badge = tab.locator('#stream-badges .badge', { hasText: 'spike' });
    await badge.waitFor();
    expect(await badge.getAttribute('title')).toMatch(/^spike: .*kept out of the forecast and of training$/);
    await tab.waitForTimeout(200);
    // Had the scale taken the spikes in, the readings, 20 to 22, would lie in one row of pixels at the bottom.
    const { ink, height } = await chartPixels(tab, '#chart canvas');
    const drawn = ink.filter((column) => column !== null);
    const top = Math.min(...drawn.map((column) => column.top));
    const bottom = Math.max(...drawn.map((column) => column.bottom));
    expect(bottom - top).toBeGreaterThan(height / 4);
    await tab.locator('#chart').focus();
    for (let i = 0; i < 9; i++) await tab.keyboard.press('ArrowLeft');
    await expect.poll(() => tab.locator('#tip').textContent()).toContain('kept out');
    board.forget(stream);
    await row(tab, stream).waitFor({ state: 'detached' });
    await tab.close();
  });

  test('an address that was cut off still shows the page', async () => {
    const { tab, problems } = await open({}, { hash: '#vitals%2Fcpu%2' });
    expect(await tab.locator('.row').count()).toBe(5);
    expect(problems).toEqual([]);
    await tab.close();
  });

  test('a new forecast reaches the open page by itself', async () => {
    const { tab } = await open();
    board.record(fakeForecast({ stream: 'new/one', unit: 'bar', observed: 7.25, leads: 12 }), Date.now());
    await row(tab, 'new/one').waitFor();
    await expect.poll(() => row(tab, 'new/one').locator('.row-value').textContent()).toContain('7.25');
    board.record(
      fakeForecast({ stream: 'new/one', unit: 'bar', observed: 7.5, originMs: 1_700_000_001_000 }),
      Date.now(),
    );
    await expect.poll(() => row(tab, 'new/one').locator('.row-value').textContent()).toContain('7.5');
    board.forget('new/one');
    await row(tab, 'new/one').waitFor({ state: 'detached' });
    await tab.close();
  });

  test('the cursor reads values with the pointer and with the keyboard', async () => {
    const { tab } = await open();
    await row(tab, 'vitals/cpu/percent').click();
    const tip = tab.locator('#tip');
    await tab.locator('#chart canvas').waitFor();
    await tab.waitForTimeout(200);
    const box = (await tab.locator('#chart').boundingBox())!;
    await tab.mouse.move(box.x + box.width * 0.95, box.y + box.height / 2);
    await tip.waitFor();
    expect(await tip.textContent()).toMatch(/%.*p10–p90/);
    await tab.mouse.move(box.x, box.y - 50);
    await tip.waitFor({ state: 'hidden' });
    await tab.locator('#chart').focus();
    await tab.keyboard.press('ArrowRight');
    await tip.waitFor();
    expect(await tip.textContent()).toContain('in 1 s');
    await tab.keyboard.press('ArrowLeft');
    await tab.keyboard.press('ArrowLeft');
    await expect.poll(() => tip.textContent()).toContain('expected');
    await tab.locator('#values summary').click();
    expect(await tab.locator('#value-rows tr').count()).toBe(60);
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

  test('1,000 streams: all are in the list, few are elements, and the first paint is as fast as with ten', async () => {
    const many = async (count: number) => {
      const { board: own, url: at, page: server } = await startPage();
      for (let i = 0; i < count; i++)
        own.record(fakeForecast({ stream: `plant/line${i % 40}/motor${i}`, leads: 24 }), Date.now());
      const paints: number[] = [];
      const listed: number[] = [];
      for (let visit = 0; visit < 3; visit++) {
        const { tab } = await open({}, { at });
        expect(await tab.textContent('#count')).toBe(
          `${count.toLocaleString('en')} streams, ${Math.min(count, 40)} devices`,
        );
        expect(await tab.locator('.row').count()).toBeLessThan(40);
        if (visit === 0) {
          await tab.locator('#list').focus();
          await tab.keyboard.press('End');
          await expect
            .poll(() => tab.locator('.row[aria-selected="true"]').getAttribute('aria-posinset'))
            .toBe(String(count));
        }
        paints.push(
          (await tab.evaluate(
            "performance.getEntriesByName('first-contentful-paint')[0].startTime",
          )) as number,
        );
        listed.push(
          (await tab.evaluate("performance.getEntriesByName('streams-shown')[0].startTime")) as number,
        );
        await tab.close();
      }
      await server.stop();
      return { paint: Math.min(...paints), listed: Math.min(...listed) };
    };
    const few = await many(10);
    const thousand = await many(1000);
    expect(thousand.paint).toBeLessThan(Math.max(100, 1.5 * few.paint));
    expect(thousand.listed).toBeLessThan(4 * few.listed);
  });
});
