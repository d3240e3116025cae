/** Prints the size of the young generation at the start, once that is complete, and after some work. `bridge`: as a bridge of a site. */
import { getHeapSpaceStatistics } from 'node:v8';
import { allowHeapGrowth, limitHeapGrowth, settleHeap } from '../../src/system/heap.ts';

function report(): void {
  // Some of the objects of a round outlive the collections.
  for (let i = 0; i < 20; i++) Array.from({ length: 100_000 }, (_, n) => ({ n }));
  const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
  console.log(young?.space_size);
}

limitHeapGrowth();
report();
if (process.argv[2] === 'bridge') allowHeapGrowth();
settleHeap();
report();
report();
