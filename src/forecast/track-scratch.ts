/** Scratch buffers for the blend of a stream. */
import { Bfloat16 } from '../series/bfloat16.ts';
import { LeadKnots } from '../series/lead-knots.ts';
import { C } from './candidates.ts';
import { situationsScratch } from './situations.ts';
import { MixtureScratch } from './week-before.ts';

const KNOTS = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/**
 * [low, median, high] of each candidate, then of the gateway's own network, then of the blend of the candidates, then as
 * published: pooled and calibrated.
 */
export const OWN = 3 * C;
export const BLEND = OWN + 3;
export const PUBLISHED = BLEND + 3;
export const ROW = PUBLISHED + 3;

/** Buffers recomputed with every forecast; streams of one horizon may share them. */
export class TrackScratch {
  readonly knots: LeadKnots;
  /** [leads, C] weights of the forecast just combined. */
  readonly weights: Float64Array;
  /** [knots, C] */
  readonly atKnots: Float64Array;
  /** [knots, ROW] */
  readonly rows: Float64Array;

  /** [ROW] of the current knot. */
  readonly row = new Float64Array(ROW);
  /** [C] losses of the candidates of one knot. */
  readonly missed = new Float64Array(C);
  /** [C], for the weights of one knot. */
  readonly setback = new Float64Array(C);
  readonly losses = new Float64Array(C);
  readonly bfloat16 = new Bfloat16();
  readonly mixture = new MixtureScratch();

  /** Factors by level at the knots, see `situations.ts`. */
  readonly situations: Float64Array;

  constructor(leads: number) {
    this.knots = new LeadKnots(KNOTS, leads);
    this.situations = new Float64Array(situationsScratch(this.knots));
    this.weights = new Float64Array(leads * C);
    this.atKnots = new Float64Array(this.knots.knots.length * C);
    this.rows = new Float64Array(this.knots.knots.length * ROW);
  }
}
