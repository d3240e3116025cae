/**
 * The log: one line for each event, in one of two formats. `text` is `time level event key=value ...`; `json` is one object with
 * the fields `time`, `level` and `message`, whose other fields have the names of OpenTelemetry's semantic conventions where
 * these define one. Control characters are escaped in both. Injected; there is no global logger.
 */
import { withoutSecrets } from './errors.ts';

const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

const LOG_FORMATS = ['text', 'json'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

type LogValue = string | number | boolean | null | undefined;
/** The excluded names are fields of every line in JSON. */
export type LogFields = Readonly<Record<string, LogValue>> & {
  readonly time?: undefined;
  readonly level?: undefined;
  readonly message?: undefined;
};

export interface Logger {
  error(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  debug(event: string, fields?: LogFields): void;
  /** A logger that adds `fields` to every line. */
  with(fields: LogFields): Logger;
}

interface LoggerOptions {
  /** Least important level that is written. A function, because the config of a running agent may change. */
  readonly level: () => LogLevel;
  /** Default: `text`. A function for the same reason. */
  readonly format?: () => LogFormat;
  /** Fields of every line in JSON: which service writes it. */
  readonly resource?: () => LogFields;
  readonly write: (line: string) => void;
  /** ms since 1970 UTC. */
  readonly now: () => number;
  /**
   * Lines go to journald: they begin with the priority that journald removes and stores (`sd-daemon(3)`), and a line of text
   * leaves the time to journald.
   */
  readonly journald?: boolean;
}

const PRIORITY: Readonly<Record<LogLevel, number>> = { error: 3, warn: 4, info: 6, debug: 7 };
const MAX_VALUE = 500;
const MAX_STACK = 4000;

/** Names of fields in JSON: attributes of OpenTelemetry. Fields that are not listed keep their name. */
export const ATTRIBUTES: Readonly<Record<string, string>> = {
  code: 'error.type',
  url: 'url.full',
  path: 'file.path',
  user: 'user.name',
  topic: 'messaging.destination.name',
  bytes: 'messaging.message.body.size',
  stack: 'exception.stacktrace',
};

export function createLogger(options: LoggerOptions, bound: LogFields = {}): Logger {
  const log = (level: LogLevel, event: string, own: LogFields = {}): void => {
    if (PRIORITY[level] > PRIORITY[options.level()]) return;
    const { journald = false } = options;
    const time = new Date(options.now()).toISOString();
    const fields = { ...bound, ...own };
    const priority = journald ? `<${PRIORITY[level]}>` : '';
    const line =
      options.format?.() === 'json'
        ? jsonLine({ time, level, message: shortened(event) }, { ...options.resource?.(), ...fields })
        : `${journald ? '' : `${time} ${level.padEnd(5)} `}${plain(event)}${pairs(fields)}`;
    options.write(`${priority}${line}\n`);
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

function jsonLine(head: Readonly<Record<string, string>>, fields: LogFields): string {
  const entry = new Map<string, LogValue>(Object.entries(head));
  for (const [key, value] of Object.entries(fields)) {
    const name = Object.hasOwn(ATTRIBUTES, key) ? (ATTRIBUTES[key] ?? key) : key;
    if (value === undefined || entry.has(name)) continue;
    const most = key === 'stack' ? MAX_STACK : MAX_VALUE;
    entry.set(name, typeof value === 'string' ? shortened(value, most) : value);
  }
  return plain(JSON.stringify(Object.fromEntries(entry)));
}

function pairs(fields: LogFields): string {
  let text = '';
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined)
      text += ` ${plain(key)}=${typeof value === 'string' ? quoted(value) : String(value)}`;
  }
  return text;
}

function quoted(field: string): string {
  const short = shortened(field);
  return /^[^\s"=\\\p{C}]+$/u.test(short) ? short : plain(JSON.stringify(short));
}

function shortened(text: string, most = MAX_VALUE): string {
  const value = withoutSecrets(text);
  return value.length > most ? `${value.slice(0, most)}...` : value;
}

/**
 * Escapes control and invisible characters as JSON does (one `\uXXXX` for each unit of UTF-16), so that no text can begin
 * another line or control a terminal.
 */
function plain(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) =>
    character
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}
