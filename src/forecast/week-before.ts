/**
 * What comes once a week: a pump every Monday, ventilation on weekdays only. No candidate of the blend learns it, because their
 * weights come from all buckets, and such an event is in few of them. So the value a week before a lead is compared with the
 * forecast: where it is far outside the interval, the reading will be near it (the event comes again), or as forecast (it does
 * not). How often it came again is learnt at each lead, and how near. The forecast is then a mixture of both; without such
 * values nothing changes. The history need not be longer than one week.
 */
import { MEDIAN, Q, QUANTILES } from '../quantiles.ts';
import type { ArrayBlock } from '../series/array-block.ts';
import type { LeadKnots } from '../series/lead-knots.ts';
import type { StateIo } from '../series/state-io.ts';
import { NORMAL, SIGMA_PER_MAD } from './candidates.ts';

/** A value is far outside if its distance from the median is more than this many halves of the interval, and this many usual errors. */
const [HALVES, ERRORS] = [1.5, 4] as const;
/** Share of events that come again, before any has, and how many events this counts for. */
const [PRIOR, PRIOR_EVENTS] = [0.25, 0.5] as const;
/** Events that are remembered, and readings near the value a week before. */
const [MEMORY, NEAR_MEMORY] = [12, 64] as const;
/** A smaller share may be chance: nothing is mixed. */
const LEAST_SHARE = 0.5;
/** Numbers of a side: events, their share that came again, and readings of the event that has begun: all of them, those near the value a week before. */
const SIDE = 4;
const [EVENTS, SHARE, LENGTH, AGAIN] = [0, 1, 2, 3] as const;
/** Values a week before that are below the forecast, then those above: after an event, the stream returns to what it was without one, and this tells nothing about the next event. */
const WIDTH = 2 * SIDE;

/** Buffers for one mixture. */
export class MixtureScratch {
  readonly forecast = new Float64Array(Q);
  /** What the stream was a week before. */
  readonly returned = new Float64Array(Q);
  /** Both, in order. */
  readonly points = new Float64Array(2 * Q);
}

export class WeekBefore {
  /** [knots, 2, SIDE], then how many readings have been near, and their mean distance. */
  private readonly state: Float32Array;

  constructor(
    private readonly lead: LeadKnots,
    private readonly scratch: MixtureScratch,
    memory: ArrayBlock,
  ) {
    this.state = memory.float32(lead.knots.length * WIDTH + 2);
  }

  private get near(): number {
    return this.lead.knots.length * WIDTH;
  }

  /**
   * @param before value a week before the reading `y`
   * @param median @param half of the interval on the side of this value, without what is mixed in here
   * @param error usual size of an error
   * @returns whether this value has a part in such a forecast
   */
  learn(knot: number, y: number, before: number, median: number, half: number, error: number): boolean {
    const { state, near } = this;
    const side = before > median ? SIDE : 0;
    const at = knot * WIDTH + side;
    const isEvent = isFar(before - median, half, error);
    this.endEvent(knot * WIDTH + SIDE - side);
    if (!isEvent) this.endEvent(at);
    if (!isEvent) return false;
    const isMixed = state[at + SHARE] >= LEAST_SHARE;
    state[at + LENGTH]++;
    const distance = Math.abs(y - before);
    // A reading anywhere between would be nearer to this value half of the time, by chance.
    if (!(2 * distance < Math.abs(y - median))) return isMixed;
    state[at + AGAIN]++;
    state[near] = Math.min(NEAR_MEMORY, state[near] + 1);
    state[near + 1] += (distance - state[near + 1]) / state[near];
    return isMixed;
  }

  /** Buckets in a row are one event, however many they are: they tell the same. */
  private endEvent(at: number): void {
    const { state } = this;
    if (state[at + LENGTH] === 0) return;
    if (state[at + EVENTS] === 0) state[at + SHARE] = PRIOR;
    state[at + EVENTS] = Math.min(MEMORY, state[at + EVENTS] + 1);
    const again = state[at + AGAIN] / state[at + LENGTH];
    state[at + SHARE] += (again - state[at + SHARE]) / (PRIOR_EVENTS + state[at + EVENTS]);
    state[at + LENGTH] = 0;
    state[at + AGAIN] = 0;
  }

  /**
   * Mixes the quantiles of lead k + 1 with the value a week before it.
   * @param error usual size of an error
   * @param moved distance of the newest reading from the value a week before it: the stream may be at another level since
   * @param out [leads, 9]
   */
  mix(k: number, before: number, error: number, moved: number, out: Float64Array): void {
    const from = k * Q;
    const median = out[from + MEDIAN];
    const share = this.lead.interpolate(this.state, WIDTH, (before > median ? SIDE : 0) + SHARE, k);
    if (share < LEAST_SHARE) return;
    const half = before > median ? out[from + Q - 1] - median : median - out[from];
    if (!isFar(before - median, half, error) || !(2 * moved < Math.abs(before - median))) return;
    mixQuantiles(this.scratch, out, from, before, SIGMA_PER_MAD * this.state[this.near + 1], share);
  }

  persist(io: StateIo): void {
    io.array(this.state);
  }
}

const isFar = (distance: number, half: number, error: number): boolean =>
  Math.abs(distance) > Math.max(HALVES * half, ERRORS * error);

/** Quantiles of a mixture of a forecast and of a normal distribution that has a share. @param out [9] from an index */
function mixQuantiles(
  { forecast, returned, points }: MixtureScratch,
  out: Float64Array,
  from: number,
  mean: number,
  deviation: number,
  share: number,
): void {
  for (let q = 0; q < Q; q++) {
    forecast[q] = out[from + q];
    returned[q] = mean + deviation * NORMAL[q];
  }
  points.set(forecast);
  points.set(returned, Q);
  points.sort();
  let [at, below] = [0, 0];
  for (let q = 0; q < Q; q++) {
    for (;;) {
      const x = points[at];
      const upTo = (1 - share) * shareBelow(forecast, x, true) + share * shareBelow(returned, x, true);
      if (upTo >= QUANTILES[q] || at === 2 * Q - 1) break;
      below = upTo;
      at++;
    }
    const x = points[at];
    const before = (1 - share) * shareBelow(forecast, x, false) + share * shareBelow(returned, x, false);
    const isBetween = at > 0 && before > below && QUANTILES[q] < before;
    out[from + q] = isBetween
      ? points[at - 1] + ((QUANTILES[q] - below) / (before - below)) * (x - points[at - 1])
      : x;
  }
}

/** Share of a distribution below a value, from its quantiles: between two of them it is uniform, and its ends are at the outer ones. */
function shareBelow(quantiles: Float64Array, x: number, including: boolean): number {
  let n = 0;
  while (n < Q && (quantiles[n] < x || (including && quantiles[n] === x))) n++;
  if (n === 0 || n === Q) return n / Q;
  const low = quantiles[n - 1];
  return QUANTILES[n - 1] + ((x - low) / (quantiles[n] - low)) * (QUANTILES[n] - QUANTILES[n - 1]);
}
