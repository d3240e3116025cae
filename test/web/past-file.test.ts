import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { Forecast } from '../../src/forecast/forecast.ts';
import { Q } from '../../src/quantiles.ts';
import { Board } from '../../src/web/board.ts';
import { loadPast, savePast } from '../../src/web/past-file.ts';
import { PastForecasts } from '../../src/web/past-forecasts.ts';
import { plainForecast } from '../support/forecasts.ts';

const folder = mkdtempSync(join(tmpdir(), 'gatecast-past-'));
afterAll(() => rmSync(folder, { recursive: true }));
const STEP = 60_000;
const START = Date.UTC(2025, 0, 1);

function collected() {
  const said: string[] = [];
  return { said, log: { warn: (event: string) => void said.push(event) } };
}

const forecastOf = (stream: string, step: number, leads: number): Forecast =>
  plainForecast(stream, {
    originMs: START + step * STEP,
    stepMs: STEP,
    seq: step,
    leads,
    quantiles: Float64Array.from(
      { length: leads * Q },
      (_, i) => 1000 + step + Math.floor(i / Q) / 7 + (i % Q),
    ),
    observed: 1000 + step,
  });

function boardOf(streams: readonly string[], leads: number, steps: number): Board {
  const board = new Board();
  for (let step = 0; step < steps; step++)
    for (const stream of streams) board.record(forecastOf(stream, step, leads), 0);
  return board;
}

const STREAMS = ['tank', 'Käse & "Öl"/Füllstand'];

test('past forecasts and calibration survive a restart and continue', () => {
  const path = join(folder, 'same.gz');
  const { said, log } = collected();
  const before = boardOf(STREAMS, 24, 300);
  savePast(path, before, log);
  const after = new Board();
  for (const stream of STREAMS) after.announce(stream, null);
  loadPast(path, after, log);
  for (const stream of STREAMS) {
    for (const lead of [1, 6, 12, 24]) {
      const points = before.get(stream)?.past?.at(lead, START + 299 * STEP) ?? [];
      expect(points.length).toBeGreaterThan(100);
      expect(after.get(stream)?.past?.at(lead, START + 299 * STEP)).toEqual(points);
    }
    expect(after.get(stream)?.past?.calibration()).toEqual(before.get(stream)?.past?.calibration());
    // The next bucket meets the forecast that the former run made of it.
    before.record(forecastOf(stream, 300, 24), 0);
    after.record(forecastOf(stream, 300, 24), 0);
    expect(after.get(stream)?.past?.calibration()).toEqual(before.get(stream)?.past?.calibration());
  }
  expect(said).toEqual([]);
});

test('streams that are gone or have another step or horizon restore nothing', () => {
  const path = join(folder, 'changed.gz');
  const { log } = collected();
  savePast(path, boardOf(STREAMS, 24, 50), log);
  const after = new Board();
  after.announce('tank', null);
  loadPast(path, after, log);
  expect(after.pasts().map(([stream]) => stream)).toEqual(['tank']);
  after.record(forecastOf('tank', 50, 12), 0);
  expect(after.get('tank')?.past?.at(1, START + 49 * STEP)).toEqual([]);
});

test('a damaged file is logged and has no other effect', () => {
  const path = join(folder, 'damaged.gz');
  savePast(path, boardOf(STREAMS, 24, 50), collected().log);
  const whole = readFileSync(path);
  for (const bytes of [whole.subarray(0, whole.length / 2), Buffer.from('nonsense'), Buffer.alloc(0)]) {
    writeFileSync(path, bytes);
    const { said, log } = collected();
    const board = new Board();
    for (const stream of STREAMS) board.announce(stream, null);
    loadPast(path, board, log);
    expect(said).toEqual(['past forecasts not restored']);
  }
  const { said, log } = collected();
  savePast(join(folder, 'no such folder/x.gz'), boardOf(STREAMS, 2, 5), log);
  expect(said).toEqual(['past forecasts not saved']);
  loadPast(join(folder, 'none.gz'), new Board(), log);
  expect(said).toHaveLength(1);
});

test('invalid numbers are refused', () => {
  const numbers = boardOf(['a'], 4, 20).pasts()[0]?.[1].numbers() ?? new Float64Array();
  expect(PastForecasts.fromNumbers(numbers)).not.toBeNull();
  for (const wrong of [
    numbers.slice(0, -1),
    Float64Array.of(...numbers, 0),
    numbers.with(0, 0),
    numbers.with(0, 1e9),
    numbers.with(1, Number.NaN),
    numbers.with(2, 1e6),
    numbers.with(2, -1),
    numbers.with(2, Number.NaN),
    new Float64Array(),
  ])
    expect(PastForecasts.fromNumbers(wrong)).toBeNull();
});

test('64 streams of 288 leads take less than a megabyte', () => {
  const path = join(folder, 'size.gz');
  savePast(
    path,
    boardOf(
      Array.from({ length: 4 }, (_, i) => `s${i}`),
      288,
      400,
    ),
    collected().log,
  );
  expect(statSync(path).size * 16).toBeLessThan(1e6);
});
