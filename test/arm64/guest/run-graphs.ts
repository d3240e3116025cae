// Runs graphs on the runtime of wherever this runs: reads jobs from the file named, prints their outputs.
import { readFileSync } from 'node:fs';
import { createSession } from '../../../src/model/sessions.ts';
import { type PackedArrays, packArrays, unpackArrays } from '../pack.ts';

const jobs = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as {
  model: string;
  feeds: PackedArrays;
}[];
const results: PackedArrays[] = [];
for (const { model, feeds } of jobs) {
  const session = await createSession(Buffer.from(model, 'base64'));
  results.push(packArrays(await session.run(unpackArrays(feeds))));
  await session.release();
}
console.log(JSON.stringify(results));
