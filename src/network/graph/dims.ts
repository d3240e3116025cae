/**
 * Sizes of the axes of a value: a number, or a symbol whose value is set at run time ('B'), possibly times a number
 * ('96*B'). Pure arithmetic on shapes; independent of ONNX.
 */
export type Dim = number | string;
export type Shape = readonly Dim[];

/** Product in canonical form: the number first, then the symbols in order, so that equal products are equal strings. */
export function multiply(...dims: readonly Dim[]): Dim {
  let factor = 1;
  const symbols: string[] = [];
  for (const dim of dims) {
    if (typeof dim === 'number') factor *= dim;
    else {
      for (const part of dim.split('*')) {
        if (/^\d+$/.test(part)) factor *= Number(part);
        else symbols.push(part);
      }
    }
  }
  if (symbols.length === 0 || factor === 0) return factor;
  symbols.sort();
  return factor === 1 ? symbols.join('*') : `${factor}*${symbols.join('*')}`;
}

/** Number of elements. */
export function count(shape: Shape): Dim {
  return multiply(...shape);
}

/** The size as a number; throws if it is known only at run time. */
export function fixed(dim: Dim | undefined): number {
  if (typeof dim !== 'number') throw new Error(`axis of size ${dim} must be known when the graph is built`);
  return dim;
}

/** Shape of an elementwise result, by numpy's rules. */
export function broadcast(a: Shape, b: Shape): Dim[] {
  const rank = Math.max(a.length, b.length);
  const result: Dim[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const left = a[a.length - rank + axis] ?? 1;
    const right = b[b.length - rank + axis] ?? 1;
    if (left === right || right === 1) result.push(left);
    else if (left === 1) result.push(right);
    else throw new Error(`shapes [${a}] and [${b}] do not fit together`);
  }
  return result;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, axis) => dim === b[axis]);
}
