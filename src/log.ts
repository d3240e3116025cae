/**
 * The log line: `time level event key=value ...`, one line an event, whatever a topic or a payload holds. Under
 * journald the time is left to it and the level becomes its priority prefix. Injected; there is no global logger.
 */
import { withoutSecrets } from './errors.ts';

const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export type LogValue = string | number | boolean | null | undefined;
export type LogFields = Readonly<Record<string, LogValue>>;

export interface Logger {
  error(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  debug(event: string, fields?: LogFields): void;
  /** A logger that adds `fields` to every line. */
  with(fields: LogFields): Logger;
}

export interface LoggerOptions {
  /** Least important level written. A function, so that a running agent can be told. */
  readonly level: () => LogLevel;
  readonly write: (line: string) => void;
  /** ms since 1970 UTC. */
  readonly now: () => number;
  /** Lines go to journald: see `sd-daemon(3)`. */
  readonly journald?: boolean;
}

const PRIORITY: Readonly<Record<LogLevel, number>> = { error: 3, warn: 4, info: 6, debug: 7 };
const MAX_VALUE = 500;

export function createLogger(options: LoggerOptions, bound: LogFields = {}): Logger {
  const log = (level: LogLevel, event: string, fields: LogFields = {}): void => {
    if (PRIORITY[level] > PRIORITY[options.level()]) return;
    const head = options.journald
      ? `<${PRIORITY[level]}>`
      : `${new Date(options.now()).toISOString()} ${level.padEnd(5)} `;
    options.write(`${head}${plain(event)}${pairs({ ...bound, ...fields })}\n`);
  };
  return {
    error: (event, fields) => log('error', event, fields),
    warn: (event, fields) => log('warn', event, fields),
    info: (event, fields) => log('info', event, fields),
    debug: (event, fields) => log('debug', event, fields),
    with: (fields) => createLogger(options, { ...bound, ...fields }),
  };
}

/** For what logs nothing. */
export const silentLogger: Logger = {
  error: () => {},
  warn: () => {},
  info: () => {},
  debug: () => {},
  with: () => silentLogger,
};

function pairs(fields: LogFields): string {
  let text = '';
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) text += ` ${key}=${typeof value === 'string' ? quoted(value) : String(value)}`;
  }
  return text;
}

function quoted(field: string): string {
  const value = withoutSecrets(field);
  const short = value.length > MAX_VALUE ? `${value.slice(0, MAX_VALUE)}...` : value;
  return /^[^\s"=\\\p{C}]+$/u.test(short) ? short : plain(JSON.stringify(short));
}

/** A line stays a line, and a terminal obeys no one: control and invisible characters are written as escapes. */
function plain(text: string): string {
  return text.replace(
    /[\p{C}\u2028\u2029]/gu,
    (c) => `\\u${c.codePointAt(0)!.toString(16).padStart(4, '0')}`,
  );
}
