/**
 * Checks an ONNX file for forbidden content. External data: the registry stores one file per model, and the runtime
 * would look for external files relative to the working directory. Loops in pushed models: whether they end depends
 * on the readings. Parses only the fields of onnx.proto that lead to a tensor or a node, through subgraphs and
 * functions.
 */
import protobuf from 'protobufjs/light.js';

const one = (type: string, id: number) => ({ type, id });
const many = (type: string, id: number) => ({ rule: 'repeated', type, id });
const root = protobuf.Root.fromJSON({
  nested: {
    Model: { fields: { graph: one('Graph', 7), functions: many('Function', 25) } },
    Graph: { fields: { nodes: many('Node', 1), tensors: many('Tensor', 5), sparse: many('Sparse', 15) } },
    Function: { fields: { nodes: many('Node', 7) } },
    Node: { fields: { op: one('string', 4), attributes: many('Attribute', 5) } },
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

/** Whether the model contains a loop; true for unreadable bytes. */
export function hasLoop(model: Uint8Array): boolean {
  try {
    return messages(Model.decode(model)).some((message) => (message as { op?: string }).op === 'Loop');
  } catch {
    return true;
  }
}

/** Names of tensors stored in other files; none for invalid ONNX files, which the runtime refuses. */
export function externalTensors(model: Uint8Array): string[] {
  try {
    return messages(Model.decode(model)).flatMap((message) => {
      const { name, location } = message as { name?: string; location?: number };
      return location === EXTERNAL ? [name ?? ''] : [];
    });
  } catch {
    return [];
  }
}

/** A message and all nested messages. */
function messages(root: object): object[] {
  const found: object[] = [];
  const open: object[] = [root];
  for (let message = open.pop(); message !== undefined; message = open.pop()) {
    found.push(message);
    for (const value of Object.values(message)) {
      const inner: unknown[] = Array.isArray(value) ? value : [value];
      for (const item of inner) if (typeof item === 'object' && item !== null) open.push(item);
    }
  }
  return found;
}
