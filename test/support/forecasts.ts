/** Made-up forecasts with a known shape, for tests of what shows or sends them. No model is behind them. */
import type { Forecast } from '../../src/forecast/forecast.ts';
import { Q } from '../../src/quantiles.ts';

export interface FakeForecastOptions {
  readonly stream?: string;
  readonly unit?: string | null;
  readonly originMs?: number;
  readonly stepMs?: number;
  readonly leads?: number;
  readonly seq?: number;
  readonly kind?: Forecast['kind'];
  readonly quality?: Forecast['input']['quality'];
  readonly observed?: number | null;
  readonly marks?: Forecast['input']['marks'];
  readonly expected?: Forecast['expected'];
  /** Median of lead k, 1-based. */
  readonly median?: (k: number) => number;
  /** Half the width of p10..p90 at lead k. */
  readonly spread?: (k: number) => number;
}

export function fakeForecast(options: FakeForecastOptions = {}): Forecast {
  const { leads = 6, originMs = 1_700_000_000_000, stepMs = 1000, seq = 1 } = options;
  const median = options.median ?? ((k) => 20 + k / 10);
  const spread = options.spread ?? ((k) => 0.5 * Math.sqrt(k));
  const quantiles = new Float64Array(leads * 9);
  for (let k = 1; k <= leads; k++)
    for (let q = 0; q < 9; q++) quantiles[(k - 1) * 9 + q] = median(k) + ((q - 4) / 4) * spread(k);
  const observed = options.observed === undefined ? 20 : options.observed;
  return {
    stream: options.stream ?? 'cellar/temperature',
    unit: options.unit === undefined ? '°C' : options.unit,
    originMs,
    stepMs,
    seq,
    leads,
    quantiles,
    kind: options.kind ?? 'gru',
    input: {
      quality: options.quality ?? (observed === null ? 'filled' : 'good'),
      observedMs: originMs,
      ageMs: 0,
      ...(options.marks === undefined ? {} : { marks: options.marks }),
    },
    coverage: { target: 0.8, observed: 0.79, n: 120 },
    crossings: [],
    observed,
    expected: options.expected === undefined ? { low: 19.5, p50: 20, high: 20.5 } : options.expected,
  };
}

/** A forecast of two steps with numbers that nothing depends on; tests change what they are about. */
export const plainForecast = (stream: string, change: Partial<Forecast> = {}): Forecast => ({
  stream,
  unit: null,
  originMs: 0,
  stepMs: 60_000,
  seq: 1,
  leads: 2,
  quantiles: Float64Array.from({ length: 2 * Q }, (_, i) => i),
  kind: 'gru',
  input: { quality: 'good', observedMs: 0, ageMs: 0 },
  coverage: { target: 0.8, observed: null, n: 0 },
  crossings: [],
  observed: 1,
  expected: null,
  ...change,
});
