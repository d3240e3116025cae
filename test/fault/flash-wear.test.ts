/** Row 26: flash wear. Sums what the store hands to the kernel, as seen from outside. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { canRun, startChild } from '../support/child.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();
const STRACE = canRun('strace', ['-e', 'trace=none', 'true'], 'summing written bytes');
const ROWS = 60_000;

describe.skipIf(!STRACE)('row 26: flash wear', () => {
  it('row 26: a sample costs less than 100 bytes, flushed every 500 samples (100 streams at 1 Hz, the default flush), without the saved states', async () => {
    const dir = join(temp(), 'data');
    const trace = join(temp(), 'trace');
    const strace = ['strace', '-f', '-qqq', '-y', '--seccomp-bpf', '-e', 'trace=pwrite64', '-o', trace];
    const child = startChild('test/fault/store-child.ts', [dir, String(ROWS), '500', 'crash'], strace);
    await child.ended;
    expect(child.lines.at(-1)).toBe('done');
    let bytes = 0;
    for (const [, path = '', written] of readFileSync(trace, 'latin1').matchAll(
      /pwrite64\(\d+<([^>]*)>.* = (\d+)$/gm,
    ))
      if (path.startsWith(dir) && !path.endsWith('-reserve')) bytes += Number(written);
    const perSample = bytes / ROWS;
    console.log(`row 26: ${perSample.toFixed(1)} bytes a sample`);
    expect(perSample).toBeGreaterThan(20);
    expect(perSample).toBeLessThan(100);
  });
});
