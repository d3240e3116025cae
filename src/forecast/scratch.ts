/** Scratch buffers of a step: their content is valid only during the step, so all streams of one horizon share them. */
import { Q } from '../quantiles.ts';
import { FeatureScratch } from '../series/feature-scratch.ts';
import { LeadKnots } from '../series/lead-knots.ts';
import { MOST_SEASONS } from '../series/recurrence.ts';
import { ADAPTER_KNOTS } from './adapter.ts';
import { C } from './candidates.ts';
import { CovariateBook } from './covariate-book.ts';
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

/** One scratch per horizon, and the size of a stream's block for each grid and horizon. */
export class Scratches {
  /** Whether forecasts carry their provenance. */
  showProvenance = false;
  /** Also shared by all streams: which stream uses which covariates. */
  readonly covariates = new CovariateBook();
  private readonly byLeads = new Map<number, Scratch>();
  private readonly bytes = new Map<string, number>();

  of(leads: number): Scratch {
    let scratch = this.byLeads.get(leads);
    if (scratch === undefined) {
      scratch = new Scratch(leads);
      this.byLeads.set(leads, scratch);
    }
    return scratch;
  }

  /** Size of a stream's block; 0 before the first stream of this grid and horizon exists. */
  blockBytes(intervalMs: number, leads: number): number {
    return this.bytes.get(`${intervalMs} ${leads}`) ?? 0;
  }

  /** Records the size of a stream's block; bounded, because learnt intervals can be many. */
  noteBlock(intervalMs: number, leads: number, bytes: number): void {
    if (this.bytes.size < 1024) this.bytes.set(`${intervalMs} ${leads}`, bytes);
  }
}
