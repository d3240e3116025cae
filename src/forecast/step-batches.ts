/** The loaded step graphs of one model, one graph per horizon, and the input arrays of their runs. */
import { GatecastError } from '../errors.ts';
import type { Stepper } from '../model/stepper.ts';
import { AHEAD, I } from '../series/features.ts';
import type { Model } from './model.ts';

/** Most streams stepped in one run; more are split into several runs, so that buffers stay bounded. */
export const MAX_BATCH = 64;

export interface StepBatch {
  readonly stepper: Stepper;
  /** At least [n, inputs]. */
  readonly x: Float32Array;
  /** At least [state rows, n, hidden]. */
  readonly h: Float32Array;
}

/** Input arrays of a run. Engines that step one after the other may share them: the arrays of 64 streams take 400 kB. */
export class StepArrays {
  private x = new Float32Array(0);
  private h = new Float32Array(0);

  /** Arrays of at least these lengths, until the next call. */
  of(x: number, h: number): Pick<StepBatch, 'x' | 'h'> {
    if (this.x.length < x) this.x = new Float32Array(x);
    if (this.h.length < h) this.h = new Float32Array(h);
    return { x: this.x, h: this.h };
  }
}

export class StepBatches {
  private readonly byLeads = new Map<number, Promise<Stepper>>();

  constructor(
    private readonly model: Model | null,
    private readonly arrays = new StepArrays(),
  ) {}

  /**
   * The batch for `n` rows, at most MAX_BATCH. Throws MODEL_INVALID if the model cannot build a matching graph; the next call
   * tries again.
   */
  async of(leads: number, n: number): Promise<StepBatch> {
    const { model } = this;
    if (model === null) throw new GatecastError('INTERNAL', 'A step was requested without a model.');
    let loading = this.byLeads.get(leads);
    if (loading === undefined) {
      loading = load(model, leads);
      this.byLeads.set(leads, loading);
      loading.catch(() => this.byLeads.delete(leads));
    }
    const stepper = await loading;
    // Powers of two, so that a growing number of streams seldom needs other arrays.
    const rows = Math.min(MAX_BATCH, 2 ** Math.ceil(Math.log2(n)));
    return { stepper, ...this.arrays.of(rows * stepper.inputs, rows * model.stateRows * model.hidden) };
  }

  /** Frees the sessions. */
  async release(): Promise<void> {
    const all = [...this.byLeads.values()];
    this.byLeads.clear();
    for (const loading of all) {
      // A session that failed to load needs no release.
      const stepper = await loading.catch(() => null);
      await stepper?.release();
    }
  }
}

async function load(model: Model, leads: number): Promise<Stepper> {
  const stepper = await model.stepper(leads);
  const inputs = I + leads * AHEAD;
  if (stepper.inputs === inputs && stepper.leads === leads) return stepper;
  await stepper.release();
  throw new GatecastError(
    'MODEL_INVALID',
    `The step graph takes ${stepper.inputs} inputs for ${stepper.leads} leads; ${inputs} for ${leads} are expected.`,
  );
}
