/**
 * Encodings of payloads that are not plain UTF-8 text: compressed payloads, UTF-16 and Base64 are decoded, to a bounded size; others
 * are recognised, so that the reject names them.
 */
import { gunzipSync, inflateSync } from 'node:zlib';
import type { Reject } from './rejects.ts';

interface Refused extends Reject {
  /** Bytes that may have been decoded in vain. */
  readonly wasted: number;
}

interface Encoding {
  readonly name: string;
  readonly is: (bytes: Buffer) => boolean;
  /** Absent: the encoding is only recognised. Throws for a damaged payload. */
  readonly decode?: (bytes: Buffer, mostBytes: number) => Buffer;
}

const starts =
  (...first: readonly number[]) =>
  (bytes: Buffer): boolean =>
    first.every((byte, at) => bytes[at] === byte);
const isLetter = (byte = 0): boolean => byte >= 0x20 && byte < 0x7f;
const within = (byte = 0, from = 0, to = 255): boolean => byte >= from && byte <= to;

type Range = readonly [from: number, to: number];

/**
 * @param list first byte of a short list
 * @param map first byte of a short map
 * @param key first byte of a short text
 * @param longer first byte and size of the header of a longer map
 */
const startsWithMap =
  (list: Range, map: Range, key: Range, longer: Range) =>
  (bytes: Buffer): boolean =>
    [bytes, ...(within(bytes[0], ...list) ? [bytes.subarray(1)] : [])].some((from) => {
      const at = within(from[0], ...map) ? 1 : from[0] === longer[0] ? longer[1] : 0;
      const length = (from[at] ?? 0) & 0x1f;
      const text = from.subarray(at + 1, at + 1 + length);
      return at > 0 && within(from[at], ...key) && text.length === length && text.every(isLetter);
    });

const utf16 = (bytes: Buffer): Buffer =>
  Buffer.from(bytes.subarray(0, bytes.length - (bytes.length % 2)).toString('utf16le'));
const utf16BigEndian = (bytes: Buffer): Buffer =>
  utf16(Buffer.from(bytes.subarray(0, bytes.length - (bytes.length % 2))).swap16());

const ENCODINGS: readonly Encoding[] = [
  {
    name: 'gzip',
    is: starts(0x1f, 0x8b),
    decode: (bytes, maxOutputLength) => gunzipSync(bytes, { maxOutputLength }),
  },
  {
    name: 'zlib (deflate)',
    // RFC 1950: the two bytes of the header are a multiple of 31
    is: (bytes) =>
      bytes[0] === 0x78 &&
      [0x01, 0x5e, 0x9c, 0xda].includes(bytes[1] ?? 0) &&
      bytes.readUInt16BE(0) % 31 === 0,
    decode: (bytes, maxOutputLength) => inflateSync(bytes, { maxOutputLength }),
  },
  { name: 'UTF-16', is: starts(0xff, 0xfe), decode: utf16 },
  { name: 'UTF-16', is: starts(0xfe, 0xff), decode: utf16BigEndian },
  // without a byte order mark: every other byte of the first characters is 0
  {
    name: 'UTF-16',
    is: ([a, b, c, d = 0]) => isLetter(a) && b === 0 && isLetter(c) && d === 0,
    decode: utf16,
  },
  {
    name: 'UTF-16',
    is: ([a, b, c, d]) => a === 0 && isLetter(b) && c === 0 && isLetter(d),
    decode: utf16BigEndian,
  },
  {
    name: 'Base64',
    // `{"`, `[{`, and `{` with a line break or blank
    is: (bytes) =>
      /^(?:eyI|eyJ|ewog|ewoJ|ew0K|eyAi|W3si|W3sK)/.test(bytes.toString('latin1', 0, 4)) &&
      /^[\w+/-]+=*\s*$/.test(bytes.toString('latin1')),
    decode: (bytes) => Buffer.from(bytes.toString('latin1'), 'base64'),
  },
  { name: 'Zstandard', is: starts(0x28, 0xb5, 0x2f, 0xfd) },
  { name: 'LZ4', is: starts(0x04, 0x22, 0x4d, 0x18) },
  { name: 'Snappy', is: starts(0xff, 0x06, 0x00, 0x00, 0x73, 0x4e) },
  { name: 'bzip2', is: (bytes) => /^BZh[1-9]1AY/.test(bytes.toString('latin1', 0, 7)) },
  { name: 'xz', is: starts(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00) },
  { name: 'ZIP', is: starts(0x50, 0x4b, 0x03, 0x04) },
  { name: 'a JPEG image', is: starts(0xff, 0xd8, 0xff) },
  { name: 'a PNG image', is: starts(0x89, 0x50, 0x4e, 0x47) },
  { name: 'CBOR', is: starts(0xd9, 0xd9, 0xf7) },
  // a map, or a list that starts with a map, whose first key is a short text
  { name: 'CBOR', is: startsWithMap([0x81, 0x9f], [0xa1, 0xb7], [0x61, 0x77], [0xb8, 2]) },
  { name: 'CBOR', is: startsWithMap([0x81, 0x9f], [0xbf, 0xbf], [0x61, 0x77], [0xb9, 3]) },
  { name: 'MessagePack', is: startsWithMap([0x91, 0x9f], [0x81, 0x8f], [0xa1, 0xbf], [0xde, 3]) },
  {
    name: 'BSON',
    is: (bytes) =>
      bytes.length > 8 &&
      bytes.readUInt32LE(0) === bytes.length &&
      bytes[bytes.length - 1] === 0 &&
      isLetter(bytes[5]),
  },
];

/**
 * The payload as text in UTF-8, or the payload itself if it is plain already.
 * @param mostBytes maximum size of a decoded payload
 */
export function plainPayload(payload: Uint8Array, mostBytes: number): Uint8Array | Refused {
  // Not by destructuring, which makes an iterator for each message.
  const first = payload[0] ?? 0;
  const second = payload[1] ?? 0;
  // nearly all payloads: JSON, numbers and line protocol start with visible characters that no encoding starts with
  if (first >= 0x20 && first < 0x7f && second !== 0 && !COULD_BE.includes(first)) return payload;
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  const encoding = payload.length < 4 ? undefined : ENCODINGS.find(({ is }) => is(bytes));
  if (encoding === undefined) return payload;
  const { name, decode } = encoding;
  if (decode === undefined)
    return {
      reason: 'encoding',
      detail: `${name}; let the sender use JSON, uncompressed or with gzip`,
      wasted: 0,
    };
  try {
    const decoded = decode(bytes, mostBytes);
    if (decoded.length <= mostBytes) return decoded;
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_BUFFER_TOO_LARGE')
      return { reason: 'encoding', detail: `${name}, but damaged or truncated`, wasted: mostBytes };
  }
  return {
    reason: 'oversize',
    detail: `more than ${mostBytes} bytes when ${name} is decoded`,
    wasted: mostBytes,
  };
}

/** Visible characters with which an encoding of the table starts: `(` Zstandard, `B` bzip2, `P` ZIP, `W` and `e` Base64, `x` zlib. */
const COULD_BE = [0x28, 0x42, 0x50, 0x57, 0x65, 0x78];
