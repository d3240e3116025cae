import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { MARK_TEXTS, MASKED, markNames } from '../../src/series/quality.ts';

// The page has shorter texts of its own; the names and which of them mask a bucket are those of `series/quality.ts`.
test('the page knows every mark, and which marks mask a bucket', async () => {
  const source = readFileSync('src/web/marks.client.js', 'utf8');
  const page = (await import(`data:text/javascript,${encodeURIComponent(source)}`)) as {
    isMasked(point: readonly unknown[]): boolean;
    markText(name: string): string;
  };
  const masked = markNames(MASKED);
  for (const name of MARK_TEXTS.keys()) {
    expect(page.markText(name), name).toMatch(/: ./);
    expect(page.isMasked([0, 0, 0, 0, 0, [name]]), name).toBe(masked.includes(name));
  }
});
