import { expect, test } from 'vitest';
import { notRead, notReadText } from '../../../src/cli/init/findings.ts';
import { parseConfig } from '../../../src/config/index.ts';
import { Survey } from '../../../src/ingest/survey.ts';

test('topics that the config does not read are named without control characters', () => {
  const survey = new Survey();
  for (const topic of ['read/a', 'other/\u001b]0;title\u0007b'])
    survey.hear(topic, Buffer.from('{"t":1}'), 1_796_000_000_000, false);
  const unread = notRead(
    parseConfig('node: n\nmqtt: { url: mqtt://b }\nstreams: [{ match: "read/#" }]\n'),
    survey,
  );
  expect(unread).toEqual(['other/\u001b]0;title\u0007b']);
  expect(notReadText(unread)).toBe(
    'not read: 1 topic without a known measurement: other/\\x1b]0;title\\x07b\n',
  );
  expect(notReadText([])).toBe('');
});
