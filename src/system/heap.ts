/** How much memory V8 takes. Its defaults favour speed over size, by some 60 MB in the daemon. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * For a process that stays and allocates little. V8 reads these flags each time it would grow a heap, so they may be set in a
 * running process; to be called before the large modules are loaded.
 */
export function keepHeapSmall(): void {
  // The young generation keeps its size instead of growing to 32 MB: it is collected more often.
  setFlagsFromString('--semi-space-growth-factor=1');
  // The old one is collected when it has grown by a fifth, not when it has doubled.
  setFlagsFromString('--heap-growing-percent=20');
}

/** Collects now: what a start leaves behind would else stay, and be the measure of how far the heap may grow. */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  setFlagsFromString('--no-expose-gc');
  collect();
}
