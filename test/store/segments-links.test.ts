import { readdirSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import { Segments } from '../../src/store/segments.ts';
import { tempDirs } from '../support/temp.ts';

vi.mock('node:fs', async (load) => {
  const fs = await load<typeof import('node:fs')>();
  return { ...fs, fstatSync: (fd: number) => ({ ...fs.fstatSync(fd), nlink: 0 }) };
});
const temp = tempDirs();

test('a file system that reports no links keeps its journal', () => {
  const dir = temp();
  const segments = new Segments(dir);
  for (let frame = 0; frame < 3; frame++) segments.append(new Uint8Array(10), 1);
  segments.close();
  expect(readdirSync(dir)).toHaveLength(1);
  expect(segments.bytes).toBeGreaterThan(30);
});
