import { expect, it } from 'vitest';
import { fuzzDecoders } from './fuzz-cases.ts';

it('answers 20,000 hostile payloads with readings or typed rejects, and never throws', () => {
  const { cases, readings, rejects } = fuzzDecoders(1, 834);
  expect(cases).toBeGreaterThan(20_000);
  // The cases must reach deep into the decoders, not only bounce off their doors.
  for (const [kind, count] of Object.entries(readings)) expect(count, kind).toBeGreaterThan(20);
  expect(Object.values(readings).reduce((sum, count) => sum + count)).toBeGreaterThan(4000);
  expect(Object.keys(rejects).length).toBeGreaterThan(12);
});
