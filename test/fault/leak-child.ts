/**
 * Steps streams with the shipped model, changes the model now and then, and prints the memory after each part: a JSON line
 * `{steps, heap, rss}` with bytes. Arguments: streams, rounds in all, rounds between two lines, rounds between two models.
 */
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { openModel, prepared } from '../../src/agent/model.ts';
import { Engine } from '../../src/forecast/engine.ts';
import { ModelRegistry } from '../../src/model/registry.ts';
import { uniform } from '../support/random.ts';
import { testSpec } from '../support/specs.ts';

const [streams = 0, rounds = 0, everyLine = 0, everyModel = 0] = process.argv.slice(2).map(Number);
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const MINUTE = 60_000;
const LEADS = 24;
const START = Date.UTC(2025, 0, 1);
const random = uniform(1);
const registry = new ModelRegistry('no-models-of-its-own');
const engine = new Engine(openModel(registry, 'base').model, { warmUpSteps: 32 });
const names = Array.from({ length: streams }, (_, at) => `s${at}`);
for (const name of names) engine.add(testSpec(name, { intervalMs: MINUTE, horizonMs: LEADS * MINUTE }));

for (let round = 1; round <= rounds; round++) {
  const timeMs = START + round * MINUTE;
  for (const stream of names)
    engine.push({ stream, timeMs, value: 20 + Math.sin(round / 60) + random(), arrivalMs: Number.NaN });
  await engine.tick(null, true);
  if (round % everyModel === 0)
    await engine.adopt((await prepared(openModel(registry, 'base').model, [LEADS])).model);
  if (round % everyLine !== 0) continue;
  // Array buffers of the first collection are freed by another thread, and counted until the next one.
  collect();
  await setTimeout(20);
  collect();
  const { heapUsed, external, rss } = process.memoryUsage();
  console.log(JSON.stringify({ steps: round * streams, heap: heapUsed + external, rss }));
}
