/** Row 8: nothing grows over a million steps, nor with every change of the model. */
import { describe, expect, it } from 'vitest';
import { startChild } from '../support/child.ts';

const MB = 2 ** 20;

interface Line {
  readonly steps: number;
  readonly heap: number;
  readonly rss: number;
}

/** Slope of a least-squares line through the later half, bytes per step: buffers are filled, and code is compiled, before. */
function slope(lines: readonly Line[], of: (line: Line) => number): number {
  const later = lines.slice(lines.length / 2);
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const x = mean(later.map(({ steps }) => steps));
  const y = mean(later.map(of));
  const over = later.reduce((sum, line) => sum + (line.steps - x) * (of(line) - y), 0);
  return over / later.reduce((sum, { steps }) => sum + (steps - x) ** 2, 0);
}

async function run(...args: readonly number[]): Promise<Line[]> {
  const child = startChild('test/fault/leak-child.ts', args.map(String));
  expect(await child.ended, child.errors()).toEqual({ code: 0, signal: null });
  return child.lines.map((line) => JSON.parse(line) as Line);
}

describe('row 8: a leak', () => {
  it('row 8: does not show in 1,000,000 steps', async () => {
    const lines = await run(200, 5000, 250, Number.MAX_SAFE_INTEGER);
    expect(lines.at(-1)?.steps).toBe(1_000_000);
    // A million steps more would add less than these.
    expect(slope(lines, ({ heap }) => heap) * 1e6).toBeLessThan(2 * MB);
    expect(slope(lines, ({ rss }) => rss) * 1e6).toBeLessThan(16 * MB);
  });

  it('row 8: does not show in 50 changes of the model', async () => {
    const lines = await run(50, 500, 20, 5);
    expect(lines.length).toBe(25);
    // 100 changes in all; a model has 28,344 parameters and several sessions of some 100 kB each.
    expect(slope(lines, ({ heap }) => heap) * 25_000).toBeLessThan(2 * MB);
    expect(slope(lines, ({ rss }) => rss) * 25_000).toBeLessThan(16 * MB);
  });
});
