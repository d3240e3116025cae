/** Asks for a secret on the terminal, without echo. */
import { GatecastError } from '../../errors.ts';

/** @throws GatecastError USAGE without a terminal, or if interrupted */
export function askSecret(question: string, hint = 'name a file with --passphrase-file'): Promise<string> {
  const { stdin, stderr } = process;
  if (!stdin.isTTY) throw new GatecastError('USAGE', `there is no terminal to ask: ${question}`, { hint });
  // Before the question: an answer that follows at once would be shown.
  stdin.setRawMode(true);
  stderr.write(`${question}: `);
  stdin.setEncoding('utf8');
  stdin.resume();
  return new Promise((resolve, reject) => {
    let text = '';
    const end = (): void => {
      stdin.off('data', typed);
      stdin.setRawMode(false);
      stdin.pause();
      stderr.write('\n');
    };
    const typed = (data: string): void => {
      for (const character of data) {
        if (character === '\r' || character === '\n') {
          end();
          resolve(text);
          return;
        }
        if (character === '\u0003' || character === '\u0004') {
          end();
          reject(new GatecastError('USAGE', 'interrupted'));
          return;
        }
        text = character === '\u007f' || character === '\b' ? text.slice(0, -1) : text + character;
      }
    };
    stdin.on('data', typed);
  });
}
