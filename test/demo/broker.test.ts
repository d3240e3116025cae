import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { startBroker } from '../../src/demo/broker.ts';
import { stopwatch } from '../support/run-delay.ts';

const MOSQUITTO_SUB = '/usr/bin/mosquitto_sub';

test.skipIf(!existsSync(MOSQUITTO_SUB))('a real client receives what the demo publishes', async () => {
  const broker = await startBroker();
  const { port, hostname } = new URL(broker.url);
  expect(hostname).toBe('127.0.0.1');
  const client = spawn(MOSQUITTO_SUB, ['-p', port, '-t', 'vitals/#', '-v', '-C', '2']);
  let seen = '';
  client.stdout.on('data', (chunk) => {
    seen += chunk;
  });
  const timer = setInterval(() => broker.publish('vitals/cpu', '{"load1":1}'), 50);
  await new Promise((resolve) => client.on('exit', resolve));
  clearInterval(timer);
  expect(seen).toBe('vitals/cpu {"load1":1}\n'.repeat(2));
  await broker.stop();
});

test('stops with a client still connected; a taken port is an error', async () => {
  const broker = await startBroker();
  const port = Number(new URL(broker.url).port);
  await expect(startBroker(port)).rejects.toMatchObject({ code: 'USAGE' });
  const watch = stopwatch();
  await broker.stop();
  expect(watch.stop()).toBeLessThan(2000);
  const free = createServer();
  await new Promise<void>((resolve) => free.listen(port, '127.0.0.1', resolve));
  free.close();
});
