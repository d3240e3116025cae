/** Small training series for tests of the room: features that can be checked by hand, no pipeline needed. */
import type { OriginBuffers, TrainingSeries } from '../../src/training/dataset.ts';

/**
 * x = [value, 1, step]; z of lead m = [last value, lead / leads] (one expert, one feature); target = value there.
 * A NaN value is unobserved: as a target it weighs 0, as an input it repeats the last value.
 */
export function plainSeries(
  name: string,
  values: readonly number[],
  leads = 4,
  group = name,
  stride = 4,
  leadsPerOrigin = 2,
): TrainingSeries {
  const steps = values.length;
  const x = new Float32Array(steps * 3);
  let last = 0;
  for (let t = 0; t < steps; t++) {
    if (Number.isFinite(values[t]!)) last = values[t]!;
    x.set([last, 1, t], t * 3);
  }
  return {
    name,
    group,
    steps,
    inputs: 3,
    zWidth: 2,
    leads,
    stride,
    leadsPerOrigin,
    input(step: number, out: Float32Array, offset: number) {
      out.set(x.subarray(step * 3, step * 3 + 3), offset);
    },
    origin(step: number, out: OriginBuffers, offset: number, wanted: Int32Array) {
      if ((step + 1) % stride !== 0) throw new Error(`step ${step} is no origin`);
      for (let m = 0; m < leadsPerOrigin; m++) {
        // One lead of each part, another one at each origin.
        const part = leads / leadsPerOrigin;
        const lead = 1 + Math.floor(m * part) + (((step + 1) / stride) % Math.max(1, Math.floor(part)));
        const target = values[step + lead] ?? Number.NaN;
        const known = Number.isFinite(target);
        wanted[m] = lead;
        out.z[(offset + m) * 2] = x[step * 3]!;
        out.z[(offset + m) * 2 + 1] = lead / leads;
        out.target[offset + m] = known ? target : 0;
        out.weight[offset + m] = known ? 1 : 0;
      }
    },
  };
}

export const ramp = (n: number, from = 0) => Array.from({ length: n }, (_, i) => from + i);
