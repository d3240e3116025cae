/**
 * Runs graphs on onnxruntime; the only importer of onnxruntime-node. A `Session` runs any graph of the network room
 * with named arrays; `createStepper` loads a step model of any origin and checks it against the contract in
 * `stepper.ts`.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { errorText, GatecastError } from '../errors.ts';
import { OWN_OUTPUT } from '../network/step-graph.ts';
import { Q } from '../quantiles.ts';
import { refuseTelemetry } from '../system/telemetry.ts';
import type { Stepper } from './stepper.ts';

// also called here, for callers other than the program's start
refuseTelemetry();

/** One thread, because the gateway's cores are shared and batches are small. */
const OPTIONS: InferenceSession.SessionOptions = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
  logSeverityLevel: 3,
};

export interface NamedArray {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

export interface Session {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /**
   * Runs the graph, blocking this thread.
   * @param feeds every input by name
   * @param fetch names of the outputs, default all; or arrays to write them into, which avoids allocations
   */
  run(
    feeds: Readonly<Record<string, NamedArray>>,
    fetch?: readonly string[] | Readonly<Record<string, NamedArray>>,
  ): Promise<Record<string, NamedArray>>;
  release(): Promise<void>;
}

/** @throws GatecastError MODEL_INVALID if the runtime cannot load the bytes */
export async function createSession(model: Uint8Array): Promise<Session> {
  // memory pattern planning does not pay off for large graphs with fixed shapes
  const session = await load(model, { ...OPTIONS, enableMemPattern: false });
  return {
    inputs: session.inputNames,
    outputs: session.outputNames,
    run: async (feeds, fetch = session.outputNames) => {
      const tensors = asTensors(feeds);
      if (!Array.isArray(fetch)) {
        const into = fetch as Readonly<Record<string, NamedArray>>;
        await session.run(tensors, asTensors(into));
        return into;
      }
      const results = await session.run(tensors, fetch);
      const arrays: Record<string, NamedArray> = {};
      for (const name of fetch) {
        const result = results[name];
        arrays[name] = { data: result.data as Float32Array, shape: result.dims };
      }
      return arrays;
    },
    release: () => session.release(),
  };
}

/** Tensors that share the arrays' memory. */
function asTensors(arrays: Readonly<Record<string, NamedArray>>): Record<string, Tensor> {
  const tensors: Record<string, Tensor> = {};
  for (const [name, { data, shape }] of Object.entries(arrays)) {
    tensors[name] = new Tensor('float32', data, shape as number[]);
  }
  return tensors;
}

async function load(model: Uint8Array, options = OPTIONS): Promise<InferenceSession> {
  try {
    return await InferenceSession.create(model, options);
  } catch (cause) {
    const reason = errorText(cause);
    throw new GatecastError('MODEL_INVALID', `The runtime cannot load the model: ${reason}`, { cause });
  }
}

/** Maximum rows per run: larger ones are hardly faster, and the runtime keeps the memory of its largest run (10 MB more at 256). */
const MAX_ROWS = 128;

type Sizes = Required<Pick<Stepper, 'inputs' | 'layers' | 'hidden' | 'leads' | 'hasOwn'>>;

/**
 * @param model bytes of an ONNX file with inputs x [N, I], h [L, N, H] and outputs quantiles [N, K, 9], h_next [L, N, H],
 *   all float32, N open; with an own network also own_quantiles [N, K, 9]
 * @throws GatecastError MODEL_INVALID with all problems
 */
export async function createStepper(model: Uint8Array): Promise<Stepper> {
  const session = await load(model);
  try {
    const sizes = contractSizes(session);
    const run = batchedRun(session, sizes);
    await probe(run, sizes);
    return { ...sizes, run, release: () => session.release() };
  } catch (error) {
    await session.release();
    throw error;
  }
}

/** Runs on the caller's arrays and writes into reused arrays: allocates only for a new largest batch. */
function batchedRun(
  session: InferenceSession,
  { inputs, layers, hidden, leads, hasOwn }: Sizes,
): Stepper['run'] {
  const width = leads * Q;
  let quantiles = new Float32Array(0);
  let own = new Float32Array(0);
  // two buffers in turn, so that the state returned by one call can be the input of the next
  let next = new Float32Array(0);
  let other = new Float32Array(0);
  // states of a part of a larger batch, which are not contiguous in the caller's [layers, n, hidden] with several layers
  const partStates = layers === 1 ? 0 : layers * MAX_ROWS * hidden;
  const partBefore = new Float32Array(partStates);
  const partAfter = new Float32Array(partStates);

  return async (n, x, h) => {
    if (quantiles.length < n * width) {
      quantiles = new Float32Array(n * width);
      if (hasOwn) own = new Float32Array(n * width);
      next = new Float32Array(layers * n * hidden);
      other = new Float32Array(layers * n * hidden);
    }
    [next, other] = [other, next];
    for (let from = 0; from < n; from += MAX_ROWS) {
      const rows = Math.min(MAX_ROWS, n - from);
      const whole = rows === n || layers === 1;
      const states = layers * rows * hidden;
      if (!whole) copyRows(h, n, from, partBefore, rows, 0, rows);
      const at = whole ? from * hidden : 0;
      const before = (whole ? h : partBefore).subarray(at, at + states);
      const after = (whole ? next : partAfter).subarray(at, at + states);
      const part = x.subarray(from * inputs, (from + rows) * inputs);
      const result = quantiles.subarray(from * width, (from + rows) * width);
      await session.run(
        {
          x: new Tensor('float32', part, [rows, inputs]),
          h: new Tensor('float32', before, [layers, rows, hidden]),
        },
        {
          quantiles: new Tensor('float32', result, [rows, leads, Q]),
          h_next: new Tensor('float32', after, [layers, rows, hidden]),
          ...(hasOwn && { [OWN_OUTPUT]: ownPart(from, rows) }),
        },
      );
      if (!whole) copyRows(partAfter, rows, 0, next, n, from, rows);
    }
    return {
      quantiles: quantiles.subarray(0, n * width),
      ...(hasOwn && { own: own.subarray(0, n * width) }),
      h: next.subarray(0, layers * n * hidden),
    };
  };

  function ownPart(from: number, rows: number): Tensor {
    return new Tensor('float32', own.subarray(from * width, (from + rows) * width), [rows, leads, Q]);
  }

  /** `rows` rows of every layer between arrays of different heights. */
  function copyRows(
    source: Float32Array,
    sourceRows: number,
    sourceFrom: number,
    target: Float32Array,
    targetRows: number,
    targetFrom: number,
    rows: number,
  ): void {
    for (let layer = 0; layer < layers; layer++) {
      const at = (layer * sourceRows + sourceFrom) * hidden;
      target.set(source.subarray(at, at + rows * hidden), (layer * targetRows + targetFrom) * hidden);
    }
  }
}

/** Reads I, L, H, K from the model's description. */
function contractSizes(session: InferenceSession): Sizes {
  const wrong: string[] = [];
  const shapeOf = (metadata: readonly InferenceSession.ValueMetadata[], name: string, form: string) => {
    const found = metadata.find((one) => one.name === name);
    const letters = form.split(' ');
    const none = letters.map(() => 0);
    if (!found) {
      wrong.push(`${name} [${letters}] is missing`);
      return none;
    }
    if (!found.isTensor || found.type !== 'float32') {
      wrong.push(`${name} must be float32, is ${found.isTensor ? found.type : 'no tensor'}`);
      return none;
    }
    const fits =
      found.shape.length === letters.length &&
      letters.every((letter, axis) => {
        const size = found.shape[axis];
        if (letter === 'N') return typeof size === 'string';
        return typeof size === 'number' && size > 0 && (letter !== '9' || size === Q);
      });
    if (!fits) wrong.push(`${name} must be [${letters}] with N open and the rest fixed, is [${found.shape}]`);
    return fits ? found.shape.map(Number) : none;
  };
  const x = shapeOf(session.inputMetadata, 'x', 'N I');
  const h = shapeOf(session.inputMetadata, 'h', 'L N H');
  const quantiles = shapeOf(session.outputMetadata, 'quantiles', 'N K 9');
  const next = shapeOf(session.outputMetadata, 'h_next', 'L N H');
  const hasOwn = session.outputNames.includes(OWN_OUTPUT);
  if (hasOwn) {
    const own = shapeOf(session.outputMetadata, OWN_OUTPUT, 'N K 9');
    if (own[1] !== quantiles[1]) wrong.push(`${OWN_OUTPUT} must have the leads of quantiles`);
  }
  if (h[0] !== next[0] || h[2] !== next[2]) wrong.push('h and h_next must have the same shape');
  for (const name of session.inputNames) {
    if (name !== 'x' && name !== 'h') wrong.push(`input ${name} is not part of the contract`);
  }
  if (wrong.length > 0) throw refusal(wrong);
  return { inputs: x[1], layers: h[0], hidden: h[2], leads: quantiles[1], hasOwn };
}

/** Runs two rows of zeros, to check output shapes and finite numbers. */
async function probe(run: Stepper['run'], sizes: Sizes): Promise<void> {
  const n = 2;
  let quantiles: Float32Array;
  let h: Float32Array;
  try {
    ({ quantiles, h } = await run(
      n,
      new Float32Array(n * sizes.inputs),
      new Float32Array(sizes.layers * n * sizes.hidden),
    ));
  } catch (cause) {
    throw refusal([`it fails on an empty state: ${errorText(cause)}`]);
  }
  if (!quantiles.every(Number.isFinite) || !h.every(Number.isFinite)) {
    throw refusal(['its output for an empty state is not finite']);
  }
}

function refusal(wrong: readonly string[]): GatecastError {
  return new GatecastError('MODEL_INVALID', `This is not a valid step model: ${wrong.join('; ')}.`, {
    hint: 'A step model has inputs x [N,I], h [L,N,H] and outputs quantiles [N,K,9], h_next [L,N,H], all float32.',
    issues: wrong.map((message) => ({ path: 'model', message })),
  });
}
