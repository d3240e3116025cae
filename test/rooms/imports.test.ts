// The rooms test is only as good as its parser: these are the forms it must know.
import { describe, expect, it } from 'vitest';
import { importsOf, withoutComments } from './imports.ts';

describe('importsOf', () => {
  it.each([
    ["import a from 'a';", [['a', false]]],
    ["import { a, type B } from './a.ts';", [['./a.ts', false]]],
    ["import { type A, type B } from './a.ts';", [['./a.ts', true]]],
    ["import {\n  type A,\n  type B,\n} from './a.ts';", [['./a.ts', true]]],
    ["import {\n  a,\n  b,\n} from './a.ts';", [['./a.ts', false]]],
    ["import type { A } from '../b/a.ts';", [['../b/a.ts', true]]],
    ["import type A from 'a';", [['a', true]]],
    ["import type, { b } from 'a';", [['a', false]]],
    ["import * as a from 'node:fs';", [['node:fs', false]]],
    ["import './side-effect.ts';", [['./side-effect.ts', false]]],
    ["export * from './a.ts';", [['./a.ts', false]]],
    ["export type { A } from './a.ts';", [['./a.ts', true]]],
    ["export { a } from './a.ts';", [['./a.ts', false]]],
    ["  const a = await import('./a.ts');", [['./a.ts', false]]],
    ["type A = typeof import('./a.ts');", [['./a.ts', true]]],
    ["new Worker(new URL('./worker.ts', import.meta.url));", [['./worker.ts', false]]],
    ["// import a from 'a';", []],
    ["/*\nimport a from 'a';\n*/", []],
    ["/**\n * from 'x'\n */\nimport a from 'a';", [['a', false]]],
    ["export const from = 1;\nexport const a = Buffer.from('x');", []],
    ["export const url = 'http://x';\nimport b from 'b';", [['b', false]]],
    [
      "import a from 'a';\nimport type { B } from 'b';",
      [
        ['a', false],
        ['b', true],
      ],
    ],
  ] as const)('%j', (source, expected) => {
    expect(importsOf(source).map(({ specifier, typeOnly }) => [specifier, typeOnly])).toEqual(expected);
  });
});

describe('withoutComments', () => {
  it('keeps strings and regular expressions that look like comments', () => {
    const code = "const a = 'http://x'; const b = /\\/\\*[/]*/.test(c); const d = `//e`;";
    expect(withoutComments(code)).toBe(code);
  });
  it('keeps line numbers', () => {
    expect(withoutComments('a\n/* b\n c */\nd // e')).toBe('a\n    \n     \nd     ');
  });
});
