/** Fault 28: seeded mutation of payloads, at least 10^6 cases. Run again with FUZZ_SEED to repeat a failure. */
import { expect, it } from 'vitest';
import { fuzzDecoders } from '../ingest/fuzz-cases.ts';

const SEED = Number(process.env.FUZZ_SEED ?? 20_240_517);
const BATCHES = 10;
const CASES = 100_000;

it(`answers ${BATCHES * CASES} hostile payloads with readings or typed rejects, and never throws`, () => {
  let readings = 0;
  const reasons = new Set<string>();
  for (let batch = 0; batch < BATCHES; batch += 1) {
    const report = fuzzDecoders(SEED + batch, CASES);
    readings += report.readings;
    for (const reason of Object.keys(report.rejects)) reasons.add(reason);
  }
  expect(readings).toBeGreaterThan(BATCHES * CASES * 0.2);
  expect(reasons.size).toBeGreaterThanOrEqual(14);
});
