/** Scratch buffers for the features of a stream. */
import { Phases } from './calendar.ts';
import { E } from './experts.ts';
import { ErrorScratch, errorKnots } from './lead-errors.ts';
import type { LeadKnots } from './lead-knots.ts';

/**
 * Buffers recomputed with every bucket. Streams of one horizon may share them if the inputs of a step are
 * read before another stream is updated.
 */
export class FeatureScratch {
  readonly knots: LeadKnots;
  readonly leadErrors = new ErrorScratch();
  readonly present = new Phases(1);
  readonly coming: Phases;
  /** [E, leads] */
  readonly forecasts: Float32Array;
  /** [E, leads] */
  readonly errors: Float32Array;
  readonly logErrors: Float32Array;
  /** [leads] */
  readonly logScale: Float32Array;

  constructor(leads: number) {
    this.knots = errorKnots(leads);
    this.coming = new Phases(leads);
    this.forecasts = new Float32Array(E * leads);
    this.errors = new Float32Array(E * leads);
    this.logErrors = new Float32Array(E * leads);
    this.logScale = new Float32Array(leads);
  }
}
