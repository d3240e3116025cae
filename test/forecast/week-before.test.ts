import { describe, expect, it } from 'vitest';
import { NORMAL } from '../../src/forecast/candidates.ts';
import { MixtureScratch, WeekBefore } from '../../src/forecast/week-before.ts';
import { MEDIAN, Q } from '../../src/quantiles.ts';
import { ArrayBlock } from '../../src/series/array-block.ts';
import { LeadKnots } from '../../src/series/lead-knots.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';

const lead = new LeadKnots([1, 2, 4], 4);
const [USUAL, EVENT] = [20, 80] as const;
const HALF = 1;
const ERROR = 0.5;
const make = (): WeekBefore => new WeekBefore(lead, new MixtureScratch(), new ArrayBlock());

/** A week of which the event takes three buckets. @param now reading during the event @param before the week before */
function week(one: WeekBefore, now: number, before: number = EVENT): void {
  for (let t = 0; t < 10; t++)
    for (let j = 0; j < lead.knots.length; j++)
      one.learn(j, t < 3 ? now : USUAL, t < 3 ? before : USUAL, USUAL, HALF, ERROR);
}

/** The forecast at lead 3 after mixing. */
function mixed(one: WeekBefore, before: number): number[] {
  const out = new Float64Array(4 * Q);
  for (let i = 0; i < out.length; i++) out[i] = USUAL + NORMAL[i % Q]!;
  one.mix(2, before, ERROR, out);
  return [...out.subarray(2 * Q, 3 * Q)];
}

const unchanged = [...NORMAL].map((at) => USUAL + at);

describe('the value a week before', () => {
  it('has no part in the forecast before an event has come again', () => {
    const one = make();
    expect(mixed(one, EVENT)).toEqual(unchanged);
    week(one, USUAL);
    expect(mixed(one, EVENT)).toEqual(unchanged);
  });

  it('has a part from the third time of an event on', () => {
    const one = make();
    week(one, EVENT);
    expect(mixed(one, EVENT)[Q - 1]).toBeCloseTo(EVENT, 0);
    expect(mixed(one, USUAL)).toEqual(unchanged);
  });

  it('is the forecast of an event that has come each week, and of no other bucket', () => {
    const one = make();
    for (let i = 0; i < 8; i++) week(one, EVENT + (i % 2 === 0 ? 1 : -1));
    const at = mixed(one, EVENT);
    expect(at[0]).toBeGreaterThan(EVENT - 3);
    expect(at[MEDIAN]).toBeCloseTo(EVENT, 0);
    expect(at[Q - 1]).toBeGreaterThan(EVENT + 1);
    expect(at[Q - 1]).toBeLessThan(EVENT + 3);
    expect(mixed(one, USUAL)).toEqual(unchanged);
    expect(mixed(one, USUAL + 1.4 * NORMAL[Q - 1]!)).toEqual(unchanged);
  });

  it('makes an interval from one level to the other where the event came in two weeks of three', () => {
    const one = make();
    for (let i = 0; i < 12; i++) week(one, i % 3 === 0 ? USUAL : EVENT);
    const at = mixed(one, EVENT);
    expect(at[0]).toBeLessThan(USUAL + 1);
    expect(at[Q - 1]).toBeCloseTo(EVENT, 6);
    expect(at.toSorted((a, b) => a - b)).toEqual(at);
  });

  it('is given up when the event comes no more', () => {
    const one = make();
    for (let i = 0; i < 8; i++) week(one, EVENT);
    for (let i = 0; i < 12; i++) week(one, USUAL);
    expect(mixed(one, EVENT)).toEqual(unchanged);
  });

  it('tells about values above the forecast nothing from values below it: after an event by chance, the stream returns', () => {
    const one = make();
    for (let i = 0; i < 8; i++) week(one, 1, 1);
    expect(mixed(one, EVENT)).toEqual(unchanged);
    expect(mixed(one, 1)[MEDIAN]).toBeCloseTo(1, 6);
  });

  it('is mixed as before after a restart', () => {
    const one = make();
    for (let i = 0; i < 3; i++) week(one, EVENT + i);
    const writer = new StateWriter();
    one.persist(writer);
    const other = make();
    other.persist(new StateReader(writer.finish()));
    expect(mixed(other, EVENT)).toEqual(mixed(one, EVENT));
    expect(mixed(other, EVENT)).not.toEqual(unchanged);
  });
});
