/**
 * Checks an ONNX file for forbidden content. External data: the registry stores one file per model, and the runtime
 * would look for external files relative to the working directory. Loops in pushed models: whether they end depends
 * on the readings. Parses only the fields of onnx.proto that lead to a tensor or a node, through subgraphs and
 * functions.
 */
import protobuf from 'protobufjs/light.js';
import { message } from '../network/graph/onnx.ts';

const root = protobuf.Root.fromJSON({
  nested: {
    Model: message({ graph: 'Graph 7', functions: 'Function[] 25' }),
    Graph: message({ nodes: 'Node[] 1', tensors: 'Tensor[] 5', sparse: 'Sparse[] 15' }),
    Function: message({ nodes: 'Node[] 7' }),
    Node: message({ op: 'string 4', attributes: 'Attribute[] 5' }),
    Attribute: message({
      tensor: 'Tensor 5',
      graph: 'Graph 6',
      tensors: 'Tensor[] 10',
      graphs: 'Graph[] 11',
      sparse: 'Sparse[] 23',
    }),
    Sparse: message({ values: 'Tensor 1', indices: 'Tensor 2' }),
    Tensor: message({ name: 'string 8', location: 'int32 14' }),
  },
});
const Model = root.lookupType('Model');

/** TensorProto.DataLocation */
const EXTERNAL = 1;

/** Whether the model contains a loop; true for unreadable bytes. */
export function hasLoop(model: Uint8Array): boolean {
  try {
    return messages(Model.decode(model)).some((one) => (one as { op?: string }).op === 'Loop');
  } catch {
    return true;
  }
}

/** Names of tensors stored in other files; none for invalid ONNX files, which the runtime refuses. */
export function externalTensors(model: Uint8Array): string[] {
  try {
    return messages(Model.decode(model)).flatMap((one) => {
      const { name, location } = one as { name?: string; location?: number };
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
  for (let one = open.pop(); one !== undefined; one = open.pop()) {
    found.push(one);
    for (const value of Object.values(one)) {
      const inner: unknown[] = Array.isArray(value) ? value : [value];
      for (const item of inner) if (typeof item === 'object' && item !== null) open.push(item);
    }
  }
  return found;
}
