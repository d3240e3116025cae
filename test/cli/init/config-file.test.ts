import { describe, expect, it } from 'vitest';
import { mergedConfig } from '../../../src/cli/init/config-file.ts';
import { parseConfig } from '../../../src/config/index.ts';
import { Survey } from '../../../src/ingest/survey.ts';

function survey(): Survey {
  const heard = new Survey();
  for (let n = 0; n < 3; n += 1) {
    heard.hear(
      'zigbee2mqtt/cellar',
      Buffer.from('{"temperature":4.5,"linkquality":9}'),
      1e12 + n * 1e4,
      false,
    );
    heard.hear('tele/plug/SENSOR', Buffer.from('{"ENERGY":{"Power":3}}'), 1e12 + n * 1e4, false);
    heard.hear('tele/button/SENSOR', Buffer.from('{"Switch1":"ON"}'), 1e12 + n * 1e4, false);
  }
  return heard;
}

describe('a config that is added to', () => {
  it.each([
    ['in blocks', 'node: n\nmqtt: { url: mqtt://b }\nstreams:\n  - match: a # kept\n'],
    ['in one line', 'node: n\nmqtt: { url: mqtt://b }\nstreams: [{ match: a }] # kept\n'],
    [
      'with its own list of ignored topics',
      'node: n # kept\nmqtt: { url: mqtt://b }\nignore: [x/y]\nstreams:\n- match: a\n',
    ],
    ['as JSON', '{"node":"n","mqtt":{"url":"mqtt://b"},"streams":[{"match":"a"}]}'],
  ])('stays valid %s', (_form, text) => {
    const merged = mergedConfig(text, survey());
    const config = parseConfig(merged.text);
    expect(config.streams.map(({ match }) => match)).toEqual(
      ['a', 'tele/{device}/SENSOR', 'zigbee2mqtt/{device}'].sort((x, y) =>
        x === 'a' ? -1 : y === 'a' ? 1 : x < y ? -1 : 1,
      ),
    );
    expect(config.ignore).toEqual([...(text.includes('x/y') ? ['x/y'] : []), 'tele/button/SENSOR']);
    expect(merged.rules).toBe(2);
    if (text.includes('# kept')) expect(merged.text).toContain('# kept');
  });

  it('is unchanged if there is nothing to add', () => {
    const text = 'node:   n\nmqtt: {url: mqtt://b}\nstreams: [{match: a}]\n';
    expect(mergedConfig(text, new Survey())).toEqual({ text, rules: 0 });
  });
});
