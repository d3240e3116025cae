/** Three nats-servers with the configuration of deploy/site: a cluster with TLS and accounts with least rights. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from './mosquitto.ts';
import { type NatsServer, startNatsFile } from './nats.ts';

/** A CA, and a certificate for 127.0.0.1 that servers use towards clients and each other. */
export function makeCertificates(dir: string): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'ignore' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...key,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-subj',
    '/CN=Test CA',
    '-days',
    '2',
  );
  openssl('req', ...key, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=plant');
  writeFileSync(join(dir, 'san'), 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n');
  openssl(
    ...['x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'],
    ...['-out', 'server.pem', '-days', '2', '-extfile', 'san'],
  );
}

/** @param dir holds the certificates */
export async function startShippedServers(dir: string): Promise<NatsServer[]> {
  const ports: number[] = [];
  while (ports.length < 6) {
    const port = await freePort();
    if (!ports.includes(port)) ports.push(port);
  }
  const shipped = readFileSync('deploy/site/nats-server.conf', 'utf8');
  return Promise.all(
    [0, 1, 2].map((at) => {
      const config = shipped
        .replace('server_name: plant-1', `server_name: plant-${at + 1}`)
        .replace('listen: 0.0.0.0:4222', `listen: 127.0.0.1:${ports[at]}`)
        .replace(/http: .*\n/, '')
        .replace('listen: 0.0.0.0:6222', `listen: 127.0.0.1:${ports[at + 3]}`)
        .replace(/routes: \[.*\]/, `routes: [${ports.slice(3).map((port) => `"nats://127.0.0.1:${port}"`)}]`)
        .replace('/var/lib/nats-server', 'DIR/js')
        .replaceAll('/etc/nats/', `${dir}/`);
      return startNatsFile(ports[at], config);
    }),
  );
}
