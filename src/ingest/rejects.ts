/**
 * Why a message, or one value of it, was not taken: a closed list, so that drops are counted by reason and nothing
 * that arrives can widen the counters. The texts are the reference (`docs/errors.md` is generated from them).
 */
export const REJECTS = {
  oversize: 'The payload is larger than `ingest.max_payload`.',
  empty: 'The payload is empty.',
  'bad-topic': 'The topic is empty, too long, or holds `+`, `#` or NUL.',
  'unmatched-topic': 'No rule under `streams` matches the topic.',
  'bad-json': 'The payload is not valid JSON.',
  'too-deep': 'The payload is nested deeper than `ingest.max_depth`.',
  'bad-payload': 'The payload does not follow its format (SenML, line protocol, Sparkplug B).',
  'bad-number': 'A text that should be a number is not one.',
  'not-finite': 'A number is NaN, infinite, or too large for a double (`1e400`).',
  'wrong-type': 'A field holds something that is not a number, a boolean or an on/off text.',
  'missing-field': 'None of the fields that the rule names is in the payload.',
  'no-number': 'The rule takes every number, and the payload has none.',
  'too-many-readings':
    'One message holds more readings than `ingest.max_readings`; the rest of it was left out.',
  'forbidden-key': 'A key such as `__proto__` that no sensor needs.',
  'bad-time': 'The time stamp of a reading cannot be understood.',
  'bad-quality': 'The sender marked the value as bad or stale.',
  unavailable: 'The sender says that the value is not available.',
  'unknown-alias':
    'A Sparkplug metric came by alias before the birth that explains it; a rebirth was asked for.',
  'sequence-gap': 'A Sparkplug sequence number was skipped, so messages were lost; a rebirth was asked for.',
  'bad-stream-name': 'The captures and the field give no usable stream name.',
  'name-conflict':
    'Another rule already owns a stream of this name; give one of the two a `name` of its own.',
  'stream-limit': '`max_streams` streams exist already.',
} as const;

export type RejectReason = keyof typeof REJECTS;

export interface Reject {
  readonly reason: RejectReason;
  /** For the log and `gatecast check`: what was found, shortened; never a whole payload. */
  readonly detail: string;
}

const DETAIL_LIMIT = 120;

/** Shortens what came from outside and makes control characters harmless in a log line. */
export function excerpt(text: string, limit = DETAIL_LIMIT): string {
  const cut = text.length > limit ? `${text.slice(0, limit)}...` : text;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this removes
  return cut.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, ' ');
}
