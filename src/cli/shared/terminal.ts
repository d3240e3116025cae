/** Questions to a person at a terminal. Without one nothing is asked, and what would have been answered is an option. */
import { createInterface } from 'node:readline/promises';
import { GatecastError } from '../../errors.ts';
import { askSecret } from './prompt.ts';

export interface Terminal {
  readonly interactive: boolean;
  /** The answer, or `preset` where it is empty. */
  ask(question: string, preset?: string): Promise<string>;
  confirm(question: string, preset: boolean): Promise<boolean>;
  /** What is typed is not shown. */
  secret(question: string): Promise<string>;
}

const NO_TERMINAL = 'there is no terminal to ask on';

export function terminal(): Terminal {
  const interactive = process.stdin.isTTY === true && process.stderr.isTTY === true;
  const ask = async (question: string, preset = ''): Promise<string> => {
    if (!interactive)
      throw new GatecastError('USAGE', NO_TERMINAL, { hint: 'answer by options; see --help' });
    const lines = createInterface({ input: process.stdin, output: process.stderr });
    const ended = new AbortController();
    // Ctrl-C and the end of the input leave the question unanswered.
    lines.on('close', () => ended.abort());
    try {
      const shown = preset === '' ? `${question}: ` : `${question} [${preset}]: `;
      return (await lines.question(shown, { signal: ended.signal })).trim() || preset;
    } catch {
      process.stderr.write('\n');
      throw new GatecastError('USAGE', 'interrupted');
    } finally {
      lines.close();
    }
  };
  return {
    interactive,
    ask,
    confirm: async (question, preset) => {
      const answer = (await ask(`${question} ${preset ? '(Y/n)' : '(y/N)'}`)).toLowerCase();
      return answer === '' ? preset : answer.startsWith('y');
    },
    secret: (question) => askSecret(question, 'name a file with --password-file'),
  };
}
