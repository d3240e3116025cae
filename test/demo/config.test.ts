import { expect, test } from 'vitest';
import { createRouter, validateConfig } from '../../src/config/index.ts';
import { demoConfig } from '../../src/demo/config.ts';
import { VitalsPublisher } from '../../src/demo/publish.ts';
import { FakeClock } from '../support/fake-clock.ts';

test('the demo config is valid, and every number that the demo publishes becomes a stream with a fitting name', () => {
  const config = validateConfig(
    demoConfig({ brokerUrl: 'mqtt://127.0.0.1:1', dataDir: '/tmp/x', listen: '127.0.0.1:0' }),
  );
  const router = createRouter(config);
  const clock = new FakeClock();
  const met = new Map<string, string | null>();
  const publisher = new VitalsPublisher({
    clock,
    publish: (topic, payload) => {
      const routed = router.message(topic, Buffer.from(payload), clock.now());
      expect(routed.rejects).toEqual([]);
      for (const { spec } of routed.discovered) {
        met.set(spec.name, spec.unit);
        expect(spec).toMatchObject({ intervalMs: 1000, horizonMs: 60_000, latenessMs: 0 });
      }
      expect(routed.samples.length).toBeGreaterThan(0);
    },
  });
  publisher.start();
  // The processor's counters tick every 10 ms of real time.
  const until = performance.now() + 60;
  while (performance.now() < until);
  clock.advance(1500);
  publisher.stop();
  expect(Object.fromEntries(met)).toMatchObject({
    'load/1min': null,
    'cpu/busy': '%',
    'memory/used': 'MB',
    'holes/cpu': '%',
  });
});
