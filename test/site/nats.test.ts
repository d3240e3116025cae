// The connection to a real nats-server: whose certificate is accepted, and when nothing is sent without TLS.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createSite, openSite } from '../../src/site/nats.ts';
import { canRun } from '../support/child.ts';
import { hasNats, startNatsServer } from '../support/nats.ts';
import { siteConfig } from '../support/site.ts';
import { makeCertificates } from '../support/site-cluster.ts';
import { tempDirs } from '../support/temp.ts';

const tempDir = tempDirs();
const hasOpenssl = canRun('openssl', ['version'], 'the certificates of a site');
const NEW = { partitions: 1, ttlMs: 2000, replicas: 1, retentionMs: 60_000, maxBytes: 0 };

describe.skipIf(!hasNats || !hasOpenssl)('the connection to NATS', () => {
  it('takes a certificate for the address of a server in the config, and no other one', async () => {
    const dir = tempDir();
    makeCertificates(dir);
    const file = (name: string): string => join(dir, name);
    const server = await startNatsServer(
      `tls { cert_file: "${file('server.pem')}", key_file: "${file('server.key')}" }`,
    );
    try {
      const tls = { ca_file: file('ca.pem') };
      const config = siteConfig([server.url], { tls });
      await createSite(config, NEW);
      await (await openSite(config, 'test')).nc.close();
      const others = siteConfig([server.url.replace('127.0.0.1', 'localhost')], { tls });
      await expect(openSite(others, 'test')).rejects.toThrow(/altnames: Host: localhost/);
    } finally {
      await server.stop();
    }
  });

  it('needs TLS if a URL says so, also without certificate files', async () => {
    const server = await startNatsServer();
    try {
      const secure = siteConfig([server.url.replace('nats:', 'tls:')]);
      await expect(openSite(secure, 'test')).rejects.toThrow("server does not support 'tls'");
      await createSite(siteConfig([server.url]), NEW);
    } finally {
      await server.stop();
    }
  });
});
