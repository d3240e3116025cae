/** Error output and exit code of a failed command: 1 failed, 2 wrong usage or an invalid config. */
import { type ErrorCode, errorText, GatecastError } from '../../errors.ts';

const USAGE_CODES: ReadonlySet<ErrorCode> = new Set(['USAGE', 'CONFIG_INVALID']);

/** Thrown by a command that has already printed why it failed: no further output. */
export class AlreadyReported extends Error {
  constructor(readonly exitCode: 1 | 2 = 1) {
    super();
  }
}

export function describeFailure(error: unknown, debug: boolean): { text: string; exitCode: 1 | 2 } {
  const lines: string[] = [];
  const expected = error instanceof GatecastError;
  if (expected) {
    lines.push(`gatecast: ${error.message} [${error.code}]`);
    for (const issue of error.issues) lines.push(`  ${issue.path || '(root)'}: ${issue.message}`);
    if (error.hint) lines.push(`  hint: ${error.hint}`);
  } else {
    const text = errorText(error);
    lines.push(`gatecast: unexpected error: ${text.split('\n', 1)[0]}`);
    if (!debug) lines.push('  --debug prints the stack trace.');
  }
  if (debug && error instanceof Error) {
    lines.push(error.stack ?? '');
    if (error.cause !== undefined) lines.push(`caused by: ${stackOf(error.cause)}`);
  }
  return { text: `${lines.join('\n')}\n`, exitCode: expected && USAGE_CODES.has(error.code) ? 2 : 1 };
}

const stackOf = (cause: unknown): string =>
  cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
