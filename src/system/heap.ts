/**
 * Limits the memory of V8. Its defaults favour speed over size, by some 60 MB in the daemon. V8 reads its flags each
 * time it grows a heap, so they may be set in a running process.
 */
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Size of both halves of the young generation once the start is complete; before, it is half as large. */
const YOUNG_BYTES = 4 * 2 ** 20;
/** Most collections to enlarge it, and count of the numbers (64 kB) that are kept at each of them: so few that it is enlarged only once. */
const MOST_COLLECTIONS = 64;
const SURVIVORS = 8192;

/** Factor by which V8 enlarges the young generation once the start is complete; 1: never. */
let growthFactor = 1;

/**
 * For a long-running process that allocates little: keeps the young generation small, with more frequent collections,
 * instead of growing it to 32 MB; and disables the baseline compiler, which saves 2 MB of machine code, because hot code is
 * optimised anyway. Call it before large modules are loaded.
 */
export function limitHeapGrowth(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString('--no-sparkplug');
}

/**
 * For a process that allocates much all the time, as a bridge of a site does: lets the young generation grow again, which needs up to
 * 30 MB more and halves the time of collections.
 */
export function allowHeapGrowth(): void {
  growthFactor = 2;
  setFlagsFromString('--semi-space-growth-factor=2');
}

/**
 * Call it when the start is complete. Collects the heap; from then on the old generation may grow by a fifth instead of to
 * twice its size. The share alone would not limit it, because V8 always allows 8 MB, a third of the memory for a thousand
 * streams. So marking starts when 80 % of that are used. An earlier start costs processor time (11 % at 30 %, with 1,000
 * streams at 1 Hz) and saves only 1 MB.
 */
export function settleHeap(): void {
  setFlagsFromString('--heap-growing-percent=20');
  setFlagsFromString('--incremental-marking-soft-trigger=80');
  setFlagsFromString('--incremental-marking-hard-trigger=95');
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as Collect;
  setFlagsFromString('--no-expose-gc');
  collect();
  enlargeYoungGeneration(collect);
}

type Collect = (options?: { readonly type: 'minor' }) => void;

const youngBytes = (): number =>
  getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')?.space_size ?? 0;

/**
 * Halves the number of its collections. V8 enlarges the young generation only when more data than its size have survived collections since
 * the last time, so this function makes collections while it holds data.
 */
function enlargeYoungGeneration(collect: Collect): void {
  setFlagsFromString('--semi-space-growth-factor=2');
  const survivors: number[][] = [];
  for (let i = 0; i < MOST_COLLECTIONS && youngBytes() < YOUNG_BYTES; i++) {
    survivors.push(Array.from({ length: SURVIVORS }, (_, n) => n + 0.5));
    collect({ type: 'minor' });
  }
  setFlagsFromString(`--semi-space-growth-factor=${growthFactor}`);
}
