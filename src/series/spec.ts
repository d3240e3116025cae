/**
 * The settings of one stream that the pure core needs. Resolved from the config by `src/config`, or from flags by
 * the backtest.
 */

import type { CounterKind } from './counter.ts';

/** Most leads of one forecast. */
export const MAX_LEADS = 336;
export const AGGREGATES = [
  'mean',
  'last',
  'min',
  'max',
  'sum',
  'median',
  'delta',
  'change',
  'circular-mean',
] as const;
export type Aggregate = (typeof AGGREGATES)[number];

/** Whether the readings come from a counter, so that a bucket's value is its increase. */
export const isCounter = (kind: Aggregate): kind is CounterKind => kind === 'delta' || kind === 'change';
export const FILLS = [
  'model',
  'mask',
  'hold',
  'linear',
  'seasonal',
  'mean',
  'median',
  'mode',
  'drop',
] as const;
export type Fill = (typeof FILLS)[number];

export interface Threshold {
  readonly name: string;
  readonly side: 'above' | 'below';
  readonly value: number;
}

export interface CovariateName {
  /** A stream, or a table. */
  readonly kind: 'stream' | 'table';
  readonly name: string;
}

export interface StreamSpec {
  /** Unique; safe as MQTT topic levels. */
  readonly name: string;
  readonly unit: string | null;
  /** The physical device that the stream belongs to, safe as topic levels; absent: the stream is its own. */
  readonly device?: string;
  /** Bucket length, ms; null: learnt from the first arrivals. */
  readonly intervalMs: number | null;
  readonly aggregate: Aggregate;
  readonly fill: Fill;
  /** A gap longer than this makes the stream stale, ms. */
  readonly maxGapMs: number;
  /** A bucket stays open this long after its end, ms of the stream's own time. */
  readonly latenessMs: number;
  /** Physical limits: readings outside are rejected, forecasts are clamped. */
  readonly min: number | null;
  readonly max: number | null;
  /** Largest believable change per ms; faster ones are rejected. null: none. */
  readonly maxRatePerMs: number | null;
  /** Whether spikes, stuck values and flat lines are masked (`quality.ts`); default true. */
  readonly quality?: boolean;
  /** How far ahead to forecast, ms; the number of leads is ceil(horizonMs / intervalMs), at most MAX_LEADS. */
  readonly horizonMs: number;
  readonly thresholds: readonly Threshold[];
  /** Zone of the calendar features: an IANA name, or `local` for the machine's. */
  readonly timeZone: string;
  /** Covariates: names of streams, or of tables with known future values (`covariate-sources.ts`). */
  readonly covariates?: readonly CovariateName[];
  /** Whether the engine chooses other streams as covariates while it runs (`covariate-choice.ts`); default false. */
  readonly findsCovariates?: boolean;
  /** Target share of readings inside the published interval p10..p90. */
  readonly coverageTarget: number;
}

/** Minimum gap in intervals if the interval is learnt, because it was unknown when the gap was configured. */
const LEARNT_GAP = 8;

/** How long a stream may be silent before it is stale, ms. @param stepMs interval of its grid */
export function longestGapMs(
  { maxGapMs, intervalMs }: Pick<StreamSpec, 'maxGapMs' | 'intervalMs'>,
  stepMs: number,
): number {
  return intervalMs === null ? Math.max(maxGapMs, LEARNT_GAP * stepMs) : maxGapMs;
}

/** Checksum (32 bits) of the settings that affect a state: a state with other settings must not be restored. */
export function stateSettings(spec: StreamSpec): number {
  const { intervalMs, horizonMs, aggregate, timeZone, quality, covariates = [], findsCovariates } = spec;
  const named = covariates.map(({ kind, name }) => [kind, name]);
  // Chosen covariates are part of the state itself.
  const shown = findsCovariates === true ? ['auto'] : named;
  return checksum(JSON.stringify([intervalMs, horizonMs, aggregate, timeZone, quality, shown]));
}

/** FNV-1a, 32 bits. */
function checksum(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
