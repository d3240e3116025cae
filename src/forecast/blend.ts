/**
 * Computes the published forecast of a stream: the network's output, corrected by the stream's adapter, blended with
 * the simple forecasts by their running losses, and calibrated. Used live, in a backtest, and in the gate for a new
 * network.
 */

import { ArrayBlock } from '../series/array-block.ts';
import type { Covariates } from '../series/covariates.ts';
import type { Features } from '../series/features.ts';
import type { StateIo } from '../series/state-io.ts';
import { Adapter } from './adapter.ts';
import { ADAPTER, C, GRU, networkQuantiles, ofNetwork, RECURRENCE, simpleQuantiles } from './candidates.ts';
import type { LeadView, Provenance } from './explanation.ts';
import type { Scratch } from './scratch.ts';
import { Track } from './track.ts';
import { Young } from './young.ts';

/** A part with less weight than this at a lead does not count there. */
const LEAST_WEIGHT = 0.01;

export interface BlendParts {
  readonly intervalMs: number;
  readonly unit: string | null;
  /** Of the horizon; streams share it. */
  readonly scratch: Scratch;
  /** For what every stream of the horizon has. */
  readonly memory?: ArrayBlock;
  /** Whether there is a network to be corrected. */
  readonly network: boolean;
  /** Share of readings wanted inside the interval. */
  readonly coverage?: number;
  /** Those that the correction sees as well. */
  readonly covariates: () => Covariates | null;
}

export class Blend {
  readonly track: Track;
  /** The own network takes no part: the gate plays buckets that it was trained on. */
  muted = false;
  /** Which networks made the newest forecast. */
  private hasNetwork = false;
  private hasOwn = false;
  private readonly features: Features;
  private readonly parts: BlendParts;
  private adapter: Adapter | null;
  private readonly young: Young;
  private readonly finish = (out: Float64Array): void => {
    this.young.mix(this.features, out, this.parts.scratch.young);
  };

  constructor(features: Features, parts: BlendParts) {
    const { scratch, memory = new ArrayBlock(), network, coverage, intervalMs, unit } = parts;
    const { season } = features;
    this.features = features;
    this.parts = parts;
    this.track = new Track(features.leads, { scratch: scratch.track, memory, season, coverage });
    this.adapter = network ? this.makeAdapter(memory) : null;
    this.young = new Young(intervalMs, unit, features.line.isCircle, memory);
  }

  private makeAdapter(memory?: ArrayBlock): Adapter {
    return new Adapter(this.parts.scratch.adapter, memory, this.parts.covariates());
  }

  /** Learns from a bucket; before the features take it in. @param value as the features keep it */
  observe(value: number, observed: boolean): void {
    this.track.observe(value, observed);
    this.adapter?.observe(value, observed);
  }

  /** After the features have taken in the same bucket, which began at `startMs`. */
  look(startMs: number): void {
    this.adapter?.look(this.features, startMs);
  }

  /**
   * Once a bucket, after `look`.
   * @param raw the network's answer [leads, 9] from `offset`; null when it was not asked
   * @param rawOwn the own network's; null where there is none
   * @param observed whether the bucket was
   * @param clamp what may be published of a value
   * @param out [leads, 9]
   * @returns whether the networks had answers that can be used
   */
  forecast(
    raw: Float32Array | null,
    rawOwn: Float32Array | null,
    offset: number,
    observed: boolean,
    clamp: (value: number) => number,
    out: Float64Array,
  ): boolean {
    const { features } = this;
    const { quantiles } = this.parts.scratch;
    const network = raw !== null && networkQuantiles(features, raw, offset, quantiles[GRU]);
    const heard = rawOwn !== null && !this.muted;
    const own = heard && networkQuantiles(features, rawOwn, offset, this.parts.scratch.own);
    this.hasNetwork = network;
    this.hasOwn = own;
    const recurs = simpleQuantiles(features, this.parts.scratch.sorted, quantiles);
    this.adapter?.answer(network ? quantiles[GRU] : null, features, observed, quantiles[ADAPTER]);
    const candidates = quantiles.map((one, c) =>
      (ofNetwork(c) ? network : c !== RECURRENCE || recurs) ? one : null,
    );
    this.track.combine(candidates, clamp, out, this.finish, own ? this.parts.scratch.own : null);
    return network && (!heard || own);
  }

  /**
   * From here on another network answers.
   * @param sameBase only the gateway's own network is another
   */
  switchNetwork(sameBase: boolean): void {
    this.track.beginTrial();
    this.track.beginOwn();
    if (sameBase) return;
    // A stream that had no network until now has no correction yet.
    if (this.adapter !== null) this.adapter.reset();
    else this.adapter = this.makeAdapter();
  }

  /**
   * The forecasts of the networks in the unit of the features, and the covariates that count at some lead; before another
   * stream makes a forecast.
   */
  provenance(): Provenance {
    const { quantiles, own } = this.parts.scratch;
    const { adapter, track } = this;
    const used = new Set<string>();
    for (let k = 0; k < this.features.leads && this.hasNetwork; k++) {
      if (track.weights[k * C + ADAPTER] < LEAST_WEIGHT) continue;
      for (const name of adapter?.covariatesAt(k) ?? []) used.add(name);
    }
    return {
      raw: this.hasNetwork ? quantiles[GRU] : null,
      corrected: this.hasNetwork && adapter !== null ? quantiles[ADAPTER] : null,
      own: this.hasOwn ? own : null,
      inputsUsed: [...used],
    };
  }

  /** What the newest forecast is made of, in the unit of the features; before another stream makes one. */
  explain(): LeadView[] {
    return this.track.explain().map((view) => {
      const k = view.lead - 1;
      const moved = this.adapter?.covariateMove(k) ?? null;
      return { ...view, covariates: moved === null ? null : moved * this.features.scale[k] };
    });
  }

  persist(io: StateIo): void {
    this.track.persist(io);
    this.adapter?.persist(io);
    this.young.persist(io);
  }
}
