/** Questions on the terminal. Without a terminal, options must give the answers. */
import { createInterface } from 'node:readline/promises';
import { GatecastError } from '../../errors.ts';
import { askSecret } from './prompt.ts';

export interface Terminal {
  readonly interactive: boolean;
  /** The answer, or `preset` if it is empty. */
  ask(question: string, preset?: string): Promise<string>;
  /** An empty answer means yes. */
  confirm(question: string): Promise<boolean>;
  /** Asks without echo. */
  secret(question: string): Promise<string>;
}

const NO_TERMINAL = 'cannot ask: there is no terminal';

export function terminal(): Terminal {
  const interactive = process.stdin.isTTY === true && process.stderr.isTTY === true;
  const ask = async (question: string, preset = ''): Promise<string> => {
    if (!interactive)
      throw new GatecastError('USAGE', NO_TERMINAL, { hint: 'give the answers as options; see --help' });
    const lines = createInterface({ input: process.stdin, output: process.stderr });
    const ended = new AbortController();
    // Ctrl-C and the end of the input close the interface without an answer.
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
    confirm: async (question) => {
      const answer = (await ask(`${question} (Y/n)`)).toLowerCase();
      return answer === '' || answer.startsWith('y');
    },
    secret: (question) => askSecret(question, 'name a file with --password-file'),
  };
}
