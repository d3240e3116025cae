/** Explains a forecast: the forecast and the share of each part at a few leads. */

/** The parts of a published forecast. */
export const PARTS = [
  'network',
  'corrected',
  'own network',
  'seasonal naive',
  'naive',
  'climate',
  'recurrence',
] as const;
export type PartName = (typeof PARTS)[number];

export interface IntervalView {
  readonly p10: number;
  readonly p50: number;
  readonly p90: number;
}

interface PartView extends IntervalView {
  readonly part: PartName;
  /** Share of the part in the published forecast, 0 to 1; all shares of a lead sum to 1. */
  readonly share: number;
}

export interface LeadView {
  /** In steps. */
  readonly lead: number;
  readonly published: IntervalView;
  /** Parts that made a forecast. */
  readonly parts: readonly PartView[];
  /** Width of the published interval, relative to that of the mixture of the parts; null if that has none. */
  readonly width: number | null;
  /** Factor on the width because recent readings missed the interval too often. */
  readonly widened: number;
  /** Change of the corrected median by all covariates; null without covariates. */
  readonly covariates: number | null;
}

/** Origin of a forecast, for the opt-in fields of its message. */
export interface Provenance {
  /** [leads, 9] the base network's forecast; null if it made none. */
  readonly raw: Float64Array | null;
  /** [leads, 9] the same, corrected by the stream's adapter. */
  readonly corrected: Float64Array | null;
  /** [leads, 9] the own network's. */
  readonly own: Float64Array | null;
  /** Names of the covariates that count at some lead. */
  readonly inputsUsed: readonly string[];
}

export interface ForecastExplanation {
  readonly leads: readonly LeadView[];
  /** Lowest and highest reading so far: forecasts beyond are compressed. null: too few readings. */
  readonly range: { readonly low: number; readonly high: number } | null;
  /** Buckets seen. */
  readonly buckets: number;
}
