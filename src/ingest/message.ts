/** One MQTT message. Its text and JSON are parsed on first use, once for all rules. */
import type { DecodeSink } from './decoder.ts';
import { jsonDepthExceeds } from './json-depth.ts';
import { isIdentityKey } from './json-identity.ts';
import { isTree } from './json-tree.ts';
import { excerpt, type RejectReason } from './rejects.ts';
import { isPoisonKey } from './stream-name.ts';
import { parseTolerantJson, Unreadable } from './tolerant-json.ts';

export class Message {
  private textRead: string | null = null;
  private jsonRead: unknown;
  private isParsed = false;
  /** The payload is JSON to the letter. */
  private isStrict = false;
  private problem: {
    readonly reason: RejectReason;
    readonly detail: string;
    readonly whole: boolean;
  } | null = null;
  private documentsRead: readonly unknown[] = [];

  constructor(
    readonly topic: string,
    readonly payload: Uint8Array,
    /** ms since 1970 UTC. */
    readonly arrivalMs: number,
    private readonly maxDepth: number,
    /** A further part of a message that was split, see `Routed.rest`. */
    readonly continues = false,
  ) {}

  /** The text without byte order mark, and without control characters at both ends; bytes that are not UTF-8 are read as Latin-1. */
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
      while (from < to && isControl(text.charCodeAt(from))) from += 1;
      while (to > from && isControl(text.charCodeAt(to - 1))) to -= 1;
      this.textRead = from === 0 && to === text.length ? text : text.slice(from, to);
    }
    return this.textRead;
  }

  /** The objects of a payload that contains several, one after another; empty for any other payload. */
  get documents(): readonly unknown[] {
    this.peek();
    return this.documentsRead;
  }

  /**
   * The parsed payload, or undefined after a reject. Rejects only once if several rules read the message.
   * @param takesSeveral the caller reads `documents` if the payload contains several objects
   */
  json(sink: DecodeSink, takesSeveral = false): unknown {
    const json = this.peek();
    const { problem } = this;
    this.problem = null;
    if (problem !== null) sink.reject(problem.reason, problem.detail, problem.whole);
    if (this.documentsRead.length > 0 && !takesSeveral) sink.reject('bad-json', excerpt(this.text()), true);
    return json;
  }

  /** The parsed payload, or undefined; a reject is kept for the next call of `json`. */
  peek(): unknown {
    if (this.isParsed) return this.jsonRead;
    this.isParsed = true;
    const text = this.text();
    if (isBlank(text)) this.fail('empty', 'no JSON in the payload');
    else if (jsonDepthExceeds(text, this.maxDepth))
      this.fail('too-deep', `nested deeper than ${this.maxDepth}`);
    else {
      try {
        this.jsonRead = JSON.parse(withExactIdentifiers(text));
        this.isStrict = true;
      } catch {
        this.jsonRead = parseTolerantJson(text, this.maxDepth);
        if (this.jsonRead === undefined && !this.readSeveral(text)) this.fail('bad-json', excerpt(text));
      }
      if (NESTED.test(text)) this.jsonRead = this.unpacked(this.jsonRead, this.maxDepth);
    }
    return this.jsonRead;
  }

  /** A key that occurs twice in one object of a JSON payload, whose last value counts; null without one. */
  repeatedKey(): string | null {
    const text = this.text();
    if (
      text.length > MAX_SEARCHED ||
      !/^\s*[[{]/.test(text) ||
      typeof this.peek() !== 'object' ||
      this.jsonRead === null ||
      !this.isStrict
    )
      return null;
    const counts = new Map<string, number>();
    for (const [, key, colon] of text.matchAll(STRING))
      if (colon !== undefined && key !== undefined) counts.set(key, (counts.get(key) ?? 0) + 1);
    const trees: unknown[] = [this.peek()];
    for (let tree = trees.pop(); tree !== undefined; tree = trees.pop())
      for (const [key, value] of Object.entries(tree as object)) {
        counts.set(key, (counts.get(key) ?? 0) - 1);
        if (typeof value === 'object' && value !== null) trees.push(value);
      }
    // a key with an escape is not found by its text
    return [...counts].find(([key, count]) => count > 0 && !key.includes('\\'))?.[0] ?? null;
  }

  private fail(reason: RejectReason, detail: string, whole = true): void {
    this.problem = { reason, detail, whole };
  }

  /** @returns false if the text does not begin with one of several objects */
  private readSeveral(text: string): boolean {
    const { documents, rest } = parseSeveral(text);
    if (documents.length === 0) return false;
    if (rest !== '') this.fail('bad-json', excerpt(rest), false);
    this.documentsRead = documents.map((document) => this.unpacked(document, this.maxDepth));
    return true;
  }

  /** JSON within JSON, as ChirpStack 3 sends it in `objectJSON`: a payload, or a member, that is an object, a list of objects, or a number in brackets (Teltonika's Modbus) as text; an identifier in brackets stays a text. */
  private unpacked(json: unknown, depth: number): unknown {
    if (depth <= 0) return json;
    if (typeof json === 'string') {
      const found = structureIn(json, depth);
      return found === null ? json : this.unpacked(found, depth - 1);
    }
    if (Array.isArray(json)) return json.map((element) => this.unpacked(element, depth - 1));
    if (!isTree(json) || json instanceof Unreadable) return json;
    const entries = Object.entries(json).map(([key, value]): [string, unknown] => [
      key,
      isPoisonKey(key) || (isIdentityKey(key) && typeof value === 'string' && IN_BRACKETS.test(value))
        ? value
        : this.unpacked(value, depth - 1),
    ]);
    // makes own properties, whatever their names are
    return Object.fromEntries(entries);
  }
}

/** Longer texts are not searched for repeated keys, because each new topic costs a search. */
const MAX_SEARCHED = 16 * 1024;
/** A text in JSON, and the colon behind a key. Linear in JSON, whose texts all end. */
const STRING = /"((?:[^"\\]|\\.)*)"(\s*:)?/g;

/** A text that contains an object, a list of objects, or a number in brackets. */
const NESTED = /["']\s*(?:\{|\[\s*(?:\{|-?\d))/;
const STRUCTURE = /^\s*(?:\{|\[\s*\{)/;
/** Texts of several numbers, such as colours, are no readings. */
const IN_BRACKETS = /^\s*\[\s*-?\d[\d.eE+-]*\s*\]\s*$/;

function structureIn(text: string, depth: number): object | null {
  if (!(STRUCTURE.test(text) || IN_BRACKETS.test(text)) || jsonDepthExceeds(text, depth)) return null;
  let found: unknown;
  try {
    found = JSON.parse(withExactIdentifiers(text));
  } catch {
    found = parseTolerantJson(text, depth);
  }
  return typeof found === 'object' ? found : null;
}

const LONG_INTEGER = /"([\w$ -]{1,40})"\s*:\s*(\d{16,40})(?=\s*[,}])/g;

/** Puts identifiers in quotes that are integers beyond 2^53, so that they keep all digits. */
const withExactIdentifiers = (text: string): string =>
  /\d{16}/.test(text)
    ? text.replace(LONG_INTEGER, (member, key: string, digits: string) =>
        isIdentityKey(key) && !Number.isSafeInteger(Number(digits)) ? `"${key}":"${digits}"` : member,
      )
    : text;

/**
 * Reads objects that follow each other: one a line (NDJSON), or without a separator. Stops at the first that is not JSON, because what
 * follows may be a part of it.
 */
export function parseSeveral(text: string): { documents: readonly object[]; rest: string } {
  const documents: object[] = [];
  const lines = text
    .split('\n')
    .map((line) => line.trim().replace(/,$/, ''))
    .filter((line) => line !== '');
  const byLine = lines.length > 1 && objectOf(lines[0] ?? '') !== null;
  const parts = byLine ? lines : text.split(/(?<=\})[\s,;]*(?=\{)/);
  for (const [at, part] of parts.entries()) {
    const document = parts.length > 1 ? objectOf(part) : null;
    if (document === null) return { documents, rest: parts.slice(at).join('\n') };
    documents.push(document);
  }
  return { documents, rest: '' };
}

function objectOf(text: string): object | null {
  try {
    const found: unknown = JSON.parse(text);
    return isTree(found) ? found : null;
  } catch {
    return null;
  }
}

/** Control characters, except tab and line breaks. */
const isControl = (code: number): boolean => code < 0x09 || (code > 0x0d && code < 0x20);

/** The first check avoids copying texts that start with a visible character. */
const isBlank = (text: string): boolean => !(text.charCodeAt(0) > 0x20) && text.trim() === '';

const UTF8_SEQUENCE = /[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}/g;

/** Decodes valid UTF-8 sequences, and other bytes as Latin-1, such as the degree sign 0xB0 of a unit. */
function repaired(buffer: Buffer): string {
  return buffer
    .toString('latin1')
    .replace(UTF8_SEQUENCE, (sequence) => Buffer.from(sequence, 'latin1').toString('utf8'));
}
