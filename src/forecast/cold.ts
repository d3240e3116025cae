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

/** Where each lead stands among the leads of the table, [leads]: the same for all streams of a horizon. */
export const coldPlaces = (leads: number): Float64Array =>
  Float64Array.from({ length: leads }, (_, k) => place(COLD_LEADS, k + 1));

/** The table at a row and a fractional column. */
function between(row: number, column: number, fraction: number): number {
  const from = row * COLD_LEADS.length + column;
  return COLD_WIDTHS[from] + fraction * (COLD_WIDTHS[from + 1] - COLD_WIDTHS[from]);
}

/**
 * @param buckets seen, at least 1
 * @param places [leads], see `coldPlaces`
 * @param out [leads] logarithm of how much wider
 * @returns whether there is anything to widen
 */
export function coldWidths(buckets: number, places: Float64Array, out: Float64Array): boolean {
  if (buckets >= GROWN) return false;
  const last = COLD_BUCKETS[COLD_BUCKETS.length - 1];
  const fading = buckets <= last ? 1 : 1 - Math.log2(buckets / last) / Math.log2(GROWN / last);
  const b = place(COLD_BUCKETS, buckets);
  const row = Math.min(COLD_BUCKETS.length - 2, Math.floor(b));
  for (let k = 0; k < out.length; k++) {
    const l = places[k];
    const column = Math.min(COLD_LEADS.length - 2, Math.floor(l));
    const above = between(row, column, l - column);
    out[k] = GIVEN * fading * (above + (b - row) * (between(row + 1, column, l - column) - above));
  }
  return true;
}
