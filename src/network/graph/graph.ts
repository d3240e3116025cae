/**
 * A graph under construction: values with static element types and shapes, the nodes that compute them, and a tape
 * of backward rules. Is not an interpreter; `toModel` returns the bytes that a runtime loads.
 */
import { count, type Shape } from './dims.ts';
import { type AttributeValue, type ElementType, encodeModel, type NodeSpec, type PortSpec } from './onnx.ts';

/** A value on an edge of the graph. */
export interface Value {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: Shape;
}

/** One differentiable operation: gradients of its outputs in (null: none arrived), of its inputs out. */
interface TapeEntry {
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly backward: (gradients: readonly (Value | null)[]) => readonly (Value | null)[];
}

type TypedData = Float32Array | Int8Array | Uint8Array | Int32Array | BigInt64Array;
type Attributes = Readonly<Record<string, AttributeValue>>;

export class Graph {
  /** Entries in order of creation. */
  readonly tape: TapeEntry[] = [];
  private readonly nodes: NodeSpec[] = [];
  private readonly constants = new Map<string, { value: Value; raw: Uint8Array }>();
  private readonly shared = new Map<string, Value>();
  private readonly inputs: Value[] = [];
  private readonly outputs: PortSpec[] = [];
  private counter = 0;

  input(name: string, shape: Shape): Value {
    const value: Value = { name, type: 'float32', shape };
    this.inputs.push(value);
    return value;
  }

  /** Names `value` as a result of the graph. */
  output(name: string, value: Value): void {
    this.nodes.push({ op: 'Identity', domain: '', inputs: [value.name], outputs: [name], attributes: {} });
    this.outputs.push({ name, type: value.type, shape: value.shape });
  }

  /** A float32 constant. `name` is kept in the file. */
  constant(data: Float32Array, shape: readonly number[], name?: string): Value {
    return this.addConstant(data, 'float32', shape, name);
  }
  int8(data: Int8Array, shape: readonly number[]): Value {
    return this.addConstant(data, 'int8', shape);
  }
  uint8(data: Uint8Array, shape: readonly number[]): Value {
    return this.addConstant(data, 'uint8', shape);
  }
  /** A list of sizes, axes or indices; equal lists share one constant. */
  int64(values: readonly number[]): Value {
    const make = () => this.addConstant(BigInt64Array.from(values, BigInt), 'int64', [values.length]);
    return this.once(`i:${values.join()}`, make);
  }
  scalar(value: number): Value {
    return this.once(`f:${value}`, () => this.addConstant(Float32Array.of(value), 'float32', []));
  }

  /** Appends a node with several results. In `inputs`, null omits an optional input. */
  emitAll(
    op: string,
    inputs: readonly (Value | null)[],
    outputs: readonly { readonly shape: Shape; readonly type?: ElementType }[],
    attributes: Attributes = {},
    domain = '',
  ): Value[] {
    const values = outputs.map(({ shape, type = 'float32' }) => ({ name: this.fresh(op), type, shape }));
    this.nodes.push({
      op,
      domain,
      inputs: inputs.map((input) => input?.name ?? ''),
      outputs: values.map((value) => value.name),
      attributes,
    });
    return values;
  }

  /** Appends a node with one result. */
  emit(
    op: string,
    inputs: readonly (Value | null)[],
    shape: Shape,
    attributes: Attributes = {},
    type: ElementType = 'float32',
    domain = '',
  ): Value {
    return this.emitAll(op, inputs, [{ shape, type }], attributes, domain)[0];
  }

  /** Records how gradients are propagated from `outputs` to `inputs`. */
  record(inputs: readonly Value[], outputs: readonly Value[], backward: TapeEntry['backward']): void {
    this.tape.push({ inputs, outputs, backward });
  }

  /** The bytes of the ONNX file, without nodes and constants that no output needs. */
  toModel(name: string, description: string): Uint8Array {
    const needed = new Set(this.outputs.map((output) => output.name));
    const kept: NodeSpec[] = [];
    for (let index = this.nodes.length - 1; index >= 0; index--) {
      const node = this.nodes[index];
      if (!node.outputs.some((output) => needed.has(output))) continue;
      kept.push(node);
      for (const input of node.inputs) needed.add(input);
    }
    return encodeModel({
      name,
      description,
      nodes: kept.reverse(),
      initializers: [...this.constants.values()]
        .filter(({ value }) => needed.has(value.name))
        .map(({ value, raw }) => ({ ...value, shape: value.shape as readonly number[], raw })),
      inputs: this.inputs,
      outputs: this.outputs,
    });
  }

  private once(key: string, make: () => Value): Value {
    const value = this.shared.get(key) ?? make();
    this.shared.set(key, value);
    return value;
  }

  private addConstant(
    data: TypedData,
    type: ElementType,
    shape: readonly number[],
    name = this.fresh('constant'),
  ): Value {
    if (count(shape) !== data.length) throw new Error(`${name}: ${data.length} numbers for shape [${shape}]`);
    const value: Value = { name, type, shape };
    const raw = new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
    this.constants.set(name, { value, raw });
    return value;
  }

  private fresh(op: string): string {
    return `${op.toLowerCase()}.${this.counter++}`;
  }
}
