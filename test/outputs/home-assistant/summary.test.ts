/** The text of a summary is the JSON of the object that it stands for, whatever the forecast and the settings. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatDuration } from '../../../src/config/units.ts';
import { inDigits } from '../../../src/forecast/digits.ts';
import type { Forecast } from '../../../src/forecast/forecast.ts';
import {
  crossingKey,
  NEXT,
  type SummaryOptions,
  summaryText,
} from '../../../src/outputs/home-assistant/summary.ts';
import { MEDIAN, Q, QUANTILES } from '../../../src/quantiles.ts';

const STEP_MS = 60_000;
const T0 = Date.UTC(2025, 0, 1);

/** As an object, field by field. */
function summaryOf({ quantiles, leads, input, crossings, originMs }: Forecast, options: SummaryOptions) {
  const { decimals, additive, anomaly } = options;
  const rounded = (value: number) =>
    decimals === null ? inDigits(value, 4) : Number(value.toFixed(decimals)) + 0;
  const shown = options.quantiles.map((level) => (QUANTILES as readonly number[]).indexOf(level));
  const ends = [Math.min(...shown), Math.max(...shown)];
  const at = (lead: number, q: number) => rounded(quantiles[(lead - 1) * Q + q] ?? 0);
  const rows = [
    { key: NEXT, lead: 1 },
    ...options.leads.map((ms) => ({ key: formatDuration(ms), lead: Math.max(1, Math.round(ms / STEP_MS)) })),
  ];
  const names = ends.map((q) => `p${Math.round(100 * (QUANTILES[q] ?? 0))}`);
  const total = Array.from({ length: leads }, (_, k) => quantiles[k * Q + MEDIAN] ?? 0);
  return {
    state: input.quality === 'stale' ? 'offline' : 'online',
    origin: new Date(originMs).toISOString(),
    median: Object.fromEntries(rows.map(({ key, lead }) => [key, lead > leads ? null : at(lead, MEDIAN)])),
    range: Object.fromEntries(
      rows.map(({ key, lead }) => [
        key,
        lead > leads ? {} : Object.fromEntries(ends.map((q, i) => [names[i], at(lead, q)])),
      ]),
    ),
    ...(additive && { total: rounded(total.reduce((sum, one) => sum + one, 0)) }),
    ...(crossings.length > 0 && {
      crossing: Object.fromEntries(
        crossings.map(({ name, atMs, probability }) => [
          crossingKey(name),
          { at: atMs === null ? null : new Date(atMs).toISOString(), percent: Math.round(100 * probability) },
        ]),
      ),
    }),
    anomaly: anomaly ? 'ON' : 'OFF',
  };
}

const value = fc.oneof(
  fc.double({ min: -1e6, max: 1e6, noNaN: true }),
  fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e300, max: 1e300 }),
  fc.constantFrom(0, -0, 1e21, 1e-9, 0.05, -0.004),
);
const forecasts = fc.integer({ min: 1, max: 6 }).chain((leads) =>
  fc.record({
    leads: fc.constant(leads),
    quantiles: fc
      .array(value, { minLength: leads * Q, maxLength: leads * Q })
      .map((list) => Float64Array.from(list)),
    quality: fc.constantFrom('good', 'filled', 'stale'),
    crossings: fc.uniqueArray(
      fc.record({
        name: fc.oneof(fc.constantFrom('hot', 'a b', '1'), fc.string()),
        atMs: fc.option(fc.constant(T0 + STEP_MS)),
        probability: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
      { maxLength: 2, selector: ({ name }) => name },
    ),
  }),
);
const settings = fc.record({
  leads: fc.uniqueArray(fc.constantFrom(STEP_MS, 3 * STEP_MS, 90_000, 3_600_000, 1500), { maxLength: 4 }),
  quantiles: fc.shuffledSubarray([...QUANTILES], { minLength: 1 }),
  decimals: fc.option(fc.integer({ min: 0, max: 3 })),
  additive: fc.boolean(),
  anomaly: fc.boolean(),
});

test('the text of a summary is the JSON of its object', () => {
  fc.assert(
    fc.property(forecasts, settings, ({ leads, quantiles, quality, crossings }, options) => {
      const forecast = {
        stream: 's',
        unit: null,
        originMs: T0 + 1,
        stepMs: STEP_MS,
        seq: 0,
        leads,
        quantiles,
        kind: 'gru',
        input: { quality, observedMs: null, ageMs: null },
        coverage: { target: 0.8, observed: null, n: 0 },
        crossings: crossings.map((one) => ({ ...one, side: 'above', value: 1 })),
        observed: null,
        expected: null,
      } as Forecast;
      expect(summaryText(forecast, options)).toBe(JSON.stringify(summaryOf(forecast, options)));
    }),
    { numRuns: 300 },
  );
});

test('a forecast with a value that is no number has no summary', () => {
  const quantiles = new Float64Array(Q).fill(1);
  quantiles[3] = Number.NaN;
  const forecast = { quantiles, leads: 1, crossings: [], input: {} } as unknown as Forecast;
  const options = { leads: [], quantiles: [0.5], decimals: 1, additive: false, anomaly: false };
  expect(summaryText(forecast, options)).toBeNull();
});
