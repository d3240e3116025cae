/** The correction and the adapter compared with their formulas, worked out from the list of all past forecasts. */
import { describe, expect, it } from 'vitest';
import { ADAPTER_KNOTS, Adapter } from '../../src/forecast/adapter.ts';
import { Correction } from '../../src/forecast/correction.ts';
import { Regression } from '../../src/forecast/regression.ts';
import { MEDIAN, Q } from '../../src/quantiles.ts';
import { UTC } from '../../src/series/calendar.ts';
import { EXPERTS } from '../../src/series/experts.ts';
import { Features, squash } from '../../src/series/features.ts';
import { LeadKnots } from '../../src/series/lead-knots.ts';
import { normal, uniform } from '../support/random.ts';

const within = (x: number, most: number): number => Math.max(-most, Math.min(most, x));

interface Made {
  readonly medians: readonly number[] | null;
  readonly scales: readonly number[];
  readonly values: readonly number[];
  readonly inputs: Float32Array;
}

/** What `Correction` does, with every past forecast in a list instead of rings, in full precision where it rounds. */
class PlainCorrection {
  readonly residuals: number[];
  values: number[];
  private readonly made: Made[] = [];
  private readonly errors: { n: number; before: number; after: number }[];
  private readonly regression: Regression;

  constructor(
    private readonly knots: readonly number[],
    inputs: number,
  ) {
    this.regression = new Regression(inputs, knots.length);
    this.residuals = knots.map(() => 0);
    this.values = knots.map(() => 0);
    this.errors = knots.map(() => ({ n: 0, before: 0, after: 0 }));
  }

  observe(y: number, observed: boolean): void {
    for (const [j, k] of this.knots.entries()) {
      this.residuals[j] = 0;
      const made = this.made.at(-k);
      if (!observed || made === undefined || made.medians === null) continue;
      const target = (y - Math.fround(made.medians[j]!)) / Math.fround(made.scales[j]!);
      this.residuals[j] = within(target, 4);
      const errors = this.errors[j]!;
      errors.n = Math.min(500, errors.n + 1);
      errors.before += (Math.min(8, Math.abs(target)) - errors.before) / errors.n;
      errors.after +=
        (Math.min(8, Math.abs(target - Math.fround(made.values[j]!))) - errors.after) / errors.n;
      this.regression.learn(j, made.inputs, target);
    }
  }

  keep(inputs: Float32Array, network: Float64Array | null, scale: ArrayLike<number>, learns: boolean): void {
    const kept = inputs.map((x) => Math.round(4096 * within(x, 4)) / 4096);
    if (learns && network !== null) this.regression.see(kept);
    this.values = this.knots.map((_, j) => within(this.regression.predict(j, kept), 4));
    this.made.push({
      medians: network && this.knots.map((k) => network[(k - 1) * Q + MEDIAN]!),
      scales: this.knots.map((k) => scale[k - 1]!),
      values: this.values,
      inputs: kept,
    });
  }

  share(j: number): number {
    const { n, before, after } = this.errors[j]!;
    return n < 16 ? 1 : after / before;
  }
}

/** Between knots, linear in the logarithm of the lead. */
function atLead(knots: readonly number[], values: readonly number[], lead: number): number {
  const j = knots.findLastIndex((knot) => knot <= lead);
  if (knots[j] === lead) return values[j]!;
  const part = Math.log(lead / knots[j]!) / Math.log(knots[j + 1]! / knots[j]!);
  return values[j]! + part * (values[j + 1]! - values[j]!);
}

describe('Correction', () => {
  it('has the residuals, corrections and shares of its formula at every lead, with gaps, silence and far values', () => {
    const [leads, inputs] = [6, 3];
    const knots = new LeadKnots([1, 2, 4], leads);
    expect(knots.knots).toEqual([1, 2, 4, 6]);
    const correction = new Correction(knots, inputs);
    const plain = new PlainCorrection(knots.knots, inputs);
    const [noise, chance] = [normal(1), uniform(2)];
    for (let step = 0; step < 700; step++) {
      const observed = chance() > 0.1;
      const y = 20 + noise() * (chance() < 0.02 ? 40 : 1);
      for (const each of [correction, plain]) each.observe(y, observed);
      const x = Float32Array.from({ length: inputs }, () => 2 * noise());
      const network = Float64Array.from({ length: leads * Q }, () => 20 + 0.5 * noise() + 0.4 * x[0]!);
      const scale = Float32Array.from({ length: leads }, (_, k) => 0.5 + 0.3 * k);
      const said = chance() > 0.1 ? network : null;
      for (const each of [correction, plain]) each.keep(x, said, scale, observed);
      for (const j of knots.knots.keys()) {
        expect(correction.residual(j)).toBeCloseTo(plain.residuals[j]!, 9);
        expect(correction.value(j)).toBeCloseTo(plain.values[j]!, 9);
      }
      const shares = knots.knots.map((_, j) => plain.share(j));
      for (let k = 0; k < leads; k++) {
        expect(correction.move(k)).toBeCloseTo(atLead(knots.knots, plain.values, k + 1), 9);
        expect(correction.share(k)).toBeCloseTo(atLead(knots.knots, shares, k + 1), 9);
      }
    }
    expect(correction.residual(knots.knots.length)).toBe(0);
  });
});

describe('Adapter', () => {
  it('shows the regression changes, errors, experts and moves in scales, and publishes median + scale * move', () => {
    const leads = 12;
    const knots = new LeadKnots(ADAPTER_KNOTS, leads);
    const features = new Features(60_000, leads, UTC);
    const adapter = new Adapter(knots);
    const plain = new PlainCorrection(knots.knots, 6 + 3 + 2 + 6 + 2);
    const history: number[] = [];
    const noise = normal(3);
    const [network, out] = [new Float64Array(leads * Q), new Float64Array(leads * Q)];
    let last = [0, 0, 0];
    for (let t = 0; t < 400; t++) {
      const y = 20 + 3 * Math.sin(t / 9) + 0.3 * noise();
      adapter.observe(y, true);
      plain.observe(y, true);
      last = [plain.residuals[0]!, ...last.slice(0, 2)];
      features.update(t * 60_000, y, true);
      history.unshift(Math.fround(y));
      adapter.look(features, t * 60_000);
      const { anchor, scale, forecasts } = features;
      for (let i = 0; i < network.length; i++) {
        const k = Math.floor(i / Q);
        network[i] = anchor[k]! + scale[k]! * (0.4 * Math.sin(t / 5) + 0.3 * ((i % Q) - MEDIAN));
      }
      adapter.answer(network, features, true, out);

      const changes = [1, 2, 4, 8, 16, 32].map((lag) =>
        lag < history.length ? squash((history[0]! - history[lag]!) / (scale[0]! * Math.sqrt(lag))) : 0,
      );
      const experts = [8, leads].flatMap((lead) =>
        [EXPERTS.last, EXPERTS.cycle, EXPERTS.analogue].map((e) =>
          squash((forecasts[e * leads + lead - 1]! - anchor[lead - 1]!) / scale[lead - 1]!),
        ),
      );
      const moves = [1, leads].map(
        (lead) => (network[(lead - 1) * Q + MEDIAN]! - anchor[lead - 1]!) / scale[lead - 1]!,
      );
      const shown = [...changes, ...last, plain.residuals[2]!, plain.residuals[4] ?? 0, ...experts, ...moves];
      plain.keep(Float32Array.from(shown), network, scale, true);

      if (t % 9 !== 0) continue;
      const shares = knots.knots.map((_, j) => plain.share(j));
      for (let k = 0; k < leads; k++) {
        const width = Math.max(0.25, Math.min(1.25, atLead(knots.knots, shares, k + 1)));
        const median = network[k * Q + MEDIAN]!;
        const moved = median + scale[k]! * atLead(knots.knots, plain.values, k + 1);
        for (let q = 0; q < Q; q++) {
          const wanted = moved + width * (network[k * Q + q]! - median);
          expect(out[k * Q + q]! / wanted, `step ${t}, lead ${k + 1}`).toBeCloseTo(1, 4);
        }
      }
    }
    // The correction is worth something in the end, so that the comparison above says something.
    expect(Math.abs(out[MEDIAN]! - network[MEDIAN]!)).toBeGreaterThan(0.01);
  });
});
