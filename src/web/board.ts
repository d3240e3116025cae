/** Newest points, forecasts and anomalies of each stream for the page, bounded. Written by the agent, read by the server. */
import type { Forecast, ForecastKind, InputQuality } from '../forecast/forecast.ts';
import { Q } from '../quantiles.ts';
import type { MarkName } from '../series/quality.ts';
import { PastForecasts } from './past-forecasts.ts';
import { type ChartPoint, PointRing } from './ring.ts';

/** Columns of a forecast row (of the nine quantiles) that the chart draws: p10, p30, p50, p70, p90. */
const COLUMNS = [0, 2, 4, 6, 8] as const;

interface ChartForecast {
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

/** Number of anomalies of a stream that are in memory; the store has the older ones. */
export const MAX_ANOMALIES = 16;
const NO_MARKS: readonly MarkName[] = [];
const NO_ANOMALIES: readonly ChartAnomaly[] = [];

export interface BoardStream {
  readonly name: string;
  readonly unit: string | null;
  /** The physical device that the stream belongs to; null: not known. */
  readonly device: string | null;
  readonly history: PointRing;
  readonly forecast: ChartForecast | null;
  /** The newest anomalies, ascending. */
  readonly anomalies: readonly ChartAnomaly[];
  /** null: with many streams, only those shown by a page have them. */
  readonly past: PastForecasts | null;
  /** Increases with every change, so that readers can detect changes. */
  readonly revision: number;
}

/** Points kept of a stream shown by a page. */
const SHOWN_POINTS = 360;
/** With this many streams or more, streams not shown keep fewer points, to save memory. */
const MANY_STREAMS = 256;
/** Up to this many streams, all keep their past forecasts: 30 kB per stream at 288 leads. */
const PAST_FOR_ALL = 64;
const unseenCapacity = (streams: number): number => (streams < MANY_STREAMS ? SHOWN_POINTS : 16);
/** Number of forecasts after which a stream not shown by a page keeps fewer points again. */
const UNSEEN_FORECASTS = 720;

type Writable<T> = { -readonly [K in keyof T]: T[K] };

type WritableChart = Writable<Omit<ChartForecast, 'coverage'>> & {
  readonly coverage: Writable<Forecast['coverage']>;
};

type Entry = Writable<BoardStream> & {
  hasPast: boolean;
  /** Forecasts since a page last showed it. */
  unseen: number;
};

/** Reads stored points of a stream, ascending, before `beforeMs`; called when a page shows the stream. */
type Past = (stream: string, beforeMs: number, most: number) => readonly ChartPoint[];

export class Board {
  private readonly entries = new Map<string, Entry>();
  private clock = 0;
  /** Increases when a stream is added or removed. */
  generation = 0;

  constructor(private readonly past: Past = () => []) {}

  /** Makes a stream visible before its first forecast. */
  announce(name: string, unit: string | null, device?: string): void {
    const known = this.entries.get(name);
    if (known) {
      known.unit = unit;
      known.device = device ?? known.device;
      return;
    }
    this.entries.set(name, {
      name,
      unit,
      device: device ?? null,
      history: new PointRing(unseenCapacity(this.entries.size)),
      forecast: null,
      anomalies: NO_ANOMALIES,
      past: null,
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
    // Reuses the object: objects that live for one step get promoted and cost a major GC.
    const chart = entry.forecast?.leads === leads ? (entry.forecast as WritableChart) : emptyChart(leads);
    const { fan } = chart;
    const base = quantiles[COLUMNS[2]];
    for (let c = 0; c < COLUMNS.length; c++)
      for (let k = 0; k < leads; k++) fan[c * leads + k] = quantiles[k * Q + COLUMNS[c]] - base;
    chart.originMs = forecast.originMs;
    chart.stepMs = forecast.stepMs;
    chart.issuedMs = issuedMs;
    chart.seq = forecast.seq;
    chart.kind = forecast.kind;
    chart.quality = forecast.input.quality;
    chart.marks = marks ?? NO_MARKS;
    chart.observedMs = forecast.input.observedMs;
    chart.coverage.target = forecast.coverage.target;
    chart.coverage.observed = forecast.coverage.observed;
    chart.coverage.n = forecast.coverage.n;
    chart.crossings = forecast.crossings;
    chart.base = base;
    entry.forecast = chart;
    this.keepForecast(entry, forecast.observed);
    entry.revision = ++this.clock;
    if (entry.hasPast && ++entry.unseen > UNSEEN_FORECASTS) this.shrink(entry);
  }

  private keepForecast(entry: Entry, observed: number | null): void {
    const { forecast: f } = entry;
    if (f === null || f.leads === 0 || (this.entries.size > PAST_FOR_ALL && !entry.hasPast)) return;
    if (entry.past?.leads !== f.leads || entry.past.stepMs !== f.stepMs)
      entry.past = new PastForecasts(f.leads, f.stepMs);
    if (observed !== null && f.marks.length === 0) entry.past.settle(f.originMs, observed);
    entry.past.record(f.originMs, f.base, f.fan);
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

  /** Past forecasts to carry over a restart, by stream. */
  pasts(): (readonly [stream: string, past: PastForecasts])[] {
    return [...this.entries.values()].flatMap(({ name, past }) => (past === null ? [] : [[name, past]]));
  }

  /** Sets the past forecasts of the previous run. */
  restorePast(stream: string, past: PastForecasts): void {
    const entry = this.entries.get(stream);
    if (entry !== undefined && entry.past === null) entry.past = past;
  }

  /** The stream for a row of the list, without its stored past. */
  peek(name: string): BoardStream | undefined {
    return this.entries.get(name);
  }

  /** The stream with its stored past, for a page that shows it. */
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
    const room = SHOWN_POINTS - points.length;
    const first = points[0]?.timeMs;
    if (room === 0 || first === undefined) return;
    entry.history = ringOf(SHOWN_POINTS, [...this.past(entry.name, first, room), ...points]);
  }

  private shrink(entry: Entry): void {
    const most = unseenCapacity(this.entries.size);
    if (most >= entry.history.capacity) return;
    entry.history = ringOf(most, entry.history.since(Number.NEGATIVE_INFINITY).slice(-most));
    entry.hasPast = false;
    entry.past = null;
  }

  /** In order of name. */
  streams(): BoardStream[] {
    return [...this.entries.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }
}

const emptyChart = (leads: number): WritableChart => ({
  originMs: 0,
  stepMs: 0,
  issuedMs: 0,
  seq: 0,
  leads,
  kind: 'naive',
  quality: 'good',
  marks: NO_MARKS,
  observedMs: null,
  coverage: { target: 0, observed: null, n: 0 },
  crossings: [],
  base: 0,
  fan: new Float32Array(COLUMNS.length * leads),
});

function ringOf(capacity: number, points: readonly ChartPoint[]): PointRing {
  const ring = new PointRing(capacity);
  for (const point of points) ring.push(point);
  return ring;
}
