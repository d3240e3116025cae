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
import type { CovariateGain } from './covariate-choice.ts';
import type { LeadView, Provenance } from './explanation.ts';
import type { Relatives } from './relatives.ts';
import type { Scratch } from './scratch.ts';
import { Track } from './track.ts';
import { Young } from './young.ts';

/** A part with less weight than this at a lead does not count there. */
const LEAST_WEIGHT = 0.01;

/** Multiples of the horizon from which a season that has been found is used: before, it may be chance, and no forecast by it has been scored at long leads. */
const SEASON_AFTER = 4;

interface BlendParts {
  readonly intervalMs: number;
  readonly unit: string | null;
  /** Of the stream. */
  readonly name?: string;
  /** What streams of one kind tell each other; omitted: nothing. */
  readonly relatives?: Relatives;
  /** Buffers shared by all streams of the horizon. */
  readonly scratch: Scratch;
  /** Block for the arrays that every stream of the horizon has. */
  readonly memory?: ArrayBlock;
  /** Whether there is a network. */
  readonly network: boolean;
  /** Share of readings that the interval should contain. */
  readonly coverage?: number;
  /** The stream's covariates, which are further inputs of the correction. */
  readonly covariates: () => Covariates | null;
}

export class Blend {
  readonly track: Track;
  /** Excludes the own network, because the gate replays buckets that it was trained on. */
  muted = false;
  /** Which networks made the newest forecast. */
  private hasNetwork = false;
  private hasOwn = false;
  private adapter: Adapter | null;
  private covariates: () => Covariates | null;
  private readonly young: Young;
  private readonly scratch: Scratch;

  constructor(
    private readonly features: Features,
    parts: BlendParts,
  ) {
    const { scratch, memory = new ArrayBlock(), network, coverage, intervalMs } = parts;
    const { season, experts: past } = features;
    this.scratch = scratch;
    this.covariates = parts.covariates;
    this.track = new Track(features.leads, {
      scratch: scratch.track,
      memory,
      season,
      coverage,
      // The same direction may be stored on another turn of the circle.
      past: features.line.isCircle ? null : past,
      bounds: past.bounds,
    });
    this.adapter = network ? this.makeAdapter(memory) : null;
    this.young = new Young(intervalMs, parts, features.line.isCircle, memory);
  }

  private makeAdapter(memory?: ArrayBlock): Adapter {
    return new Adapter(this.scratch.adapter, memory, this.covariates());
  }

  /** Replaces the covariates. Everything else that is learnt stays. */
  useCovariates(covariates: Covariates | null): void {
    this.covariates = () => covariates;
    this.adapter?.use(covariates);
  }

  /** What the covariates add to the correction; null without. */
  covariateGain(): CovariateGain | null {
    return this.adapter?.covariateGain() ?? null;
  }

  /** For another stream. */
  serve(
    { unit = null, name }: { readonly unit?: string | null; readonly name?: string },
    relatives: Relatives,
  ): void {
    this.young.serve(unit, name, relatives);
  }

  /** Learns from a bucket. Call before the features are updated with it. @param value in the unit of the features */
  observe(value: number, observed: boolean): void {
    this.track.observe(value, observed);
    this.adapter?.observe(value, observed);
  }

  /** Call after the features have been updated with the same bucket, which began at `startMs`. */
  look(startMs: number): void {
    this.adapter?.look(this.features, startMs);
  }

  /**
   * Call once per bucket, after `look`.
   * @param raw the network's output [leads, 9] from `offset`; null if it was not run
   * @param rawOwn the own network's output; null if there is none
   * @param observed whether the bucket had a reading
   * @param limit limits values to the range that may be published
   * @param out [leads, 9]
   * @returns whether the outputs of the networks were usable
   */
  forecast(
    raw: Float32Array | null,
    rawOwn: Float32Array | null,
    offset: number,
    observed: boolean,
    limit: (out: Float64Array) => void,
    out: Float64Array,
  ): boolean {
    const { features } = this;
    const { quantiles } = this.scratch;
    const network = raw !== null && networkQuantiles(features, raw, offset, quantiles[GRU]);
    const heard = rawOwn !== null && !this.muted;
    const own = heard && networkQuantiles(features, rawOwn, offset, this.scratch.own);
    this.hasNetwork = network;
    this.hasOwn = own;
    const recurs =
      simpleQuantiles(features, this.scratch.sorted, quantiles) &&
      features.steps >= SEASON_AFTER * features.leads;
    this.adapter?.answer(network ? quantiles[GRU] : null, features, observed, quantiles[ADAPTER]);
    const candidates = quantiles.map((one, c) =>
      (ofNetwork(c) ? network : c !== RECURRENCE || recurs) ? one : null,
    );
    // A function of its own for each stream would stay in memory.
    const finish = (mixed: Float64Array): void => {
      this.young.mix(features, mixed, this.scratch.young);
      this.track.states.leaveGap(mixed, features.experts.history);
    };
    const ownForecast = own ? this.scratch.own : null;
    this.track.combine(candidates, limit, out, finish, ownForecast, features.gapAge);
    return network && (!heard || own);
  }

  /**
   * Prepares for another network.
   * @param sameBase whether only the gateway's own network changes
   */
  switchNetwork(sameBase: boolean): void {
    this.track.beginTrial();
    this.track.beginOwn(sameBase);
    if (sameBase) return;
    // A stream that had no network until now has no correction yet.
    if (this.adapter !== null) this.adapter.reset();
    else this.adapter = this.makeAdapter();
  }

  /**
   * The forecasts of the networks in the unit of the features, and the covariates used at some lead. Call before
   * another stream makes a forecast.
   */
  provenance(): Provenance {
    const { quantiles, own } = this.scratch;
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

  /** Tells similar streams what this one has learnt; after it has been restored. */
  tell(): void {
    this.young.tell(this.features, this.scratch.young);
  }

  /** The stream has another unit: its values are `factor` times the former ones. */
  rescale(factor: number): void {
    this.young.rescale(factor);
  }

  /** The parts of the newest forecast, in the unit of the features. Call before another stream makes a forecast. */
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
