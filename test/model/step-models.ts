/** Step models as their users might bring them: one that keeps the contract, and many that do not. */
import protobuf from 'protobufjs/light.js';
import { Graph, type Value } from '../../src/network/graph/graph.ts';

/** What a step model is made of; each part may be made wrong. */
export interface StepParts {
  /** Shapes of the inputs. */
  readonly x?: readonly (number | string)[];
  readonly h?: readonly (number | string)[];
  readonly inputs?: readonly [name: string, shape: readonly (number | string)[]][];
  /** Called with the quantiles [N, K, 9] before they are given out. */
  readonly bend?: (g: Graph, quantiles: Value, x: Value) => Value;
  readonly names?: readonly [quantiles: string, next: string];
}

/** I + K * A inputs, state [1, N, 4], K leads: quantiles are the first input plus the level, the state a mean. */
export function stepModel(inputs: number, leads: number, parts: StepParts = {}): Uint8Array {
  const g = new Graph();
  const x = g.input('x', parts.x ?? ['N', inputs]);
  const h = g.input('h', parts.h ?? [1, 'N', 4]);
  for (const [name, shape] of parts.inputs ?? []) g.input(name, shape);
  const first = g.emit('Slice', [x, g.int64([0]), g.int64([1]), g.int64([1])], ['N', 1]);
  const three = g.emit('Reshape', [first, g.int64([-1, 1, 1])], ['N', 1, 1]);
  const levels = Float32Array.from({ length: leads * 9 }, (_, i) => (i % 9) / 10);
  const sum = g.emit('Add', [three, g.constant(levels, [1, leads, 9], 'levels')], ['N', leads, 9]);
  const [quantiles, next] = parts.names ?? ['quantiles', 'h_next'];
  g.output(quantiles, parts.bend?.(g, sum, x) ?? sum);
  const row = g.emit('Reshape', [first, g.int64([1, -1, 1])], [1, 'N', 1]);
  const sums = g.emit('Add', [h, row], [1, 'N', 4]);
  g.output(next, g.emit('Mul', [sums, g.scalar(0.5)], [1, 'N', 4]));
  return g.toModel('step', 'a step model of its user');
}

const repeated = (type: string, id: number) => ({ rule: 'repeated', type, id });
const root = protobuf.Root.fromJSON({
  nested: {
    Model: {
      fields: { graph: { type: 'Graph', id: 7 }, opset: repeated('bytes', 8), ir: { type: 'int64', id: 1 } },
    },
    Graph: {
      fields: {
        node: repeated('bytes', 1),
        name: { type: 'string', id: 2 },
        initializer: repeated('Tensor', 5),
        input: repeated('bytes', 11),
        output: repeated('bytes', 12),
      },
    },
    Tensor: {
      fields: {
        dims: repeated('int64', 1),
        dataType: { type: 'int32', id: 2 },
        name: { type: 'string', id: 8 },
        rawData: { type: 'bytes', id: 9 },
        externalData: repeated('Pair', 13),
        dataLocation: { type: 'int32', id: 14 },
      },
    },
    Pair: { fields: { key: { type: 'string', id: 1 }, value: { type: 'string', id: 2 } } },
  },
});
const Model = root.lookupType('Model');

/** The same model with the numbers of `tensor` in a file beside it; returns both. */
export function withExternalData(
  model: Uint8Array,
  tensor: string,
  location: string,
): { model: Uint8Array; data: Uint8Array } {
  const message = Model.decode(model) as unknown as {
    graph: { initializer: Record<string, unknown>[] };
  };
  const found = message.graph.initializer.find(({ name }) => name === tensor)!;
  const data = found.rawData as Uint8Array;
  delete found.rawData;
  found.dataLocation = 1;
  found.externalData = [
    { key: 'location', value: location },
    { key: 'length', value: String(data.length) },
  ];
  return { model: Model.encode(message as never).finish(), data };
}

const one = (type: string, id: number) => ({ type, id });
const loops = protobuf.Root.fromJSON({
  nested: {
    Model: { fields: { ir: one('int64', 1), graph: one('Graph', 7), opset: repeated('bytes', 8) } },
    Graph: {
      fields: {
        node: repeated('Node', 1),
        name: one('string', 2),
        initializer: repeated('bytes', 5),
        input: repeated('bytes', 11),
        output: repeated('bytes', 12),
      },
    },
    Node: {
      fields: {
        input: repeated('string', 1),
        output: repeated('string', 2),
        name: one('string', 3),
        opType: one('string', 4),
        attribute: repeated('Attribute', 5),
        domain: one('string', 7),
      },
    },
    // What the graph's own attributes hold is kept as it is.
    Attribute: {
      fields: {
        name: one('string', 1),
        f: one('float', 2),
        i: one('int64', 3),
        s: one('bytes', 4),
        g: one('Graph', 6),
        ints: repeated('int64', 8),
        strings: repeated('bytes', 9),
        type: one('int32', 20),
      },
    },
    Tensor: {
      fields: {
        dims: repeated('int64', 1),
        dataType: one('int32', 2),
        name: one('string', 8),
        raw: one('bytes', 9),
      },
    },
    Port: { fields: { name: one('string', 1), type: one('PortType', 2) } },
    PortType: { fields: { tensor: one('TensorType', 1) } },
    TensorType: { fields: { element: one('int32', 1), shape: one('Shape', 2) } },
    Shape: { fields: { dim: repeated('bytes', 1) } },
  },
});
const GRAPH = 5;
const FLOAT = 1;
const INT64 = 7;
const BOOL = 9;

/** The same model with its quantiles sent through a loop that never ends. */
export function withEndlessLoop(model: Uint8Array): Uint8Array {
  const type = (name: string) => loops.lookupType(name);
  const port = (name: string, element: number, shaped: boolean) =>
    type('Port')
      .encode({ name, type: { tensor: { element, ...(shaped && { shape: { dim: [] } }) } } })
      .finish();
  const message = type('Model').decode(model) as unknown as {
    graph: { node: { output: string[]; input: string[] }[]; initializer: Uint8Array[] };
  };
  const { node, initializer } = message.graph;
  for (const each of node) each.output = each.output.map((name) => (name === 'quantiles' ? 'before' : name));
  initializer.push(
    type('Tensor')
      .encode({ dims: [], dataType: BOOL, name: 'always', raw: Uint8Array.of(1) })
      .finish(),
  );
  const body = {
    name: 'body',
    node: [
      { opType: 'Identity', input: ['goes_on'], output: ['goes_on_out'] },
      { opType: 'Identity', input: ['value'], output: ['value_out'] },
    ],
    input: [port('turn', INT64, true), port('goes_on', BOOL, true), port('value', FLOAT, false)],
    output: [port('goes_on_out', BOOL, true), port('value_out', FLOAT, false)],
  };
  node.push({
    opType: 'Loop',
    name: 'endless',
    input: ['', 'always', 'before'],
    output: ['quantiles'],
    attribute: [{ name: 'body', type: GRAPH, g: body }],
  } as never);
  return type('Model')
    .encode(message as never)
    .finish();
}
