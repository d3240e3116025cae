import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openLink, UnknownAuthority } from '../../src/cli/shared/broker.ts';
import type { Client } from '../../src/mqtt/client.ts';
import { type BrokerOptions, brokerOptions, plainBrokerOptions } from '../../src/mqtt/options.ts';
import { canRun } from '../support/child.ts';
import { cleanupsOfTest } from '../support/cleanups.ts';
import { testClient } from '../support/client.ts';
import { hasMosquitto, startMosquitto } from '../support/mosquitto.ts';
import { tempDirs } from '../support/temp.ts';
import { waitFor } from '../support/wait.ts';

const temp = tempDirs();
const able = hasMosquitto && canRun('openssl', ['version'], 'TLS');
const cleanups = cleanupsOfTest();

describe.skipIf(!able)('TLS', () => {
  let dir: string;
  const file = (name: string): string => join(dir, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });

  function authority(name: string): void {
    openssl(
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      file(`${name}.key`),
      '-out',
      file(`${name}.pem`),
    );
  }
  /** @param days negative: expired */
  function certificate(name: string, signer: string, san: string, days = 2): void {
    openssl(
      'req',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-subj',
      `/CN=${name}`,
      '-addext',
      `subjectAltName=${san}`,
      '-keyout',
      file(`${name}.key`),
      '-out',
      file(`${name}.csr`),
    );
    openssl(
      'x509',
      '-req',
      '-in',
      file(`${name}.csr`),
      '-CA',
      file(`${signer}.pem`),
      '-CAkey',
      file(`${signer}.key`),
      '-CAcreateserial',
      '-copy_extensions',
      'copy',
      '-days',
      String(days),
      '-out',
      file(`${name}.pem`),
    );
  }

  beforeAll(() => {
    dir = temp();
    authority('ca');
    authority('other');
    certificate('good', 'ca', 'IP:127.0.0.1');
    certificate('expired', 'ca', 'IP:127.0.0.1', -1);
    certificate('elsewhere', 'ca', 'DNS:elsewhere.example');
    certificate('client', 'ca', 'DNS:client');
    certificate('old-client', 'ca', 'DNS:client', -1);
    certificate('foreign-client', 'other', 'DNS:client');
  });

  async function attempt(server: string, options: Partial<BrokerOptions>, config = ''): Promise<Client> {
    const broker = await startMosquitto(
      `allow_anonymous true\ncertfile ${file(`${server}.pem`)}\nkeyfile ${file(`${server}.key`)}\n${config}`,
    );
    cleanups.push(() => broker.stop());
    const client = testClient(`mqtts://127.0.0.1:${broker.port}`, { ca: file('ca.pem'), ...options });
    cleanups.push(() => client.stop([], 100));
    client.start();
    await waitFor('an answer', () => client.status().connected || client.status().fault);
    return client;
  }

  it('connects to a broker that the authority signed', async () => {
    expect((await attempt('good', {})).status().connected).toBe(true);
  });

  it('shows its own certificate where one is asked for', async () => {
    const strict = `require_certificate true\ncafile ${file('ca.pem')}`;
    const own = { cert: file('client.pem'), key: file('client.key') };
    expect((await attempt('good', own, strict)).status().connected).toBe(true);
    const without = await attempt('good', {}, strict);
    expect(without.status()).toMatchObject({ connected: false, connects: 0 });
    expect(without.status().fault).toMatch(
      /^the broker requires a client certificate: set mqtt.cert and mqtt.key/,
    );
  });

  it.each([
    ['old-client', /^the client certificate is out of date: renew mqtt.cert/],
    ['foreign-client', /^the broker does not trust the authority of mqtt.cert/],
  ])('says what the broker has against a client certificate: %s', async (name, reason) => {
    const own = { cert: file(`${name}.pem`), key: file(`${name}.key`) };
    const client = await attempt('good', own, `require_certificate true\ncafile ${file('ca.pem')}`);
    expect(client.status().fault).toMatch(reason);
  });

  it.each([
    [
      'another authority',
      'good',
      { ca: 'other.pem' },
      /^the broker's certificate is not signed by a trusted authority/,
    ],
    ['an expired certificate', 'expired', { ca: 'ca.pem' }, /expired/i],
    ['a certificate of another host', 'elsewhere', { ca: 'ca.pem' }, /altnames|IP/i],
    ['an unknown authority', 'good', { ca: undefined }, /set mqtt.ca/],
  ])('refuses %s', async (_, server, { ca }, reason) => {
    const client = await attempt(server, { ca: ca === undefined ? undefined : file(ca) });
    expect(client.status()).toMatchObject({ connected: false, connects: 0 });
    expect(client.status().fault).toMatch(reason);
  });

  it('lets a command name the missing file of a private authority', async () => {
    const broker = await startMosquitto(
      `allow_anonymous true\ncertfile ${file('good.pem')}\nkeyfile ${file('good.key')}`,
    );
    cleanups.push(() => broker.stop());
    const options = plainBrokerOptions(`mqtts://127.0.0.1:${broker.port}`, 'command');
    await expect(openLink(options, () => {})).rejects.toBeInstanceOf(UnknownAuthority);
  });

  it('never falls back to plain text', async () => {
    const broker = await startMosquitto();
    cleanups.push(() => broker.stop());
    const client = testClient(`mqtts://127.0.0.1:${broker.port}`, { ca: file('ca.pem') });
    cleanups.push(() => client.stop([], 100));
    client.start();
    await waitFor('a fault', () => client.status().fault);
    expect(client.status().connects).toBe(0);
  });
});

it('certificates for a connection that is not encrypted are a mistake', () => {
  const mqtt = { url: 'mqtt://broker', ca: '/ca.pem' } as Parameters<typeof brokerOptions>[0];
  expect(() => brokerOptions(mqtt, 'id')).toThrowError(
    expect.objectContaining({
      code: 'CONFIG_INVALID',
      issues: [expect.objectContaining({ path: 'mqtt.ca' })],
    }),
  );
});
