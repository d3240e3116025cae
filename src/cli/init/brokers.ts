/** Finds brokers on this machine, and on the network by mDNS. */
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { BrokerOptions } from '../../mqtt/options.ts';
import { brokerOf, LoginRefused, openLink } from '../shared/broker.ts';

export interface FoundBroker {
  readonly url: string;
  /** `this machine`, or the announced name. */
  readonly from: string;
}

const LOCAL = 'mqtt://127.0.0.1:1883';
/** Port of MQTT over TLS (IANA). The name is that in a certificate more often than the address. */
const TLS_PORT = 8883;
const LOCAL_TLS = `mqtts://localhost:${TLS_PORT}`;
const BROWSE_MS = 2000;
const LOOKUP_MS = 2000;
const MAX_FOUND = 20;

/** The broker of this machine if it answers, then those announced by mDNS. Never rejects. */
export async function findBrokers(): Promise<FoundBroker[]> {
  const [local, announced] = await Promise.all([localBroker(), browse()]);
  return local === null ? announced : [{ url: local, from: 'this machine' }, ...announced];
}

/** The broker of this machine, plain or with TLS; null: none. */
export async function localBroker(plain = LOCAL, tls = LOCAL_TLS): Promise<string | null> {
  if (await answers(plain)) return plain;
  return (await listens(Number(new URL(tls).port))) ? tls : null;
}

/** Whether a program of this machine listens on a port. */
async function listens(port: number): Promise<boolean> {
  const socket = connect(port, 'localhost');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** URL of the broker that an owner typed: a host, perhaps with a port, or a URL. */
export const urlOf = (typed: string): string =>
  /^[a-z]+:\/\//.test(typed) ? typed : `${typed.endsWith(`:${TLS_PORT}`) ? 'mqtts' : 'mqtt'}://${typed}`;

/** Whether a broker answers; a refused login counts. */
async function answers(url: string): Promise<boolean> {
  try {
    const options: BrokerOptions = await brokerOf({ broker: url }, 'init');
    await (await openLink(options, () => {})).close();
    return true;
  } catch (error) {
    return error instanceof LoginRefused;
  }
}

const SERVICES = [
  { type: 'mqtt', scheme: 'mqtt' },
  { type: 'secure-mqtt', scheme: 'mqtts' },
] as const;

/** Services of `_mqtt._tcp` and `_secure-mqtt._tcp`; none on a machine without multicast. */
export async function browse(
  options: Readonly<Record<string, unknown>> = {},
  waitMs = BROWSE_MS,
): Promise<FoundBroker[]> {
  const { Bonjour } = await import('bonjour-service');
  const found: Promise<FoundBroker>[] = [];
  // Socket errors are ignored: the user is asked for the broker instead.
  const bonjour = new Bonjour(options, () => {});
  const browsers = SERVICES.map(({ type, scheme }) =>
    bonjour.find({ type }, ({ name, port, host, addresses = [] }) => {
      if (found.length >= MAX_FOUND) return;
      const address = addresses.find((one) => one.includes('.'));
      found.push(
        hostOf(host.replace(/\.$/, ''), address, scheme).then((known) => ({
          url: `${scheme}://${known}:${port}`,
          from: name,
        })),
      );
    }),
  );
  await pause(waitMs);
  for (const browser of browsers) browser.stop();
  await new Promise<void>((resolve) => bonjour.destroy(() => resolve()));
  const byUrl = new Map((await Promise.all(found)).map((one) => [one.url, one]));
  return [...byUrl.values()].filter(({ url }) => URL.canParse(url));
}

/** The announced name if the broker has TLS and this machine resolves the name, because a certificate is for names; else the address. */
async function hostOf(name: string, address: string | undefined, scheme: string): Promise<string> {
  if (address === undefined) return name;
  return scheme === 'mqtts' && (await resolves(name)) ? name : address;
}

/** Without a resolver for mDNS, a question for a name in `.local` may stay unanswered for a long time. */
const resolves = (name: string): Promise<boolean> =>
  Promise.race([
    lookup(name).then(
      () => true,
      () => false,
    ),
    pause(LOOKUP_MS, false, { ref: false }),
  ]);
