/** What closes depends on the readings and their own times alone: not on the order of arrival, nor on who looks when. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Buckets, type ClosedBucket } from '../../src/series/buckets.ts';
import type { Sample } from '../../src/series/sample.ts';
import type { Aggregate, StreamSpec } from '../../src/series/spec.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';
import { testSpec } from '../support/specs.ts';

const START = Date.UTC(2025, 0, 1);
const SECOND = 1000;

interface Arrival extends Sample {
  readonly twice: boolean;
}

/** Readings with a delay each; now and then a long silence, now and then several at once. */
const arrivals = (latenessMs: number, most = 120): fc.Arbitrary<Arrival[]> =>
  fc
    .array(
      fc.record({
        gap: fc.oneof(
          { weight: 8, arbitrary: fc.integer({ min: 1, max: 15 * SECOND }) },
          { weight: 1, arbitrary: fc.integer({ min: 1, max: 400 * SECOND }) },
        ),
        delay: fc.integer({ min: 0, max: latenessMs }),
        value: fc.integer({ min: -50, max: 50 }),
        twice: fc.boolean(),
      }),
      { minLength: 1, maxLength: most },
    )
    .map((list) => {
      let timeMs = START;
      const all = list.map(({ gap, delay, value, twice }) => {
        timeMs += gap;
        return { stream: 's', timeMs, value, arrivalMs: timeMs + delay, twice };
      });
      return all.sort((a, b) => a.arrivalMs - b.arrivalMs);
    });

const specs = (latenessMs: number): fc.Arbitrary<StreamSpec> =>
  fc
    .record({
      intervalMs: fc.constantFrom(10 * SECOND, 7 * SECOND, 60 * SECOND, null),
      aggregate: fc.constantFrom<Aggregate>('mean', 'last', 'sum', 'median', 'delta'),
      maxRatePerMs: fc.constantFrom(null, 5 / SECOND),
    })
    .map((change) => testSpec('s', { ...change, latenessMs }));

function save(buckets: Buckets): Uint8Array {
  const writer = new StateWriter();
  buckets.persist(writer);
  return writer.finish();
}

/** In order of time, each looked at once it is there. */
function inOrder(spec: StreamSpec, list: readonly Arrival[]): ClosedBucket[] {
  const buckets = new Buckets(spec);
  const closed: ClosedBucket[] = [];
  for (const sample of [...list].sort((a, b) => a.timeMs - b.timeMs)) {
    expect(buckets.push({ ...sample, arrivalMs: Number.NaN })).toBe('accepted');
    closed.push(...buckets.close(null));
  }
  return closed;
}

/** As they arrive, some twice, while a clock of whole seconds ticks. */
function live(spec: StreamSpec, list: readonly Arrival[], tickMs: number): ClosedBucket[] {
  const buckets = new Buckets(spec);
  const closed: ClosedBucket[] = [];
  let next = 0;
  for (let nowMs = START; next < list.length; nowMs += tickMs) {
    for (; next < list.length && list[next].arrivalMs <= nowMs; next++) {
      expect(buckets.push(list[next])).toBe('accepted');
      if (list[next].twice) expect(['duplicate', 'late']).toContain(buckets.push(list[next]));
    }
    closed.push(...buckets.close(nowMs));
  }
  return closed;
}

/** Both must agree as far as both have come. */
function agree(one: readonly ClosedBucket[], two: readonly ClosedBucket[]): void {
  const n = Math.min(one.length, two.length);
  expect(two.slice(0, n)).toEqual(one.slice(0, n));
}

const LATENESS = 30 * SECOND;

describe('buckets', () => {
  it('are the same if readings are shuffled within the lateness, duplicated, and the clock ticks', () => {
    fc.assert(
      fc.property(
        specs(LATENESS),
        arrivals(LATENESS),
        fc.integer({ min: 1, max: 20 }),
        (spec, list, tick) => {
          const expected = inOrder(spec, list);
          const seen = live(spec, list, tick * SECOND);
          // The clock closes at least what newer readings do.
          expect(seen.length).toBeGreaterThanOrEqual(expected.length);
          agree(expected, seen);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('are the same independently of how often they are polled', () => {
    fc.assert(
      fc.property(specs(0), arrivals(0), fc.integer({ min: 1, max: 40 }), (spec, list, every) => {
        const expected = inOrder(spec, list);
        const buckets = new Buckets(spec);
        const closed: ClosedBucket[] = [];
        list.forEach((sample, i) => {
          buckets.push({ ...sample, arrivalMs: Number.NaN });
          if (i % every === every - 1) closed.push(...buckets.close(null));
        });
        closed.push(...buckets.close(null));
        expect(closed).toEqual(expected);
      }),
      { numRuns: 200 },
    );
  });

  it('continue after a restart as without one, from the stored readings', () => {
    fc.assert(
      fc.property(specs(LATENESS), arrivals(LATENESS), fc.nat(), (spec, list, at) => {
        const cut = at % (list.length + 1);
        const whole = new Buckets(spec);
        const closed: ClosedBucket[] = [];
        const stored: Sample[] = [];
        let snapshot: Uint8Array | null = null;
        let replayFromMs = 0;
        let before = 0;
        list.forEach((sample, i) => {
          if (i === cut && whole.intervalMs !== null) {
            snapshot = save(whole);
            replayFromMs = whole.replayFromMs();
            before = closed.length;
          }
          if (whole.push(sample) === 'accepted') stored.push(sample);
          closed.push(...whole.close(sample.arrivalMs));
        });
        if (snapshot === null) return;
        const restored = new Buckets(spec);
        const reader = new StateReader(snapshot);
        restored.persist(reader);
        reader.finish();
        const after: ClosedBucket[] = [];
        for (const sample of stored.sort((a, b) => a.timeMs - b.timeMs)) {
          if (sample.timeMs < replayFromMs) continue;
          expect(restored.push({ ...sample, arrivalMs: Number.NaN })).toBe('accepted');
          after.push(...restored.close(null));
        }
        agree(closed.slice(before), after);
        after.push(...restored.close(list[list.length - 1].arrivalMs));
        agree(closed.slice(before), after);
        // Replayed again from where it stands now, nothing is missing either.
        expect(restored.replayFromMs()).toBeGreaterThanOrEqual(replayFromMs);
      }),
      { numRuns: 300 },
    );
  });

  it('cover time without gaps, for any input', () => {
    fc.assert(
      fc.property(specs(LATENESS), arrivals(LATENESS), (spec, list) => {
        const closed = live(spec, list, 5 * SECOND);
        for (let i = 1; i < closed.length; i++) {
          expect(closed[i].startMs).toBe(closed[i - 1].startMs + closed[i - 1].intervalMs);
        }
      }),
    );
  });

  it('lose no reading: sums over all buckets are the sum over all readings', () => {
    fc.assert(
      fc.property(arrivals(LATENESS), (list) => {
        const spec = testSpec('s', { intervalMs: 10 * SECOND, aggregate: 'sum', latenessMs: LATENESS });
        const end = {
          ...list[0],
          timeMs: START + 86_400_000,
          arrivalMs: START + 86_400_000,
          value: 1e6,
          twice: false,
        };
        const total = inOrder(spec, [...list, end]).reduce(
          (sum, { value }) => sum + (Number.isNaN(value) ? 0 : value),
          0,
        );
        expect(total).toBe(list.reduce((sum, { value }) => sum + value, 0));
      }),
    );
  });

  it('refuse the state of another interval', () => {
    const one = new Buckets(testSpec('s', { intervalMs: 10 * SECOND }));
    const two = new Buckets(testSpec('s', { intervalMs: 60 * SECOND }));
    expect(() => two.persist(new StateReader(save(one)))).toThrow(
      expect.objectContaining({ code: 'STATE_MISMATCH' }),
    );
  });
});
