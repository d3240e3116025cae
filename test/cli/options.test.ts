// Every option of every command: a default that is given explicitly equals one that is left out.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, InvalidArgumentError, type Option } from 'commander';
import { describe, expect, test } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';

const create = (): Command => createProgram({ out: () => undefined, err: () => undefined });

function commandsOf(command: Command, path: readonly string[] = []): { path: string[]; command: Command }[] {
  const inner = command.commands.flatMap((child) => commandsOf(child, [...path, child.name()]));
  return [{ path: [...path], command }, ...inner];
}

function find(path: readonly string[]): Command {
  let command = create();
  for (const name of path) {
    const inner = command.commands.find((child) => child.name() === name);
    if (inner === undefined) throw new Error(`no command ${path.join(' ')}`);
    command = inner;
  }
  return command;
}

/** The default as `--help` prints it, which is what a user would type. */
function shownDefault({ defaultValue, defaultValueDescription }: Option): string | null {
  if (defaultValueDescription) return defaultValueDescription;
  return ['string', 'number'].includes(typeof defaultValue) ? String(defaultValue) : null;
}

const rows = commandsOf(create()).flatMap(({ path, command }) =>
  command.options
    .filter((option) => option.long !== '--version')
    .map((option) => ({ name: `${path.join(' ')} ${option.long}`.trim(), path, option })),
);

describe('options', () => {
  const withDefault = rows.filter(({ option }) => option.defaultValue !== undefined);

  test('the options of all commands are checked', () => {
    expect(rows.length).toBeGreaterThan(100);
    const names = withDefault.map(({ name }) => name);
    for (const name of ['backtest --finetune', 'backtest --inject', 'replay --limit', 'train --search-rates'])
      expect(names).toContain(name);
  });

  test.each(withDefault)('$name: the default given explicitly equals leaving it out', ({ path, option }) => {
    expect(option.required || option.optional, 'a switch needs no default').toBe(true);
    const shown = shownDefault(option);
    expect(shown, '--help shows the default in a form that can be typed').not.toBeNull();
    const left = find(path);
    const given = find(path);
    left.parseOptions([]);
    given.parseOptions([option.long ?? '', shown ?? '']);
    expect(given.opts()).toEqual(left.opts());
  });

  // Commander turns a null or undefined of a parser into an empty text, which `?? fallback` and `=== null` do not see.
  test.each(rows.filter(({ option }) => option.parseArg !== undefined && option.argChoices === undefined))(
    '$name: its parser never gives null or undefined',
    ({ option }) => {
      const texts = ['off', 'none', 'all', 'auto', 'max', 'local', '0', '1', '0.5', '5m', '1h', '5/1m', '5%'];
      for (const text of [
        ...texts,
        '2 failures',
        'a',
        'a,b',
        '',
        '-',
        '127.0.0.1:0',
        '5x16',
        '2020-01-01T00:00:00Z',
      ])
        try {
          expect(option.parseArg?.(text, undefined as never) ?? null, text).not.toBeNull();
        } catch (error) {
          if (!(error instanceof InvalidArgumentError)) throw error;
        }
    },
  );

  test('no command asks whether a value was given or is the default', () => {
    const sources = readdirSync('src/cli', { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => ({ name, text: readFileSync(join('src/cli', name), 'utf8') }));
    expect(sources.length).toBeGreaterThan(20);
    expect(
      sources.filter(({ text }) => text.includes('getOptionValueSource')).map(({ name }) => name),
    ).toEqual([]);
  });

  test('a config is named with -c, and every command that uses the data directory takes one', () => {
    const withConfig = rows.filter(({ option }) => option.long === '--config' && option.short === '-c');
    const paths = new Set(withConfig.map(({ path }) => path.join(' ')));
    for (const path of ['run', 'check', 'doctor', 'inspect', 'backtest', 'train', 'model list', 'model show'])
      expect(paths).toContain(path);
    for (const path of ['model import', 'model export', 'model rollback']) expect(paths).toContain(path);
  });
});
