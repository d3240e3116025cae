/**
 * The part of the ONNX file format that gatecast writes and reads, as protocol buffers.
 * Field numbers: onnx/onnx.proto of the ONNX project. Does not validate: the runtime validates the files it loads.
 */
import protobuf from 'protobufjs/light.js';

/** Opset 18: Split by number of parts, Reduce* with axes as input; read by every runtime since 2023. */
const OPSET = 18;
const IR_VERSION = 8;

export type ElementType = 'float32' | 'uint8' | 'int8' | 'int32' | 'int64';

/** TensorProto.DataType */
const DATA_TYPE: Readonly<Record<ElementType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
};

const ATTRIBUTE = { FLOAT: 1, INT: 2, STRING: 3, INTS: 7, STRINGS: 8 };

export type AttributeValue =
  | { readonly float: number }
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly string: string }
  | { readonly strings: readonly string[] };

export interface NodeSpec {
  readonly op: string;
  /** '' is ONNX' own domain. */
  readonly domain: string;
  /** '' leaves an optional input out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, AttributeValue>>;
}
interface InitializerSpec {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly raw: Uint8Array;
}
export interface PortSpec {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly (number | string)[];
}
interface ModelSpec {
  readonly name: string;
  readonly description: string;
  readonly nodes: readonly NodeSpec[];
  readonly initializers: readonly InitializerSpec[];
  readonly inputs: readonly PortSpec[];
  readonly outputs: readonly PortSpec[];
}

/** A message type; fields as `type number`, repeated if the type ends in `[]`. */
export const message = (fields: Readonly<Record<string, string>>) => ({
  fields: Object.fromEntries(
    Object.entries(fields).map(([name, field]) => {
      const [type = '', id] = field.split(' ');
      return [
        name,
        { type: type.replace('[]', ''), id: Number(id), ...(type.endsWith('[]') && { rule: 'repeated' }) },
      ];
    }),
  ),
});

const root = protobuf.Root.fromJSON({
  nested: {
    ModelProto: message({
      irVersion: 'int64 1',
      producerName: 'string 2',
      docString: 'string 6',
      graph: 'GraphProto 7',
      opsetImport: 'OperatorSetId[] 8',
    }),
    OperatorSetId: message({ domain: 'string 1', version: 'int64 2' }),
    GraphProto: message({
      node: 'NodeProto[] 1',
      name: 'string 2',
      initializer: 'TensorProto[] 5',
      input: 'ValueInfo[] 11',
      output: 'ValueInfo[] 12',
    }),
    NodeProto: message({
      input: 'string[] 1',
      output: 'string[] 2',
      name: 'string 3',
      opType: 'string 4',
      attribute: 'Attribute[] 5',
      domain: 'string 7',
    }),
    Attribute: message({
      name: 'string 1',
      f: 'float 2',
      i: 'int64 3',
      s: 'bytes 4',
      ints: 'int64[] 8',
      strings: 'bytes[] 9',
      type: 'int32 20',
    }),
    TensorProto: message({ dims: 'int64[] 1', dataType: 'int32 2', name: 'string 8', rawData: 'bytes 9' }),
    ValueInfo: message({ name: 'string 1', type: 'TypeProto 2' }),
    TypeProto: message({ tensorType: 'TensorType 1' }),
    TensorType: message({ elemType: 'int32 1', shape: 'TensorShape 2' }),
    TensorShape: message({ dim: 'Dimension[] 1' }),
    Dimension: message({ dimValue: 'int64 1', dimParam: 'string 2' }),
  },
});
const ModelProto = root.lookupType('ModelProto');

/** The bytes of an .onnx file. */
export function encodeModel(model: ModelSpec): Uint8Array {
  const domains = new Set(['', ...model.nodes.map((node) => node.domain)]);
  return ModelProto.encode({
    irVersion: IR_VERSION,
    producerName: 'gatecast',
    docString: model.description,
    opsetImport: [...domains].map((domain) => ({ domain, version: domain === '' ? OPSET : 1 })),
    graph: {
      name: model.name,
      node: model.nodes.map((node, index) => ({
        name: `${node.op}_${index}`,
        opType: node.op,
        domain: node.domain,
        input: node.inputs,
        output: node.outputs,
        attribute: Object.entries(node.attributes).map(([name, value]) => encodeAttribute(name, value)),
      })),
      initializer: model.initializers.map((tensor) => ({
        name: tensor.name,
        dims: tensor.shape,
        dataType: DATA_TYPE[tensor.type],
        rawData: tensor.raw,
      })),
      input: model.inputs.map(encodePort),
      output: model.outputs.map(encodePort),
    },
  }).finish();
}

function encodeAttribute(name: string, value: AttributeValue): object {
  const text = new TextEncoder();
  if ('float' in value) return { name, type: ATTRIBUTE.FLOAT, f: value.float };
  if ('int' in value) return { name, type: ATTRIBUTE.INT, i: value.int };
  if ('ints' in value) return { name, type: ATTRIBUTE.INTS, ints: value.ints };
  if ('string' in value) return { name, type: ATTRIBUTE.STRING, s: text.encode(value.string) };
  return { name, type: ATTRIBUTE.STRINGS, strings: value.strings.map((one) => text.encode(one)) };
}

function encodePort(port: PortSpec): object {
  const dim = port.shape.map((size) =>
    // a product of symbols is not a valid name in ONNX; any name means "any size"
    typeof size === 'number' ? { dimValue: size } : { dimParam: size.replaceAll('*', '_times_') },
  );
  return { name: port.name, type: { tensorType: { elemType: DATA_TYPE[port.type], shape: { dim } } } };
}
