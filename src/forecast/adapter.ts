/**
 * The network's forecast, adapted to one stream: its median is moved by what a linear regression foretells of its
 * error there, and its quantiles are drawn together as far as that makes the error smaller. It starts as the network's
 * own forecast; the blend decides lead by lead what it is worth.
 */
import { ANALOGUE, CYCLE, LAST } from '../series/experts.ts';
import { type Features, squash } from '../series/features.ts';
import type { LeadKnots } from '../series/lead-knots.ts';
import { Memory } from '../series/memory.ts';
import type { StateIo } from '../series/state-io.ts';
import { Correction } from './correction.ts';
import { MEDIAN, Q } from './forecast.ts';

/** Leads at which corrections are learnt; those between are interpolated. */
export const ADAPTER_KNOTS = [1, 2, 4, 8, 16, 32, 64, 128];
/** The value beside those this many steps ago. */
const LAGS = [1, 2, 4, 8, 16, 32];
/** The network's errors at lead 1 in the last steps. */
const LAST_ERRORS = 3;
/** Knots whose newest errors are shown, beside that of lead 1. */
const ERROR_KNOTS = [2, 4];
/** Experts that are shown beside the anchor, at an early lead and at the last. */
const SHOWN = [LAST, CYCLE, ANALOGUE];
const EARLY = 8;
/** Places of the network's own moves, known last. */
const MOVES = LAGS.length + LAST_ERRORS + ERROR_KNOTS.length + 2 * SHOWN.length;
const INPUTS = MOVES + 2;
/** The quantiles are never drawn together or apart by more. */
const NARROWEST = 0.25;
const WIDEST = 1.25;

export class Adapter {
  private readonly knots: LeadKnots;
  private readonly correction: Correction;
  /** The network's errors at lead 1, newest first. */
  private readonly lastErrors: Float64Array;
  private readonly x: Float32Array;

  constructor(knots: LeadKnots, memory = new Memory()) {
    this.knots = knots;
    this.correction = new Correction(knots, INPUTS, memory);
    this.lastErrors = memory.float64(LAST_ERRORS);
    this.x = memory.float32(INPUTS);
  }

  /** Learns from the bucket that has just closed; before the features take it in. */
  observe(y: number, observed: boolean): void {
    this.correction.observe(y, observed);
    this.lastErrors.copyWithin(1, 0);
    this.lastErrors[0] = this.correction.residuals[0];
  }

  /** Reads what the features say after the same bucket. */
  look(features: Features): void {
    const { x } = this;
    const { leads, forecasts, anchor, scale } = features;
    const { history } = features.experts;
    let at = 0;
    for (const lag of LAGS) {
      const change = history.reach >= lag ? history.at(0) - history.at(lag) : 0;
      x[at++] = squash(change / (scale[0] * Math.sqrt(lag)));
    }
    for (const error of this.lastErrors) x[at++] = error;
    for (const j of ERROR_KNOTS) x[at++] = this.correction.residuals[j] ?? 0;
    for (const k of [Math.min(EARLY, leads) - 1, leads - 1]) {
      for (const e of SHOWN) x[at++] = squash((forecasts[e * leads + k] - anchor[k]) / scale[k]);
    }
  }

  /**
   * @param network the network's quantiles [leads, 9]; null when it said nothing
   * @param learns whether the bucket was observed
   * @param out [leads, 9]; left as it is when the network said nothing
   */
  answer(network: Float64Array | null, features: Features, learns: boolean, out: Float64Array): void {
    const { anchor, scale, leads } = features;
    for (const [i, k] of [0, leads - 1].entries()) {
      this.x[MOVES + i] = network === null ? 0 : (network[k * Q + MEDIAN] - anchor[k]) / scale[k];
    }
    this.correction.keep(this.x, network, scale, learns);
    if (network === null) return;
    const { lower, upperWeight } = this.knots;
    for (let k = 0; k < leads; k++) {
      const j = lower[k];
      const u = upperWeight[k];
      const next = u === 0 ? j : j + 1;
      const move = (1 - u) * this.correction.values[j] + u * this.correction.values[next];
      const width = (1 - u) * this.width(j) + u * this.width(next);
      const median = network[k * Q + MEDIAN];
      for (let q = 0; q < Q; q++) {
        out[k * Q + q] = median + scale[k] * move + width * (network[k * Q + q] - median);
      }
    }
  }

  private width(j: number): number {
    return Math.max(NARROWEST, Math.min(WIDEST, this.correction.share(j)));
  }

  /** Another network answers from here on. */
  loosen(): void {
    this.correction.loosen();
  }

  persist(io: StateIo): void {
    this.correction.persist(io);
    io.array(this.lastErrors);
  }
}
