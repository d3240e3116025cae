/**
 * Reads text that is nearly JSON, after `JSON.parse` has refused it: `nan` and `inf`, single quotes, Python's `None` and
 * `True`, a trailing comma, a comma that is missing or a semicolon before a key in quotes, comments, a member whose value is not JSON. Such a member becomes an `Unreadable`, and the others are kept. A
 * truncated text is refused, because its last number may have lost digits.
 */
import { parseNumber } from './number-text.ts';
import { excerpt, type RejectReason } from './rejects.ts';

/** Replaces a value that could not be read. */
export class Unreadable {
  constructor(
    readonly reason: RejectReason,
    readonly detail: string,
    /** The text as sent, without blanks around it. */
    readonly text = '',
  ) {}
}

const WORDS = new Map<string, unknown>([
  ['null', null],
  ['none', null],
  ['undefined', null],
  ['nil', null],
  ['true', true],
  ['false', false],
]);
/** A key and its colon, behind the comma that ends a member. */
const KEY =
  /[ \t\r\n,]{0,200}(?:"(?:[^"\\\n]|\\.){0,200}"|'(?:[^'\\\n]|\\.){0,200}'|[A-Za-z_$][\w$-]{0,200})[ \t\r\n]{0,200}:/y;
const COMMENT_ENDS = new Map([
  ['/*', '*/'],
  ['//', '\n'],
]);
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f' };

/** @returns the value, or undefined when the text is no object or list, is nested too deeply, ends too soon, or text follows */
export function parseTolerantJson(text: string, maxDepth: number): unknown {
  try {
    const { value, rest } = new Reader(text, maxDepth).document();
    // a comment that is left has no end
    return /^(?:[,;\s]*(?:\/\/[^\n]*)?|\/\*[\s\S]*)$/.test(rest) ? value : undefined;
  } catch (error) {
    if (error instanceof Unparsable) return undefined;
    throw error;
  }
}

class Unparsable extends Error {}

class Reader {
  private at = 0;
  /** From where on no comment of a kind ends, so that a text of many such comments is searched once. */
  private readonly endless = new Map<string, number>();

  constructor(
    private readonly text: string,
    private readonly maxDepth: number,
  ) {}

  document(): { value: unknown; rest: string } {
    this.blanks();
    const first = this.text[this.at];
    if (first !== '{' && first !== '[') throw new Unparsable();
    const value = this.value(0);
    this.blanks();
    return { value, rest: this.text.slice(this.at) };
  }

  private value(depth: number): unknown {
    const sign = this.text[this.at];
    if ((sign === '{' || sign === '[') && depth >= this.maxDepth) throw new Unparsable();
    if (sign === '{') return this.object(depth);
    if (sign === '[') return this.list(depth);
    return sign === '"' || sign === "'" ? this.quoted() : this.word();
  }

  private object(depth: number): unknown {
    const tree: Record<string, unknown> = {};
    this.at += 1;
    for (;;) {
      this.blanks();
      if (this.take('}')) return tree;
      if (this.take(',')) continue;
      const key = this.key();
      const from = this.at;
      let value = this.value(depth + 1);
      if (!this.endsMember('}')) {
        this.skipMember('}');
        const text = this.text.slice(from, this.at).trim();
        value = new Unreadable('bad-json', `${excerpt(key, 40)} is ${excerpt(text, 60)}`, text);
      }
      // A plain assignment of `__proto__` would set the prototype.
      Object.defineProperty(tree, key, { value, enumerable: true, configurable: true, writable: true });
    }
  }

  private list(depth: number): unknown {
    const items: unknown[] = [];
    this.at += 1;
    for (;;) {
      this.blanks();
      if (this.take(']')) return items;
      if (this.take(',')) continue;
      const from = this.at;
      let value = this.value(depth + 1);
      this.blanks();
      if (this.text[this.at] !== ',' && this.text[this.at] !== ']') {
        this.skipMember(']');
        const text = this.text.slice(from, this.at).trim();
        value = new Unreadable('bad-json', excerpt(text, 60), text);
      }
      items.push(value);
    }
  }

  private key(): string {
    const from = this.at;
    KEY.lastIndex = from;
    if (!KEY.test(this.text)) throw new Unparsable();
    const end = KEY.lastIndex;
    const sign = this.text[from];
    let key: string;
    if (sign === '"' || sign === "'") key = this.quoted();
    else key = this.text.slice(from, end - 1).trim();
    this.at = end;
    this.blanks();
    return key;
  }

  /** Whether a member ends here: a bracket, or a comma that a key or the bracket follows. `21,5` does not end at its comma. */
  private endsMember(close: string): boolean {
    this.blanks();
    const sign = this.text[this.at];
    if (sign === close) return true;
    if (sign === ';' || sign === '"' || sign === "'") {
      KEY.lastIndex = sign === ';' ? this.at + 1 : this.at;
      if (!KEY.test(this.text)) return false;
      if (sign === ';') this.at += 1;
      return true;
    }
    if (sign !== ',') return false;
    const comma = this.at;
    do this.blanks();
    while (this.take(','));
    KEY.lastIndex = this.at;
    const ends = KEY.test(this.text) || /[}\]]/.test(this.text[this.at] ?? '');
    this.at = comma;
    return ends;
  }

  /** Goes on to the comma or bracket that ends the member. */
  private skipMember(close: string): void {
    for (; this.at < this.text.length; this.at += 1) {
      const sign = this.text[this.at];
      if (sign === close) return;
      if (sign === '{' || sign === '[' || sign === '}' || sign === ']') throw new Unparsable();
      if (sign !== ',') continue;
      if (close === ']') return;
      KEY.lastIndex = this.at + 1;
      if (KEY.test(this.text)) return;
    }
    throw new Unparsable();
  }

  private quoted(): string {
    const quote = this.text[this.at];
    let out = '';
    for (this.at += 1; this.at < this.text.length; this.at += 1) {
      const sign = this.text[this.at];
      if (sign === quote) {
        this.at += 1;
        return out;
      }
      if (sign !== '\\') {
        out += sign;
        continue;
      }
      this.at += 1;
      const code = this.text[this.at] ?? '';
      const hex = code === 'u' ? /^[0-9A-Fa-f]{4}/.exec(this.text.slice(this.at + 1, this.at + 5)) : null;
      if (hex !== null) this.at += 4;
      out += hex !== null ? String.fromCharCode(Number.parseInt(hex[0], 16)) : (ESCAPES[code] ?? code);
    }
    throw new Unparsable();
  }

  /** A number, null, a boolean, or an `Unreadable`. */
  private word(): unknown {
    const from = this.at;
    while (this.at < this.text.length && !/[,;}\]\s]/.test(this.text[this.at])) this.at += 1;
    const word = this.text.slice(from, this.at);
    if (this.at === this.text.length) throw new Unparsable();
    const known = WORDS.get(word.toLowerCase());
    if (known !== undefined || word === '') return known ?? null;
    const number = parseNumber(word);
    return typeof number === 'number'
      ? number
      : new Unreadable(number === 'not-finite' ? 'not-finite' : 'bad-json', excerpt(word, 60), word);
  }

  private take(sign: string): boolean {
    if (this.text[this.at] !== sign) return false;
    this.at += 1;
    return true;
  }

  /** Skips blanks and comments that end. Others may be a part of a text without quotes. */
  private blanks(): void {
    for (;;) {
      while (/[\s\0]/.test(this.text[this.at] ?? 'x')) this.at += 1;
      const end = COMMENT_ENDS.get(this.text.slice(this.at, this.at + 2));
      if (end === undefined || this.at >= (this.endless.get(end) ?? Number.POSITIVE_INFINITY)) return;
      const at = this.text.indexOf(end, this.at + 2);
      if (at < 0) {
        this.endless.set(end, this.at);
        return;
      }
      this.at = at + end.length;
    }
  }
}
