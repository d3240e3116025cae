/** What the page knows of each stream: a bounded history and the newest forecast. Written by the agent, read by the server. */
import type { Forecast, ForecastKind, InputQuality } from '../forecast/forecast.ts';
import { type ChartPoint, PointRing } from './ring.ts';

/** Columns of a forecast row (of the nine quantiles) that the chart draws: p10, p30, p50, p70, p90. */
const COLUMNS = [0, 2, 4, 6, 8] as const;
const QUANTILES = 9;

export interface ChartForecast {
  readonly originMs: number;
  readonly stepMs: number;
  readonly issuedMs: number;
  readonly seq: number;
  readonly leads: number;
  readonly kind: ForecastKind;
  readonly quality: InputQuality;
  readonly observedMs: number | null;
  readonly coverage: Forecast['coverage'];
  readonly crossings: Forecast['crossings'];
  /** [5, leads] row-major: p10, p30, p50, p70, p90. */
  readonly fan: Float64Array;
}

export interface BoardStream {
  readonly name: string;
  readonly unit: string | null;
  readonly history: PointRing;
  readonly forecast: ChartForecast | null;
  /** Grows with every change, so that a reader can tell what it has seen. */
  readonly revision: number;
}

/** Many streams get shorter histories, so that the page's memory stays small next to the engine's. */
const historyCapacity = (streams: number): number => (streams < 256 ? 360 : streams < 1024 ? 96 : 32);

export class Board {
  private readonly entries = new Map<string, { -readonly [K in keyof BoardStream]: BoardStream[K] }>();
  private clock = 0;
  /** Grows whenever a stream appears or goes. */
  generation = 0;

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
      history: new PointRing(historyCapacity(this.entries.size)),
      forecast: null,
      revision: ++this.clock,
    });
    this.generation++;
  }

  forget(name: string): void {
    if (this.entries.delete(name)) this.generation++;
  }

  /** Fills the chart of a stream with history from before this start; `points` ascending by time. */
  prefill(name: string, points: Iterable<ChartPoint>): void {
    const entry = this.entries.get(name);
    if (!entry) return;
    for (const point of points) entry.history.push(point);
    entry.revision = ++this.clock;
  }

  record(forecast: Forecast, issuedMs: number): void {
    this.announce(forecast.stream, forecast.unit);
    const entry = this.entries.get(forecast.stream)!;
    const { leads, quantiles, expected } = forecast;
    entry.history.push({
      timeMs: forecast.originMs,
      observed: forecast.observed,
      low: expected?.low ?? null,
      p50: expected?.p50 ?? null,
      high: expected?.high ?? null,
    });
    const fan = new Float64Array(COLUMNS.length * leads);
    for (let c = 0; c < COLUMNS.length; c++)
      for (let k = 0; k < leads; k++) fan[c * leads + k] = quantiles[k * QUANTILES + COLUMNS[c]!]!;
    entry.forecast = {
      originMs: forecast.originMs,
      stepMs: forecast.stepMs,
      issuedMs,
      seq: forecast.seq,
      leads,
      kind: forecast.kind,
      quality: forecast.input.quality,
      observedMs: forecast.input.observedMs,
      coverage: forecast.coverage,
      crossings: forecast.crossings,
      fan,
    };
    entry.revision = ++this.clock;
  }

  get size(): number {
    return this.entries.size;
  }

  get(name: string): BoardStream | undefined {
    return this.entries.get(name);
  }

  /** In order of name. */
  streams(): BoardStream[] {
    return [...this.entries.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }
}
