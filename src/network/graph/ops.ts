/**
 * The operations that networks are built from. Each appends its ONNX node and records its backward rule. `g` is the
 * graph, shapes follow numpy, `matmul` takes a matrix as its right operand. Wrong shapes throw plain errors: they are bugs
 * of the code that builds the graph, not of the user.
 */
import { broadcast, count, type Dim, fixed, multiply, type Shape, sameShape } from './dims.ts';
import type { Graph, Value } from './graph.ts';

type Backward = (dy: Value) => readonly (Value | null)[];

function result(g: Graph, inputs: readonly Value[], y: Value, backward: Backward): Value {
  g.record(inputs, [y], ([dy]) => backward(dy!));
  return y;
}

/** Sums a gradient over the axes along which its value was repeated. */
function unbroadcast(g: Graph, gradient: Value, shape: Shape): Value {
  if (sameShape(gradient.shape, shape)) return gradient;
  const extra = gradient.shape.length - shape.length;
  const axes = gradient.shape
    .map((_, axis) => axis)
    .filter((axis) => axis < extra || (shape[axis - extra] === 1 && gradient.shape[axis] !== 1));
  return reshape(g, sum(g, gradient, axes), shape);
}

export function add(g: Graph, a: Value, b: Value): Value {
  const y = g.emit('Add', [a, b], broadcast(a.shape, b.shape));
  return result(g, [a, b], y, (dy) => [unbroadcast(g, dy, a.shape), unbroadcast(g, dy, b.shape)]);
}

export function sub(g: Graph, a: Value, b: Value): Value {
  const y = g.emit('Sub', [a, b], broadcast(a.shape, b.shape));
  return result(g, [a, b], y, (dy) => [unbroadcast(g, dy, a.shape), unbroadcast(g, negate(g, dy), b.shape)]);
}

export function mul(g: Graph, a: Value, b: Value): Value {
  const y = g.emit('Mul', [a, b], broadcast(a.shape, b.shape));
  return result(g, [a, b], y, (dy) => [
    unbroadcast(g, mul(g, dy, b), a.shape),
    unbroadcast(g, mul(g, dy, a), b.shape),
  ]);
}

export function div(g: Graph, a: Value, b: Value): Value {
  const y = g.emit('Div', [a, b], broadcast(a.shape, b.shape));
  return result(g, [a, b], y, (dy) => {
    const da = div(g, dy, b);
    return [unbroadcast(g, da, a.shape), unbroadcast(g, negate(g, mul(g, da, y)), b.shape)];
  });
}

export function negate(g: Graph, x: Value): Value {
  return result(g, [x], g.emit('Neg', [x], x.shape), (dy) => [negate(g, dy)]);
}

export function sigmoid(g: Graph, x: Value): Value {
  const y = g.emit('Sigmoid', [x], x.shape);
  return result(g, [x], y, (dy) => [mul(g, dy, mul(g, y, oneMinus(g, y)))]);
}

export function tanh(g: Graph, x: Value): Value {
  const y = g.emit('Tanh', [x], x.shape);
  return result(g, [x], y, (dy) => [mul(g, dy, oneMinus(g, mul(g, y, y)))]);
}

export function relu(g: Graph, x: Value): Value {
  const y = g.emit('Relu', [x], x.shape);
  return result(g, [x], y, (dy) => [mul(g, dy, sign(g, y))]);
}

/**
 * x + 1 above 0, e^x below: positive and smooth like softplus, at a tenth of its cost on this runtime
 * (Clevert et al. 2016, arXiv:1511.07289, plus one).
 */
export function positive(g: Graph, x: Value): Value {
  const e = g.emit('Exp', [g.emit('Min', [x, g.scalar(0)], x.shape)], x.shape);
  const y = g.emit('Add', [g.emit('Relu', [x], x.shape), e], x.shape);
  // the slope is 1 above 0 and e^x below, which equals e in both cases
  return result(g, [x], y, (dy) => [mul(g, dy, e)]);
}

/** Along the last axis. */
export function softmax(g: Graph, x: Value): Value {
  const y = g.emit('Softmax', [x], x.shape, { axis: { int: -1 } });
  return result(g, [x], y, (dy) => {
    const weighted = mul(g, dy, y);
    const last = x.shape.length - 1;
    const total = reshape(g, sum(g, weighted, [last]), [...x.shape.slice(0, last), 1]);
    return [sub(g, weighted, mul(g, y, total))];
  });
}

/** a [..., m, k] x b [k, n] -> [..., m, n] */
export function matmul(g: Graph, a: Value, b: Value): Value {
  const inner = a.shape.at(-1)!;
  const [rows, columns] = b.shape as [Dim, Dim];
  if (b.shape.length !== 2 || inner !== rows) {
    throw new Error(`cannot multiply [${a.shape}] by [${b.shape}]`);
  }
  const y = g.emit('MatMul', [a, b], [...a.shape.slice(0, -1), columns]);
  return result(g, [a, b], y, (dy) => [
    matmul(g, dy, transpose(g, b)),
    gemm(g, flatten(g, a), flatten(g, dy), null, { transA: true }),
  ]);
}

/** a [m, k] x b [k, n] + c in one node; c is [n], [m, 1] or [m, n]. */
export function affine(g: Graph, a: Value, b: Value, c: Value): Value {
  return result(g, [a, b, c], gemm(g, a, b, c), (dy) => [
    gemm(g, dy, b, null, { transB: true }),
    gemm(g, a, dy, null, { transA: true }),
    unbroadcast(g, dy, c.shape),
  ]);
}

/** a [m, k] x b [k, n] + c, either transposed first; not differentiated: the building block of gradients. */
export function gemm(
  g: Graph,
  a: Value,
  b: Value,
  c: Value | null,
  { transA = false, transB = false } = {},
): Value {
  const shape = [a.shape[transA ? 1 : 0], b.shape[transB ? 0 : 1]];
  if (a.shape[transA ? 0 : 1] !== b.shape[transB ? 1 : 0]) {
    throw new Error(`cannot multiply [${a.shape}] by [${b.shape}]`);
  }
  const attributes = { transA: { int: Number(transA) }, transB: { int: Number(transB) } };
  return g.emit('Gemm', c ? [a, b, c] : [a, b], shape, attributes);
}

/** Reverses the axes, or permutes them to the given order. */
export function transpose(g: Graph, x: Value, order = x.shape.map((_, axis) => axis).reverse()): Value {
  const shape = order.map((axis) => x.shape[axis]);
  const y = g.emit('Transpose', [x], shape, { perm: { ints: order } });
  const inverse = order.map((_, axis) => order.indexOf(axis));
  return result(g, [x], y, (dy) => [transpose(g, dy, inverse)]);
}

export function reshape(g: Graph, x: Value, shape: Shape): Value {
  if (sameShape(x.shape, shape)) return x;
  if (count(x.shape) !== count(shape)) throw new Error(`cannot reshape [${x.shape}] to [${shape}]`);
  let open = false;
  const sizes = shape.map((dim, axis) => {
    if (typeof dim === 'number') return dim;
    if (x.shape[axis] === dim) return 0;
    if (open) throw new Error(`reshape of [${x.shape}] to [${shape}] is ambiguous at run time`);
    open = true;
    return -1;
  });
  const y = g.emit('Reshape', [x, g.int64(sizes)], shape);
  return result(g, [x], y, (dy) => [reshape(g, dy, x.shape)]);
}

/** Merges all axes except the last: [..., k] -> [rows, k] */
export function flatten(g: Graph, x: Value): Value {
  return reshape(g, x, [multiply(...x.shape.slice(0, -1)), x.shape.at(-1)!]);
}

/** Elements `from` (inclusive) to `to` (exclusive) of one axis of known size. */
export function slice(g: Graph, x: Value, axis: number, from: number, to: number): Value {
  const size = fixed(x.shape[axis]);
  if (from === 0 && to === size) return x;
  const shape = x.shape.map((dim, index) => (index === axis ? to - from : dim));
  const y = g.emit('Slice', [x, g.int64([from]), g.int64([to]), g.int64([axis])], shape);
  return result(g, [x], y, (dy) => [pad(g, dy, axis, from, size - to)]);
}

/** Zeros before and after along one axis. */
export function pad(g: Graph, x: Value, axis: number, before: number, after: number): Value {
  if (before === 0 && after === 0) return x;
  const size = fixed(x.shape[axis]);
  const shape = x.shape.map((dim, index) => (index === axis ? size + before + after : dim));
  const y = g.emit('Pad', [x, g.int64([before, after]), g.scalar(0), g.int64([axis])], shape);
  return result(g, [x], y, (dy) => [slice(g, dy, axis, before, before + size)]);
}

export function concat(g: Graph, parts: readonly Value[], axis: number): Value {
  if (parts.length === 1) return parts[0];
  const sizes = parts.map((part) => fixed(part.shape[axis]));
  const total = sizes.reduce((a, b) => a + b, 0);
  const shape = parts[0].shape.map((dim, index) => (index === axis ? total : dim));
  const y = g.emit('Concat', parts, shape, { axis: { int: axis } });
  return result(g, parts, y, (dy) => {
    let from = 0;
    return sizes.map((size) => {
      from += size;
      return slice(g, dy, axis, from - size, from);
    });
  });
}

/** Sum over some axes, which are removed; over all axes by default. */
export function sum(g: Graph, x: Value, axes = x.shape.map((_, axis) => axis)): Value {
  const shape = x.shape.filter((_, axis) => !axes.includes(axis));
  const y = g.emit('ReduceSum', [x, g.int64(axes)], shape, { keepdims: { int: 0 } });
  return result(g, [x], y, (dy) => {
    const kept = x.shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
    const size = g.emit('Shape', [x], [x.shape.length], {}, 'int64');
    return [g.emit('Expand', [reshape(g, dy, kept), size], x.shape)];
  });
}

/** Equal parts along the first axis, whatever its size at run time; not differentiated. */
export function split(g: Graph, x: Value, parts: number): Value[] {
  const size = x.shape[0];
  const symbolic = typeof size === 'string' ? size.replace(new RegExp(`^${parts}\\*`), '') : size / parts;
  if (multiply(symbolic, parts) !== size) throw new Error(`cannot split [${x.shape}] in ${parts}`);
  const shape = [symbolic, ...x.shape.slice(1)];
  if (parts === 1) return [x];
  return g.emitAll('Split', [x], Array(parts).fill({ shape }), {
    axis: { int: 0 },
    num_outputs: { int: parts },
  });
}

/** 1 - x; not differentiated. */
export function oneMinus(g: Graph, x: Value): Value {
  return g.emit('Sub', [g.scalar(1), x], x.shape);
}

/** 1, 0 or -1; not differentiated. */
export function sign(g: Graph, x: Value): Value {
  return g.emit('Sign', [x], x.shape);
}
