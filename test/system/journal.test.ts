import { fstatSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { isJournal } from '../../src/system/journal.ts';
import { tempDirs } from '../support/temp.ts';

const temp = tempDirs();

it('recognises the stream that systemd names, and no other', () => {
  const path = join(temp(), 'stream');
  writeFileSync(path, '');
  const fd = openSync(path, 'r');
  const { dev, ino } = fstatSync(fd, { bigint: true });
  expect(isJournal(fd, `${dev}:${ino}`)).toBe(true);
  expect(isJournal(fd, `${dev}:${ino + 1n}`)).toBe(false);
  expect(isJournal(fd, '')).toBe(false);
  // Not a service of systemd; a descriptor that is not open.
  expect(isJournal(fd, undefined)).toBe(false);
  expect(isJournal(1_000_000, `${dev}:${ino}`)).toBe(false);
});
