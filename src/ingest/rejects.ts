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
  'over-budget':
    'Messages of one topic that cost more work within a second than they may: large, and mostly without readings.',
  'other-agent': 'The message is what another gatecast agent publishes, under another `base`.',
  'only-retained':
    'A retained message of a stream that has sent nothing live yet; the stream is taken up with its first live reading.',
  'no-identity': 'None of the members that the `name` of the rule takes from the payload is in it.',
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

/** Control, format and other characters that a log line would not show, blanks that are no ordinary blank among them. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u00a0\u2000-\u200a\u202f\u3000]/gu;

/** Shortens what came from outside; characters that are invisible, or would act on a terminal, are shown as escapes. */
export function excerpt(text: string, limit = DETAIL_LIMIT): string {
  const shown = text.slice(0, limit).replace(INVISIBLE, escaped);
  return shown.length > limit || text.length > limit ? `${shown.slice(0, limit)}...` : shown;
}

const SHORT: Readonly<Record<string, string>> = { '\0': '\\0', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return (
    SHORT[character] ??
    (code < 0x100
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : code < 0x10000
        ? `\\u${code.toString(16).padStart(4, '0')}`
        : `\\u{${code.toString(16)}}`)
  );
}
