import { Bonjour } from 'bonjour-service';
import { describe, expect, it } from 'vitest';
import { browse } from '../../../src/cli/init/brokers.ts';
import { freePort } from '../../support/mosquitto.ts';

describe('brokers that announce themselves by mDNS', () => {
  it('are found, with and without TLS', async ({ skip }) => {
    // A port of our own: the network's real announcements stay out, and the loopback is enough.
    const options = { port: await freePort(), bind: '0.0.0.0', interface: '127.0.0.1' };
    const errors: unknown[] = [];
    const announcer = new Bonjour(options, (error: unknown) => errors.push(error));
    announcer.publish({ name: 'cellar', type: 'mqtt', port: 1884, host: 'cellar.local', probe: false });
    announcer.publish({ name: 'safe', type: 'secure-mqtt', port: 8884, host: 'safe.local', probe: false });
    announcer.publish({ name: 'printer', type: 'ipp', port: 631, host: 'printer.local', probe: false });
    const found = await browse(options, 1500);
    await new Promise<void>((resolve) => announcer.destroy(() => resolve()));
    if (found.length === 0 && errors.length > 0) {
      console.warn('SKIPPED: this machine has no multicast on its loopback', errors[0]);
      skip();
    }
    const urls = found.map(({ url, from }) => [from, url.replace(/\/\/.*:/, '//host:')]);
    expect(urls.sort()).toEqual([
      ['cellar', 'mqtt://host:1884'],
      ['safe', 'mqtts://host:8884'],
    ]);
  });

  it('are none where no broker announces itself', async () => {
    const options = { port: await freePort(), interface: '127.0.0.1' };
    expect(await browse(options, 200)).toEqual([]);
  });
});
