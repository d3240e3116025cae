import { expect, test } from 'vitest';
import { startChild } from '../support/child.ts';

const MB = 2 ** 20;

async function youngSizes(...args: string[]): Promise<number[]> {
  const child = startChild(new URL('heap-child.ts', import.meta.url).pathname, args);
  await child.ended;
  return child.lines.map(Number);
}

test('the young generation is doubled once when the start is complete; that of a bridge grows further', async () => {
  expect(await youngSizes()).toEqual([2 * MB, 4 * MB, 4 * MB]);
  const bridge = await youngSizes('bridge');
  expect(bridge).toHaveLength(3);
  expect(bridge[2]).toBeGreaterThan(4 * MB);
});
