/** Fault 28: seeded mutation of payloads, at least 10^6 cases. Run again with FUZZ_SEED to repeat a failure. */
import { expect, it } from 'vitest';
import { fuzzDecoders } from '../ingest/fuzz-cases.ts';

const SEED = Number(process.env.FUZZ_SEED ?? 20_240_517);
const BATCHES = 10;
/** Cases of each decoder in a batch. */
const EACH = 4200;

it('answers 1,000,000 hostile payloads with readings or typed rejects, and never throws', () => {
  let cases = 0;
  let readings = 0;
  const reasons = new Set<string>();
  for (let batch = 0; batch < BATCHES; batch += 1) {
    const report = fuzzDecoders(SEED + batch, EACH);
    cases += report.cases;
    for (const count of Object.values(report.readings)) readings += count;
    for (const reason of Object.keys(report.rejects)) reasons.add(reason);
  }
  expect(cases).toBeGreaterThan(1_000_000);
  expect(readings).toBeGreaterThan(200_000);
  expect(reasons.size).toBeGreaterThanOrEqual(14);
});
