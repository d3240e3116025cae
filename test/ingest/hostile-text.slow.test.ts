/** Payloads that repeat one piece of text: no regular expression, and no search, takes more than linear time for them. */
import { describe, expect, it } from 'vitest';
import { createRouter, parseConfig } from '../../src/config/index.ts';
import { computed } from '../support/run-delay.ts';

const LENGTH = 40_000;
const NOW = Date.parse('2026-11-29T12:00:00Z');
const PIECES = [
  ...[
    ' ',
    '1',
    'a',
    '.',
    ',',
    '-',
    '_',
    '[',
    '{',
    ':',
    '=',
    '+',
    '/',
    '<',
    '&',
    '(',
    '|',
    'é',
    "'",
    '"',
    '\n',
    '\t',
  ],
  ...[
    '1.',
    'a ',
    '1 ',
    'a.',
    'a-',
    '1-',
    '1:',
    'a=',
    '1e',
    'a/',
    '; ',
    '1,',
    'a:',
    '{}',
    '[]',
    '1a',
    '\\\\',
    '\\t',
  ],
];
const PAYLOADS: Record<string, (text: string) => string> = {
  'a text': (text) => text,
  'a number with more': (text) => `1${text}x`,
  'a JSON text': (text) => `"${text}"`,
  'a member': (text) => `{"a":"${text}","v":1}`,
  'a member with a number': (text) => `{"a":"1${text}x","v":1}`,
  'a key': (text) => `{"${text}":1}`,
  'a time': (text) => `{"time":"${text}","v":1}`,
  'a day with more': (text) => `{"time":"2026-11-29${text}","v":1}`,
  'an identity': (text) => `{"id":"${text}","v":1}`,
  'a named row': (text) => `[["${text}",1],["b",2]]`,
  'a named element': (text) => `[{"name":"${text}","v":1},{"name":"b","v":2}]`,
  'a unit': (text) => `{"v":1,"unit":"${text}"}`,
  'blanks before a key': (text) => `{${text}"a":1}`,
  'blanks behind a key': (text) => `{"a"${text}:1}`,
  'blanks behind a value': (text) => `{"a":1${text}}`,
  'single quotes': (text) => `{'a':1${text}}`,
};

describe.each([
  '{ match: s }',
  '{ match: s, numeric_strings: true }',
  '{ match: s, decimal_comma: true }',
  '{ match: s, name: "{/id}/{field}" }',
  '{ match: s, time: time }',
  '{ match: s, fields: [v] }',
])('the rule %s', (rule) => {
  it.each(Object.entries(PAYLOADS))(
    'reads or refuses %s of one repeated piece in linear time',
    (_, payload) => {
      const router = createRouter(parseConfig(`node: n\nmqtt: { url: mqtt://b }\nstreams: [${rule}]\n`));
      for (const piece of PIECES) {
        const text = payload(piece.repeat(LENGTH / piece.length));
        const { ms } = computed(() => router.message('s', Buffer.from(text), NOW));
        expect(ms, JSON.stringify(piece)).toBeLessThan(1000);
      }
    },
  );
});
