/**
 * A process that stores what it receives and acknowledges it when it is safe, in micro-batches as the agent does.
 * Arguments: broker's URL, folder. Killed without warning by its test.
 */
import { SqliteStore } from '../../src/store/sqlite-store.ts';
import { testClient } from '../support/client.ts';
import { keepAll, numbered } from './store-numbered.ts';

const [url, dir] = process.argv.slice(2);
const store = SqliteStore.open(keepAll(dir!, ({ kind }) => console.log(`fault ${kind}`)));
let waiting: { number: number; acknowledge: () => void }[] = [];
const client = testClient(
  url!,
  { clientId: 'victim', sessionExpiryMs: 3_600_000 },
  {
    message: ({ payload, acknowledge }) => {
      const number = Number(Buffer.from(payload).toString());
      store.append(numbered(number));
      if (acknowledge === null) return;
      if (waiting.push({ number, acknowledge }) === 1) setTimeout(commit, 5);
    },
  },
);
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
