/**
 * InfluxDB line protocol: `measurement,tag=value field=1.5,other=2i 1465839830100400200`, one point per line. A reading
 * is named `measurement/tag values/field`, so that series with different tags are separate streams.
 * https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
 */

import { epochToMs } from '../../series/time-stamp.ts';
import type { Decoder, DecoderSettings, DecodeSink, FieldSelector, PayloadFormat } from '../decoder.ts';
import { parseNumber } from '../number-text.ts';
import { excerpt } from '../rejects.ts';
import { isPoisonKey } from '../stream-name.ts';

const COMMA = 44;
const EQUALS = 61;
const SPACE = 32;
const BACKSLASH = 92;
const QUOTE = 34;
const TRUE = new Set(['t', 'T', 'true', 'True', 'TRUE']);
const FALSE = new Set(['f', 'F', 'false', 'False', 'FALSE']);

function influxDecoder({ fields }: DecoderSettings): Decoder {
  return {
    selects: (field) => fields?.some((selector) => couldBe(selector, field)) ?? true,
    decode(message, sink) {
      const text = message.text();
      let found = false;
      let lines = 0;
      for (let from = 0; from < text.length; ) {
        const to = lineEnd(text, from);
        const line = text.slice(from, to).trim();
        from = to + 1;
        if (line === '' || line.startsWith('#')) continue;
        if (sink.full === true) return;
        lines += 1;
        if (new Line(line, fields, sink).read()) found = true;
      }
      if (lines === 0) sink.reject('empty', 'no line in the payload');
      else if (!found) sink.reject(fields === null ? 'no-number' : 'missing-field', excerpt(text, 80));
    },
  };
}

/** The end of a line; a quoted text may contain line breaks. */
function lineEnd(text: string, from: number): number {
  let quoted = false;
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === BACKSLASH) at += 1;
    else if (code === QUOTE) quoted = !quoted;
    else if (code === 10 && !quoted) return at;
  }
  // With an unclosed quote, ends at the first line break, so that only this line is lost.
  const first = quoted ? text.indexOf('\n', from) : -1;
  return first === -1 ? text.length : first;
}

class Line {
  private at = 0;

  constructor(
    private readonly text: string,
    private readonly fields: readonly FieldSelector[] | null,
    private readonly sink: DecodeSink,
  ) {}

  /** @returns whether the line contained a reading or reject for this rule */
  read(): boolean {
    const measurement = this.word(COMMA, SPACE);
    if (measurement === '') return this.bad('no measurement');
    const path = [measurement];
    while (this.text.charCodeAt(this.at) === COMMA) {
      this.at += 1;
      const key = this.word(EQUALS, SPACE);
      if (key === '' || !this.take(EQUALS)) return this.bad('a tag without a value');
      const value = this.word(COMMA, SPACE);
      if (value === '') return this.bad(`tag ${key} is empty`);
      path.push(value);
    }
    if (!this.blanks()) return this.bad('no fields');
    const values: [key: string, value: string][] = [];
    do {
      const key = this.word(EQUALS, SPACE);
      if (key === '' || !this.take(EQUALS)) return this.bad('a field without a value');
      const value = this.value();
      if (value === null) return this.bad(`the text of field ${key} has no closing quote`);
      values.push([key, value]);
    } while (this.take(COMMA));
    const timeMs = this.time();
    if (timeMs === undefined) return true;
    let found = false;
    for (const [key, value] of values) if (this.emit(path, key, value, timeMs)) found = true;
    return found;
  }

  private emit(path: readonly string[], key: string, text: string, timeMs: number | null): boolean {
    const [measurement] = path;
    const selector = this.fields?.find(
      (field) => field.path === key || field.path === `${measurement}/${key}`,
    );
    if (this.fields !== null && selector === undefined) return false;
    if (isPoisonKey(key)) {
      this.sink.reject('forbidden-key', key);
      return true;
    }
    const value = fieldValue(text);
    if (value === null) {
      if (selector === undefined) return false;
      this.sink.reject('wrong-type', `field ${excerpt(key, 40)} is a text`);
    } else if (typeof value === 'string')
      this.sink.reject(value, `field ${excerpt(key, 40)} is ${excerpt(text, 40)}`);
    else {
      const name = selector === undefined || selector.name === selector.path ? key : selector.name;
      this.sink.reading([...path, name].join('/'), value, timeMs, selector?.unit ?? null);
    }
    return true;
  }

  /** null: no time in the line; undefined: invalid, and rejected. */
  private time(): number | null | undefined {
    this.blanks();
    const text = this.text.slice(this.at).trim();
    if (text === '') return null;
    const timeMs = /^-?\d{1,19}$/.test(text) ? epochToMs(Number(text)) : null;
    if (timeMs !== null) return timeMs;
    this.sink.reject('bad-time', excerpt(text, 40));
    return undefined;
  }

  /** Reads up to one of two unescaped delimiters; `\,`, `\=` and `\ ` are escapes. */
  private word(end: number, otherEnd: number): string {
    let word = '';
    for (; this.at < this.text.length; this.at += 1) {
      const code = this.text.charCodeAt(this.at);
      if (code === BACKSLASH && isEscapable(this.text.charCodeAt(this.at + 1))) this.at += 1;
      else if (code === end || code === otherEnd) break;
      word += this.text[this.at];
    }
    return word;
  }

  /** The value as written, with the opening quote of a text; null without a closing quote. */
  private value(): string | null {
    if (this.text.charCodeAt(this.at) !== QUOTE) return this.word(COMMA, SPACE);
    const from = this.at;
    for (this.at += 1; this.at < this.text.length; this.at += 1) {
      const code = this.text.charCodeAt(this.at);
      if (code === BACKSLASH) this.at += 1;
      else if (code === QUOTE) {
        this.at += 1;
        return this.text.slice(from, this.at);
      }
    }
    return null;
  }

  private take(code: number): boolean {
    if (this.text.charCodeAt(this.at) !== code) return false;
    this.at += 1;
    return true;
  }

  private blanks(): boolean {
    const from = this.at;
    while (this.text.charCodeAt(this.at) === SPACE) this.at += 1;
    return this.at > from;
  }

  private bad(what: string): true {
    this.sink.reject('bad-payload', `${excerpt(what, 60)}: ${excerpt(this.text, 60)}`);
    return true;
  }
}

/** Whether the selector can produce a reading of this name, `measurement/tag values/field`. */
function couldBe({ path, name }: FieldSelector, reading: string): boolean {
  const key = name === path ? (path.split('/').at(-1) as string) : name;
  return reading.endsWith(`/${key}`) && (!path.includes('/') || reading.startsWith(`${path.split('/')[0]}/`));
}

const isEscapable = (code: number): boolean =>
  code === COMMA || code === EQUALS || code === SPACE || code === BACKSLASH;

/** A number, the reason if it is none, or null for a text. Integers end with i, unsigned integers with u. */
function fieldValue(text: string): number | 'bad-number' | 'not-finite' | null {
  if (text.startsWith('"')) return null;
  if (TRUE.has(text)) return 1;
  if (FALSE.has(text)) return 0;
  const whole = /^([+-]?\d+)[iu]$/.exec(text);
  return parseNumber(whole === null ? text : whole[1]);
}

/** measurement[,tags] field=value[,...] [time] */
const LINE = /^[^\s,="{[]+(?:,[^\s=]+=[^\s]+)*\s+[^\s=]+=[^\s]+/;

export const INFLUX = {
  kind: 'influx',
  create: influxDecoder,
  example: { topic: 's/a', payload: 'm t=20', field: 'm/t', value: 20 },
  sniff: ({ text, json }) => (json === undefined && LINE.test(text) ? 2 : 0),
  suggestion: {
    // Tags are not part of a field selector: `cpu/host/usage` -> `cpu/usage`.
    fields: (names) => [
      ...new Set(
        names.map((name) => {
          const parts = name.split('/');
          return `${parts[0]}/${parts.at(-1)}`;
        }),
      ),
    ],
  },
} as const satisfies PayloadFormat;
