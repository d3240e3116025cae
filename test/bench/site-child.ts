/**
 * The work of one worker of a site without the network: partitions that read simulated logs, a reading a minute for each stream, and
 * make the messages of their forecasts. Prints one line of JSON. Arguments: number of streams, number of minutes, how many such sites
 * are measured one after the other (so that a small one gives the mean of many readings), minutes of a first site that is not
 * measured (meanwhile V8 compiles the code), and 1 to pack streams even if there is enough memory for them. The memory is that of the
 * measured site only if no other one was played.
 */
import { getHeapStatistics } from 'node:v8';
import { ForecastText } from '../../src/outputs/json/forecast-text.ts';
import { digitsOf } from '../../src/outputs/json/messages.ts';
import { decodeBatch, encodeBatch } from '../../src/site/batch.ts';
import { partitionOf } from '../../src/site/names.ts';
import { Partition, PartitionShares } from '../../src/site/partition.ts';
import { sharedModel } from '../../src/site/shared-model.ts';
import { memoryLimit } from '../../src/system/memory-limit.ts';
import { uniform } from '../support/random.ts';
import { shippedModel } from '../support/site-process.ts';
import { testSpec } from '../support/specs.ts';
import { residentMb } from './process.ts';

const PARTITIONS = 64;
const MINUTE_MS = 60_000;
const BATCH = 50;
/** Minutes at the end that are measured: states are warm by then. */
const MEASURED = 2;
const WARM_UP_STREAMS = 1000;

const [streams = 1000, minutes = 6, sites = 1, warmUp = 0, packs = 0] = process.argv.slice(2).map(Number);
const memory = { total: memoryLimit(), heap: getHeapStatistics().heap_size_limit };

const model = sharedModel(shippedModel());
const next = uniform(1);
const texts = new ForecastText();
const start = Date.UTC(2026, 0, 5);

interface Played {
  readonly partitions: readonly Partition[];
  /** Processor time of the last minutes, us. */
  readonly busyUs: number;
  readonly readings: number;
  readonly forecasts: number;
}

async function play(streams: number, minutes: number): Promise<Played> {
  const specs = Array.from({ length: PARTITIONS }, () => [] as ReturnType<typeof testSpec>[]);
  for (let at = 0; at < streams; at++) {
    const spec = testSpec(`hall${at % 97}/sensor${at}`, {
      intervalMs: MINUTE_MS,
      latenessMs: 2000,
      horizonMs: 24 * MINUTE_MS,
      maxGapMs: 2 * 3_600_000,
    });
    specs[partitionOf(spec.name, PARTITIONS)].push(spec);
  }
  const shares = new PartitionShares(packs === 1 ? { total: 0, heap: Infinity } : memory);
  const partitions = specs.map(() => new Partition(model, { shares }));
  let busyUs = 0;
  let forecasts = 0;
  let readings = 0;
  for (let minute = 0; minute < minutes; minute++) {
    const measured = minute >= minutes - MEASURED;
    for (const [at, partition] of partitions.entries()) {
      const list = specs[at];
      const nowMs = start + (minute + 1) * MINUTE_MS;
      const logs: Uint8Array[] = [];
      for (let from = 0; from < list.length; from += BATCH) {
        const part = list.slice(from, from + BATCH);
        const samples = part.map(({ name }) => {
          const timeMs = nowMs - MINUTE_MS + Math.floor(next() * MINUTE_MS);
          return { stream: name, timeMs, value: 20 + next(), arrivalMs: timeMs + 20 };
        });
        logs.push(
          Buffer.from(encodeBatch({ bridge: 'b', untilMs: nowMs, specs: minute === 0 ? part : [], samples })),
        );
      }
      logs.push(Buffer.from(encodeBatch({ bridge: 'b', untilMs: nowMs + 2500, specs: [], samples: [] })));
      const before = process.cpuUsage();
      for (const [i, bytes] of logs.entries()) {
        const batch = decodeBatch(bytes);
        if (measured) readings += batch.samples.length;
        // The last one comes in the next second: that closes the buckets.
        const loggedMs = i === logs.length - 1 ? nowMs + 3000 : nowMs - 1000;
        for (const forecast of await partition.take(partition.seq + 1, loggedMs, batch)) {
          const text = texts.of(
            forecast,
            { quantiles: [0.1, 0.5, 0.9], digits: digitsOf(forecast), issuedMs: nowMs, model },
            Number.POSITIVE_INFINITY,
          );
          if (text !== null) partition.setLast(forecast.stream, text);
          if (measured) forecasts++;
        }
      }
      const { user, system } = process.cpuUsage(before);
      if (measured) busyUs += user + system;
    }
  }
  return { partitions, busyUs, readings, forecasts };
}

if (warmUp > 0) await play(WARM_UP_STREAMS, warmUp);
let { partitions, busyUs, readings, forecasts } = await play(streams, minutes);
for (let more = 1; more < sites; more++) {
  const played = await play(streams, minutes);
  ({ partitions } = played);
  busyUs += played.busyUs;
  readings += played.readings;
  forecasts += played.forecasts;
}
const residentBefore = residentMb(process.pid);
const before = process.cpuUsage();
const bytes = await partitions[0].checkpoint(() => new Promise((resolve) => setImmediate(resolve)));
const saved = process.cpuUsage(before);
const restoring = process.cpuUsage();
await Partition.restore(bytes, model);
const restored = process.cpuUsage(restoring);
console.log(
  JSON.stringify({
    costUs: busyUs / readings,
    forecasts,
    residentMb: residentBefore,
    checkpointBytes: bytes.length / partitions[0].size,
    saveUs: (saved.user + saved.system) / partitions[0].size,
    restoreUs: (restored.user + restored.system) / partitions[0].size,
  }),
);
