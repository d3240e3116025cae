/** Row 8: nothing grows over a million steps, nor with every change of the model. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { startChild } from '../support/child.ts';

const MB = 2 ** 20;

interface Line {
  readonly steps: number;
  readonly heap: number;
  readonly rss: number;
}

/**
 * Growth in bytes per step through the later half, after buffers are filled and code is compiled: the median of the slopes
 * between all pairs of lines (Theil and Sen). A leak raises every line; the heap of V8 growing or shrinking once by some MB does
 * not count.
 */
function slope(lines: readonly Line[], of: (line: Line) => number): number {
  const later = lines.slice(lines.length / 2);
  const slopes = later.flatMap((a, at) =>
    later.slice(at + 1).map((b) => (of(b) - of(a)) / (b.steps - a.steps)),
  );
  return slopes.sort((a, b) => a - b)[Math.floor(slopes.length / 2)] ?? Number.NaN;
}

/** How the service is started: with one heap of malloc, which returns freed memory to the system. */
const environment = readFileSync('deploy/systemd/gatecast.service', 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('Environment=MALLOC_'))
  .flatMap((line) => line.slice('Environment='.length).split(' '));

async function run(...args: readonly number[]): Promise<Line[]> {
  const child = startChild('test/fault/leak-child.ts', args.map(String), ['env', ...environment]);
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

  it('row 8: does not show in 500 changes of the model', async () => {
    const lines = await run(50, 2000, 20, 4);
    expect(lines.length).toBe(100);
    // 100 changes more would add less than these; a model has 28,344 parameters and several sessions of some 100 kB each.
    const steps = 100 * 4 * 50;
    expect(slope(lines, ({ heap }) => heap) * steps).toBeLessThan(2 * MB);
    expect(slope(lines, ({ rss }) => rss) * steps).toBeLessThan(16 * MB);
  });
});
