/**
 * Adapts the network's forecast to one stream: a linear regression predicts the network's error on this stream and
 * shifts the median by it, and the quantiles are narrowed as far as that reduces the loss. At the start the adapted
 * forecast equals the network's; the blend weights it lead by lead. Where a stream has covariates, a second
 * regression uses them as well, and both are weighted by their running loss at the lead.
 */
import { MEDIAN, Q } from '../quantiles.ts';
import { ArrayBlock } from '../series/array-block.ts';
import { COVARIATE_LEADS, type Covariates } from '../series/covariates.ts';
import { EXPERTS } from '../series/experts.ts';
import { type Features, squash } from '../series/features.ts';
import { LeadKnots } from '../series/lead-knots.ts';
import type { StateIo } from '../series/state-io.ts';
import { Correction } from './correction.ts';
import type { CovariateGain } from './covariate-choice.ts';

/** Leads at which corrections are learnt; those between are interpolated. */
export const ADAPTER_KNOTS = [1, 2, 4, 8, 16, 32, 64, 128];
/** Exponent of the loss ratio by which the two corrections are weighted. */
const SHARPNESS = 16;
/** Lags of the value differences among the inputs, in steps. */
const LAGS = [1, 2, 4, 8, 16, 32];
/** The network's errors at lead 1 in the last steps. */
const LAST_ERRORS = 3;
/** Knots whose newest errors are inputs, in addition to lead 1. */
const ERROR_KNOTS = [2, 4];
/** Experts whose distance from the anchor is an input, at an early lead and at the last. */
const SHOWN = [EXPERTS.last, EXPERTS.cycle, EXPERTS.analogue];
const EARLY = 8;
/** Index of the first input for the moves that the network predicts; they are the last inputs. */
const MOVES = LAGS.length + LAST_ERRORS + ERROR_KNOTS.length + 2 * SHOWN.length;
const INPUTS = MOVES + 2;
/** Smallest weight at which the correction with covariates counts as used. */
const COUNTS = 0.01;
/** Range of the factor on the width of the quantiles. */
const NARROWEST = 0.25;
const WIDEST = 1.25;

/** A correction with its current value at every lead. */
class Spread {
  readonly correction: Correction;

  constructor(
    private readonly knots: LeadKnots,
    inputs: number,
    memory = new ArrayBlock(),
  ) {
    this.correction = new Correction(knots, inputs, memory);
  }

  /** Correction at lead k + 1, in scales. */
  move(k: number, covariates: Covariates | null = null): number {
    const { correction } = this;
    if (covariates === null) return correction.move(k);
    return this.knots.between(k, (j) => {
      const value = correction.value(j);
      const weight = (input: number): number => correction.weight(j, INPUTS + input);
      return value + covariates.rise(this.knots.knots[j], k + 1, weight);
    });
  }
}

export class Adapter {
  private readonly leads: number;
  private readonly own: Spread;
  /** Correction from the stream's own inputs and its covariates. */
  private wide: Spread | null = null;
  private covariates: Covariates | null = null;
  /** The network's errors at lead 1, newest first. */
  private readonly lastErrors: Float64Array;
  private readonly ownX: Float32Array;
  /** The stream's own inputs, then the covariates. */
  private x: Float32Array;

  /**
   * @param knots `ADAPTER_KNOTS` of the horizon
   * @param memory block for the arrays that every stream of the horizon has
   */
  constructor(knots: LeadKnots, memory = new ArrayBlock(), covariates: Covariates | null = null) {
    this.own = new Spread(knots, INPUTS, memory);
    this.lastErrors = memory.float64(LAST_ERRORS);
    this.ownX = memory.float32(INPUTS);
    this.x = this.ownX;
    this.leads = knots.lower.length;
    this.use(covariates);
  }

  /** Replaces the covariates; the correction with them starts anew. */
  use(covariates: Covariates | null): void {
    const more = covariates?.inputs ?? 0;
    this.covariates = covariates;
    this.wide = more === 0 ? null : new Spread(new LeadKnots(COVARIATE_LEADS, this.leads), INPUTS + more);
    this.x = more === 0 ? this.ownX : new Float32Array(INPUTS + more);
  }

  /** What the covariates add; null without covariates. */
  covariateGain(): CovariateGain | null {
    const { own, wide, leads } = this;
    if (wide === null) return null;
    let sum = 0;
    // Leads at which they do not help are corrected without them.
    for (let k = 0; k < leads; k++) sum += Math.min(1, wide.correction.share(k) / own.correction.share(k));
    return { share: sum / leads, count: wide.correction.compared };
  }

  /** Learns from the bucket that has just closed. Call before the features are updated with it. */
  observe(y: number, observed: boolean): void {
    this.own.correction.observe(y, observed);
    this.wide?.correction.observe(y, observed);
    this.lastErrors.copyWithin(1, 0);
    this.lastErrors[0] = this.own.correction.residual(0);
  }

  /** Reads the features and covariates after the same bucket, which began at `startMs`. */
  look(features: Features, startMs: number): void {
    const { x } = this;
    const { leads, forecasts, anchor, scale } = features;
    const { history } = features.experts;
    let at = 0;
    for (const lag of LAGS) {
      const change = history.reach >= lag ? history.at(0) - history.at(lag) : 0;
      x[at++] = squash(change / (scale[0] * Math.sqrt(lag)));
    }
    for (const error of this.lastErrors) x[at++] = error;
    for (const j of ERROR_KNOTS) x[at++] = this.own.correction.residual(j);
    for (const k of [Math.min(EARLY, leads) - 1, leads - 1]) {
      for (const e of SHOWN) x[at++] = squash((forecasts[e * leads + k] - anchor[k]) / scale[k]);
    }
    this.covariates?.look(startMs, x, INPUTS);
  }

  /**
   * @param network the network's quantiles [leads, 9]; null if it gave none
   * @param learns whether the bucket was observed
   * @param out [leads, 9]; unchanged if the network gave none
   */
  answer(network: Float64Array | null, features: Features, learns: boolean, out: Float64Array): void {
    const { anchor, scale, leads } = features;
    const { own, wide, x } = this;
    for (const [i, k] of [0, leads - 1].entries()) {
      x[MOVES + i] = network === null ? 0 : (network[k * Q + MEDIAN] - anchor[k]) / scale[k];
    }
    own.correction.keep(x, network, scale, learns);
    wide?.correction.keep(x, network, scale, learns);
    if (network === null) return;
    for (let k = 0; k < leads; k++) {
      let share = own.correction.share(k);
      let move = own.move(k);
      if (wide !== null) {
        const weight = this.wideWeight(k, wide, share);
        share += weight * (wide.correction.share(k) - share);
        move += weight * (wide.move(k, this.covariates) - move);
      }
      const width = Math.max(NARROWEST, Math.min(WIDEST, share));
      const median = network[k * Q + MEDIAN];
      for (let q = 0; q < Q; q++) {
        out[k * Q + q] = median + scale[k] * move + width * (network[k * Q + q] - median);
      }
    }
  }

  /** By how much the covariates move the corrected median at lead k + 1, in scales; null without covariates. */
  covariateMove(k: number): number | null {
    const { own, wide } = this;
    if (wide === null) return null;
    return this.wideWeight(k, wide, own.correction.share(k)) * (wide.move(k, this.covariates) - own.move(k));
  }

  /** Covariates with known values; empty if the correction without them is better at lead k + 1. */
  covariatesAt(k: number): string[] {
    const { own, wide, covariates } = this;
    if (wide === null || covariates === null) return [];
    return this.wideWeight(k, wide, own.correction.share(k)) >= COUNTS ? covariates.known() : [];
  }

  /** Weight of the correction with covariates against the one without, 0 to 1. */
  private wideWeight(k: number, wide: Spread, share: number): number {
    return 1 / (1 + (wide.correction.share(k) / share) ** SHARPNESS);
  }

  /** Forgets the learnt errors, because they do not apply to the new network. */
  reset(): void {
    this.own.correction.reset();
    this.wide?.correction.reset();
    this.lastErrors.fill(0);
  }

  persist(io: StateIo): void {
    this.own.correction.persist(io);
    io.array(this.lastErrors);
    this.covariates?.persist(io);
    this.wide?.correction.persist(io);
  }
}
