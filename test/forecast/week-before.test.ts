import { describe, expect, it } from 'vitest';
import { C, NORMAL, RECURRENCE } from '../../src/forecast/candidates.ts';
import { Track } from '../../src/forecast/track.ts';
import { TrackScratch } from '../../src/forecast/track-scratch.ts';
import { MixtureScratch, WeekBefore } from '../../src/forecast/week-before.ts';
import { MEDIAN, Q } from '../../src/quantiles.ts';
import { ArrayBlock } from '../../src/series/array-block.ts';
import { History } from '../../src/series/history.ts';
import { LeadKnots } from '../../src/series/lead-knots.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';
import { normal } from '../support/random.ts';

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

/** The forecast at lead 3 after mixing. @param moved distance of the newest reading from the value a week before it */
function mixed(one: WeekBefore, before: number, moved = 0): number[] {
  const out = new Float64Array(4 * Q);
  for (let i = 0; i < out.length; i++) out[i] = USUAL + NORMAL[i % Q]!;
  one.mix(2, before, ERROR, moved, out);
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

  it('has no part where the stream is now at another level than a week before', () => {
    const one = make();
    for (let i = 0; i < 8; i++) week(one, EVENT);
    const half = (EVENT - USUAL) / 2;
    expect(mixed(one, EVENT, 0.9 * half)[MEDIAN]).toBeCloseTo(EVENT, 0);
    expect(mixed(one, EVENT, 1.1 * half)).toEqual(unchanged);
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

describe('the forecast of a stream with an event once a week', () => {
  const [LEADS, WEEK, EVERY] = [6, 28, 10];

  /** A stream of 20 that is at 80 for `length` buckets a week, and candidates that know nothing of this. */
  class Played {
    private readonly history: History;
    private readonly noise = normal(3);
    private track: Track;
    step = 0;
    /** Forecasts [LEADS, 9] by their origin. */
    readonly made: Float64Array[] = [];

    constructor(
      private readonly length: number,
      private readonly week = WEEK,
    ) {
      this.history = new History(week + 2);
      this.track = this.make();
    }

    private make(): Track {
      const past = { history: this.history, weekLag: this.week };
      return new Track(LEADS, { scratch: new TrackScratch(LEADS), past });
    }

    play(weeks: number, { comes = true, observed = true, usual = USUAL as number } = {}): this {
      for (let i = 0; i < weeks * this.week; i++, this.step++) {
        const isEvent =
          comes && this.step % this.week >= EVERY && this.step % this.week < EVERY + this.length;
        const y = (isEvent ? EVENT : usual) + 0.2 * this.noise();
        this.track.observe(y, observed);
        this.history.push(y);
        const out = new Float64Array(LEADS * Q);
        const candidates = Array.from({ length: C }, (_, c) =>
          c === RECURRENCE
            ? null
            : Float64Array.from(out, (_, at) => usual + 0.3 * this.noise() * 0.1 + 0.2 * NORMAL[at % Q]!),
        );
        for (const one of candidates)
          if (one !== null) for (let k = 0; k < LEADS; k++) one.subarray(k * Q, (k + 1) * Q).sort();
        this.track.combine(candidates, () => {}, out);
        this.made.push(out);
      }
      return this;
    }

    restart(): this {
      const writer = new StateWriter();
      this.track.persist(writer);
      this.track = this.make();
      this.track.persist(new StateReader(writer.finish()));
      return this;
    }

    /** Medians at each lead of the forecasts whose target is this bucket of the newest week. */
    medians(bucket: number): number[] {
      const target = this.step - this.week + bucket;
      return Array.from({ length: LEADS }, (_, k) => this.made[target - 1 - k]![k * Q + MEDIAN]!);
    }

    /** Mean width of 80 % intervals at lead 1 over the newest buckets. */
    width(buckets: number): number {
      return this.made.slice(-buckets).reduce((sum, one) => sum + one[Q - 1]! - one[0]!, 0) / buckets;
    }
  }

  it.each([
    ['without a break', () => new Played(1).play(6)],
    ['after a restart', () => new Played(1).play(4).restart().play(2)],
    ['after an event in a gap', () => new Played(1).play(4).play(1, { observed: false }).play(2)],
  ])('has it at its bucket in every lead, and not beside it, %s', (_, played) => {
    const stream = played();
    for (const median of stream.medians(EVERY)) expect(median).toBeCloseTo(EVENT, -0.5);
    for (const bucket of [EVERY - 1, EVERY + 1])
      for (const median of stream.medians(bucket)) expect(Math.abs(median - USUAL)).toBeLessThan(2);
  });

  it('has not the values of a level that the stream has left since', () => {
    const stream = new Played(1).play(6);
    const origin = stream.step;
    stream.play(3 / WEEK, { usual: -USUAL });
    for (let k = 0; k < LEADS; k++) expect(stream.made[origin]![k * Q + MEDIAN]).toBeCloseTo(-USUAL, -0.5);
  });

  it('has no wider interval for the usual readings after an event that has not come', () => {
    const stream = new Played(10, 4 * WEEK).play(8);
    const usual = stream.width(3);
    // The newest forecasts are then those just after the event.
    const after = stream.play((EVERY + 13) / (4 * WEEK), { comes: false }).width(3);
    expect(after).toBeLessThan(1.1 * usual);
  });
});
