/**
 * AdamW with decoupled weight decay (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019), gradient
 * clipping by global norm or by value, and two things for fine-tuning: a pull towards the base weights (L2-SP, Li et al.,
 * "Explicit Inductive Bias for Transfer Learning", 2018; decoupled like the decay) and a learning rate by group.
 * Works in place on plain arrays. Pure.
 */

export interface Parameter {
  readonly name: string;
  /** Updated in place. */
  readonly data: Float32Array;
  /** false for biases and gains: they are not decayed. */
  readonly decay: boolean;
  /** Weights to stay near; null: none. */
  readonly anchor: Float32Array | null;
}

export interface AdamOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Strength of the pull towards `anchor`. */
  readonly anchorPull: number;
}

const ADAM_DEFAULTS: AdamOptions = {
  beta1: 0.9,
  beta2: 0.99,
  epsilon: 1e-8,
  weightDecay: 1e-2,
  anchorPull: 0,
};

/** State for resuming exactly. */
export interface AdamState {
  readonly count: number;
  readonly first: readonly Float32Array[];
  readonly second: readonly Float32Array[];
}

export class AdamW {
  private count = 0;
  private readonly first: Float32Array[];
  private readonly second: Float32Array[];
  private readonly options: AdamOptions;

  constructor(
    private readonly parameters: readonly Parameter[],
    options: Partial<AdamOptions> = {},
  ) {
    this.options = { ...ADAM_DEFAULTS, ...options };
    this.first = parameters.map((one) => new Float32Array(one.data.length));
    this.second = parameters.map((one) => new Float32Array(one.data.length));
  }

  /**
   * @param gradients one array per parameter, in their order; not changed
   * @param rate learning rate of this step
   * @param clip how the gradients are clipped
   */
  step(gradients: readonly Float32Array[], rate: number, clip: Clip = NO_CLIP): void {
    const { beta1, beta2, epsilon, weightDecay, anchorPull } = this.options;
    this.count++;
    const correct1 = 1 - beta1 ** this.count;
    const correct2 = Math.sqrt(1 - beta2 ** this.count);
    this.parameters.forEach((parameter, k) => {
      const { data, anchor } = parameter;
      const gradient = gradients[k];
      const m = this.first[k];
      const v = this.second[k];
      const keep = parameter.decay ? 1 - rate * weightDecay : 1;
      const pull = anchor ? rate * anchorPull : 0;
      const step = rate / correct1;
      for (let i = 0; i < data.length; i++) {
        const g = clipped(gradient[i], clip);
        const mean = beta1 * m[i] + (1 - beta1) * g;
        const square = beta2 * v[i] + (1 - beta2) * g * g;
        m[i] = mean;
        v[i] = square;
        let w = data[i] * keep;
        if (pull) w -= pull * (data[i] - anchor![i]);
        data[i] = w - (step * mean) / (Math.sqrt(square) / correct2 + epsilon);
      }
    });
  }

  save(): AdamState {
    return {
      count: this.count,
      first: this.first.map((x) => x.slice()),
      second: this.second.map((x) => x.slice()),
    };
  }

  /** @throws RangeError if the state belongs to other parameters */
  restore(state: AdamState): void {
    if (state.first.length !== this.first.length || state.second.length !== this.second.length) {
      throw new RangeError('the optimiser state is of another network');
    }
    state.first.forEach((x, k) => {
      this.first[k].set(same(x, this.first[k]));
    });
    state.second.forEach((x, k) => {
      this.second[k].set(same(x, this.second[k]));
    });
    this.count = state.count;
  }
}

function same(from: Float32Array, to: Float32Array): Float32Array {
  if (from.length !== to.length) throw new RangeError('the optimiser state is of another network');
  return from;
}

/** `scale` from `clipFactor`, then each value within +-`value`. */
interface Clip {
  readonly scale: number;
  readonly value: number;
}

const NO_CLIP: Clip = { scale: 1, value: Number.POSITIVE_INFINITY };

function clipped(gradient: number, clip: Clip): number {
  const scaled = gradient * clip.scale;
  return Math.max(-clip.value, Math.min(clip.value, scaled));
}

/** Euclidean norm over all values of all arrays; NaN or infinite when any value is. */
export function globalNorm(gradients: readonly Float32Array[]): number {
  let sum = 0;
  for (const gradient of gradients)
    for (let i = 0; i < gradient.length; i++) sum += gradient[i] * gradient[i];
  return Math.sqrt(sum);
}

/** Factor that brings a norm down to at most `most` (Pascanu et al., 2013); 1 where it is below. */
export function clipFactor(norm: number, most: number): number {
  return norm > most ? most / norm : 1;
}

/** Biases are named as in PyTorch, or have one dimension. */
export function isBias(name: string, shape: readonly number[]): boolean {
  return shape.length <= 1 || /(^|[._])bias/.test(name);
}

/** Exponential mean of the weights (Polyak averaging), with a decay that grows from short to `decay`. */
export class AverageWeights {
  readonly average: Float32Array[];
  private count = 0;

  constructor(
    private readonly parameters: readonly Parameter[],
    private readonly decay: number,
  ) {
    this.average = parameters.map((one) => one.data.slice());
  }

  update(): void {
    this.count++;
    const keep = Math.min(this.decay, (1 + this.count) / (10 + this.count));
    this.parameters.forEach(({ data }, k) => {
      const mean = this.average[k];
      for (let i = 0; i < mean.length; i++) mean[i] = keep * mean[i] + (1 - keep) * data[i];
    });
  }

  save(): { count: number; average: Float32Array[] } {
    return { count: this.count, average: this.average.map((x) => x.slice()) };
  }

  restore(state: { count: number; average: readonly Float32Array[] }): void {
    this.count = state.count;
    state.average.forEach((x, k) => {
      this.average[k].set(same(x, this.average[k]));
    });
  }
}
