import { expect, it } from 'vitest';
import { covers } from '../../src/config/filters.ts';
import { subscriptionsFor, widest } from '../../src/mqtt/subscriptions.ts';

it.each([
  ['#', 'gatecast/n/request/+', true],
  ['gatecast/#', 'gatecast/n/request/+', true],
  ['+/+/+/+', 'gatecast/n/request/+', true],
  ['+/n/request/+', 'gatecast/n/request/+', true],
  ['$share/group/#', 'gatecast/n/request/+', true],
  ['gatecast/n/request/backup', 'gatecast/n/request/+', false],
  ['+/+/+', 'gatecast/n/request/+', false],
  ['+/+/+/+/#', 'gatecast/n/request/+', true],
  ['sensors/#', 'gatecast/n/request/+', false],
  ['homeassistant/+', 'homeassistant/status', true],
  ['homeassistant/status/#', 'homeassistant/status', true],
  ['a/+', 'a/#', false],
  ['#', '$SYS/broker/load', false],
  ['+/broker/load', '$SYS/broker/load', false],
  ['$SYS/#', '$SYS/broker/load', true],
])('%s covers %s: %s', (filter, other, expected) => {
  expect(covers(filter, other)).toBe(expected);
});

it('a retained push comes again with each reconnect, a retained reading does not', () => {
  expect(subscriptionsFor(['sensors/#'], 1, ['gatecast/n/config/desired'])).toEqual([
    { filter: 'sensors/#', qos: 1 },
    { filter: 'gatecast/n/config/desired', qos: 1, again: true },
  ]);
});

it.each(['#', 'gatecast/#', '$share/group/#'])(
  'a desired config is subscribed to also beside %s',
  (filter) => {
    expect(subscriptionsFor([filter], 0, ['gatecast/n/config/desired', 'gatecast/n/request/+'])).toEqual([
      { filter, qos: 0 },
      { filter: 'gatecast/n/config/desired', qos: 1, again: true },
    ]);
  },
);

it('the inbox is always at QoS 1, and never asked for twice', () => {
  expect(subscriptionsFor(['sensors/#'], 0, ['gatecast/n/request/+', 'homeassistant/status'])).toEqual([
    { filter: 'sensors/#', qos: 0 },
    { filter: 'gatecast/n/request/+', qos: 1 },
    { filter: 'homeassistant/status', qos: 1 },
  ]);
  expect(subscriptionsFor(['#'], 1, ['gatecast/n/request/+'])).toEqual([{ filter: '#', qos: 1 }]);
});

it('what lies within another filter is not asked for: the broker would deliver it twice', () => {
  expect(widest(['a/+', 'a/#', 'b/c', 'b/+', 'b/c', 'c/d'])).toEqual(['a/#', 'b/+', 'c/d']);
  expect(widest(['#', 'a/b', '$SYS/#'])).toEqual(['#', '$SYS/#']);
  expect(widest(['a/+/x', 'a/b/#'])).toEqual(['a/+/x', 'a/b/#']);
});
