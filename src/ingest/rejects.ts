/**
 * Reasons why a message or one of its values is rejected. A closed list, so that input cannot add counters. The texts are
 * the reference: `docs/errors.md` is generated from them.
 */
export const REJECTS = {
  oversize: 'The payload is larger than `ingest.max_payload`.',
  empty: 'The payload is empty.',
  'bad-topic': 'The topic is empty, too long, or holds `+`, `#` or NUL.',
  'unmatched-topic': 'No rule under `streams` matches the topic.',
  encoding:
    'The payload is binary or compressed in a way that is not read (the detail names it: MessagePack, CBOR, …), or damaged.',
  'bad-json': 'The payload is not valid JSON.',
  'repeated-key':
    'A key occurs twice in one object; its last value counts. Looked for in the messages 1, 2, 4, 8, … of a topic, up to 16 KB, until one is found.',
  'too-deep': 'The payload is nested deeper than `ingest.max_depth`.',
  'bad-payload': 'The payload does not follow its format (SenML, line protocol, Sparkplug B).',
  'bad-number': 'A text that should be a number is not one.',
  'not-finite': 'A number is NaN, infinite, or too large for a double (`1e400`).',
  'wrong-type': 'A field holds something that is not a number, a boolean or an on/off text.',
  'missing-field': 'The payload contains none of the fields that the rule names.',
  'no-number': 'The rule takes every number, and the payload has none.',
  'too-many-readings':
    'One message holds more readings than `ingest.max_readings`; further readings were dropped.',
  'forbidden-key': 'A key such as `__proto__` that no sensor needs.',
  'over-budget':
    'The messages of one topic exceeded the work allowed per second: large, and mostly without readings.',
  'other-agent': 'Another gatecast agent, with another `base`, published the message.',
  'only-retained':
    'A retained message of a stream without a live reading so far; the stream is created with its first live reading.',
  'no-identity':
    'The payload contains none of the members that the `name` of the rule uses, or a batch of several devices that the `name` does not separate.',
  'bad-time': 'The time stamp of a reading cannot be understood.',
  'bad-quality': 'The sender marked the value as bad or stale.',
  unavailable: 'The sender marked the value as not available.',
  'unknown-alias':
    'A Sparkplug metric used an alias before the birth message that defines it; the agent requested a rebirth.',
  'sequence-gap':
    'A Sparkplug sequence number was skipped, so messages were lost; the agent requested a rebirth.',
  'bad-stream-name': 'The captures and the field give no usable stream name.',
  'name-conflict':
    'Another rule already has a stream of this name; set `name` in one of the two rules. Or another topic or field of the rule has a name that differs only in characters that are replaced by `_`.',
  'stream-limit': '`max_streams` streams exist already.',
} as const;

export type RejectReason = keyof typeof REJECTS;

/** Reasons that are no faults: counted, but not reported as a problem. */
export const EXPECTED_REJECTS: ReadonlySet<string> = new Set<RejectReason>(['only-retained', 'other-agent']);

export interface Reject {
  readonly reason: RejectReason;
  /** The rejected content, shortened, for the log and `gatecast check`. */
  readonly detail: string;
}

const DETAIL_LIMIT = 120;

/** Characters invisible in a log line: control and format characters, and special spaces. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u00a0\u2000-\u200a\u202f\u3000]/gu;

/** Shortens external text and escapes characters that are invisible or could control a terminal. */
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
