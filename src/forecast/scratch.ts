/** Scratch buffers of a step: their content is valid only during the step, so all streams of one horizon share them. */
import { Q } from '../quantiles.ts';
import { FeatureScratch } from '../series/feature-scratch.ts';
import { LeadKnots } from '../series/lead-knots.ts';
import { MOST_SEASONS } from '../series/recurrence.ts';
import { ADAPTER_KNOTS } from './adapter.ts';
import { C } from './candidates.ts';
import { TrackScratch } from './track-scratch.ts';
import { YoungScratch } from './young.ts';

export class Scratch {
  readonly features: FeatureScratch;
  readonly track: TrackScratch;
  readonly adapter: LeadKnots;
  readonly young = new YoungScratch();
  /** C arrays [leads, 9]: the candidates' quantiles. */
  readonly quantiles: readonly Float64Array[];
  /** [leads, 9] the own network's. */
  readonly own: Float64Array;
  /** [MOST_SEASONS] values at one phase of the season, sorted. */
  readonly sorted = new Float64Array(MOST_SEASONS);

  constructor(leads: number) {
    this.features = new FeatureScratch(leads);
    this.track = new TrackScratch(leads);
    this.adapter = new LeadKnots(ADAPTER_KNOTS, leads);
    this.own = new Float64Array(leads * Q);
    this.quantiles = Array.from({ length: C }, () => new Float64Array(leads * Q));
  }
}

export class Scratches {
  private readonly byLeads = new Map<number, Scratch>();

  of(leads: number): Scratch {
    let scratch = this.byLeads.get(leads);
    if (scratch === undefined) {
      scratch = new Scratch(leads);
      this.byLeads.set(leads, scratch);
    }
    return scratch;
  }
}
