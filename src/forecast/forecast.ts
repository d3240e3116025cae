/** The forecast type that the engine passes to all other rooms. */
import type { MarkName } from '../series/quality.ts';
import type { Anomaly } from './anomalies.ts';
import type { Provenance } from './explanation.ts';

export type ForecastKind = 'gru' | 'seasonal-naive' | 'naive' | 'blend';
export type InputQuality = 'good' | 'filled' | 'stale';

export interface Crossing {
  readonly name: string;
  readonly side: 'above' | 'below';
  readonly value: number;
  /** Label (start) of the bucket in which the median first crosses; if it never does, of the most likely bucket; null if the probability is negligible. */
  readonly atMs: number | null;
  /** Probability that it is crossed within the horizon, 0..1. */
  readonly probability: number;
  /** Present while too few forecasts are scored at the lead of the crossing, with `atMs` null: how many are scored, and how many are needed. */
  readonly learning?: { readonly scored: number; readonly of: number };
}

/** One multi-horizon forecast of one stream. Lead k (1-based) is the bucket `originMs + k * stepMs`. */
export interface Forecast {
  readonly stream: string;
  readonly unit: string | null;
  /** Label (start) of the last bucket known. */
  readonly originMs: number;
  readonly stepMs: number;
  /** Counts the stream's forecasts; survives restarts. */
  readonly seq: number;
  readonly leads: number;
  /** [leads, 9] row-major, in the stream's unit, non-decreasing along a row, finite. */
  readonly quantiles: Float64Array;
  readonly kind: ForecastKind;
  readonly input: {
    readonly quality: InputQuality;
    /** Time of the newest accepted reading, ms; null before the first. */
    readonly observedMs: number | null;
    readonly ageMs: number | null;
    /** Quality marks of bucket `originMs`, absent if it has none; a spike, stuck or flat-line bucket was treated as missing. */
    readonly marks?: readonly MarkName[];
  };
  readonly coverage: { readonly target: number; readonly observed: number | null; readonly n: number };
  readonly crossings: readonly Crossing[];
  /** Value of bucket `originMs`; null when the bucket was empty. */
  readonly observed: number | null;
  /** Lead-1 interval that the previous forecast gave for this bucket (for charts and anomalies). */
  readonly expected: { readonly low: number; readonly p50: number; readonly high: number } | null;
  /** Only on request: `Engine.showProvenance`. */
  readonly provenance?: Provenance;
  /** Improbable buckets since the last published forecast, oldest first; absent if there are none. */
  readonly anomalies?: readonly Anomaly[];
}

/** A loop, because `every` allocates an object for each number. */
export function allFinite(values: Float64Array): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false;
  return true;
}

/** Most improbable buckets in one forecast: a backlog may contain many. */
const MAX_ANOMALIES = 16;

/** Adds the anomalies of an older, unpublished forecast to the newer one of the same stream. */
export function withAnomalies(older: Forecast | undefined, newer: Forecast): Forecast {
  if (older?.anomalies === undefined) return newer;
  return { ...newer, anomalies: [...older.anomalies, ...(newer.anomalies ?? [])].slice(-MAX_ANOMALIES) };
}
