/**
 * Screens a stream's history before training: replaces spikes, stuck readings and absurd values with NaN, and refuses a
 * window that consists mostly of them, with the reason. Pure.
 */

/** Minimum number of observed buckets. */
const LEAST_OBSERVED = 200;
/** Smallest observed share of the window. */
const LEAST_SHARE = 0.4;
/** Hampel filter: readings on each side, and distance in scaled median absolute deviations. */
const NEIGHBOURS = 6;
const DISTANCE = 12;
/** A value repeated this many times is stuck, if the stream usually changes. */
const STUCK = 48;

interface Screened {
  /** NaN where not observed or removed. */
  readonly values: Float64Array;
  readonly observed: number;
  readonly spikes: number;
  readonly stuck: number;
  /** Why the stream is left out; null: it is used. */
  readonly problem: string | null;
}

export function screen(values: ArrayLike<number>): Screened {
  const out = Float64Array.from(values, (value) =>
    Number.isFinite(value) && Math.abs(value) < 1e30 ? value : Number.NaN,
  );
  const observed = count(out);
  const result = (problem: string | null, spikes = 0, stuck = 0): Screened => ({
    values: out,
    observed,
    spikes,
    stuck,
    problem,
  });
  if (observed < LEAST_OBSERVED)
    return result(`${observed} buckets were observed, ${LEAST_OBSERVED} are needed`);
  if (observed < LEAST_SHARE * out.length) {
    return result(`only ${Math.round((100 * observed) / out.length)} % of the window was observed`);
  }
  const spikes = removeSpikes(out);
  const stuck = removeStuck(out);
  const left = count(out);
  if (left < LEAST_OBSERVED || left < 0.5 * observed) {
    return result(
      `${observed - left} of ${observed} observed buckets are spikes or stuck readings`,
      spikes,
      stuck,
    );
  }
  if (changes(out) === 0) return result('it never changes', spikes, stuck);
  return result(null, spikes, stuck);
}

/**
 * Hampel filter: removes values far from the median of their neighbours, in units of their median absolute deviation. The
 * unit is at least the median change of the whole window, so that a small step after a quiet time is not a spike. Runs of
 * more than a few such values are kept, because they are not spikes.
 */
function removeSpikes(x: Float64Array): number {
  const steps: number[] = [];
  let last = Number.NaN;
  for (const value of x) {
    if (Number.isNaN(value)) continue;
    if (!Number.isNaN(last)) steps.push(Math.abs(value - last));
    last = value;
  }
  const usual = 1.4826 * median(steps.filter((step) => step > 0));
  const near: number[] = [];
  const spikes: number[] = [];
  for (let t = 0; t < x.length; t++) {
    const value = x[t];
    if (Number.isNaN(value)) continue;
    near.length = 0;
    // The same number on each side, because the values after a step lie on one side only.
    for (const side of [-1, 1]) {
      for (let lag = 1, taken = 0; lag <= 2 * NEIGHBOURS && taken < NEIGHBOURS; lag++) {
        const other = x[t + side * lag];
        if (other === undefined || Number.isNaN(other)) continue;
        near.push(other);
        taken++;
      }
    }
    if (near.length < 1.5 * NEIGHBOURS) continue;
    const centre = median(near);
    const spread = 1.4826 * median(near.map((one) => Math.abs(one - centre)));
    if (Math.abs(value - centre) > DISTANCE * Math.max(spread, usual)) spikes.push(t);
  }
  // many such values are bursts, which belong to the stream
  if (spikes.length > 0.01 * x.length) return 0;
  for (const t of spikes) x[t] = Number.NaN;
  return spikes.length;
}

/** Removes long runs of one value, unless they are normal for the stream (as zeros are for rain). */
function removeStuck(x: Float64Array): number {
  const runs: { from: number; to: number; value: number }[] = [];
  let inRuns = 0;
  let from = -1;
  let length = 0;
  let value = Number.NaN;
  const close = (to: number) => {
    if (length >= STUCK) {
      runs.push({ from, to, value });
      inRuns += length;
    }
  };
  for (let t = 0; t < x.length; t++) {
    const now = x[t];
    if (Number.isNaN(now)) continue;
    if (now === value) length++;
    else {
      close(t);
      from = t;
      length = 1;
      value = now;
    }
  }
  close(x.length);
  if (runs.length === 0) return 0;
  // a value with several runs is a floor or an "off" state, not a stuck sensor
  const rests = new Map<number, number>();
  for (const run of runs) rests.set(run.value, (rests.get(run.value) ?? 0) + 1);
  const stuck = runs.filter((run) => (rests.get(run.value) ?? 0) < 3);
  if (inRuns > 0.5 * x.length && stuck.length < runs.length) return 0;
  let removed = 0;
  for (const run of stuck) {
    // the first reading of the run is valid
    for (let t = run.from + 1; t < run.to; t++) {
      if (Number.isNaN(x[t])) continue;
      x[t] = Number.NaN;
      removed++;
    }
  }
  return removed;
}

function count(x: Float64Array): number {
  let n = 0;
  for (const value of x) if (!Number.isNaN(value)) n++;
  return n;
}

function changes(x: Float64Array): number {
  let n = 0;
  let last = Number.NaN;
  for (const value of x) {
    if (Number.isNaN(value)) continue;
    if (!Number.isNaN(last) && value !== last) n++;
    last = value;
  }
  return n;
}

function median(x: number[]): number {
  if (x.length === 0) return 0;
  x.sort((a, b) => a - b);
  return x[x.length >> 1];
}
