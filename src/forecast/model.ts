/** The engine's interface to a trained network. */
import type { Stepper } from '../model/stepper.ts';

interface BaseNetwork {
  /** A stream keeps its state and correction when a new model has the same one. */
  readonly hash: string;
  /** Width of its state, at the start of each row. */
  readonly hidden: number;
}

export interface Model {
  /** Name and version as published, e.g. `base` and `3`. */
  readonly id: string;
  readonly version: string;
  /** Hash of weights and feature format: a stored state is valid only for the model that made it. */
  readonly hash: string;
  /** The base network; omitted where unknown. */
  readonly base?: BaseNetwork;
  /** Rows and width of the recurrent state of one stream. */
  readonly stateRows: number;
  readonly hidden: number;
  /** A step graph for a number of leads; called once per horizon. Throws GatecastError MODEL_INVALID. */
  stepper(leads: number): Promise<Stepper>;
}
