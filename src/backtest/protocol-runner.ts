/**
 * The step graph over all columns at once, with states that persist from the first bucket to the last: one step a
 * bucket, and a forecast of all leads where one is asked for. A forecast is the mean of the nine quantiles over the
 * networks of the recipe.
 */
import type { Model } from '../forecast/model.ts';
import type { Stepper } from '../model/stepper.ts';
import { AHEAD, I } from '../series/features.ts';
import type { ProtocolMemory } from './protocol-memory.ts';

const LEVELS = 9;
/** Of the levels 0.1 .. 0.9 in the mean: each stands for the probability nearest to it, the outer two for the tails too. */
const MASS = [0.15, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.15];

interface Net {
  /** Forecasts one lead: enough where only the state is wanted. */
  readonly short: Stepper;
  readonly long: Stepper;
  /** [layers, columns, hidden] */
  h: Float32Array;
}

export class ProtocolRunner {
  private nets: Net[] = [];
  private readonly leads: number;
  private readonly xShort: Float32Array;
  private readonly xLong: Float32Array;
  /** [columns, leads] */
  private readonly point: Float64Array;

  constructor(private readonly memories: readonly ProtocolMemory[]) {
    const n = memories.length;
    this.leads = memories[0].options.horizon;
    this.xShort = new Float32Array(n * (I + AHEAD));
    this.xLong = new Float32Array(n * (I + this.leads * AHEAD));
    this.point = new Float64Array(n * this.leads);
  }

  /** Loads the networks; states start at zero, or go on where the same number of networks had been running. */
  async load(models: readonly Model[]): Promise<void> {
    const former = this.nets;
    const n = this.memories.length;
    this.nets = [];
    for (const [k, model] of models.entries()) {
      const h = former[k]?.h ?? new Float32Array(model.stateRows * n * model.hidden);
      this.nets.push({ short: await model.stepper(1), long: await model.stepper(this.leads), h });
    }
    for (const net of former) await this.drop(net);
  }

  async release(): Promise<void> {
    for (const net of this.nets) await this.drop(net);
    this.nets = [];
  }

  private async drop({ short, long }: Net): Promise<void> {
    await short.release();
    await long.release();
  }

  /** Steps over bucket `step` without a forecast. */
  async step(step: number): Promise<void> {
    const n = this.memories.length;
    for (const [c, memory] of this.memories.entries()) memory.past(step, this.xShort, c * (I + AHEAD));
    for (const net of this.nets) net.h = kept((await net.short.run(n, this.xShort, net.h)).h);
  }

  /** Steps over the newest bucket and forecasts from it: [columns, leads], overwritten by the next call. */
  async forecast(): Promise<Float64Array> {
    const { memories, leads, point } = this;
    const width = I + leads * AHEAD;
    memories.forEach((memory, c) => {
      memory.past(memory.known - 1, this.xLong, c * width);
      for (let k = 0; k < leads; k++) memory.features.ahead(k, this.xLong, c * width + I + k * AHEAD);
    });
    point.fill(0);
    for (const net of this.nets) {
      const { quantiles, h } = await net.long.run(memories.length, this.xLong, net.h);
      for (let at = 0; at < point.length; at++) {
        let mean = 0;
        for (let q = 0; q < LEVELS; q++) mean += MASS[q] * quantiles[at * LEVELS + q];
        point[at] += mean / this.nets.length;
      }
      net.h = kept(h);
    }
    memories.forEach(({ features }, c) => {
      for (let k = 0; k < leads; k++) {
        const at = c * leads + k;
        point[at] = features.anchor[k] + features.scale[k] * point[at];
      }
    });
    return point;
  }
}

/** A state of its own: a stepper's buffer is overwritten two runs later. */
function kept(h: Float32Array): Float32Array {
  return h.slice();
}
