/** The page in a real browser: its parts work, nothing is fetched from elsewhere, hostile names are harmless. */
import { describe, expect, test } from 'vitest';
import { type Extent, middle } from '../support/chart-pixels.ts';
import { hasChromium } from '../support/chromium.ts';
import { fakeForecast } from '../support/forecasts.ts';
import { drawnChart, HOSTILE, pageDuring, pageSuite, row, startRichPage } from '../support/page-browser.ts';

describe.skipIf(!hasChromium)('the page in Chromium', () => {
  const { small, chromium, open } = pageSuite();

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
      small.board.record(
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
  test('the chart shows readings, gap and fan at their values and times', async () => {
    const { tab } = await open();
    recordKnown('known/one');
    await row(tab, 'known/one').click();
    await expect.poll(() => tab.textContent('#stream-name')).toBe('known/one');
    const { ink, fan, median: line, filled } = await drawnChart(tab, 'known/one');
    small.board.forget('known/one');
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
      expect(Math.abs((at(fan, k)?.top ?? 0) - rowOf(median(k) + spread(k))), `p90 of ${k}`).toBeLessThan(5);
      expect(Math.abs((at(fan, k)?.bottom ?? 0) - rowOf(median(k) - spread(k))), `p10 of ${k}`).toBeLessThan(
        5,
      );
      const drawn = at(line, k);
      expect(drawn && Math.abs(middle(drawn) - rowOf(median(k))), `median of ${k}`).toBeLessThan(5);
    }
    expect(at(fan, LEADS + 1)).toBeNull();
    expect(at(fan, -4)).toBeNull();
    for (let bucket = -46; bucket <= -36; bucket++) {
      expect(at(ink, bucket), `no reading at ${bucket}`).toBeNull();
      const circle = at(filled, bucket);
      expect(circle && Math.abs(middle(circle) - rowOf(20)), `a circle at ${bucket}`).toBeLessThan(5);
    }
    expect(at(filled, -50)).toBeNull();
    expect(at(ink, -50)).not.toBeNull();
  });

  test('shows the streams, and loads nothing from elsewhere', async () => {
    const { tab, problems, requests } = await open();
    expect(await tab.locator('.row').count()).toBe(5);
    await tab.locator('.row', { hasText: '<img' }).click();
    expect(await tab.locator('#stream-name').textContent()).toBe(HOSTILE);
    expect(await tab.locator('#ahead').textContent()).toBe('–');
    await row(tab, 'holes/cpu').click();
    expect(await tab.locator('#stream-name').textContent()).toBe('holes/cpu');
    expect(await tab.title()).toContain('gatecast');
    expect(await tab.locator('img').count()).toBe(0);
    expect(problems).toEqual([]);
    for (const request of requests)
      expect(request.startsWith(small.url) || request.startsWith('data:')).toBe(true);
    await tab.close();
  });

  test('finds, sorts, groups and counts streams', async () => {
    const { tab } = await open();
    expect(await tab.textContent('#count')).toBe('5 streams, 4 devices, 1 without a forecast yet');
    expect(await tab.locator('.group-name').allTextContents()).toEqual(['vitals/cpu']);
    await tab.selectOption('#sort', 'name');
    expect((await tab.locator('.row').first().getAttribute('title')) ?? '').toBe(HOSTILE);
    await tab.fill('#filter', 'cpu %');
    expect(await tab.textContent('#count')).toBe('2 of 5 streams, 2 devices');
    await tab.fill('#filter', 'nothing like it');
    await tab.locator('#no-match').waitFor();
    await tab.fill('#filter', '');
    await tab.locator('#list').focus();
    for (let i = 0; i < 4; i++) await tab.keyboard.press('ArrowDown');
    await tab.keyboard.press('Home');
    expect(await tab.textContent('#stream-name')).toBe(HOSTILE);
    await tab.keyboard.press('ArrowDown');
    expect(await tab.textContent('#stream-name')).toBe('holes/cpu');
    expect(await tab.locator('.row[aria-selected="true"]').getAttribute('title')).toBe('holes/cpu');
    await tab.close();
  });

  test('an address of an unknown stream says that there is none, until it is announced', async () => {
    const { tab } = await open();
    const [missing, stream] = [tab.locator('#missing'), tab.locator('#stream')];
    await tab.goto(`${small.url}#/streams/late%2Fone`);
    await missing.getByText('There is no stream late/one.').waitFor();
    expect(await stream.isVisible()).toBe(false);
    expect(await tab.locator('.row').count()).toBe(5);
    await row(tab, 'holes/cpu').click();
    await stream.waitFor();
    expect(await missing.isVisible()).toBe(false);
    await tab.goto(`${small.url}#/stream/late%2Fone`);
    await missing.waitFor();
    small.board.announce('late/one', null);
    await expect.poll(() => tab.textContent('#stream-name')).toBe('late/one');
    expect(await missing.isVisible()).toBe(false);
    small.board.forget('late/one');
    await missing.waitFor();
    await tab.getByRole('link', { name: 'Streams', exact: true }).click();
    await stream.waitFor();
    expect(await tab.textContent('#stream-name')).not.toBe('late/one');
    await tab.close();
  });

  test('a list that was scrolled stays where it is when streams come and go', async () => {
    const { tab } = await open({ viewport: { width: 1280, height: 420 } });
    const list = tab.locator('#list');
    await row(tab, 'vitals/memory/used').click();
    const streams = Array.from({ length: 20 }, (_, i) => `scrolled/s${i}`);
    for (const name of streams) small.board.announce(name, null);
    await expect.poll(() => tab.textContent('#count')).toMatch(/^25 streams/);
    await list.evaluate('document.getElementById("list").scrollTop = 500');
    small.board.announce('scrolled/last', null);
    await expect.poll(() => tab.textContent('#count')).toMatch(/^26 streams/);
    expect(await list.evaluate('document.getElementById("list").scrollTop')).toBe(500);
    for (const name of [...streams, 'scrolled/last']) small.board.forget(name);
    await expect.poll(() => tab.textContent('#count')).toMatch(/^5 streams/);
    await tab.close();
  });

  test('a new forecast appears on the open page', async () => {
    const { tab } = await open();
    small.board.record(
      fakeForecast({ stream: 'new/one', unit: 'bar', observed: 7.25, leads: 12 }),
      Date.now(),
    );
    await row(tab, 'new/one').waitFor();
    await expect.poll(() => row(tab, 'new/one').locator('.row-value').textContent()).toContain('7.25');
    small.board.record(
      fakeForecast({ stream: 'new/one', unit: 'bar', observed: 7.5, originMs: 1_700_000_001_000 }),
      Date.now(),
    );
    await expect.poll(() => row(tab, 'new/one').locator('.row-value').textContent()).toContain('7.5');
    small.board.forget('new/one');
    await row(tab, 'new/one').waitFor({ state: 'detached' });
    await tab.close();
  });

  test('the cursor reads values with the pointer and with the keyboard', async () => {
    const { tab } = await open();
    await row(tab, 'vitals/cpu/percent').click();
    const tip = tab.locator('#tip');
    await drawnChart(tab, 'vitals/cpu/percent');
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
    await expect.poll(() => tab.locator('#value-rows tr').count()).toBe(60);
    await tab.close();
  });

  describe('with ten days behind it', () => {
    const rich = pageDuring(startRichPage);

    test('every tab opens its view with its content', async () => {
      const { tab, problems } = await open({}, { at: rich.url });
      const view = tab.locator('#view');
      await tab.getByRole('link', { name: /^Alerts/ }).click();
      await view.getByText('1 of 7 streams are silent: memory').waitFor();
      expect(await tab.locator('#streams').isVisible()).toBe(false);
      expect(await view.locator('tbody tr').count()).toBe(2);
      await tab.getByRole('link', { name: 'Model' }).click();
      await view.getByText('better by 5.0 % on the holdout').waitFor();
      expect(await view.textContent()).toMatch(
        /tuned-7.*Not used for training: memory.*weights\.safetensors is damaged/,
      );
      expect(await view.textContent()).toContain('every day at 03:17');
      expect(await view.textContent()).toMatch(
        /until .*: live loss is 0\.94 times the better naive's on 6 streams/,
      );
      expect(await view.textContent()).toContain(
        '0.3 % worse, p = 0.61, 96 forecasts compared, 2 streams worse',
      );
      expect(await view.getByText('Fine-tuning in progress').count()).toBe(0);
      expect(await view.getByRole('button').count()).toBe(0);
      expect(await view.textContent()).toContain('Log in to start a fine-tuning');
      await tab.getByRole('link', { name: 'Config' }).click();
      const keys = view.locator('tbody tr');
      await expect.poll(() => keys.count()).toBe(4);
      expect(await keys.nth(2).textContent()).toBe('streams.pumps.horizon48hnode');
      expect(await view.locator('.notice.bad').textContent()).toMatch(
        /^Push 4 to this gateway was refused on .*\.streams\.pumps\.horizon: must be at least one interval \(5m\)$/,
      );
      await view.getByLabel('include defaults').check();
      await expect.poll(() => keys.count()).toBe(5);
      await view.getByLabel('Find a key').fill('mqtt');
      await expect.poll(() => keys.allTextContents()).toEqual(['mqtt.urlmqtts://broker.lan:8883file']);
      await tab.getByRole('link', { name: 'Streams', exact: true }).click();
      await tab.locator('#stream').waitFor();
      expect(await view.isVisible()).toBe(false);
      expect(await tab.locator('.tabs [aria-current]').textContent()).toBe('Streams');
      expect(problems).toEqual([]);
      await tab.close();
    });

    test('from another machine the page is hidden before the login and shown after it', async () => {
      const context = await chromium.browser.newContext({
        extraHTTPHeaders: { 'X-Forwarded-For': '192.0.2.7' },
      });
      const tab = await context.newPage();
      await tab.goto(rich.url);
      await tab.locator('#login[open]').waitFor();
      expect(await tab.locator('.row').count()).toBe(0);
      await tab.fill('#token', 'a-token-of-some-length');
      await tab.keyboard.press('Enter');
      await tab.locator('.row').first().waitFor();
      await expect.poll(() => tab.textContent('#pill-live')).toContain('live');
      await expect.poll(() => tab.textContent('#ahead')).not.toBe('–');
      await context.close();
    });
  });
});
