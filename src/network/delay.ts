/** Delayed copies of a window, for convolution and attention, with the steps before the window as history. */
import type { Shape } from './graph/dims.ts';
import type { Graph, Value } from './graph/graph.ts';
import { pad, slice } from './graph/ops.ts';

/** "To the end" in a Slice. */
const END = 2 ** 53 - 1;

interface Delayed {
  /** x as it was `delay` steps ago, [T, B, n]. */
  at(delay: number): Value;
  /** The last steps, which are the history of the next window, [M - 1, B, n]. */
  readonly next: Value;
}

/**
 * @param history the steps before the window, oldest first, [M - 1, B, n]; no gradient flows into it
 * @param x [T, B, n]; T may be open
 */
export function delayed(g: Graph, history: Value, x: Value): Delayed {
  const [before, B, n] = history.shape as [number, Shape[0], Shape[0]];
  const T = x.shape[0];
  const joined = g.emit('Concat', [history, x], [`${T}+${before}`, B, n], { axis: { int: 0 } });
  const part = (from: number, to: number, length: Shape[0]) =>
    g.emit('Slice', [joined, g.int64([from]), g.int64([to]), g.int64([0])], [length, B, n]);
  return {
    at: (delay) => {
      if (delay === 0) return x;
      const y = part(before - delay, -delay, T);
      g.record([x], [y], ([dy]) => {
        const steps = T as number;
        return [delay < steps ? pad(g, slice(g, dy!, 0, delay, steps), 0, 0, delay) : null];
      });
      return y;
    },
    next: part(-before, END, before),
  };
}
