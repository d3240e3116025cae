/** The columns that the chart draws: lines and bands are broken wherever readings or forecasts are missing. */
import { expect, it } from 'vitest';
import { pageScript } from '../../deploy/page-script.mjs';

type Row = (number | null | undefined)[];
interface Columns {
  readonly COLUMNS: readonly { readonly name: string }[];
  columnsOf(data: object): [number[], ...Row[]];
}
const source = pageScript('src/web/columns.client.js');
const address = `data:text/javascript,${encodeURIComponent(source)}`;
const { COLUMNS, columnsOf }: Columns = await import(/* @vite-ignore */ address);

const STEP = 1000;
const NOTHING = { points: [], history: [], binMs: 0, forecast: null, past: [], stepMs: STEP };

/** Spans [from, to] that uPlot draws of a column: it ends one at a null, and joins values across undefined. */
function spans(data: object, name: string): [number, number][] {
  const [times, ...columns] = columnsOf({ ...NOTHING, ...data });
  const values = columns[COLUMNS.findIndex((column) => column.name === name)] as Row;
  const found: [number, number][] = [];
  let isBroken = true;
  for (const [i, value] of values.entries()) {
    const time = times[i] as number;
    if (value === null) isBroken = true;
    if (value === null || value === undefined) continue;
    const last = found.at(-1);
    if (isBroken || last === undefined) found.push([time, time]);
    else last[1] = time;
    isBroken = false;
  }
  // uPlot clips what lies before the next row that is not null, so every row inside a gap has to be null.
  for (let i = 1; i < found.length; i++) {
    const [from, to] = [found[i - 1]?.[1] ?? 0, found[i]?.[0] ?? 0];
    const inside = times.flatMap((time, at) => (time > from && time < to ? [values[at]] : []));
    expect(inside, `${name} between ${from} and ${to}`).toEqual(inside.map(() => null));
  }
  return found;
}
const point = (at: number, isExpected = true) =>
  isExpected ? [at * STEP, 5, 4, 5, 6] : [at * STEP, 5, null, null, null];
const seconds = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

it('the expected band has no area where nothing was expected, whatever else has values there', () => {
  const points = [...seconds(0, 4), 20, ...seconds(30, 33)].map((at) => point(at));
  const history = seconds(4, 30)
    .filter((at) => at !== 20)
    .map((at) => [at * STEP, 5, 5, 5]);
  const past = seconds(2, 32).map((at) => [at * STEP, 1, 2, 3]);
  const data = { points, history, binMs: STEP, past };
  for (const name of ['expectedHigh', 'expectedLow'])
    expect(spans(data, name)).toEqual([
      [0, 3000],
      [20_000, 20_000],
      [30_000, 32_000],
    ]);
  expect(spans(data, 'observed')).toEqual([[0, 32_000]]);
  expect(spans(data, 'past')).toEqual([[2000, 31_000]]);
});

it('points without an expectation break the band, also beside each other', () => {
  const points = [point(0), point(1), point(2, false), point(3, false), point(4)];
  expect(spans({ points }, 'expectedLow')).toEqual([
    [0, 1000],
    [4000, 4000],
  ]);
});

it.each([
  ['the line of readings', 'observed'],
  ['the range of thinned readings', 'rangeHigh'],
])('%s is broken where bins are missing, and a line of past forecasts does not join it', (_, name) => {
  const history = [0, 10, 20, 60, 70].map((at) => [at * STEP, 5, 4, 6]);
  const past = seconds(0, 70).map((at) => [at * STEP, 1, 2, 3]);
  expect(spans({ history, binMs: 10 * STEP, past }, name)).toEqual([
    [0, 20_000],
    [60_000, 70_000],
  ]);
});

it('past forecasts are broken where none were made', () => {
  const past = [...seconds(0, 5), ...seconds(40, 44)].map((at) => [at * STEP, 1, 2, 3]);
  const points = seconds(0, 44).map((at) => point(at));
  for (const name of ['past', 'pastHigh', 'pastLow'])
    expect(spans({ points, past }, name)).toEqual([
      [0, 4000],
      [40_000, 43_000],
    ]);
});

it('the fan begins at the newest reading and is not broken', () => {
  const forecast = {
    origin_ms: 2000,
    ...Object.fromEntries(['p10', 'p30', 'p50', 'p70', 'p90'].map((q) => [q, [1, 2]])),
  };
  expect(spans({ points: [point(1), point(2)], forecast }, 'p50')).toEqual([[2000, 4000]]);
});
