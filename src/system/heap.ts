/** How much memory V8 takes for objects that do not live long. Its default favours speed over size, by some 30 MB. */
import { setFlagsFromString } from 'node:v8';

/**
 * Keeps the young generation at the size it has now (about 2 MB at a start) instead of letting it grow to 32 MB: it is
 * collected more often, which costs little where few objects survive, as in the path of a message. For a process that
 * stays; V8 reads the flag each time it would grow, so it may be set in a running one.
 */
export function keepYoungHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}
