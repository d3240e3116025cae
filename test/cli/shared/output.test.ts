import { expect, it } from 'vitest';
import { printable } from '../../../src/cli/shared/output.ts';

it('prints no control character of a name', () => {
  expect(printable('a\u001b[2Jb\u009bc\nd')).toBe('a\\x1b[2Jb\\x9bc\\x0ad');
  expect(printable('a\nb', '\n')).toBe('a\nb');
});
