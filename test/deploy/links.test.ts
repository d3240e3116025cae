/** Links between the documents lead somewhere: the file is there, and the heading. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';

const documents = [
  ...readdirSync('.').filter((name) => name.endsWith('.md')),
  ...readdirSync('docs', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];

/** A heading as a link names it. */
const slug = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(' ', '-');

function broken(path: string): string[] {
  const text = readFileSync(path, 'utf8').replace(/^```[\s\S]*?^ *```/gm, '');
  const wrong: string[] = [];
  for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target)) continue;
    const [file = '', anchor] = target.split('#');
    const other = file === '' ? path : join(dirname(path), file);
    if (!existsSync(other)) wrong.push(`${path}: ${target}`);
    else if (anchor !== undefined && other.endsWith('.md')) {
      const headings = [...readFileSync(other, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, one = '']) =>
        slug(one),
      );
      const anchors = [...readFileSync(other, 'utf8').matchAll(/<a (?:id|name)="([^"]+)"/g)].map(
        ([, one]) => one,
      );
      if (!headings.includes(anchor) && !anchors.includes(anchor)) wrong.push(`${path}: ${target}`);
    }
  }
  return wrong;
}

test('every link of the documents leads to a file and a heading', () => {
  expect(documents.length).toBeGreaterThan(40);
  expect(documents.flatMap(broken)).toEqual([]);
});
