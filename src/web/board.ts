/** What the page knows of each stream: a bounded history and the newest forecast. Written by the agent, read by the server. */
import type { Forecast, ForecastKind, InputQuality } from '../forecast/forecast.ts';
import { Q } from '../quantiles.ts';
import type { MarkName } from '../series/quality.ts';
import { type ChartPoint, PointRing } from './ring.ts';

/** Columns of a forecast row (of the nine quantiles) that the chart draws: p10, p30, p50, p70, p90. */
const COLUMNS = [0, 2, 4, 6, 8] as const;

export interface ChartForecast {
  readonly originMs: number;
  readonly stepMs: number;
  readonly issuedMs: number;
  readonly seq: number;
  readonly leads: number;
  readonly kind: ForecastKind;
  readonly quality: InputQuality;
  readonly marks: readonly MarkName[];
  readonly observedMs: number | null;
  readonly coverage: Forecast['coverage'];
  readonly crossings: Forecast['crossings'];
  /** The median at lead 1. */
  readonly base: number;
  /** [5, leads] row-major: p10, p30, p50, p70, p90, as differences from `base`. */
  readonly fan: Float32Array;
}

export interface ChartAnomaly {
  readonly timeMs: number;
  readonly observed: number;
  /** -log10 of the probability. */
  readonly score: number;
}

const MAX_ANOMALIES = 16;
const NO_MARKS: readonly MarkName[] = [];
const NO_ANOMALIES: readonly ChartAnomaly[] = [];

export interface BoardStream {
  readonly name: string;
  readonly unit: string | null;
  readonly history: PointRing;
  readonly forecast: ChartForecast | null;
  /** The newest anomalies, ascending. */
  readonly anomalies: readonly ChartAnomaly[];
  /** Grows with every change, so that a reader can tell what it has seen. */
  readonly revision: number;
}

/** Points of a chart that somebody looks at. */
const LOOKED_AT = 360;
/** And of one that nobody does: with many streams the page's memory shall stay small next to the engine's. */
const unseenCapacity = (streams: number): number => (streams < 256 ? LOOKED_AT : 16);
/** Forecasts after which a chart that nobody has looked at is given up again. */
const GIVEN_UP = 720;

type Entry = { -readonly [K in keyof BoardStream]: BoardStream[K] } & {
  hasPast: boolean;
  /** Forecasts since somebody looked. */
  unseen: number;
};

/**
 * Points of a stream from before this start, ascending, all before `beforeMs`.
 * Asked for when somebody looks at a stream that nobody has looked at for long.
 */
export type Past = (stream: string, beforeMs: number, most: number) => readonly ChartPoint[];

export class Board {
  private readonly entries = new Map<string, Entry>();
  private clock = 0;
  /** Grows whenever a stream appears or goes. */
  generation = 0;

  constructor(private readonly past: Past = () => []) {}

  /** Makes a stream visible before its first forecast. */
  announce(name: string, unit: string | null): void {
    const known = this.entries.get(name);
    if (known) {
      known.unit = unit;
      return;
    }
    this.entries.set(name, {
      name,
      unit,
      history: new PointRing(unseenCapacity(this.entries.size)),
      forecast: null,
      anomalies: NO_ANOMALIES,
      revision: ++this.clock,
      hasPast: false,
      unseen: 0,
    });
    this.generation++;
  }

  forget(name: string): void {
    if (this.entries.delete(name)) this.generation++;
  }

  record(forecast: Forecast, issuedMs: number): void {
    this.announce(forecast.stream, forecast.unit);
    const entry = this.entries.get(forecast.stream)!;
    const { leads, quantiles, expected } = forecast;
    const { marks } = forecast.input;
    entry.history.push({
      timeMs: forecast.originMs,
      observed: forecast.observed,
      low: expected?.low ?? null,
      p50: expected?.p50 ?? null,
      high: expected?.high ?? null,
      ...(marks === undefined ? {} : { marks }),
    });
    // Written anew in place: what lives for a step and is then dropped would be garbage of the costly kind.
    const before = entry.forecast;
    const fan = before?.leads === leads ? before.fan : new Float32Array(COLUMNS.length * leads);
    const base = quantiles[COLUMNS[2]];
    for (let c = 0; c < COLUMNS.length; c++)
      for (let k = 0; k < leads; k++) fan[c * leads + k] = quantiles[k * Q + COLUMNS[c]] - base;
    entry.forecast = {
      originMs: forecast.originMs,
      stepMs: forecast.stepMs,
      issuedMs,
      seq: forecast.seq,
      leads,
      kind: forecast.kind,
      quality: forecast.input.quality,
      marks: marks ?? NO_MARKS,
      observedMs: forecast.input.observedMs,
      coverage: forecast.coverage,
      crossings: forecast.crossings,
      base,
      fan,
    };
    entry.revision = ++this.clock;
    if (entry.hasPast && ++entry.unseen > GIVEN_UP) this.giveUp(entry);
  }

  /** Shows a bucket as anomalous. */
  mark(stream: string, { timeMs, observed, score }: ChartAnomaly): void {
    const entry = this.entries.get(stream);
    if (entry === undefined) return;
    entry.anomalies = [...entry.anomalies, { timeMs, observed, score }].slice(-MAX_ANOMALIES);
    entry.revision = ++this.clock;
  }

  get size(): number {
    return this.entries.size;
  }

  /** The stream as it is, for a row of the list: reads no past. */
  peek(name: string): BoardStream | undefined {
    return this.entries.get(name);
  }

  /** The stream with its past: a page shows it. */
  get(name: string): BoardStream | undefined {
    const entry = this.entries.get(name);
    if (entry === undefined) return undefined;
    entry.unseen = 0;
    if (!entry.hasPast && entry.forecast !== null) this.addPast(entry);
    return entry;
  }

  private addPast(entry: Entry): void {
    entry.hasPast = true;
    const points = entry.history.since(Number.NEGATIVE_INFINITY);
    const room = LOOKED_AT - points.length;
    const first = points[0]?.timeMs;
    if (room === 0 || first === undefined) return;
    entry.history = ringOf(LOOKED_AT, [...this.past(entry.name, first, room), ...points]);
  }

  private giveUp(entry: Entry): void {
    const most = unseenCapacity(this.entries.size);
    if (most >= entry.history.capacity) return;
    entry.history = ringOf(most, entry.history.since(Number.NEGATIVE_INFINITY).slice(-most));
    entry.hasPast = false;
  }

  /** In order of name. */
  streams(): BoardStream[] {
    return [...this.entries.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }
}

function ringOf(capacity: number, points: readonly ChartPoint[]): PointRing {
  const ring = new PointRing(capacity);
  for (const point of points) ring.push(point);
  return ring;
}
