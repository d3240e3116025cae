// The report in a real browser: nothing is fetched, nothing overflows, light and dark differ.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Grid, Played } from '../../../src/backtest/play.ts';
import { buildReport } from '../../../src/backtest/report/report.ts';
import { scoreSeries } from '../../../src/backtest/score.ts';
import { hasChromium, launchChromium } from '../../support/chromium.ts';
import { ordinary } from '../../support/series.ts';
import { tempDirs } from '../../support/temp.ts';

const HOUR = 3_600_000;
const temp = tempDirs();

interface Seen {
  readonly wide: number;
  readonly ground: string;
  readonly charts: readonly { readonly width: number; readonly height: number }[];
  readonly fans: number;
}
const LOOK = `({
  wide: document.documentElement.scrollWidth,
  ground: getComputedStyle(document.documentElement).backgroundColor,
  charts: [...document.querySelectorAll('svg[role=img]')].map((one) => {
    const { width, height } = one.getBoundingClientRect();
    return { width, height };
  }),
  fans: document.querySelectorAll('path.outer').length,
})`;

function reportFile(): string {
  const actual = ordinary(2, 24)(300);
  const name = `boiler/flow temperature of the ${'very '.repeat(12)}long name`;
  const grid: Grid = { name, startMs: Date.UTC(2024, 2, 1), intervalMs: HOUR, actual };
  const played = Array.from({ length: 20 }, (_, i): Played => {
    const quantiles = Float64Array.from({ length: 12 * 9 }, (_, at) => 20 + (at % 9) - 4);
    return { series: 0, origin: 150 + 5 * i, quantiles, kind: 'blend' };
  });
  const score = scoreSeries(grid, played, 12, 150);
  const run = { file: 'plant.csv', bucket: 200, seconds: 2, reason: 'saves 3 % of the loss' };
  const html = buildReport({
    files: ['plant.csv'],
    series: [{ grid, score, played, first: 150 }],
    horizon: 12,
    settings: [['model', 'base 1, int8']],
    kinds: { blend: 20 },
    refused: {},
    runs: [
      { ...run, promoted: true, timeMs: Date.UTC(2024, 2, 9) },
      { ...run, promoted: false, timeMs: Date.UTC(2024, 2, 10) },
    ],
    tuned: true,
  });
  const path = join(temp(), 'report.html');
  writeFileSync(path, html);
  return pathToFileURL(path).href;
}

describe.skipIf(!hasChromium)('the report in a browser', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchChromium();
  });
  afterAll(async () => {
    await browser?.close();
  });

  it('fetches nothing, fits a telephone and a screen, and follows the colour scheme', async () => {
    const url = reportFile();
    const grounds: string[] = [];
    for (const [colorScheme, width] of [
      ['light', 1240],
      ['dark', 390],
    ] as const) {
      const page = await browser.newPage({ colorScheme, viewport: { width, height: 900 } });
      const asked: string[] = [];
      const wrong: string[] = [];
      page.on('request', (request) => asked.push(request.url()));
      page.on('console', (message) => wrong.push(message.text()));
      page.on('pageerror', (error) => wrong.push(String(error)));
      await page.goto(url);
      expect(asked).toEqual([url]);
      expect(wrong).toEqual([]);
      const seen = await page.evaluate<Seen>(LOOK);
      expect(seen.wide).toBeLessThanOrEqual(width);
      grounds.push(seen.ground);
      // four over all, three fans and four of the series, one of fine-tuning
      expect(seen.charts).toHaveLength(12);
      for (const chart of seen.charts) {
        expect(chart.width).toBeGreaterThan(200);
        expect(chart.height).toBeGreaterThan(20);
      }
      expect(seen.fans).toBeGreaterThanOrEqual(3);
      await page.close();
    }
    expect(new Set(grounds).size).toBe(2);
  });
});
