import { describe, expect, test } from 'vitest';
import { Board } from '../../src/web/board.ts';
import { leadsKept, PastForecasts } from '../../src/web/past-forecasts.ts';
import { pastWire, scoresWire } from '../../src/web/wire.ts';
import { fakeForecast } from '../support/forecasts.ts';
import { seeded } from '../support/page.ts';

const STEP = 60_000;
const START = 1_700_000_040_000;

/** A fan of `leads` leads whose quantiles lie at -2, -1, 0, 1, 2 around `middle(lead)`. */
function fan(leads: number, middle: (lead: number) => number): Float32Array {
  const values = new Float32Array(5 * leads);
  for (let q = 0; q < 5; q++) for (let k = 0; k < leads; k++) values[q * leads + k] = middle(k + 1) + q - 2;
  return values;
}

describe('PastForecasts', () => {
  test('keeps one step, a quarter, half and all of the horizon', () => {
    expect(leadsKept(24)).toEqual([1, 6, 12, 24]);
    expect(leadsKept(2)).toEqual([1, 2]);
    expect(leadsKept(1)).toEqual([1]);
  });

  test('returns the forecasts made that many steps before each bucket, up to the newest one', () => {
    const past = new PastForecasts(24, STEP);
    // The forecast made at bucket n says 1000 n + lead.
    for (let n = 0; n < 400; n++)
      past.record(
        START + n * STEP,
        1000 * n,
        fan(24, (lead) => lead),
      );
    for (const lead of [1, 6, 12, 24]) {
      const points = past.at(lead, START + 399 * STEP);
      expect(points.length).toBeGreaterThanOrEqual(120);
      expect(points.at(-1)?.timeMs).toBe(START + 399 * STEP);
      for (const [i, { timeMs, p10, p50, p90 }] of points.entries()) {
        const origin = (timeMs - START) / STEP - lead;
        expect([p10, p50, p90]).toEqual([
          1000 * origin + lead - 2,
          1000 * origin + lead,
          1000 * origin + lead + 2,
        ]);
        if (i > 0) expect(timeMs - (points[i - 1]?.timeMs ?? 0)).toBe(STEP);
      }
    }
    expect(past.at(5, START)).toEqual([]);
  });

  test('buckets without a forecast are left out, not given an old one', () => {
    const past = new PastForecasts(4, STEP);
    for (let n = 0; n < 300; n++)
      if (n < 100 || n > 290)
        past.record(
          START + n * STEP,
          n,
          fan(4, () => 0),
        );
    const points = past.at(4, START + 299 * STEP).map(({ timeMs }) => (timeMs - START) / STEP);
    expect(points).toEqual([295, 296, 297, 298, 299]);
  });

  test('counts the readings below each quantile', () => {
    const past = new PastForecasts(8, STEP);
    const random = seeded(7);
    for (let n = 0; n < 3000; n++) {
      // Uniform over 10: p10 at 1, ... p90 at 9.
      if (n > 0) past.settle(START + n * STEP, 10 * random());
      const values = new Float32Array(5 * 8);
      for (let q = 0; q < 5; q++) values.fill(1 + 2 * q - 5, q * 8, (q + 1) * 8);
      past.record(START + n * STEP, 5, values);
    }
    const calibration = past.calibration();
    expect(calibration.map(({ lead }) => lead)).toEqual([1, 2, 4, 8]);
    for (const { n, below } of calibration) {
      expect(n).toBe(1000);
      for (const [q, share] of below.entries()) expect(Math.abs(share - (0.1 + 0.2 * q))).toBeLessThan(0.05);
    }
  });

  test('a constant stream is calibrated: a reading equal to a quantile counts half', () => {
    const past = new PastForecasts(1, STEP);
    for (let n = 0; n < 50; n++) {
      if (n > 0) past.settle(START + n * STEP, 1013.25);
      past.record(START + n * STEP, 1013.25, new Float32Array(5));
    }
    expect(past.calibration()[0]?.below).toEqual([0.5, 0.5, 0.5, 0.5, 0.5]);
  });
});

describe('the board', () => {
  const record = (board: Board, stream: string, n: number, marks = false) =>
    board.record(
      fakeForecast({
        stream,
        originMs: START + n * STEP,
        stepMs: STEP,
        leads: 8,
        observed: n,
        median: (k) => n + k,
        ...(marks ? { marks: ['spike'] } : {}),
      }),
      0,
    );

  test('passes the past forecasts of a stream to the page', () => {
    const board = new Board();
    for (let n = 0; n < 40; n++) record(board, 'a', n, n === 20);
    const entry = board.get('a');
    if (!entry) throw new Error('there is no stream');
    const { points } = pastWire(entry, 4, null) as { points: number[][] };
    expect(points).toHaveLength(36);
    for (const [time = 0, , p50] of points) expect(p50).toBe((time - START) / STEP);
    // All of a span, or nothing: a replay gives the rest.
    expect(pastWire(entry, 4, START + 5 * STEP)).toMatchObject({ points, replayed: false });
    expect(pastWire(entry, 4, START)).toBeNull();
    expect(pastWire(entry, 3, null)).toBeNull();
    const { calibration } = scoresWire(entry, {}) as { calibration: { lead: number; n: number }[] };
    // The marked bucket is no measure of the forecast.
    expect(calibration.map(({ lead, n }) => [lead, n])).toEqual([
      [1, 38],
      [2, 37],
      [4, 35],
      [8, 31],
    ]);
  });

  test('with many streams keeps only those of shown streams, and drops them when no page shows them', () => {
    const board = new Board();
    for (let i = 0; i < 300; i++) board.announce(`s${i}`, null);
    for (let n = 0; n < 3; n++) record(board, 's1', n);
    expect(board.peek('s1')?.past).toBeNull();
    board.get('s1');
    record(board, 's1', 3);
    expect(board.peek('s1')?.past).not.toBeNull();
    for (let n = 4; n < 800; n++) record(board, 's1', n);
    expect(board.peek('s1')?.past).toBeNull();
  });
});
