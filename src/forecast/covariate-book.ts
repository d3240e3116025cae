/**
 * Records which streams use which covariates: every stream and table that some stream names, by name, whether it
 * exists yet or not.
 */
import { MEDIAN, Q } from '../quantiles.ts';
import type { ClosedBucket } from '../series/buckets.ts';
import { StreamSource, type TablePoint, TableSource } from '../series/covariate-sources.ts';
import { type CovariateSource, Covariates } from '../series/covariates.ts';
import type { CovariateName, StreamSpec } from '../series/spec.ts';
import type { StateIo } from '../series/state-io.ts';
import type { Forecast } from './forecast.ts';

interface Supposition {
  readonly value: number;
  readonly fromMs: number;
}

/** A source with supposed values from a time on. */
class Supposed implements CovariateSource {
  readonly name: string;
  readonly known: boolean;

  constructor(
    private readonly source: CovariateSource,
    private readonly supposed: ReadonlyMap<string, Supposition>,
  ) {
    this.name = source.name;
    this.known = source.known;
  }

  past(startMs: number, endMs: number, holdMs: number): number {
    return this.at(endMs) ?? this.source.past(startMs, endMs, holdMs);
  }

  ahead(startMs: number, endMs: number, nowMs: number): number {
    return this.at(nowMs) ?? this.source.ahead(startMs, endMs, nowMs);
  }

  private at(nowMs: number): number | undefined {
    const one = this.supposed.get(this.name);
    return one !== undefined && nowMs > one.fromMs ? one.value : undefined;
  }
}

export class CovariateBook {
  /** By name of the covariate. */
  private readonly supposed = new Map<string, Supposition>();
  private readonly streams = new Map<string, StreamSource>();
  /** How many streams of the engine use each stream; `streams` may also contain restored ones that none uses yet. */
  private readonly users = new Map<string, number>();
  private readonly tables = new Map<string, TableSource>();

  /** The covariates that `spec` names, on the stream's grid; null if it names none. */
  of({ covariates = [], maxGapMs }: StreamSpec, stepMs: number, leads: number): Covariates | null {
    if (covariates.length === 0) return null;
    const sources = covariates.map((one) => new Supposed(this.source(one), this.supposed));
    return new Covariates(sources, stepMs, leads, maxGapMs);
  }

  /** The engine has a stream with these covariates from now on. */
  use(covariates: readonly CovariateName[] = []): void {
    for (const { kind, name } of covariates)
      if (kind === 'stream') this.users.set(name, (this.users.get(name) ?? 0) + 1);
  }

  /** It has no longer. The data of a stream that none uses any more are dropped. */
  leave(covariates: readonly CovariateName[] = []): void {
    for (const { kind, name } of covariates) {
      const left = (this.users.get(name) ?? 0) - 1;
      if (kind !== 'stream') continue;
      if (left > 0) this.users.set(name, left);
      else {
        this.users.delete(name);
        this.streams.delete(name);
      }
    }
  }

  private source({ kind, name }: CovariateName): CovariateSource {
    return kind === 'table' ? this.table(name) : this.stream(name);
  }

  private stream(name: string): StreamSource {
    const known = this.streams.get(name);
    if (known !== undefined) return known;
    const made = new StreamSource(name);
    this.streams.set(name, made);
    return made;
  }

  private table(name: string): TableSource {
    const known = this.tables.get(name);
    if (known !== undefined) return known;
    const made = new TableSource(name);
    this.tables.set(name, made);
    return made;
  }

  suppose(name: string, value: number, fromMs: number): void {
    this.supposed.set(name, { value, fromMs });
  }

  /** Replaces all points of a table. */
  know(table: string, points: readonly TablePoint[]): void {
    this.table(table).set(points);
  }

  known(): { readonly name: string; readonly points: readonly TablePoint[] }[] {
    return [...this.tables].map(([name, table]) => ({ name, points: table.points() }));
  }

  /** Whether the stream uses covariates (streams or tables) or is one. */
  links(spec: StreamSpec | undefined): boolean {
    return this.joins(spec) || (spec?.covariates ?? []).length > 0;
  }

  /** Whether a stream is stepped in time order with others: it uses them as covariates, or they use it. Tables need no order. */
  joins(spec: StreamSpec | undefined): boolean {
    if (spec === undefined) return false;
    // Called for every stream in every round: must be fast.
    return this.users.has(spec.name) || spec.covariates?.some(({ kind }) => kind === 'stream') === true;
  }

  /** Saves or restores the data of a stream that others use. Streams that use it may be added later. */
  persist(stream: string, io: StateIo): void {
    const seen = io.number(this.users.has(stream) ? 1 : 0) === 1;
    if (seen) this.stream(stream).persist(io);
  }

  /** Clears the data of a stream that others use. If the stream returns, they use it again. */
  forget(stream: string): void {
    this.streams.get(stream)?.clear();
  }

  /** Records the next closed bucket of a stream; does nothing if no stream uses it. */
  closed(stream: string, bucket: ClosedBucket): void {
    this.streams.get(stream)?.closed([bucket]);
  }

  forecasts(list: readonly Forecast[]): void {
    for (const { stream, originMs, stepMs, leads, quantiles } of list) {
      const source = this.streams.get(stream);
      const medians = () => Float64Array.from({ length: leads }, (_, k) => quantiles[k * Q + MEDIAN]);
      source?.forecast({ originMs, stepMs, medians: medians() });
    }
  }
}
