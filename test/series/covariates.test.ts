import { describe, expect, it } from 'vitest';
import { StreamSource, TableSource } from '../../src/series/covariate-sources.ts';
import { Covariates } from '../../src/series/covariates.ts';
import { StateReader, StateWriter } from '../../src/series/state-io.ts';

const MINUTE = 60_000;
const HOLD = 30 * MINUTE;

const bucket = (startMin: number, value: number, minutes = 1) => ({
  startMs: startMin * MINUTE,
  intervalMs: minutes * MINUTE,
  value,
});
const past = (source: StreamSource | TableSource, from: number, to: number, hold = HOLD): number =>
  source.past(from * MINUTE, to * MINUTE, hold);

describe('another stream', () => {
  it('gives the mean of the buckets that lie in the span', () => {
    const source = new StreamSource('a');
    source.closed([bucket(0, 1), bucket(1, 2), bucket(2, 3), bucket(3, 4)]);
    expect(past(source, 1, 3)).toBe(2.5);
    expect(past(source, 0, 4)).toBe(2.5);
  });

  it('never includes a bucket that has not ended', () => {
    const source = new StreamSource('a');
    source.closed([bucket(0, 1, 10), bucket(10, 2, 10), bucket(20, 3, 10)]);
    expect(past(source, 15, 19)).toBe(1);
    expect(past(source, 15, 20)).toBe(2);
    expect(past(source, 25, 29)).toBe(2);
    expect(past(source, 5, 9)).toBeNaN();
  });

  it('holds its last value over a gap, up to a limit', () => {
    const source = new StreamSource('a');
    source.closed([bucket(0, 1), bucket(1, Number.NaN)]);
    expect(past(source, 20, 21)).toBe(1);
    expect(past(source, 40, 41)).toBeNaN();
  });

  it('has a bounded memory', () => {
    const source = new StreamSource('a');
    for (let t = 0; t < 3000; t++) source.closed([bucket(t, t)]);
    expect(past(source, 2999, 3000)).toBe(2999);
    expect(past(source, 2500, 2501)).toBe(2500);
    expect(past(source, 100, 101)).toBeNaN();
  });

  it('returns its own forecast for the future, once it has been made', () => {
    const source = new StreamSource('a');
    const ahead = (from: number, to: number, now: number): number =>
      source.ahead(from * MINUTE, to * MINUTE, now * MINUTE);
    expect(ahead(10, 11, 10)).toBeNaN();
    // Made at the end of bucket 4: lead 1 is bucket 5.
    source.forecast({
      originMs: 4 * MINUTE,
      stepMs: MINUTE,
      medians: Float64Array.from({ length: 10 }, (_, k) => 100 + k),
    });
    expect(ahead(5, 6, 5)).toBe(100);
    expect(ahead(7, 9, 5)).toBe(102.5);
    expect(ahead(14, 15, 5)).toBe(109);
    expect(ahead(15, 16, 5)).toBeNaN();
    // Of a bucket earlier than that it knows nothing yet.
    expect(ahead(5, 6, 4)).toBeNaN();
  });
});

describe('a table', () => {
  const points = [
    { timeMs: 10 * MINUTE, value: 1 },
    { timeMs: 0, value: 5 },
    { timeMs: 30 * MINUTE, value: 2 },
    { timeMs: 20 * MINUTE, value: Number.NaN },
  ];

  it('returns the time-weighted mean over a span', () => {
    const table = new TableSource('t');
    expect(past(table, 0, 1)).toBeNaN();
    table.set(points);
    expect(past(table, 0, 20)).toBe(3);
    expect(past(table, 12, 13)).toBe(1);
    expect(past(table, -5, 0)).toBeNaN();
    // Of a span that begins before the first point: what is known of it.
    expect(past(table, -5, 5)).toBe(5);
    expect(past(table, 25, 35)).toBe(1.5);
    expect(past(table, 27, 37)).toBeCloseTo(1.7, 12);
    expect(table.ahead(29 * MINUTE, 30 * MINUTE)).toBe(1);
    expect(table.ahead(30 * MINUTE, 31 * MINUTE)).toBe(2);
  });

  it('ends: its last point is valid for as long as the one before it', () => {
    const table = new TableSource('t');
    table.set(points);
    expect(past(table, 49, 50)).toBe(2);
    expect(past(table, 50, 51)).toBeNaN();
  });

  it('is replaced as a whole', () => {
    const table = new TableSource('t');
    table.set(points);
    table.set([{ timeMs: 0, value: 9 }]);
    expect(past(table, 10, 11)).toBe(9);
  });
});

describe('covariates', () => {
  /** Shown as distances from the mean so far, in mean absolute deviations, within 4. */
  const sized = (values: readonly number[], shown: number): number => {
    let mean = 0;
    let spread = 0;
    for (const [i, value] of values.entries()) {
      mean += (value - mean) / (i + 1);
      spread += (Math.abs(value - mean) - spread) / (i + 1);
    }
    const z = (shown - mean) / spread;
    return Number.isNaN(z) ? 0 : Math.max(-4, Math.min(4, z));
  };
  const wave = Array.from({ length: 40 }, (_, t) => 5 * Math.sin(t) + t / 10);

  it('of another stream are its last values and its forecast', () => {
    const source = new StreamSource('a');
    const covariates = new Covariates([source], MINUTE, 12, HOLD);
    const out = new Float32Array(covariates.inputs + 1).fill(7);
    for (const [t, value] of wave.entries()) {
      source.closed([bucket(t, value)]);
      if (t === 39)
        source.forecast({
          originMs: t * MINUTE,
          stepMs: MINUTE,
          medians: Float64Array.from({ length: 10 }, (_, k) => k),
        });
      covariates.look(t * MINUTE, out, 1);
    }
    const last = wave.at(-1) ?? 0;
    // Leads 2 and 8 as it expects them; lead 12 is beyond its forecast: that it stays.
    const expected = [...[0, 1, 2, 3, 4, 5, 6, 8, 12].map((lag) => wave[39 - lag] ?? 0), 1, 7, last];
    expect(covariates.inputs).toBe(12);
    expect(out[0]).toBe(7);
    for (const [i, value] of expected.entries())
      expect(out[i + 1], `number ${i}`).toBeCloseTo(sized(wave, value), 4);
    // Nothing of the past is a lead: nothing rises.
    expect(covariates.rise(2, 8, () => 1)).toBe(0);
  });

  it('of a table are its values now and at future leads, and their change between two leads', () => {
    const table = new TableSource('t');
    table.set(Array.from({ length: 400 }, (_, t) => ({ timeMs: t * MINUTE, value: wave[t] ?? t * t })));
    const covariates = new Covariates([table], MINUTE, 13, HOLD);
    const out = new Float32Array(covariates.inputs);
    for (let t = 0; t < 30; t++) covariates.look(t * MINUTE, out, 0);
    const seen = wave.slice(0, 30);
    const at = (t: number) => sized(seen, wave[t] ?? t * t);
    const leads = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13];
    expect(covariates.inputs).toBe(2 + leads.length);
    expect(out[0]).toBeCloseTo(at(28), 4);
    expect(out[1]).toBeCloseTo(at(29), 4);
    for (const [i, lead] of leads.entries()) expect(out[2 + i], `lead ${lead}`).toBeCloseTo(at(29 + lead), 4);
    // The place of lead 3 is number 4.
    const weight = (input: number) => (input === 4 ? 2 : 0);
    expect(covariates.rise(3, 9, weight)).toBeCloseTo(2 * (at(38) - at(32)), 4);
    expect(covariates.rise(3, 3, weight)).toBe(0);
    expect(covariates.rise(2, 9, weight)).toBe(0);
  });

  it('share the numbers that a stream may have, from the first to the last of each', () => {
    const tables = Array.from({ length: 4 }, (_, i) => new TableSource(`t${i}`));
    const covariates = new Covariates(tables, MINUTE, 300, HOLD);
    expect(covariates.inputs).toBe(4 * 8);
    const [first] = tables;
    first?.set(Array.from({ length: 400 }, (_, t) => ({ timeMs: t * MINUTE, value: (t * 7919) % 101 })));
    const out = new Float32Array(covariates.inputs);
    for (let t = 0; t < 50; t++) covariates.look(t * MINUTE, out, 0);
    const value = (t: number) => (t * 7919) % 101;
    const seen = Array.from({ length: 50 }, (_, t) => value(t));
    expect(out[0]).toBeCloseTo(sized(seen, value(48)), 4);
    expect(out[7]).toBeCloseTo(sized(seen, value(349)), 4);
    expect([...out.subarray(8)].every((x) => x === 0)).toBe(true);
  });

  it('are bounded, zero if unknown, and about 1 in size', () => {
    const source = new StreamSource('a');
    const covariates = new Covariates([source, new TableSource('t')], MINUTE, 12, HOLD);
    const out = new Float32Array(covariates.inputs);
    covariates.look(0, out, 0);
    expect([...out].every((x) => x === 0)).toBe(true);
    let sum = 0;
    for (let t = 1; t < 500; t++) {
      source.closed([bucket(t, 1e9 + (t === 300 ? 1e12 : 50 * Math.sin(t)))]);
      covariates.look(t * MINUTE, out, 0);
      for (const x of out) expect(Math.abs(x)).toBeLessThanOrEqual(4);
      if (t < 300) sum += Math.abs(out[0]);
    }
    expect(sum / 300).toBeGreaterThan(0.5);
    expect(sum / 300).toBeLessThan(2);
  });

  it('return how much more is known for one lead than for another', () => {
    const table = new TableSource('t');
    const noise = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6, 2, 6, 4, 3, 3, 8, 3, 2, 7];
    const series = [...noise, ...noise, ...noise, ...noise];
    table.set(series.map((value, t) => ({ timeMs: t * MINUTE, value })));
    const covariates = new Covariates([table], MINUTE, 24, HOLD);
    const out = new Float32Array(covariates.inputs);
    for (let t = 0; t < 64; t++) covariates.look(t * MINUTE, out, 0);
    // Shown are the leads up to 12, then 14, 16, 20 and 24; lead 13 from bucket 63 is bucket 76.
    const at = (lead: number): number => series[63 + lead] as number;
    const rises = [13, 14, 15].map((lead) => covariates.rise(12, lead, () => 1));
    expect(rises[0]! / rises[2]!).toBeCloseTo((at(13) - at(12)) / (at(15) - at(12)), 5);
    expect(covariates.rise(12, 12, () => 1)).toBe(0);
    expect(covariates.rise(13, 14, () => 1)).toBe(0);
    expect(covariates.rise(12, 13, () => 0)).toBe(0);
  });

  it('are never more than a bounded number, however many streams are named', () => {
    for (const n of [1, 2, 3, 8]) {
      const sources = Array.from({ length: n }, (_, i) => new (i % 2 ? TableSource : StreamSource)(`${i}`));
      expect(new Covariates(sources, MINUTE, 300, HOLD).inputs).toBeLessThanOrEqual(33);
    }
  });

  it('continue from a restored state', () => {
    const state = (covariates: Covariates): Uint8Array => {
      const writer = new StateWriter();
      covariates.persist(writer);
      return writer.finish();
    };
    const source = new StreamSource('a');
    const one = new Covariates([source], MINUTE, 12, HOLD);
    const out = new Float32Array(one.inputs);
    for (let t = 0; t < 40; t++) {
      source.closed([bucket(t, t % 7)]);
      one.look(t * MINUTE, out, 0);
    }
    const two = new Covariates([source], MINUTE, 12, HOLD);
    two.persist(new StateReader(state(one)));
    const again = new Float32Array(two.inputs);
    source.closed([bucket(40, 5)]);
    one.look(40 * MINUTE, out, 0);
    two.look(40 * MINUTE, again, 0);
    expect(again).toEqual(out);
  });
});
