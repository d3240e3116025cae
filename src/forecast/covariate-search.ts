/** Lets the streams of an engine that ask for it choose covariates among each other, a little after each tick. */
import type { CovariateBook } from './covariate-book.ts';
import type { Neighbours } from './covariate-choice.ts';
import type { Stream } from './stream.ts';

/** Streams that do a part of their search after one tick: a regression takes some ms. */
const MOST_PER_TICK = 2;
/** Most streams with chosen covariates: each costs about four times the memory and time of the correction without. */
const MOST_STREAMS = 64;

export class CovariateSearch {
  /** Streams that have stepped since their last part of the search, the longest ago first. */
  private readonly waiting = new Set<Stream>();

  constructor(
    private readonly streams: ReadonlyMap<string, Stream>,
    private readonly book: CovariateBook,
  ) {}

  /** The stream has processed a bucket. */
  stepped(stream: Stream): void {
    this.waiting.add(stream);
  }

  /** @returns whether a stream has other covariates now */
  work(): boolean {
    let changed = false;
    let left = MOST_PER_TICK;
    for (const stream of this.waiting) {
      if (left-- === 0) break;
      this.waiting.delete(stream);
      const { choice, step, spec } = stream;
      if (choice === null || step === null || this.streams.get(spec.name) !== stream) continue;
      const gain = step.blend?.covariateGain() ?? null;
      if (choice.work(step.features.steps, gain, this.neighbours(stream))) {
        this.use(stream);
        changed = true;
      }
    }
    return changed;
  }

  /** Drops chosen streams that the engine does not have. @returns whether a stream has other covariates now */
  dropMissing(): boolean {
    const chosen = [...this.streams.values()].flatMap(({ choice }) => choice?.names ?? []);
    const missing = new Set(chosen.filter((name) => !this.streams.has(name)));
    return [...missing].map((name) => this.lose(name)).includes(true);
  }

  /** A stream is gone. @returns whether a stream has other covariates now */
  lose(name: string): boolean {
    let changed = false;
    for (const stream of this.streams.values()) {
      if (stream.choice?.lose(name, stream.bucketsSeen) !== true) continue;
      this.use(stream);
      changed = true;
    }
    return changed;
  }

  private use(stream: Stream): void {
    const before = stream.spec.covariates;
    stream.useCovariates(stream.choice?.names ?? []);
    this.book.use(stream.spec.covariates);
    this.book.leave(before);
  }

  private neighbours(stream: Stream): Neighbours {
    const { streams } = this;
    const { intervalMs } = stream.buckets;
    const { newestMs } = stream;
    const length = (most: number) => Math.min(most, reachOf(stream) + 1);
    return {
      names: () => {
        const names = [...streams.values()]
          .filter((one) => one === stream || one.buckets.intervalMs === intervalMs)
          .map(({ spec }) => spec.name);
        const at = names.indexOf(stream.spec.name);
        return [...names.slice(at + 1), ...names.slice(0, at)];
      },
      own: (most) => valuesUntil(stream, newestMs, length(most)),
      values: (name, most) => {
        const other = streams.get(name);
        if (other === undefined) return null;
        const { isPacked } = other;
        const values = valuesUntil(other, newestMs, length(most));
        if (isPacked) other.pack();
        return values.some(Number.isFinite) ? values : null;
      },
      hasRoom: () =>
        [...streams.values()].filter(({ choice }) => (choice?.names.length ?? 0) > 0).length < MOST_STREAMS,
    };
  }
}

const reachOf = ({ features }: Stream): number => features?.experts.history.reach ?? -1;

/** The last values up to the bucket that starts at `endMs`; NaN where unknown, or where the grids do not meet. */
function valuesUntil(stream: Stream, endMs: number, most: number): Float64Array {
  const { features } = stream;
  const { intervalMs } = stream.buckets;
  if (features === null || intervalMs === null) return new Float64Array(0);
  const { history } = features.experts;
  const late = (stream.newestMs - endMs) / intervalMs;
  return Float64Array.from({ length: most }, (_, i) => {
    const lag = most - 1 - i + late;
    return Number.isInteger(lag) && lag >= 0 && lag <= history.reach ? history.at(lag) : Number.NaN;
  });
}
