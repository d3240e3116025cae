/** The text of a forecast is what `JSON.stringify` makes of the message as the MQTT reference describes it. */
import fc from 'fast-check';
import { expect, it } from 'vitest';

import type { Forecast } from '../../../src/forecast/forecast.ts';
import { ForecastText, type TextOptions } from '../../../src/outputs/json/forecast-text.ts';
import { Q, QUANTILES } from '../../../src/quantiles.ts';
import { plainForecast } from '../../support/forecasts.ts';

const T0 = Date.UTC(2025, 0, 1);
const iso = (ms: number): string => new Date(ms).toISOString();
const six = (value: number): number => Number(value.toPrecision(6)) + 0;

/** The same, the simple way. */
function expected(forecast: Forecast, { quantiles, digits, issuedMs, model }: TextOptions): string {
  const { input, coverage, crossings } = forecast;
  const columns = QUANTILES.flatMap((level, q) => {
    const column = Array.from(
      { length: forecast.leads },
      (_, lead) => Number((forecast.quantiles[lead * Q + q] ?? 0).toPrecision(digits)) + 0,
    );
    return quantiles.includes(level) ? [[`p${Math.round(100 * level)}`, column]] : [];
  });
  return JSON.stringify({
    v: 1,
    stream: forecast.stream,
    unit: forecast.unit,
    issued: iso(issuedMs),
    origin: iso(forecast.originMs),
    step_s: forecast.stepMs / 1000,
    seq: forecast.seq,
    model: { id: model.id, version: model.version, kind: forecast.kind },
    input: {
      quality: input.quality,
      ...(input.marks === undefined ? {} : { marks: input.marks }),
      observed: input.observedMs === null ? null : iso(input.observedMs),
      age_s: input.ageMs === null ? null : Math.round(input.ageMs / 1000),
    },
    ...Object.fromEntries(columns),
    coverage: {
      target: six(coverage.target),
      observed: coverage.observed === null ? null : six(coverage.observed),
      n: coverage.n,
    },
    ...(crossings.length === 0
      ? {}
      : {
          crossing: crossings.map((one) => ({
            name: one.name,
            [one.side]: one.value,
            at: one.atMs === null ? null : iso(one.atMs),
            probability: Number(one.probability.toFixed(3)),
            ...(one.learning === undefined ? {} : { learning: one.learning }),
          })),
        }),
  });
}

const times = fc.oneof(
  fc.double({ min: T0 - 1e12, max: T0 + 1e13, noNaN: true }),
  fc.integer({ min: -1e13, max: 3e14 }),
  fc.integer({ min: T0, max: T0 + 50_000 }),
);
const names = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constant('pump/temperature'));
const values = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.double({ min: -2e4, max: 2e4, noNaN: true }),
  fc.constantFrom(0, -0, 0.5, -0.1, 1e-4, 999_999.5, 1e9, 123_456_789, 5e-324, 1.5e300, 100, 1200),
);

const forecasts: fc.Arbitrary<Forecast> = fc
  .record({
    stream: names,
    unit: fc.option(names),
    originMs: times,
    stepMs: fc.constantFrom(1000, 100, 60_000, 604_800_000),
    seq: fc.nat({ max: 2 ** 40 }),
    kind: fc.constantFrom('gru' as const, 'blend' as const, 'seasonal-naive' as const),
    marks: fc.option(fc.constantFrom(['spike'] as const, ['step', 'too-fast'] as const)),
    observedMs: fc.option(times),
    ageMs: fc.option(fc.double({ min: 0, max: 1e12, noNaN: true })),
    observed: fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
    n: fc.nat(),
    crossings: fc.array(
      fc.record({
        name: names,
        side: fc.constantFrom('above' as const, 'below' as const),
        value: values,
        atMs: fc.option(times),
        probability: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
      { maxLength: 2 },
    ),
    all: fc.array(values, { minLength: Q, maxLength: 4 * Q }),
  })
  .map(({ marks, observedMs, ageMs, observed, n, all, ...rest }) => ({
    ...rest,
    leads: Math.floor(all.length / Q),
    quantiles: Float64Array.from(all.slice(0, Q * Math.floor(all.length / Q))),
    input: { quality: 'good', observedMs, ageMs, ...(marks === null ? {} : { marks }) },
    coverage: { target: 0.8, observed, n },
    observed: null,
    expected: null,
  }));

it('is the same whatever the forecast holds, one after the other', () => {
  const writer = new ForecastText();
  fc.assert(
    fc.property(
      forecasts,
      fc.subarray([...QUANTILES]),
      fc.constantFrom(3, 6, 9, 12),
      times,
      names,
      (forecast, quantiles, digits, issuedMs, id) => {
        const options = { quantiles, digits, issuedMs, model: { id, version: '1' } };
        expect(writer.of(forecast, options, Number.POSITIVE_INFINITY)).toBe(expected(forecast, options));
      },
    ),
    { numRuns: 600 },
  );
});

it('carries the provenance of a forecast on request, and leaves it out first where the message has to be short', () => {
  const values = (shift: number) => Float64Array.from({ length: 2 * Q }, (_, i) => shift + i / 3);
  const forecast = plainForecast('s', {
    originMs: T0,
    quantiles: values(0),
    input: { quality: 'good', observedMs: T0, ageMs: 0 },
    provenance: { raw: values(10), corrected: values(20), own: null, inputsUsed: ['outdoor/temperature'] },
  });
  const trainedOn = { from: iso(T0), to: iso(T0 + 60_000) };
  const model = { id: 'cellar-1', version: '1', hash: 'abc', trainedOn };
  const options = { quantiles: [0.1, 0.5], digits: 6, issuedMs: T0, model };
  const text = new ForecastText().of(forecast, options, Number.POSITIVE_INFINITY) ?? '';
  expect(JSON.parse(text).provenance).toEqual({
    model_hash: 'abc',
    trained_on: trainedOn,
    raw: { p10: [10, 13], p50: [11.3333, 14.3333] },
    corrected: { p10: [20, 23], p50: [21.3333, 24.3333] },
    inputs_used: ['outdoor/temperature'],
  });
  const { provenance: _, ...plain } = forecast;
  const short = new ForecastText().of(forecast, options, text.length - 1);
  expect(short).toBe(expected(plain, options));
  expect(short).toBe(new ForecastText().of(plain, options, Number.POSITIVE_INFINITY));
});
