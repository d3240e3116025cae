/** The hand-written part of docs/dirty-data.md is written in its generator, which runs rarely. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { dirtyDocument } from './dirty-document.ts';

test('docs/dirty-data.md begins as its generator writes it', () => {
  const beforeResults = (text: string): string =>
    text.slice(0, text.indexOf('## Live and backtest compared'));
  const written = readFileSync(new URL('../../docs/dirty-data.md', import.meta.url), 'utf8');
  const generated = beforeResults(dirtyDocument([], [], { most: Number.POSITIVE_INFINITY, horizon: 4 }));
  expect(generated).toContain('## Payloads that are repaired');
  expect(beforeResults(written)).toBe(generated);
});
