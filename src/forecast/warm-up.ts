/** Computes the state that another model would have after the most recent inputs of a stream. */
import type { StepBatch } from './step-batches.ts';
import type { Stream } from './stream.ts';

/**
 * Runs the stored inputs of `streams` (all of one horizon, no more than the batch holds) through the model from a zero state.
 * @param states receives the state of each stream, [rows, hidden]
 */
export async function warmUp(
  streams: readonly Stream[],
  { stepper, x }: StepBatch,
  states: Map<Stream, Float32Array>,
): Promise<void> {
  const n = streams.length;
  const { layers, hidden, inputs } = stepper;
  const h = new Float32Array(layers * n * hidden);
  const longest = Math.max(...streams.map((stream) => stream.recent.steps));
  for (let age = longest - 1; age >= 0; age--) {
    x.fill(0, 0, n * inputs);
    for (let i = 0; i < n; i++) streams[i].recent.read(age, x, i * inputs);
    const result = await stepper.run(n, x.subarray(0, n * inputs), h);
    for (let i = 0; i < n; i++) {
      // A stream with fewer stored inputs than the others starts later.
      if (age >= streams[i].recent.steps) continue;
      for (let layer = 0; layer < layers; layer++) {
        const from = (layer * n + i) * hidden;
        h.set(result.h.subarray(from, from + hidden), from);
      }
    }
  }
  for (let i = 0; i < n; i++) {
    const state = new Float32Array(layers * hidden);
    for (let layer = 0; layer < layers; layer++) {
      const from = (layer * n + i) * hidden;
      state.set(h.subarray(from, from + hidden), layer * hidden);
    }
    states.set(streams[i], state);
  }
}
