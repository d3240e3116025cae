/** Opens a store, stores samples 5,000 to 5,099, and closes it; prints the faults. Runs where the database cannot be read. */
import { SqliteStore } from '../../src/store/sqlite-store.ts';
import { keepAll, numbered } from './store-numbered.ts';

const store = SqliteStore.open(keepAll(process.argv[2]!, ({ kind }) => console.log(kind)));
for (let n = 5000; n < 5100; n++) store.append(numbered(n));
console.log(store.flush());
store.close();
