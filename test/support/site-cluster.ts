/** Three nats-servers with the configuration of deploy/site: a cluster with TLS and accounts with least rights. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { freePort } from './mosquitto.ts';
import { type NatsServer, startNatsFile } from './nats.ts';

/** The CA and the certificate of docs/site.md, for 127.0.0.1. */
export function makeCertificates(dir: string): void {
  const [, commands = ''] =
    /^```sh\n(openssl [\s\S]*?)^```/m.exec(readFileSync('docs/site.md', 'utf8')) ?? [];
  execFileSync('sh', ['-ec', commands.replaceAll(/10\.0\.0\.\d/g, '127.0.0.1')], {
    cwd: dir,
    stdio: 'ignore',
  });
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
