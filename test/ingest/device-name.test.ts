/** Which streams are of one physical device: what Home Assistant and Sparkplug group them by. */
import { expect, it } from 'vitest';
import { validateConfig } from '../../src/config/index.ts';
import { createRouter } from '../../src/config/resolve.ts';

function devices(rule: Record<string, unknown>, messages: Readonly<Record<string, unknown>>) {
  const config = validateConfig({ node: 'n', mqtt: { url: 'mqtt://b' }, streams: [rule] });
  const router = createRouter(config);
  return Object.entries(messages).flatMap(([topic, payload]) =>
    router
      .message(topic, Buffer.from(JSON.stringify(payload)), Date.UTC(2025, 0, 1))
      .discovered.map(({ spec }) => [spec.name, spec.device]),
  );
}

it.each([
  [
    'the fields of a payload are of one device',
    { match: 'z/+' },
    { 'z/cellar': { t: 1, h: 2 } },
    [
      ['cellar/t', 'cellar'],
      ['cellar/h', 'cellar'],
    ],
  ],
  [
    'so are nested ones',
    { match: 'tele/+/SENSOR' },
    { 'tele/plug/SENSOR': { ENERGY: { Power: 1 } } },
    [['plug/ENERGY.Power', 'plug']],
  ],
  [
    'topics of one number each share the level above',
    { match: 'plant/{line}/{sensor}' },
    { 'plant/a/flow': 1, 'plant/a/level': 2, 'plant/b/flow': 3 },
    [
      ['a/flow', 'a'],
      ['a/level', 'a'],
      ['b/flow', 'b'],
    ],
  ],
  [
    'up to the capture that is called device',
    { match: 'site/{site}/{device}/status/{part}' },
    { 'site/x/pump/status/inner': { t: 1 } },
    [['x/pump/inner/t', 'x/pump']],
  ],
  [
    'also within a template',
    { match: 'shellies/{device}/emeter/{channel}/power', name: '{device}/emeter/{channel}/power' },
    { 'shellies/em3/emeter/0/power': 5 },
    [['em3/emeter/0/power', 'em3']],
  ],
  [
    'members of the payload that name a device do',
    { match: 'rtl_433/#', name: '{/model}-{/id}/{field}', fields: ['temperature_C'] },
    { 'rtl_433/events': { model: 'Nexus', id: 7, temperature_C: 3 } },
    [['Nexus-7/temperature_C', 'Nexus-7']],
  ],
  ['a stream on its own is its device', { match: 'tank' }, { tank: 5 }, [['tank', 'tank']]],
  [
    'the rule has the last word',
    { match: 'a/{room}/{sensor}', device: 'house {room}' },
    { 'a/attic/t': 1 },
    [['attic/t', 'house attic']],
  ],
  [
    'a name that is unsafe is made safe',
    { match: 'a/{device}', device: '{device}' },
    { 'a/$x"y': { t: 1 } },
    [['_x_y/t', '_x_y']],
  ],
] as const)('%s', (_, rule, messages, expected) => {
  expect(devices(rule, messages)).toEqual(expected);
});

it('a template that the pattern cannot fill is refused', () => {
  const issues = (rule: Record<string, unknown>) => {
    try {
      devices(rule, {});
      return [];
    } catch (error) {
      return (error as { issues: { path: string; message: string }[] }).issues.map(
        ({ path, message }) => `${path} ${message}`,
      );
    }
  };
  expect(issues({ match: 'a/{x}', device: '{y}' })[0]).toMatch(/^streams\[0\]\.device uses \{y\}/);
  expect(issues({ match: 'a/{x}', device: 'a//b' })[0]).toMatch(/^streams\[0\]\.device must be topic levels/);
  expect(issues({ match: 'a/#', device: '{/id}', payload: 'json' })[0]).toMatch(/must be in `name` too/);
  expect(issues({ match: 'a/#', name: '{/id}/{field}', device: 'x {/id}', payload: 'json' })).toEqual([]);
});
