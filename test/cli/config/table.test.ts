import { afterEach, expect, it, vi } from 'vitest';
import { LiveTable, terminal } from '../../../src/cli/config/table.ts';

afterEach(() => vi.unstubAllEnvs());

it.each([
  ['in colour', { TERM: 'xterm', NO_COLOR: '' }, true],
  ['without colour if NO_COLOR is set', { TERM: 'xterm', NO_COLOR: '1' }, false],
  ['without colour on a dumb terminal', { TERM: 'dumb', NO_COLOR: '' }, false],
])('draws the nodes of a push %s', (_how, environment, isColoured) => {
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  let text = '';
  const write = (part: string) => {
    text += part;
  };
  const state = { node: 'attic', version: 1, status: 'rejected' as const, code: null, reason: 'no' };
  new LiveTable({ ...terminal(write), isTTY: true }).update([state], 'push');
  expect(text).toContain('attic');
  expect(text.includes('\u001b[31m')).toBe(isColoured);
});
