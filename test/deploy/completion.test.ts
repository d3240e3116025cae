/** The shell completions of the packages, in the shells themselves. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'gatecast-completion-'));
const has = (shell: string): boolean => {
  const found = spawnSync(shell, ['--version']).status === 0;
  if (!found) console.warn(`SKIPPED: the completion of ${shell} needs ${shell}`);
  return found;
};
const run = (shell: string, script: string): string[] =>
  execFileSync(shell, ['-c', script], { encoding: 'utf8', env: { ...process.env, HOME: folder } })
    .split('\n')
    .filter((line) => line !== '');

beforeAll(() => {
  execFileSync(process.execPath, ['--import', 'tsx', 'deploy/package/manual.ts', folder]);
});
afterAll(() => rmSync(folder, { recursive: true }));

it('bash completes a command, and the options of a command', () => {
  const complete = (...words: string[]): string[] =>
    run(
      'bash',
      `. ${folder}/gatecast.bash; COMP_WORDS=(${words.join(' ')}); COMP_CWORD=${words.length - 1}; _gatecast; printf '%s\\n' "\${COMPREPLY[@]}"`,
    );
  expect(complete('gatecast', 'in')).toEqual(['init', 'inspect']);
  expect(complete('gatecast', 'model', 'ex')).toEqual(['export']);
  expect(complete('gatecast', 'check', '--lis')).toEqual(['--listen']);
});

it.skipIf(!has('fish'))('fish completes the same, with descriptions', () => {
  const complete = (line: string): string[] =>
    run('fish', `source ${folder}/gatecast.fish; complete -C '${line}'`);
  expect(complete('gatecast in').map((line) => line.split('\t')[0])).toEqual(['init', 'inspect']);
  expect(complete('gatecast model ex')).toEqual([expect.stringMatching(/^export\t\w+/)]);
  expect(complete('gatecast check --lis')).toEqual([expect.stringMatching(/^--listen\t\w+/)]);
  expect(complete('gatecast model --lis')).toEqual([]);
});

it.skipIf(!has('zsh'))('zsh completes the same, with descriptions', () => {
  // Outside of an editor zsh offers nothing; this stands for its menu and prints what it would hold.
  const menu = `compdef() {}; _files() { print FILES }; _describe() { print -l -- "\${(P@)2}" }`;
  const complete = (...words: string[]): string[] =>
    run(
      'zsh',
      `${menu}; . ${folder}/gatecast.zsh; words=(${words.join(' ')}); CURRENT=${words.length}; _gatecast`,
    );
  const all = complete('gatecast', "''");
  expect(all).toContainEqual(expect.stringMatching(/^init:\w+/));
  expect(all.every((line) => /^(-\w|--[\w-]+|[a-z]+):./.test(line))).toBe(true);
  expect(complete('gatecast', 'model', "''")).toContainEqual(expect.stringMatching(/^export:\w+/));
  expect(complete('gatecast', 'check', "''")).toContainEqual(expect.stringMatching(/^--listen:\w+/));
});
