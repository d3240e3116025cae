/**
 * Every error gatecast raises on purpose: one code, one sentence, one hint.
 * The table is the single source; `docs/errors.md` is generated from it and a test holds the two together.
 * Pure: imported by every room.
 */
export const ERROR_CODES = {
  USAGE: 'The command line is wrong.',
  CONFIG_INVALID: 'The configuration has wrong, missing or unknown keys.',
  FILE_UNREADABLE: 'A file that was named cannot be read.',
  FILE_UNWRITABLE: 'A file that was named cannot be written.',
  CSV_INVALID: 'A data file cannot be parsed as a table of series.',
  COVARIATE_INVALID: 'A message with the known values of a covariate cannot be parsed.',
  NETWORK_INVALID: 'The settings of a network are invalid.',
  WEIGHTS_INVALID: 'A weights file has wrong names, shapes or values.',
  MODEL_INVALID: 'A model does not follow the contract of a step model, or its checksum is wrong.',
  MODEL_UNKNOWN: 'The registry has no model of that name.',
  STATE_MISMATCH: 'A stored state belongs to another model or format.',
  STORE_FAILED: 'The database cannot be opened or written.',
  STORE_NEWER: 'The database was written by a newer version.',
  LOCKED: 'Another agent uses this data directory.',
  LISTEN_FAILED: 'The page cannot be served at its address.',
  BROKER_UNREACHABLE: 'The MQTT broker does not answer or refuses.',
  SITE_UNREACHABLE: 'NATS does not answer or refuses, or the site was not created there.',
  SITE_FAILED: 'What a site keeps in NATS cannot be used, or does not fit the request.',
  TRAINING_FAILED: 'Training stopped without a usable result.',
  NOT_ENOUGH_DATA: 'There is too little data for the requested operation.',
  REQUEST_FORBIDDEN:
    'The config does not allow this request over MQTT (`requests.allow`), or its signature does not (`requests.signed`).',
  REQUEST_INVALID: 'A request over MQTT is malformed, too large, or names something that does not exist.',
  STREAM_UNKNOWN: 'No stream has that name.',
  BUSY: 'Too many requests are waiting, the agent is starting or stopping, fine-tuning is running, or the broker sent a request again after a lost connection.',
  INTERNAL: 'A bug in gatecast; please report it.',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** One problem in an input: its place, what is wrong, and what is allowed. */
export interface Issue {
  readonly path: string;
  readonly message: string;
}

/** In one line. @param most problems; further ones are left out */
export const issuesText = (issues: readonly Issue[], most = issues.length): string =>
  issues
    .slice(0, most)
    .map(({ path, message }) => `${path} ${message}`)
    .join('; ');

export class GatecastError extends Error {
  readonly code: ErrorCode;
  /** What the reader can do about it; empty when the message says it all. */
  readonly hint: string;
  readonly issues: readonly Issue[];

  constructor(
    code: ErrorCode,
    message: string,
    options: { hint?: string; issues?: readonly Issue[]; cause?: unknown } = {},
  ) {
    super(withoutSecrets(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'GatecastError';
    this.code = code;
    this.hint = options.hint ?? '';
    this.issues = options.issues ?? [];
  }
}

/** Runs `read`. @param label how an error names the file @throws GatecastError FILE_UNREADABLE */
export function readNamed<T>(label: string, read: () => T, hint?: string): T {
  try {
    return read();
  } catch (cause) {
    throw new GatecastError('FILE_UNREADABLE', `${label}: ${fileErrorText(cause)}`, { hint, cause });
  }
}

/**
 * `text` with every URL in it cut down to what may be shown: no user, password, query or fragment, and no path that may be a
 * token. For all that is logged, published or shown.
 */
export function withoutSecrets(text: string): string {
  if (!text.includes('://')) return text;
  return text.replace(
    /\b([a-z][a-z0-9+.-]*:\/\/)(?:[^\s/?#"'@]*@)?([^\s/?#"',;)]*)([^\s"',;)]*)/gi,
    (_all, scheme: string, host: string, rest: string) => {
      const [path = ''] = rest.split(/[?#]/, 1);
      return `${scheme}${host}${/^[a-z/_-]{0,24}:?$/i.test(path) ? path : '/...'}`;
    },
  );
}

/** What an error says; a thrown value that is no Error is shown as text. */
export const errorText = (error: unknown): string =>
  withoutSecrets(error instanceof Error ? error.message : String(error));

const FILE_FAULTS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder',
  EACCES: 'permission denied',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of the path is not a folder',
};

/** What an error about a file says, beside the name of the file: "no such file or folder (ENOENT)". */
export function fileErrorText(error: unknown): string {
  const { code } = errorFields(error);
  const known = code === undefined ? undefined : FILE_FAULTS[code];
  return known === undefined ? errorText(error) : `${known} (${code})`;
}

/** Fields of a log line about an error: its text, and the code of a GatecastError or of the system (`ENOSPC`), if it has one. */
export function errorFields(error: unknown): { readonly reason: string; readonly code?: string } {
  const reason = errorText(error);
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return { reason };
  return { reason, code: error.code };
}
