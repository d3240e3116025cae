/** The loaded step graphs of one model, one graph per horizon, with the input arrays of their runs. */
import { GatecastError } from '../errors.ts';
import type { Stepper } from '../model/stepper.ts';
import { AHEAD, I } from '../series/features.ts';
import type { Model } from './model.ts';

/** Most streams stepped in one run; more are split into several runs, so that buffers stay bounded. */
export const MAX_BATCH = 64;

export interface StepBatch {
  readonly stepper: Stepper;
  /** [MAX_BATCH or fewer, inputs] */
  readonly x: Float32Array;
  /** [state rows, the same, hidden] */
  readonly h: Float32Array;
}

export class StepBatches {
  private readonly byLeads = new Map<number, Promise<StepBatch>>();

  constructor(private readonly model: Model | null) {}

  /**
   * The batch for `n` rows, at most MAX_BATCH. Throws MODEL_INVALID if the model cannot build a matching graph; the next call
   * tries again.
   */
  async of(leads: number, n: number): Promise<StepBatch> {
    const known = await this.byLeads.get(leads);
    if (known !== undefined && known.x.length >= n * known.stepper.inputs) return known;
    const made = this.make(leads, n, known?.stepper);
    this.byLeads.set(leads, made);
    made.catch(() => this.byLeads.delete(leads));
    return made;
  }

  private async make(leads: number, n: number, loaded: Stepper | undefined): Promise<StepBatch> {
    const { model } = this;
    if (model === null) throw new GatecastError('INTERNAL', 'A step was requested without a model.');
    const stepper = loaded ?? (await model.stepper(leads));
    const inputs = I + leads * AHEAD;
    if (stepper.inputs !== inputs || stepper.leads !== leads) {
      await stepper.release();
      throw new GatecastError(
        'MODEL_INVALID',
        `The step graph takes ${stepper.inputs} inputs for ${stepper.leads} leads; ${inputs} for ${leads} are expected.`,
      );
    }
    const rows = Math.min(MAX_BATCH, 2 ** Math.ceil(Math.log2(n)));
    return {
      stepper,
      x: new Float32Array(rows * inputs),
      h: new Float32Array(rows * model.stateRows * model.hidden),
    };
  }

  /** Frees the sessions. */
  async release(): Promise<void> {
    const batches = [...this.byLeads.values()];
    this.byLeads.clear();
    for (const batch of batches) {
      // A session that failed to load needs no release.
      const made = await batch.catch(() => null);
      await made?.stepper.release();
    }
  }
}
