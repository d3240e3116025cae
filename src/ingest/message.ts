/** One MQTT message. Its text and JSON are parsed on first use, once for all rules. */
import type { DecodeSink } from './decoder.ts';
import { jsonDepthExceeds } from './json-depth.ts';
import { isTree } from './json-list.ts';
import { excerpt } from './rejects.ts';
import { isPoisonKey } from './stream-name.ts';
import { parseTolerantJson } from './tolerant-json.ts';

export class Message {
  private textRead: string | null = null;
  private jsonRead: unknown;
  private jsonState: 'new' | 'parsed' | 'failed' = 'new';

  constructor(
    readonly topic: string,
    readonly payload: Uint8Array,
    /** ms since 1970 UTC. */
    readonly arrivalMs: number,
    private readonly maxDepth: number,
  ) {}

  /** The text without byte order mark and NULs at both ends; bytes that are not UTF-8 are read as Latin-1. */
  text(): string {
    if (this.textRead === null) {
      const { payload } = this;
      const buffer = Buffer.isBuffer(payload)
        ? payload
        : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
      let text = buffer.toString('utf8');
      if (text.includes('\ufffd')) text = repaired(buffer);
      let from = text.charCodeAt(0) === 0xfeff ? 1 : 0;
      let to = text.length;
      // some devices send the terminating NUL of a C string, or an empty buffer before it
      while (from < to && text.charCodeAt(from) === 0) from += 1;
      while (to > from && text.charCodeAt(to - 1) === 0) to -= 1;
      this.textRead = from === 0 && to === text.length ? text : text.slice(from, to);
    }
    return this.textRead;
  }

  /** The parsed payload, or undefined after a reject. Rejects only once if several rules read the message. */
  json(sink: DecodeSink): unknown {
    if (this.jsonState === 'new') {
      this.jsonState = 'failed';
      const text = this.text();
      if (isBlank(text)) sink.reject('empty', 'no JSON in the payload', true);
      else if (jsonDepthExceeds(text, this.maxDepth))
        sink.reject('too-deep', `nested deeper than ${this.maxDepth}`, true);
      else {
        try {
          this.jsonRead = JSON.parse(text);
          this.jsonState = 'parsed';
        } catch {
          this.jsonRead = parseTolerantJson(text, this.maxDepth);
          if (this.jsonRead === undefined) sink.reject('bad-json', excerpt(text), true);
          else this.jsonState = 'parsed';
        }
        if (text.includes('"{') || text.includes("'{")) this.jsonRead = this.unpacked(this.jsonRead);
      }
    }
    return this.jsonRead;
  }

  /** JSON within JSON, as ChirpStack 3 sends it in `objectJSON`: a payload, or a member of its top level, that is an object as text. */
  private unpacked(json: unknown): unknown {
    if (typeof json === 'string') return this.objectIn(json, this.maxDepth) ?? json;
    if (!isTree(json)) return json;
    const entries = Object.entries(json).map(([key, value]): [string, unknown] => [
      key,
      typeof value === 'string' && !isPoisonKey(key)
        ? (this.objectIn(value, this.maxDepth - 1) ?? value)
        : value,
    ]);
    // makes own properties, whatever their names are
    return Object.fromEntries(entries);
  }

  private objectIn(text: string, depth: number): object | null {
    if (!text.startsWith('{') || jsonDepthExceeds(text, depth)) return null;
    let found: unknown;
    try {
      found = JSON.parse(text);
    } catch {
      found = parseTolerantJson(text, depth);
    }
    return isTree(found) ? found : null;
  }
}

/** The first check avoids copying texts that start with a visible character. */
const isBlank = (text: string): boolean => !(text.charCodeAt(0) > 0x20) && text.trim() === '';

const UTF8_SEQUENCE = /[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}/g;

/** Decodes valid UTF-8 sequences, and other bytes as Latin-1, such as the degree sign 0xB0 of a unit. */
function repaired(buffer: Buffer): string {
  return buffer
    .toString('latin1')
    .replace(UTF8_SEQUENCE, (sequence) => Buffer.from(sequence, 'latin1').toString('utf8'));
}
