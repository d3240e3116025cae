/**
 * Reads the history of a stream for its chart from stored samples: the newest buckets at once, or any time span,
 * thinned, in small pieces.
 */
import type { StreamView } from '../forecast/engine-contract.ts';
import { Counter } from '../series/counter.ts';
import { markNames, REFUSED } from '../series/quality.ts';
import { isCounter, type StreamSpec } from '../series/spec.ts';
import type { Store, StoredSample } from '../store/store-contract.ts';
import type { ChartPoint } from '../web/ring.ts';
import type { HistoryBin, HistorySpan } from '../web/views.ts';

type Past = Pick<StreamView, 'spec' | 'intervalMs'>;
type Samples = Pick<Store, 'samples'>;
type Slices = Pick<Store, 'samples' | 'sliceEnd'>;

/** Aggregates samples to bins of equal length. */
class Bins {
  private readonly bins = new Map<
    number,
    { sum: number; count: number; low: number; high: number; marks: number }
  >();
  private readonly counter: Counter | null;
  /** Samples before the first bin only give the initial value of a counter. */
  constructor(
    private readonly fromMs: number,
    private readonly binMs: number,
    private readonly view: Past,
  ) {
    const { aggregate } = view.spec;
    this.counter = isCounter(aggregate) ? new Counter(aggregate) : null;
  }

  add({ timeMs, value, mark }: StoredSample): void {
    const refused = (mark & REFUSED) !== 0;
    const amount = refused || this.counter === null ? value : this.counter.read(timeMs, value).increase;
    if (timeMs < this.fromMs) return;
    const startMs = Math.floor(timeMs / this.binMs) * this.binMs;
    const bin = this.bins.get(startMs) ?? {
      sum: 0,
      count: 0,
      low: Number.POSITIVE_INFINITY,
      high: Number.NEGATIVE_INFINITY,
      marks: 0,
    };
    this.bins.set(startMs, bin);
    bin.marks |= mark;
    if (refused || Number.isNaN(amount)) return;
    bin.sum += amount;
    bin.count++;
    bin.low = Math.min(bin.low, amount);
    bin.high = Math.max(bin.high, amount);
  }

  /** Bins from the first one with samples on, including empty ones. Amounts (sums, counters) are per interval. */
  result(untilMs: number): HistoryBin[] {
    const first = [...this.bins.keys()].reduce((least, startMs) => Math.min(least, startMs), untilMs);
    const isAmount = this.counter !== null || this.view.spec.aggregate === 'sum';
    const found: HistoryBin[] = [];
    for (let timeMs = first; timeMs < untilMs; timeMs += this.binMs) {
      const bin = this.bins.get(timeMs);
      const marks = bin === undefined || bin.marks === 0 ? {} : { marks: markNames(bin.marks) };
      if (bin === undefined || bin.count === 0)
        found.push({ timeMs, mean: null, low: null, high: null, ...marks });
      else if (isAmount) {
        const mean = bin.sum * ((this.view.intervalMs ?? this.binMs) / this.binMs);
        found.push({ timeMs, mean, low: mean, high: mean, ...marks });
      } else found.push({ timeMs, mean: bin.sum / bin.count, low: bin.low, high: bin.high, ...marks });
    }
    return found;
  }
}

/**
 * Buckets before `beforeMs`, at most `buckets` of them, ascending; empty ones in between have no reading. The value is the mean
 * of a bucket's readings (their sum or increase for a stream of amounts): accurate enough for a chart.
 */
export function chartPast(store: Samples, view: Past, beforeMs: number, buckets: number): ChartPoint[] {
  const { spec, intervalMs } = view;
  if (intervalMs === null) return [];
  const endMs = Math.floor(beforeMs / intervalMs) * intervalMs;
  const fromMs = endMs - buckets * intervalMs;
  const bins = new Bins(fromMs, intervalMs, view);
  for (const sample of store.samples(spec.name, fromMs - intervalMs, endMs)) bins.add(sample);
  return bins.result(endMs).map(({ timeMs, mean, marks }) => ({
    timeMs,
    observed: mean,
    low: null,
    p50: null,
    high: null,
    ...(marks === undefined ? {} : { marks }),
  }));
}

/**
 * Reads a span in pieces, so that the thread can make forecasts in between.
 * @param pause resolves when the thread has had time for other work
 */
export async function* inPieces<T>(
  { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number },
  store: Pick<Store, 'sliceEnd'>,
  read: (fromMs: number, toMs: number) => T,
  pause: () => Promise<void> | undefined,
): AsyncGenerator<T> {
  for (let atMs = fromMs; atMs < toMs; ) {
    const untilMs = Math.min(toMs, store.sliceEnd(atMs));
    yield read(atMs, untilMs);
    atMs = untilMs;
    await pause();
  }
}

/** The samples of some streams in a span, ascending by time. */
export const samplesOf = (
  store: Pick<Store, 'samples'>,
  streams: readonly { readonly spec: Pick<StreamSpec, 'name'> }[],
  fromMs: number,
  toMs: number,
): (StoredSample & { readonly stream: string })[] =>
  streams
    .flatMap(({ spec: { name: stream } }) =>
      Array.from(store.samples(stream, fromMs, toMs), (sample) => ({ ...sample, stream })),
    )
    .sort((a, b) => a.timeMs - b.timeMs);

/** Reads the bins of a span. */
export async function readHistory(
  store: Slices,
  view: Past,
  { fromMs, toMs, points }: HistorySpan,
  pause: () => Promise<void>,
): Promise<{ binMs: number; bins: HistoryBin[] }> {
  const { spec, intervalMs } = view;
  if (intervalMs === null || !(toMs > fromMs)) return { binMs: 0, bins: [] };
  const binMs = Math.max(1, Math.ceil((toMs - fromMs) / points / intervalMs)) * intervalMs;
  const startMs = Math.floor(fromMs / binMs) * binMs;
  const endMs = Math.ceil(toMs / binMs) * binMs;
  const bins = new Bins(startMs, binMs, view);
  const read = (atMs: number, untilMs: number): void => {
    for (const sample of store.samples(spec.name, atMs, untilMs)) bins.add(sample);
  };
  for await (const _ of inPieces({ fromMs: startMs - intervalMs, toMs: endMs }, store, read, pause));
  return { binMs, bins: bins.result(Math.min(endMs, Math.ceil(toMs / binMs) * binMs)) };
}
