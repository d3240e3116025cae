/**
 * A process that stores what it receives and acknowledges it when it is safe, in micro-batches as the agent does.
 * Arguments: broker's URL, folder. Killed without warning by its test.
 */
import { silentLogger } from '../../src/log.ts';
import { Client } from '../../src/mqtt/client.ts';
import { plainBrokerOptions } from '../../src/mqtt/options.ts';
import { SqliteStore } from '../../src/store/sqlite-store.ts';
import { systemClock } from '../../src/system/clock.ts';
import { numbered } from './store-numbered.ts';

const [url, dir] = process.argv.slice(2);
const store = SqliteStore.open({
  dir: dir!,
  maxBytes: 2 ** 30,
  retentionMs: 1e13,
  clock: systemClock,
  onFault: (fault) => console.log(`fault ${fault.kind}`),
});
let waiting: { number: number; acknowledge: () => void }[] = [];
const status = (payload: string) => ({ topic: 'n/status', payload, qos: 1, retain: true }) as const;
const client = new Client({
  options: { ...plainBrokerOptions(url!, 'victim'), sessionExpiryMs: 3_600_000, maxBackoffMs: 200 },
  clock: systemClock,
  random: Math.random,
  log: silentLogger,
  will: () => status('offline'),
  birth: () => [status('online')],
  // what a run before this one subscribed to is wanted again
  session: { former: [], remember: () => {} },
  message: ({ payload, acknowledge }) => {
    const number = Number(Buffer.from(payload).toString());
    store.append(numbered(number));
    if (acknowledge === null) return;
    if (waiting.push({ number, acknowledge }) === 1) setTimeout(commit, 5);
  },
});
function commit(): void {
  if (!store.flush()) {
    setTimeout(commit, 50);
    return;
  }
  const safe = waiting;
  waiting = [];
  for (const { acknowledge } of safe) acknowledge();
  const numbers = safe.map(({ number }) => number);
  console.log(`acknowledged ${Math.min(...numbers)} ${Math.max(...numbers)}`);
}
client.setSubscriptions([{ filter: 's/#', qos: 1 }]);
client.start();
