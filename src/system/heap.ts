/**
 * Limits the memory of V8. Its defaults favour speed over size, by some 60 MB in the daemon. V8 reads its flags each
 * time it grows a heap, so they may be set in a running process.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * For a process that stays and allocates little: the young generation keeps its size instead of growing to 32 MB, and is
 * collected more often; and there is no machine code of the baseline compiler, 2 MB: what runs often is optimised anyway. To be
 * called before the large modules are loaded.
 */
export function liveSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString('--no-sparkplug');
}

/**
 * To be called when the start is over. The heap of the start is collected, and from then on the old generation may grow by a fifth
 * instead of to twice its size. The share alone would not limit it: V8 always allows 8 MB, a third of all that a thousand streams
 * need. So marking begins when eight tenths of that are used. Sooner costs processor time (11 % of all at three tenths, with
 * 1,000 streams at 1 Hz) and saves 1 MB.
 */
export function settleHeap(): void {
  setFlagsFromString('--heap-growing-percent=20');
  setFlagsFromString('--incremental-marking-soft-trigger=80');
  setFlagsFromString('--incremental-marking-hard-trigger=95');
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  setFlagsFromString('--no-expose-gc');
  collect();
}
