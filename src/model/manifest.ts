/**
 * `manifest.json` of a model's folder, next to `weights.safetensors`, `step.onnx` and `MODEL_CARD.md`. Type, bounds and
 * checks are derived from the schema.
 */
import { z } from 'zod';
import { errorText, GatecastError, type Issue, issuesText } from '../errors.ts';
import { CELLS, checkPair, leadWidth, type NetworkSpec, stateSizes, validateSpec } from '../network/spec.ts';
import { sha256 } from '../system/files.ts';

export const MANIFEST_FILE = 'manifest.json';
export const WEIGHTS_FILE = 'weights.safetensors';
export const STEP_FILE = 'step.onnx';
export const CARD_FILE = 'MODEL_CARD.md';

/** Names are folder names: no path separators, no leading dot, no characters that need quoting. */
export const MODEL_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

const whole = z.number().int().nonnegative();
const text = z.string().max(10_000);
const file = z.strictObject({ sha256: z.string().regex(/^[0-9a-f]{64}$/), bytes: whole });

const spec = z.strictObject({
  cell: z.enum(CELLS),
  layers: whole,
  hidden: whole,
  inputs: whole,
  dropout: z.number(),
  convolution: z.strictObject({ kernel: whole, channels: whole }).nullable(),
  attention: z.strictObject({ memory: whole }).nullable(),
  head: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('none') }),
    z.strictObject({ kind: z.literal('direct'), leads: whole, shortcut: z.boolean() }),
    z.strictObject({ kind: z.literal('lead'), experts: whole, features: whole, width: whole }),
  ]),
});

const manifestSchema = z.strictObject({
  format: z.literal(1),
  name: z.string().regex(MODEL_NAME),
  version: text,
  /** ISO 8601, UTC. */
  created: z.iso.datetime(),
  /** null: only the step graph is known (an imported model). */
  spec: spec.nullable(),
  /** The network trained on the gateway, which runs beside the base network; absent if there is none. */
  own: spec.optional(),
  /** Sizes of the step graph; `leads` and `inputs` are those of `step.onnx`. */
  dimensions: z.strictObject({
    inputs: whole,
    stateRows: whole,
    hidden: whole,
    leads: whole,
    parameters: whole,
  }),
  /** Format of the features the model was trained on; null: other features than gatecast's. */
  features: whole.nullable(),
  files: z.strictObject({
    weights: file.nullable(),
    step: file.extend({ quantized: z.boolean() }).nullable(),
  }),
  /** Hash of the model it was fine-tuned from; null: trained from scratch. */
  parent: text.nullable(),
  training: z
    .strictObject({
      sets: z.array(z.strictObject({ name: text, licence: text, series: whole, steps: whole })),
      seed: z.number(),
      steps: whole,
      seconds: z.number(),
      /** Explanation of the size and cell by the search, or empty. */
      reason: text,
      /** Time range of the training data, for one made on the data of a gateway. */
      span: z.strictObject({ from: z.iso.datetime(), to: z.iso.datetime() }).optional(),
      /** The command line of the training, if any. */
      command: text.optional(),
    })
    .nullable(),
  /** Named figures, e.g. `validation_loss`. */
  scores: z.record(text, z.number()),
});

export type Manifest = z.infer<typeof manifestSchema>;

/** @throws GatecastError MODEL_INVALID that names every wrong key */
export function parseManifest(json: string, where: string): Manifest {
  let data: unknown;
  try {
    data = JSON.parse(json);
  } catch (cause) {
    throw new GatecastError('MODEL_INVALID', `The manifest of ${where} is not JSON.`, { cause });
  }
  const parsed = manifestSchema.safeParse(data);
  if (!parsed.success) {
    const issues = parsed.error.issues.map((one) => ({ path: one.path.join('.'), message: one.message }));
    throw wrong(where, `${issuesText(issues)}.`, { issues });
  }
  const manifest = parsed.data;
  if (manifest.spec) checkDimensions(manifest.spec, manifest, where);
  else if (manifest.own) throw wrong(where, 'own needs a spec beside it.');
  return manifest;
}

const wrong = (where: string, why: string, more: { issues?: readonly Issue[]; cause?: unknown } = {}) =>
  new GatecastError('MODEL_INVALID', `The manifest of ${where} is wrong: ${why}`, more);

function checkDimensions(network: NetworkSpec, { dimensions, own }: Manifest, where: string): void {
  try {
    validateSpec(network);
    if (own) {
      validateSpec(own);
      checkPair(network, own);
    }
  } catch (cause) {
    throw wrong(where, errorText(cause), { cause });
  }
  const want = dimensionsOf(network, dimensions.leads, dimensions.parameters, own);
  for (const key of ['inputs', 'stateRows', 'hidden'] as const) {
    if (dimensions[key] !== want[key])
      throw wrong(where, `dimensions.${key} is ${dimensions[key]}, its network has ${want[key]}.`);
  }
}

export function dimensionsOf(
  network: NetworkSpec,
  leads: number,
  parameters: number,
  own?: NetworkSpec | null,
): Manifest['dimensions'] {
  const inputs = network.inputs + leads * leadWidth(network);
  return { inputs, ...stateSizes(network, own), leads, parameters };
}

/** Hash of the weights and their meaning: models with the same hash have interchangeable states and forecasts. 16 hex digits. */
export function modelHash(manifest: Manifest): string {
  const { spec: network, own, features, files } = manifest;
  const numbers = files.weights?.sha256 ?? files.step?.sha256 ?? '';
  const pair = own === undefined ? [] : [sorted(own)];
  return sha256(JSON.stringify([sorted(network), features, numbers, ...pair])).slice(0, 16);
}

/** Sorts keys, because their order differs between a built and a parsed spec. */
function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, inner]) => [key, sorted(inner)]);
}
