/** The log of the agent, and what goes into it when the agent does not start or crashes: in JSON, every line must be one object. */
import type { Config } from '../../config/index.ts';
import { errorFields, GatecastError } from '../../errors.ts';
import { createLogger, type LogFields, type Logger } from '../../log.ts';
import { systemClock } from '../../system/clock.ts';
import { isJournal } from '../../system/journal.ts';
import { AlreadyReported, describeFailure } from './failure.ts';
import { VERSION } from './version.ts';

/** @param config called for each line: it may change */
export function agentLog(config: () => Pick<Config, 'log'> & { readonly node: string | undefined }): Logger {
  return createLogger({
    level: () => config().log.level,
    format: () => config().log.format,
    resource: () => ({
      'service.name': 'gatecast',
      'service.version': VERSION,
      'service.instance.id': config().node,
    }),
    write: (line) => process.stderr.write(line),
    now: systemClock.now,
    journald: isJournal(process.stderr.fd),
  });
}

/** Logs why the agent does not start. @returns what to throw then */
export function logFailure(log: Logger, error: unknown): AlreadyReported {
  log.error('the agent does not start', fieldsOf(error));
  return new AlreadyReported(describeFailure(error, false).exitCode);
}

/**
 * Logs an error that nothing has caught, also that of a promise, and ends the process. Node.js would print several lines, which a
 * reader of JSON cannot parse; in text, the stack trace follows as it does there.
 * @returns a function that ends this
 */
export function logCrashes(log: Logger, format: () => Config['log']['format']): () => void {
  const handler = (error: unknown): void => {
    const isText = format() === 'text';
    log.error('crashed', isText ? errorFields(error) : fieldsOf(error));
    if (isText && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    process.exit(1);
  };
  process.on('uncaughtException', handler);
  return () => process.off('uncaughtException', handler);
}

/** Fields about an error. One that is no GatecastError is a bug or a fault of the system, so its origin matters. */
function fieldsOf(error: unknown): LogFields {
  if (!(error instanceof GatecastError))
    return { ...errorFields(error), ...(error instanceof Error && { stack: error.stack }) };
  const { hint, issues } = error;
  return {
    ...errorFields(error),
    ...(hint !== '' && { hint }),
    ...(issues.length > 0 && { errors: issues.map(({ path, message }) => `${path}: ${message}`).join('; ') }),
  };
}
