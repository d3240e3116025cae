/**
 * Reverse-mode differentiation of a graph: walks the tape backwards from a scalar and appends the nodes that compute
 * its gradients. Source: Griewank and Walther, Evaluating Derivatives, ch. 3 (adjoint accumulation).
 */
import type { Graph, Value } from './graph.ts';

/** The adjoints of a value from its several uses; summed on request. */
class Adjoints {
  private readonly parts = new Map<string, Value[]>();

  constructor(private readonly graph: Graph) {}
  add(value: Value, gradient: Value): void {
    const known = this.parts.get(value.name);
    if (known) known.push(gradient);
    else this.parts.set(value.name, [gradient]);
  }
  get(value: Value): Value | null {
    const parts = this.parts.get(value.name);
    if (!parts) return null;
    if (parts.length > 1) parts.splice(0, parts.length, this.graph.emit('Sum', parts, value.shape));
    return parts[0];
  }
}

/**
 * @param loss a scalar of the graph
 * @param wrt values the loss depends on
 * @returns dLoss/dValue for each, of the value's shape
 */
export function gradients(graph: Graph, loss: Value, wrt: readonly Value[]): Value[] {
  const adjoints = new Adjoints(graph);
  adjoints.add(loss, graph.scalar(1));
  // backward rules append to the tape, so iterate over a copy
  for (const entry of [...graph.tape].reverse()) {
    const arrived = entry.outputs.map((output) => adjoints.get(output));
    if (arrived.every((gradient) => gradient === null)) continue;
    entry.backward(arrived).forEach((gradient, index) => {
      if (gradient) adjoints.add(entry.inputs[index], gradient);
    });
  }
  return wrt.map((value) => {
    const gradient = adjoints.get(value);
    if (!gradient) throw new Error(`the loss does not depend on ${value.name}`);
    return gradient;
  });
}
