/**
/**
 * `npm run bench [-- --only step,train,memory,path,finetune,site,durability]`: measures what the README promises and prints it as a table. Exits
 * with 1 for a regression: when a limit is missed, a ratio to a peer of the same run or a number that the code keeps. Goals that are missed are
 * printed only. Takes a few minutes; a machine that does other work meanwhile gives worse figures.
 */
import { parseArgs } from 'node:util';
import { durability } from './durability.ts';
import { finetune } from './finetune.ts';
import { memory } from './memory.ts';
import { path } from './path.ts';
import { type Bench, type Figure, keeps, machine, table } from './report.ts';
import { fewStreams, manyStreams, slowStreams } from './scale.ts';
import { site } from './site.ts';
import { step } from './step.ts';
import { train } from './train.ts';

const benches: readonly Bench[] = [step, train, memory, path, manyStreams, fewStreams, finetune];
/** Only where they are asked for. */
const further: readonly Bench[] = [slowStreams, site, durability];

const { values } = parseArgs({ options: { only: { type: 'string' } } });
const wanted = values.only?.split(',') ?? benches.map(({ name }) => name);
const known = [...benches, ...further];
const unknown = wanted.filter((name) => !known.some((bench) => bench.name === name));
if (unknown.length > 0) {
  console.error(
    `no such bench: ${unknown.join(', ')}; there are ${known.map(({ name }) => name).join(', ')}`,
  );
  process.exit(2);
}

const figures: Figure[] = [];
let failed = false;
for (const bench of known.filter(({ name }) => wanted.includes(name))) {
  console.error(`bench: ${bench.name} ...`);
  try {
    figures.push(...(await bench.run()));
  } catch (error) {
    failed = true;
    console.error(
      `bench: ${bench.name} could not be measured: ${error instanceof Error ? error.message : error}`,
    );
  }
}
console.log(`${machine()}\n\n${table(figures)}`);
process.exitCode = failed || !figures.every(keeps) ? 1 : 0;
