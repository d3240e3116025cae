/** The JSON API of the page. Times are ms since 1970 UTC, durations are seconds, values are in the stream's unit. */
import type { ForecastKind, InputQuality } from '../forecast/forecast.ts';
import type { HealthInput } from '../outputs/output.ts';
import type { MarkName } from '../series/quality.ts';
import type { BoardStream, ChartAnomaly } from './board.ts';
import { restored } from './differences.ts';
import { LEVELS, type PastForecast } from './past-forecasts.ts';
import type { ChartPoint } from './ring.ts';
import type { History, ReplayedPast } from './views.ts';

/** State of the agent, for the head of the page. */
export interface PageStatus {
  readonly node: string;
  readonly version: string;
  /** ms since 1970 UTC. */
  readonly sinceMs: number;
  readonly nowMs: number;
  readonly broker: { readonly url: string; readonly connected: boolean; readonly protocol: string | null };
  readonly model: { readonly id: string; readonly version: string; readonly loaded: boolean };
  readonly finetune: HealthInput['finetune'];
  readonly health: Pick<
    HealthInput,
    'state' | 'degraded' | 'rssMb' | 'cpuPct' | 'dbBytes' | 'streams' | 'dropped'
  >;
  /** Over the last seconds. */
  readonly rates: { readonly samples: number; readonly forecasts: number };
  /**
   * Why forecasts are paused, and until when at most; null: not paused. `clock`: the clock was never set; `start`: no
   * connection yet; `away`: the connection is lost, and the broker may queue readings; `backlog`: the queued readings arrive.
   */
  readonly waiting: {
    readonly reason: 'clock' | 'start' | 'away' | 'backlog';
    readonly untilMs: number | null;
  } | null;
  /** Number of active alerts. */
  readonly alerts: number;
  /** The site that the agent is a member of; null: none. */
  readonly site: string | null;
}

interface StreamSummary {
  readonly stream: string;
  readonly unit: string | null;
  /** Physical device, to group by; null: not known. */
  readonly device: string | null;
  /** Null until the first forecast. */
  readonly step_s: number | null;
  readonly horizon_s: number | null;
  readonly kind: ForecastKind | null;
  readonly quality: InputQuality | null;
  /** Quality marks of the newest bucket. */
  readonly marks: readonly MarkName[];
  readonly value: number | null;
  readonly observed_ms: number | null;
  readonly issued_ms: number | null;
  readonly seq: number | null;
  readonly coverage: { target: number; observed: number | null; n: number } | null;
  /** p10, p50, p90 at the last lead. */
  readonly ahead: readonly [number, number, number] | null;
  /** The threshold most likely to be crossed within the horizon; null without thresholds. */
  readonly crossing: CrossingWire | null;
  /** Time of the newest anomaly. */
  readonly anomaly_ms: number | null;
  /** 0 (constant) to 1: how much the newest readings vary. */
  readonly liveliness: number;
}

interface CrossingWire {
  readonly name: string;
  readonly side: string;
  readonly value: number;
  readonly at_ms: number | null;
  readonly probability: number;
  /** Number of scored forecasts of this lead, until there are enough. */
  readonly learning?: { readonly scored: number; readonly of: number };
}

/** A row of the list: the summary and data for a small chart. */
interface StreamRow extends StreamSummary {
  /** The newest readings, ascending; null for an empty bucket. */
  readonly spark: readonly (number | null)[];
  /** Some leads of the forecast, including the last one. */
  readonly fan: { readonly p10: number[]; readonly p50: number[]; readonly p90: number[] } | null;
}

interface AnomalyWire {
  readonly at_ms: number;
  readonly value: number;
  readonly score: number;
}

type Point = readonly [
  timeMs: number,
  observed: number | null,
  low: number | null,
  p50: number | null,
  high: number | null,
  marks?: readonly MarkName[],
];

interface StreamDetail extends StreamSummary {
  /** [time, observed, low, p50, high] of each bucket, null for missing values; then its marks, if any. */
  readonly points: readonly Point[];
  readonly forecast: {
    readonly origin_ms: number;
    readonly p10: number[];
    readonly p30: number[];
    readonly p50: number[];
    readonly p70: number[];
    readonly p90: number[];
  } | null;
  /** Anomalous buckets; score: -log10 of their probability. */
  readonly anomalies: readonly AnomalyWire[];
  readonly crossings: readonly CrossingWire[];
}

/** Nine significant digits suffice for a chart and shorten the message. */
const short = (value: number): number => Number(value.toPrecision(9));
const shortOrNull = (value: number | null): number | null => (value === null ? null : short(value));

export function summary(entry: BoardStream): StreamSummary {
  const { forecast: f } = entry;
  const points = entry.history.since(f ? f.originMs - 1 : Number.NEGATIVE_INFINITY);
  const last = (row: number): number => short(restored(f!.base, f!.fan[row * f!.leads + f!.leads - 1]));
  return {
    stream: entry.name,
    unit: entry.unit,
    device: entry.device,
    step_s: f && f.stepMs / 1000,
    horizon_s: f && (f.leads * f.stepMs) / 1000,
    kind: f?.kind ?? null,
    quality: f?.quality ?? null,
    marks: f?.marks ?? [],
    value: shortOrNull(points.at(-1)?.observed ?? null),
    observed_ms: f?.observedMs ?? null,
    issued_ms: f?.issuedMs ?? null,
    seq: f?.seq ?? null,
    coverage: f && { ...f.coverage },
    ahead: f && f.leads > 0 ? [last(0), last(2), last(4)] : null,
    crossing: likeliest(f?.crossings ?? []),
    anomaly_ms: entry.anomalies.at(-1)?.timeMs ?? null,
    liveliness: Number(entry.history.liveliness().toFixed(4)),
  };
}

type Crossings = NonNullable<BoardStream['forecast']>['crossings'];

const crossingWire = (c: Crossings[number]): CrossingWire => ({
  name: c.name,
  side: c.side,
  value: c.value,
  at_ms: c.atMs,
  probability: c.probability,
  ...(c.learning === undefined ? {} : { learning: c.learning }),
});

function likeliest(crossings: Crossings): CrossingWire | null {
  const best = crossings.reduce<Crossings[number] | null>(
    (found, one) => (found === null || one.probability > found.probability ? one : found),
    null,
  );
  return best === null ? null : crossingWire(best);
}

/** Points of a small chart. */
const SPARK_POINTS = 40;
const SPARK_LEADS = 12;
/** Fewer missing buckets than this do not break the line of a small chart. */
const SPARK_GAP = 10;

export function streamRow(entry: BoardStream): StreamRow {
  const { forecast: f } = entry;
  const points = entry.history.since(Number.NEGATIVE_INFINITY).slice(-SPARK_POINTS);
  const leads = f === null ? 0 : Math.min(SPARK_LEADS, f.leads);
  const row = (of: NonNullable<typeof f>, quantile: number): number[] =>
    Array.from({ length: leads }, (_, i) => {
      const lead = Math.ceil(((i + 1) * of.leads) / leads) - 1;
      return short(restored(of.base, of.fan[quantile * of.leads + lead]));
    });
  return {
    ...summary(entry),
    // Of a backlog, only the newest bucket was forecast: no line joins it to buckets long before.
    spark: points
      .flatMap(({ timeMs, observed }, i) => {
        const isApart = f !== null && timeMs - (points[i - 1]?.timeMs ?? timeMs) > SPARK_GAP * f.stepMs;
        return isApart ? [null, shortOrNull(observed)] : [shortOrNull(observed)];
      })
      .slice(-SPARK_POINTS),
    fan: f && { p10: row(f, 0), p50: row(f, 2), p90: row(f, 4) },
  };
}

function pointOf({ timeMs, observed, low, p50, high, marks }: ChartPoint): Point {
  const point = [
    timeMs,
    shortOrNull(observed),
    shortOrNull(low),
    shortOrNull(p50),
    shortOrNull(high),
  ] as const;
  return marks === undefined ? point : [...point, marks];
}

/** @param afterMs returns only later points, for a client that has the older ones */
export function detail(entry: BoardStream, afterMs = Number.NEGATIVE_INFINITY): StreamDetail {
  const { forecast: f } = entry;
  const row = (index: number): number[] =>
    Array.from(f!.fan.subarray(index * f!.leads, (index + 1) * f!.leads), (difference) =>
      short(restored(f!.base, difference)),
    );
  return {
    ...summary(entry),
    points: entry.history.since(afterMs).map(pointOf),
    forecast: f && { origin_ms: f.originMs, p10: row(0), p30: row(1), p50: row(2), p70: row(3), p90: row(4) },
    anomalies: entry.anomalies.map(anomalyWire),
    crossings: (f?.crossings ?? []).map(crossingWire),
  };
}

const anomalyWire = ({ timeMs, observed, score }: ChartAnomaly): AnomalyWire => ({
  at_ms: timeMs,
  value: short(observed),
  score: Number(score.toFixed(1)),
});

/** A thinned history: [time, mean, low, high] of each bin, null if the bin has no reading; then the marks, if it has any. */
export function historyWire({ firstMs, binMs, bins, anomalies }: History): object {
  return {
    first_ms: firstMs,
    bin_ms: binMs,
    bins: bins.map(({ timeMs, mean, low, high, marks }) => [
      timeMs,
      shortOrNull(mean),
      shortOrNull(low),
      shortOrNull(high),
      ...(marks === undefined ? [] : [marks]),
    ]),
    anomalies: anomalies.map(anomalyWire),
  };
}

const pastPoint = ({ timeMs, p10, p50, p90 }: PastForecast): number[] => [
  timeMs,
  short(p10),
  short(p50),
  short(p90),
];

/**
 * The published forecasts at a lead from `fromMs` up to the newest bucket: [time, p10, p50, p90]. Null: not all of them are kept.
 * @param fromMs null: as many as are kept
 */
export function pastWire(
  { past, forecast }: BoardStream,
  lead: number,
  fromMs: number | null,
): object | null {
  const points = past === null || forecast === null ? [] : past.at(lead, forecast.originMs);
  const [first] = points;
  if (past === null || first === undefined) return null;
  if (fromMs !== null && first.timeMs >= fromMs + past.stepMs) return null;
  return { lead, replayed: false, complete: true, trained_to_ms: null, points: points.map(pastPoint) };
}

export function replayWire({ points, complete, trainedToMs }: ReplayedPast, lead: number): object {
  return { lead, replayed: true, complete, trained_to_ms: trainedToMs, points: points.map(pastPoint) };
}

export function scoresWire({ past }: BoardStream, scores: Readonly<Record<string, unknown>>): object {
  return { ...scores, levels: LEVELS, calibration: past?.calibration() ?? [] };
}
