/**
 * Runs the step graph on all columns at once, one step per bucket, with states that persist from the first bucket to the
 * last. A network's forecast is the mean of its nine quantiles; the result is the weighted mean over the networks.
 */
import type { Model } from '../../forecast/model.ts';
import type { Stepper } from '../../model/stepper.ts';
import { Q } from '../../quantiles.ts';
import { AHEAD, I } from '../../series/features.ts';
import type { Range } from '../../training/dataset.ts';
import { BlendErrors } from './blend.ts';
import type { ProtocolMemory } from './memory.ts';

/** Weights of the levels 0.1 .. 0.9 in the mean: the probability nearest to each, for the outer two with the tail. */
const MASS = [0.15, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.15];

interface Net {
  readonly stepper: Stepper;
  /** [layers, columns, hidden] */
  h: Float32Array;
}

export class ProtocolRunner {
  private nets: Net[] = [];
  private blend: Float64Array = Float64Array.of(1);
  private readonly horizon: number;
  private readonly x: Float32Array;
  /** [columns, horizon] */
  private readonly points: Float64Array;

  constructor(private readonly memories: readonly ProtocolMemory[]) {
    const n = memories.length;
    this.horizon = memories[0].options.horizon;
    this.x = new Float32Array(n * (I + this.horizon * AHEAD));
    this.points = new Float64Array(n * this.horizon);
  }

  /** Weights of the networks in the mean. */
  get weights(): readonly number[] {
    return [...this.blend];
  }

  /**
   * Starts with zero states and steps over the first `to` buckets. The networks' weights come from their errors on the
   * windows in `validation`.
   */
  async start(models: readonly Model[], to: number, validation: Range): Promise<void> {
    const { memories } = this;
    const { leadsPerOrigin: M, stride } = memories[0].options;
    const n = memories.length;
    const width = I + M * AHEAD;
    const x = new Float32Array(n * width);
    const rows = n * M;
    const kept = {
      z: new Float32Array(rows * AHEAD),
      target: new Float32Array(rows),
      weight: new Float32Array(rows),
    };
    const views = memories.map((memory) => memory.until(validation.to));
    const leads = new Int32Array(M);
    const errors = new BlendErrors(models.length);
    const nets: Net[] = [];
    try {
      for (const model of models) {
        const h = new Float32Array(model.stateRows * n * model.hidden);
        nets.push({ stepper: await model.stepper(M), h });
      }
      const means = nets.map(() => new Float64Array(rows));
      for (let step = 0; step < to; step++) {
        const weighed = step >= validation.from - 1 && (step + 1) % stride === 0;
        for (let c = 0; c < n; c++) {
          memories[c].past(step, x, c * width);
          if (!weighed) continue;
          views[c].origin(step, kept, c * M, leads);
          x.set(kept.z.subarray(c * M * AHEAD, (c + 1) * M * AHEAD), c * width + I);
        }
        for (const [k, net] of nets.entries()) {
          const { quantiles, h } = await net.stepper.run(n, x, net.h);
          net.h = h.slice();
          if (weighed) means[k].fill(0);
          if (weighed) addMeans(quantiles, 1, means[k]);
        }
        if (!weighed) continue;
        for (let row = 0; row < rows; row++) {
          // a weight is the scale of the row, or 0 without a target
          if (kept.weight[row] > 0)
            errors.add(means.map((mean) => (mean[row] - kept.target[row]) * kept.weight[row]));
        }
      }
      this.blend = errors.weights;
      await this.load(
        models,
        nets.map((net) => net.h),
      );
    } finally {
      for (const { stepper } of nets) await stepper.release();
    }
  }

  /** Replaces the networks' weights; the states are kept. */
  async load(models: readonly Model[], states = this.nets.map((net) => net.h)): Promise<void> {
    const former = this.nets;
    this.nets = [];
    for (const [k, model] of models.entries())
      this.nets.push({ stepper: await model.stepper(this.horizon), h: states[k] });
    for (const { stepper } of former) await stepper.release();
  }

  async release(): Promise<void> {
    for (const { stepper } of this.nets) await stepper.release();
    this.nets = [];
  }

  /** Steps over the newest bucket and forecasts from it: [columns, horizon], overwritten by the next call. */
  async forecast(): Promise<Float64Array> {
    const { memories, horizon, points, x, blend } = this;
    const width = I + horizon * AHEAD;
    for (const [c, memory] of memories.entries()) {
      memory.past(memory.known - 1, x, c * width);
      for (let k = 0; k < horizon; k++) memory.step.features.ahead(k, x, c * width + I + k * AHEAD);
    }
    points.fill(0);
    for (const [k, net] of this.nets.entries()) {
      const { quantiles, h } = await net.stepper.run(memories.length, x, net.h);
      addMeans(quantiles, blend[k], points);
      // copied: the stepper overwrites its buffers, and it may be released before the next step
      net.h = h.slice();
    }
    for (const [c, { step }] of memories.entries()) {
      for (let k = 0; k < horizon; k++) {
        const at = c * horizon + k;
        points[at] = step.toUnit(step.features.anchor[k] + step.features.scale[k] * points[at]);
      }
    }
    return points;
  }
}

/** Adds `weight` times the mean of each row of nine quantiles. @param out [rows] */
function addMeans(quantiles: Float32Array, weight: number, out: Float64Array): void {
  for (let row = 0; row < out.length; row++) {
    let mean = 0;
    for (let q = 0; q < Q; q++) mean += MASS[q] * quantiles[row * Q + q];
    out[row] += weight * mean;
  }
}
