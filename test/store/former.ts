/** Readings that a former version stored into a fixture: half a second apart, with noise, holes, and some out of order. */
import type { Sample } from '../../src/series/sample.ts';
import { uniform } from '../support/random.ts';
import { testSpec } from '../support/specs.ts';

const START = Date.UTC(2025, 0, 1);

export const FORMER_SPECS = [
  testSpec('a'),
  testSpec('b', { intervalMs: 2000, fill: 'hold', horizonMs: 20_000 }),
];

/** @param count readings of each stream */
export function formerSamples(count: number): Sample[] {
  const random = uniform(7);
  const list: Sample[] = [];
  for (let i = 0; i < count; i++) {
    for (const { name } of FORMER_SPECS) {
      if (name === 'a' && i % 90 > 80) continue;
      const timeMs = START + i * 500 + (random() < 0.1 ? -300 : 0);
      list.push({ stream: name, timeMs, value: 10 + Math.sin(i / 20) + random(), arrivalMs: timeMs });
    }
  }
  return list;
}
