import { expect, it } from 'vitest';
import { fuzzDecoders } from './fuzz-cases.ts';

it('answers 20,000 hostile payloads with readings or typed rejects, and never throws', () => {
  const report = fuzzDecoders(1, 20_000);
  // The cases must reach deep into the decoders, not only bounce off their doors.
  expect(report.readings).toBeGreaterThan(4000);
  expect(Object.keys(report.rejects).length).toBeGreaterThan(12);
});
