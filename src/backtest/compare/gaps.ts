/**
 * Hides readings of a file the way radio links and loggers lose them: half of the lost buckets singly, half in blocks.
 * Seeded. Pure.
 */
import type { Random } from '../../training/random.ts';
import type { Grid, Reading } from '../play.ts';

const IN_BLOCKS = 0.5;
/** Random draws per wanted bucket; after these, fewer lost buckets are accepted. */
const ATTEMPTS = 50;

/** Share of buckets without a reading, counted from the first bucket with one. */
export function missingShare({ actual }: Grid): number {
  const from = actual.findIndex((value) => !Number.isNaN(value));
  if (from < 0) return 1;
  let missing = 0;
  for (let i = from; i < actual.length; i++) if (Number.isNaN(actual[i])) missing++;
  return missing / (actual.length - from);
}

/**
 * Chooses the buckets of one series that lose their readings.
 * @param share of the observed buckets, 0 to below 1
 * @param longest longest block, buckets, at least 2
 * @returns [buckets] 1 where the readings are lost; never an empty bucket, never the first observed one
 */
export function drawGaps({ actual }: Grid, share: number, longest: number, rng: Random): Uint8Array {
  const lost = new Uint8Array(actual.length);
  const observed: number[] = [];
  for (let i = 0; i < actual.length; i++) if (!Number.isNaN(actual[i])) observed.push(i);
  // a stream starts with its first reading, so that one is never lost
  const [, ...free] = observed;
  const wanted = Math.min(free.length, Math.round(share * observed.length));
  let done = 0;
  const lose = (bucket: number): void => {
    if (bucket <= observed[0] || bucket >= actual.length || Number.isNaN(actual[bucket]) || lost[bucket])
      return;
    lost[bucket] = 1;
    done++;
  };
  for (let left = ATTEMPTS * wanted; done < IN_BLOCKS * wanted && left > 0; left--) {
    const from = rng.pick(free);
    const length = Math.min(rng.int(2, Math.max(2, longest)), Math.ceil(wanted - done));
    for (let i = from; i < from + length; i++) lose(i);
  }
  for (let left = ATTEMPTS * wanted; done < wanted && left > 0; left--) lose(rng.pick(free));
  return lost;
}

/** The readings that are left. @param lost one array per series, from `drawGaps` */
export function withoutLost(
  known: readonly Reading[],
  series: readonly Grid[],
  lost: readonly Uint8Array[],
): Reading[] {
  return known.filter(({ series: s, timeMs }) => {
    const { startMs, intervalMs } = series[s];
    return lost[s][Math.floor((timeMs - startMs) / intervalMs)] === 0;
  });
}
