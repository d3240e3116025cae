/** The demo's MQTT broker (3.1.1), on loopback. Not for production: it stores nothing and checks no rights. */
import { createRequire } from 'node:module';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { Aedes } from 'aedes';
import { GatecastError } from '../errors.ts';

/** By default Aedes' encoder caches a buffer for each of the 65,536 two-byte numbers, which takes 7 MB. Aedes has no option for it. */
const fromAedes = createRequire(createRequire(import.meta.url).resolve('aedes'));
(fromAedes('mqtt-packet') as { writeToStream: { cacheNumbers: boolean } }).writeToStream.cacheNumbers = false;

/** @param port 0: any free port. @throws GatecastError USAGE if the port is in use */
export async function startBroker(port = 0) {
  const broker = await Aedes.createBroker({ queueLimit: 10_000 });
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    broker.handle(socket);
  });
  server.maxConnections = 64;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new GatecastError('USAGE', `The demo's broker cannot listen on port ${port}.`, {
          hint: 'Omit --broker-port to use any free port.',
          cause: error,
        }),
      ),
    );
    server.listen(port, '127.0.0.1', resolve);
  });
  server.on('error', () => undefined);
  return {
    url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`,
    publish(topic: string, payload: string): void {
      broker.publish(
        { cmd: 'publish', topic, payload: Buffer.from(payload), qos: 0, retain: false, dup: false },
        () => undefined,
      );
    },
    async stop(): Promise<void> {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await new Promise<void>((resolve) => broker.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
