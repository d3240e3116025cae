/**
 * Peer of `path.ts`: a simple loop. mqtt.js as it comes; the shipped network in 32-bit floats, run once
 * for each message with a recurrent state for each topic; the forecast published as JSON at QoS 0. It scales a value by a fixed
 * amount and fills no further inputs: no gaps, features, calibration, scores, store or page. A process of its own; answers every
 * IPC message with its counts.
 */
import { readFileSync } from 'node:fs';
import mqtt from 'mqtt';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { readSafetensors } from '../../src/network/safetensors.ts';
import { stateRows, stepInputs } from '../../src/network/spec.ts';
import { buildStepGraph } from '../../src/network/step-graph.ts';
import { shippedSpec } from './shipped.ts';

const LEADS = 24;
const [P10, P50, P90] = [0, 4, 8] as const;
const Q = 9;

const spec = shippedSpec();
if (spec === null) throw new Error('models/base is missing');
const { weights } = readSafetensors(readFileSync('models/base/weights.safetensors'));
const session = await InferenceSession.create(
  buildStepGraph(spec, weights, { leads: LEADS, quantized: false }),
  { intraOpNumThreads: 1, interOpNumThreads: 1 },
);
const inputs = stepInputs(spec, LEADS);
const stateShape = [stateRows(spec), 1, spec.hidden];
const stateSize = stateRows(spec) * spec.hidden;
const states = new Map<string, Float32Array>();
let published = 0;

const client = mqtt.connect(process.argv[2] ?? '');

async function forecast(topic: string, payload: Buffer): Promise<void> {
  const { value } = JSON.parse(payload.toString()) as { value: number };
  const x = new Float32Array(inputs);
  x[0] = (value - 20) / 5;
  const results = await session.run({
    x: new Tensor('float32', x, [1, inputs]),
    h: new Tensor('float32', states.get(topic) ?? new Float32Array(stateSize), stateShape),
  });
  states.set(topic, results.h_next?.data as Float32Array);
  const quantiles = results.quantiles?.data as Float32Array;
  const column = (at: number): number[] =>
    Array.from({ length: LEADS }, (_, lead) =>
      Number((20 + 5 * (quantiles[lead * Q + at] ?? 0)).toPrecision(6)),
    );
  const stream = topic.slice('load/'.length);
  const issued = new Date().toISOString();
  const message = { stream, issued, p10: column(P10), p50: column(P50), p90: column(P90) };
  client.publish(`peer/forecast/${stream}`, JSON.stringify(message));
  published++;
}

/** One message after the other: the state of a topic must not be read before the message before has written it. */
let last = Promise.resolve();
client.on('message', (topic, payload) => {
  last = last.then(() => forecast(topic, payload));
});
client.subscribe('load/+', () => process.send?.('ready'));
process.on('message', () => process.send?.({ taken: published, published }));
process.on('disconnect', () => process.exit());
