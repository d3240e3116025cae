/**
 * A loaded step model: x [N,I], h [L,N,H] -> quantiles [N,K,Q], h' [L,N,H]. Implemented on onnxruntime in
 * `sessions.ts`; tests of the pipeline that do not check numbers use a plain fake. The result for one row never
 * depends on the other rows of the batch.
 */
export interface StepAnswer {
  readonly quantiles: Float32Array;
  /** Quantiles of the own network; absent if there is none. */
  readonly own?: Float32Array;
  readonly h: Float32Array;
}

export interface Stepper {
  readonly inputs: number;
  readonly layers: number;
  readonly hidden: number;
  readonly leads: number;
  /** Whether the graph also runs an own network, trained on the gateway. */
  readonly hasOwn?: boolean;
  /**
   * @param x [n, inputs] row-major
   * @param h [layers, n, hidden] row-major (the recurrent state: see `stateLayout` in network/spec.ts)
   * @returns quantiles [n, leads, 9] and the next h, in buffers that are reused: the quantiles by the next call, h by the one
   *   after it, so that h can be passed to the next call
   */
  run(n: number, x: Float32Array, h: Float32Array): Promise<StepAnswer>;
  release(): Promise<void>;
}
