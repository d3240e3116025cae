/** What commands print. */
import type { Command } from 'commander';

export interface CommandOutput {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

/** The output of a command: the terminal, or what `createProgram` was given. */
export function outputOf(command: Command): CommandOutput {
  const { writeOut, writeErr } = command.configureOutput();
  return {
    out: writeOut ?? ((text) => process.stdout.write(text)),
    err: writeErr ?? ((text) => process.stderr.write(text)),
  };
}

export const jsonText = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/**
 * Escapes control and format characters: names, units and reasons come from other machines.
 * @param kept characters to leave as they are
 */
export function printable(text: string, kept = ''): string {
  return text.replace(/\p{C}/gu, (char) =>
    kept.includes(char) ? char : `\\x${(char.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`,
  );
}

/** `1 rule`, `2 rules`. */
export const many = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;
