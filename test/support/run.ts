/** A command of gatecast, run in this process. */
import { runProgram } from '../../src/cli/program.ts';

/** @returns the exit code, what was printed to stdout and to stderr, and both in the order of printing */
export async function run(
  ...argv: string[]
): Promise<{ code: number; out: string; err: string; both: string }> {
  const printed = { out: '', err: '', both: '' };
  const write = (stream: 'out' | 'err') => (text: string) => {
    printed[stream] += text;
    printed.both += text;
  };
  const code = await runProgram(argv, { out: write('out'), err: write('err') });
  return { code, ...printed };
}
