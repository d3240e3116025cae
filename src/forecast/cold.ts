/**
 * How much wider the interval of a young stream has to be than what it has shown so far says: learnt from many starts of
 * other streams, by the number of buckets seen and the lead (`cold-widths.ts`). Smooth over both; nothing once a stream is
 * old enough to have calibrated itself.
 */
import { COLD_BUCKETS, COLD_LEADS, COLD_WIDTHS } from './cold-widths.ts';

/** Share of the widths that is given: in full they hold far more than 80 % on series of other sets, and cost too much. */
const GIVEN = 0.5;
/** From here on the stream speaks for itself. */
const GROWN = 4 * Math.max(...COLD_BUCKETS);

/** Place of `x` in a list that doubles, 0 being its first: fractional, within the list. */
const place = (list: readonly number[], x: number): number =>
  Math.max(0, Math.min(list.length - 1, Math.log2(x / list[0])));

/**
 * @param buckets seen, at least 1
 * @param out [leads] logarithm of how much wider
 * @returns whether there is anything to widen
 */
export function coldWidths(buckets: number, out: Float64Array): boolean {
  if (buckets >= GROWN) return false;
  const last = COLD_BUCKETS[COLD_BUCKETS.length - 1];
  const fading = buckets <= last ? 1 : 1 - Math.log2(buckets / last) / Math.log2(GROWN / last);
  const b = place(COLD_BUCKETS, buckets);
  const row = Math.min(COLD_BUCKETS.length - 2, Math.floor(b));
  const width = COLD_LEADS.length;
  for (let k = 0; k < out.length; k++) {
    const l = place(COLD_LEADS, k + 1);
    const column = Math.min(width - 2, Math.floor(l));
    const at = (r: number): number => {
      const from = r * width + column;
      return COLD_WIDTHS[from] + (l - column) * (COLD_WIDTHS[from + 1] - COLD_WIDTHS[from]);
    };
    out[k] = GIVEN * fading * (at(row) + (b - row) * (at(row + 1) - at(row)));
  }
  return true;
}
