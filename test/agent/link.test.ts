import { expect, test } from 'vitest';
import { Link } from '../../src/agent/link.ts';
import { silentLogger } from '../../src/log.ts';
import { systemClock } from '../../src/system/clock.ts';
import { agentConfig } from '../support/agents.ts';

test('while the store fails, all subscriptions are at QoS 0: an acknowledgement would wait for those of the sensors', () => {
  const config = agentConfig('mqtt://127.0.0.1:1', '/nowhere');
  const requests = { name: 'requests', filters: () => ['gatecast/n/request/+'] };
  const link = new Link({
    config: () => config,
    clock: systemClock,
    log: silentLogger,
    store: { getMeta: () => null, setMeta: () => {}, flush: () => {} },
    outputs: { birth: () => [], will: () => null, farewell: () => [] } as never,
    streams: { filters: () => ['sensors/#'] },
    parts: () => [requests],
    pipeline: () => ({ receive: () => true }),
  });
  const wanted: unknown[] = [];
  link.client.setSubscriptions = (list) => wanted.push(list.map(({ filter, qos }) => [filter, qos]));
  for (const fails of [false, true, false]) link.storeFailing(fails);
  const at = (qos: number) => [
    ['sensors/#', qos],
    ['gatecast/n/request/+', qos],
  ];
  expect(wanted).toEqual([at(1), at(0), at(1)]);
});
