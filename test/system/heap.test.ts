import { expect, test } from 'vitest';
import { startChild } from '../support/child.ts';

async function youngSizes(...args: string[]): Promise<number[]> {
  const child = startChild(new URL('heap-child.ts', import.meta.url).pathname, args);
  await child.ended;
  return child.lines.map(Number);
}

test('the young generation is doubled once when the start is complete; that of a bridge grows further', async () => {
  const [first = 0, complete, afterwards] = await youngSizes();
  expect(first).toBeGreaterThan(0);
  expect([complete, afterwards]).toEqual([2 * first, 2 * first]);
  const bridge = await youngSizes('bridge');
  expect(bridge).toHaveLength(3);
  expect(bridge[2]).toBeGreaterThan(2 * first);
});
