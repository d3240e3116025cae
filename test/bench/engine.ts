/**
 * `npx tsx test/bench/engine.ts time|hash`: the engine alone, without broker and store. `time`: processor time of a step and of the
 * text of its forecast, 1,000 streams with 24 leads; other work on the machine changes it little. `hash`: a hash of all forecasts and
 * saved states of many kinds of streams. Two commits with the same hash forecast the same, so that a change which is only to make
 * the engine faster can be checked.
 */
import { createHash } from 'node:crypto';
import { Engine } from '../../src/forecast/engine.ts';
import { loadModel } from '../../src/model/pack.ts';
import { readModel } from '../../src/model/registry.ts';
import { ForecastText } from '../../src/outputs/json/forecast-text.ts';
import { digitsOf } from '../../src/outputs/json/messages.ts';
import { FEATURES } from '../../src/series/features.ts';
import { AGGREGATES, FILLS } from '../../src/series/spec.ts';
import { limitHeapGrowth } from '../../src/system/heap.ts';
import { uniform } from '../support/random.ts';
import { testSpec } from '../support/specs.ts';

limitHeapGrowth();
const hashes = process.argv[2] === 'hash';
const STREAMS = hashes ? 36 : 1000;
const ROUNDS = hashes ? 700 : 70;
/** Rounds before the clock starts, in which the code is compiled. */
const WARM_UP = hashes ? 0 : 40;
const LEADS = 24;
const SECOND = 1000;
const START = Date.UTC(2025, 0, 1);

const random = uniform(1);
/** Smooth, seasonal, a change of level, impulses, constant, directions, a large rising total, two levels with spikes. */
const KINDS: readonly ((i: number, stream: number) => number)[] = [
  (i, stream) => Number((20 + 5 * Math.sin(i / 40 + stream) + (i % 7) / 50).toFixed(3)),
  (i) => 20 + 5 * Math.sin((2 * Math.PI * i) / 144) + random(),
  (i) => (i > 500 ? 80 : 20) + random(),
  (i) => (i % 12 === 0 ? 5 + random() : 0),
  () => 7,
  (i) => 360 * ((i / 50 + 0.05 * random()) % 1),
  (i) => 1e5 + 0.3 * i + 0.1 * random(),
  (i) => (Math.floor(i / 300) % 2 === 0 ? 10 : 50) + 3 * random() + (random() < 0.003 ? 100 : 0),
];
const kindOf = (stream: number) => KINDS[hashes ? stream % KINDS.length : 0] ?? (() => 0);
const stepMs = (stream: number): number => (hashes && stream % 4 === 1 ? 600 * SECOND : SECOND);
/** Gaps: single readings, and a longer one in some streams. */
const isMissing = (i: number, stream: number): boolean =>
  hashes && (random() < 0.02 || (i > 300 && i < 320 && stream % 5 === 3));

const engine = new Engine(loadModel(readModel('models/base'), FEATURES), { warmUpSteps: 48 });
const names = Array.from({ length: STREAMS }, (_, stream) => `${stream}`);
for (const [stream, name] of names.entries()) {
  const intervalMs = stepMs(stream);
  const varied = {
    unit: stream % 3 === 0 ? '°C' : null,
    aggregate: AGGREGATES[stream % AGGREGATES.length],
    fill: FILLS[stream % FILLS.length],
    min: stream % 5 === 0 ? 0 : null,
    thresholds: stream % 6 === 0 ? [{ name: 'high', side: 'above' as const, value: 24 }] : [],
    coverageTarget: stream % 5 === 2 ? 0.9 : 0.8,
  };
  engine.add(testSpec(name, { intervalMs, horizonMs: LEADS * intervalMs, ...(hashes && varied) }));
}

const texts = new ForecastText();
const hash = createHash('sha256');
const cpuUs = (): number => {
  const { user, system } = process.cpuUsage();
  return user + system;
};
let [forecasts, engineUs, textUs] = [0, 0, 0];
for (let i = 0; i < ROUNDS; i++) {
  for (const [stream, name] of names.entries()) {
    const timeMs = START + i * stepMs(stream);
    const value = kindOf(stream)(i, stream);
    if (!isMissing(i, stream)) engine.push({ stream: name, value, timeMs, arrivalMs: timeMs });
  }
  const before = cpuUs();
  const made = await engine.tick(null, hashes);
  const stepped = cpuUs();
  for (const forecast of made) {
    const options = { quantiles: [0.1, 0.5, 0.9], digits: digitsOf(forecast), issuedMs: forecast.originMs };
    const text = texts.of(forecast, { ...options, model: { id: 'base', version: '1' } }, 1e6);
    if (!hashes) continue;
    const { quantiles, expected, anomalies } = forecast;
    hash.update(`${text} ${JSON.stringify([expected, anomalies])}`).update(new Uint8Array(quantiles.buffer));
  }
  if (i < WARM_UP) continue;
  forecasts += made.length;
  engineUs += stepped - before;
  textUs += cpuUs() - stepped;
}
if (hashes) {
  for (const name of names) hash.update(engine.snapshot(name)?.bytes ?? new Uint8Array());
  console.log(`${forecasts} forecasts: ${hash.digest('hex')}`);
} else
  console.log(
    `${(engineUs / forecasts).toFixed(1)} us a step, ${(textUs / forecasts).toFixed(1)} us a text; ${forecasts} forecasts`,
  );
await engine.release();
