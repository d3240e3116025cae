/**
 * Whether an ONNX file keeps numbers in other files: the registry stores one file a model, and the runtime would look for
 * the others wherever the process happens to stand. Reads the few fields of onnx.proto that lead to a tensor, through
 * subgraphs and functions, and nothing else.
 */
import protobuf from 'protobufjs/light.js';

const one = (type: string, id: number) => ({ type, id });
const many = (type: string, id: number) => ({ rule: 'repeated', type, id });
const root = protobuf.Root.fromJSON({
  nested: {
    Model: { fields: { graph: one('Graph', 7), functions: many('Function', 25) } },
    Graph: {
      fields: { nodes: many('Node', 1), tensors: many('Tensor', 5), sparse: many('Sparse', 15) },
    },
    Function: { fields: { nodes: many('Node', 7) } },
    Node: { fields: { attributes: many('Attribute', 5) } },
    Attribute: {
      fields: {
        tensor: one('Tensor', 5),
        graph: one('Graph', 6),
        tensors: many('Tensor', 10),
        graphs: many('Graph', 11),
        sparse: many('Sparse', 23),
      },
    },
    Sparse: { fields: { values: one('Tensor', 1), indices: one('Tensor', 2) } },
    Tensor: { fields: { name: one('string', 8), location: one('int32', 14) } },
  },
});
const Model = root.lookupType('Model');

/** TensorProto.DataLocation */
const EXTERNAL = 1;

/** Names of the tensors that lie in other files; none for bytes that are no ONNX file, which the runtime refuses itself. */
export function externalTensors(model: Uint8Array): string[] {
  try {
    return [...external(Model.decode(model))];
  } catch {
    return [];
  }
}

function* external(message: object): Generator<string> {
  const { name, location } = message as { name?: string; location?: number };
  if (location === EXTERNAL) yield name ?? '';
  for (const value of Object.values(message)) {
    if (Array.isArray(value)) for (const item of value) yield* external(item);
    else if (typeof value === 'object' && value !== null) yield* external(value);
  }
}
