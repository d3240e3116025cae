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
  /** The bucket of the sample was already closed and stepped. */
  | 'late'
  /** The open buckets already contain a sample with the same stream and time. */
  | 'duplicate'
  | 'out-of-range'
  /** Too far ahead of the clock. */
  | 'future'
  /** Before 2000, or from 2038 on and ahead of the clock: a clock that was never set, or overflowed. */
  | 'absurd-time'
  | 'unknown-stream';

/** Facts about the stream in a saved state, readable without the model: for `gatecast inspect`. */
export interface StreamAbout {
  readonly intervalMs: number;
  readonly horizonSteps: number;
  /** Closed buckets so far, including filled ones. */
  readonly buckets: number;
  readonly observedMs: number | null;
  readonly unit: string | null;
  /** Scores of the published forecasts, by lead; empty before the first scored forecast. */
  readonly scores: readonly LeadScore[];
}

export interface StreamSnapshot {
  readonly stream: string;
  /** Hash of the model and feature format of the state; if it differs, the state is rebuilt from stored samples. */
  readonly modelHash: string;
  /** Samples at or after this time are not in the state and must be replayed into it, ms. */
  readonly replayFromMs: number;
  readonly bytes: Uint8Array;
  /** Length of `inputs`; omitted if no change of the model is supported. */
  readonly inputs?: Uint8Array;
  /** Omitted if the caller does not need it. */
  readonly about?: StreamAbout;
}

/** A closed bucket with quality marks (bits of `series/quality.ts`). */
export interface MarkedBucket {
  readonly stream: string;
  readonly startMs: number;
  readonly intervalMs: number;
  /** Times of its readings, ms. */
  readonly timesMs: readonly number[];
  /** Marks for all its readings; 0 if only single readings were omitted. */
  readonly marks: number;
  /** Times of its readings that were omitted because they changed too fast, ms. */
  readonly tooFastMs: readonly number[];
}

export interface StreamView {
  readonly spec: StreamSpec;
  readonly intervalMs: number | null;
  readonly horizonSteps: number | null;
  readonly bucketsSeen: number;
  readonly lastObservedMs: number | null;
}

/** Limits how long a tick blocks other work; a replay sets none of these. */
export interface TickPace {
  /**
   * Most buckets to close per stream; the rest is due at once, and a stream that is so far behind has no forecast
   * until it has caught up. Streams linked by covariates close all their buckets.
   */
  readonly most?: number;
  /** The streams whose buckets are closed; default: all. */
  readonly only?: ReadonlySet<string>;
  /** Receives forecasts as they are made, one group of streams at a time; the tick then returns none. Must not throw. */
  readonly handOut?: (forecasts: Forecast[]) => void;
  /**
   * Called after every group of streams: true ends the tick. The remaining streams keep their buckets open and are due at
   * once; the next tick begins with them.
   */
  readonly enough?: () => boolean;
  /**
   * Called after every run of the network: true ends the tick, even if closed buckets remain, and later ticks do nothing.
   * `snapshot` is then null for their streams, whose stored samples bring the buckets back.
   */
  readonly stopped?: () => boolean;
  /** Awaited between runs of the network, so that other tasks can run. The engine must not be changed during it. */
  readonly breathe?: () => Promise<void> | undefined;
}

export interface ForecastEngine {
  readonly modelHash: string;
  /** Throws GatecastError STATE_MISMATCH if `snapshot` is from another model or damaged; the stream is then not added. */
  add(spec: StreamSpec, snapshot?: StreamSnapshot): void;
  remove(stream: string): void;
  /** Resets everything learnt about a stream, but keeps the stream. */
  reset(stream: string): void;
  streams(): readonly StreamView[];
  push(sample: Sample): PushOutcome;
  /** Replaces all points of a table that streams use as a covariate. */
  know(table: string, points: readonly TablePoint[]): void;
  /**
   * Closes every bucket that is due, steps the due streams together, and returns their newest forecasts. `nowMs` is the wall clock; null closes buckets on the samples' own times only (replay of history).
   * `emitEvery`: false returns only the newest forecast a stream (live); true returns one for each closed bucket.
   */
  tick(nowMs: number | null, emitEvery?: boolean, pace?: TickPace): Promise<Forecast[]>;
  /** The buckets that the last tick marked, in order of time for each stream. */
  marked(): readonly MarkedBucket[];
  /** The last tick ended with buckets that are over: another one has something to do at once. */
  readonly behind: boolean;
  /** Earliest wall-clock time at which a tick has something to do, ms; null if nothing is due by the clock. */
  nextDueMs(nowMs: number): number | null;
  /** Null for a stream that is unknown, learns its interval, or has closed buckets that a tick did not step. */
  snapshot(stream: string): StreamSnapshot | null;
}
