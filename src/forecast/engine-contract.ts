/**
 * The interface of the forecasting engine, as used by the agent, the demo and the backtest. One pipeline, two
 * clocks: live pushes samples as they arrive and ticks on a timer; a backtest pushes a file's rows and ticks on the
 * file's clock.
 */
import type { TablePoint } from '../series/covariate-sources.ts';
import type { Sample } from '../series/sample.ts';
import type { StreamSpec } from '../series/spec.ts';
import type { Forecast } from './forecast.ts';
import type { LeadScore } from './track.ts';

export type PushOutcome =
  | 'accepted'
  /** Its bucket had been closed and stepped. */
  | 'late'
  /** Same stream and time as a sample already in the open window. */
  | 'duplicate'
  | 'out-of-range'
  /** Further in the future than the clock allows. */
  | 'future'
  /** Before 2000 or from 2038 on: a clock that was never set, or overflowed. */
  | 'absurd-time'
  | 'unknown-stream';

/** What a saved state says of its stream, for those who do not have its model: `gatecast inspect`. */
export interface StreamAbout {
  readonly intervalMs: number;
  readonly horizonSteps: number;
  /** Closed buckets so far, filled ones with them. */
  readonly buckets: number;
  readonly observedMs: number | null;
  readonly unit: string | null;
  /** Of what was published, by lead; empty before the first matched forecast. */
  readonly scores: readonly LeadScore[];
}

export interface StreamSnapshot {
  readonly stream: string;
  /** Hash of the model and feature format that made the state; a different one means: rebuild from stored samples. */
  readonly modelHash: string;
  /** Samples at or after this time are not in the state and must be replayed into it, ms. */
  readonly replayFromMs: number;
  readonly bytes: Uint8Array;
  /** Omitted if the caller does not need it. */
  readonly about?: StreamAbout;
}

/** A closed bucket in which something was found wrong. Bits of `series/quality.ts`. */
export interface MarkedBucket {
  readonly stream: string;
  readonly startMs: number;
  readonly intervalMs: number;
  /** Times of its readings, ms. */
  readonly timesMs: readonly number[];
  /** Of all its readings; 0 where only single ones were left out. */
  readonly marks: number;
  /** Times of its readings that were left out because they changed too fast, ms. */
  readonly tooFastMs: readonly number[];
}

export interface StreamView {
  readonly spec: StreamSpec;
  readonly intervalMs: number | null;
  readonly horizonSteps: number | null;
  readonly bucketsSeen: number;
  readonly lastObservedMs: number | null;
}

/** How a tick shares the time with everything else; a replay needs none of it. */
export interface TickPace {
  /**
   * Buckets that are closed of one stream; what is left is due at once, and a stream that is so far behind has no forecast
   * until it has caught up. Streams that see each other as covariates close all they have.
   */
  readonly most?: number;
  /** The streams whose buckets are closed; all where it is left out. */
  readonly only?: ReadonlySet<string>;
  /** Takes forecasts as they are made, a group of streams at a time; the tick then returns none. Must not throw. */
  readonly handOut?: (forecasts: Forecast[]) => void;
  /**
   * Asked after every group of streams: true ends the tick. The streams that are left keep their buckets open and are due at
   * once; the next tick begins with them.
   */
  readonly enough?: () => boolean;
  /**
   * Asked after every run of the network: true ends the tick, also where closed buckets are left, and no later tick does anything.
   * `snapshot` is then null for their streams, whose stored samples bring the buckets back.
   */
  readonly stopped?: () => boolean;
  /** Awaited between runs of the network: others may have their turn. The engine is not to be changed meanwhile. */
  readonly breathe?: () => Promise<void> | undefined;
}

export interface ForecastEngine {
  readonly modelHash: string;
  /** Throws GatecastError STATE_MISMATCH when `snapshot` is of another model or damaged; the stream is then not added. */
  add(spec: StreamSpec, snapshot?: StreamSnapshot): void;
  remove(stream: string): void;
  /** Forgets what was learnt of a stream but keeps it. */
  reset(stream: string): void;
  streams(): readonly StreamView[];
  push(sample: Sample): PushOutcome;
  /** What is known ahead of a table that streams name as a covariate; instead of all that was known before. */
  know(table: string, points: readonly TablePoint[]): void;
  /**
   * Closes every bucket that is due, steps the due streams together, and returns their newest forecasts. `nowMs` is the wall clock; null closes buckets on the samples' own times only (replay of history).
   * `emitEvery`: false returns only the newest forecast a stream (live); true returns one for each closed bucket.
   */
  tick(nowMs: number | null, emitEvery?: boolean, pace?: TickPace): Promise<Forecast[]>;
  /** What the last tick found wrong, in order of time for each stream. */
  marked(): readonly MarkedBucket[];
  /** The last tick ended with buckets that are over: another one has something to do at once. */
  readonly behind: boolean;
  /** Earliest wall-clock time at which a tick has something to do, ms; null when nothing waits on the clock. */
  nextDueMs(nowMs: number): number | null;
  /** Null for a stream that is unknown, learns its interval, or has closed buckets that a tick did not step. */
  snapshot(stream: string): StreamSnapshot | null;
}
