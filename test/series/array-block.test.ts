import { expect, it } from 'vitest';
import { ArrayBlock } from '../../src/series/array-block.ts';

it('places arrays side by side in one block, and those that do not fit in their own', () => {
  const memory = new ArrayBlock(40);
  const [a, b, c] = [memory.float32(3), memory.float64(3), memory.float64(1)];
  expect(a.buffer).toBe(b.buffer);
  expect(c.buffer).not.toBe(a.buffer);
  expect(memory.used).toBe(16 + 24 + 8);
  a.fill(1);
  b.fill(2);
  c.fill(3);
  expect([...a, ...b, ...c]).toEqual([1, 1, 1, 2, 2, 2, 3]);
});
