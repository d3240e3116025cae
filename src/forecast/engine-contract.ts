/**
 * What the agent, the demo and the backtest may ask of the forecasting engine.
 * One pipeline, two clocks: live pushes samples as they arrive and ticks on a timer; a backtest pushes a file's rows
 * and ticks on the file's clock.
 */
import type { Sample } from '../series/sample.ts';
import type { StreamSpec } from '../series/spec.ts';
import type { Forecast } from './forecast.ts';

export type PushOutcome =
  | 'accepted'
  /** Its bucket had been closed and stepped. */
  | 'late'
  /** Same stream and time as a sample already in the open window. */
  | 'duplicate'
  | 'out-of-range'
  | 'too-fast'
  /** Further in the future than the clock allows. */
  | 'future'
  /** Before 2000-01-01 or after 2100: a clock that was never set. */
  | 'absurd-time'
  | 'unknown-stream';

export interface StreamSnapshot {
  readonly stream: string;
  /** Hash of the model and feature format that made the state; a different one means: rebuild from stored samples. */
  readonly modelHash: string;
  /** Samples at or after this time are not in the state and must be replayed into it, ms. */
  readonly replayFromMs: number;
  readonly bytes: Uint8Array;
}

export interface StreamView {
  readonly spec: StreamSpec;
  readonly intervalMs: number | null;
  readonly horizonSteps: number | null;
  readonly bucketsSeen: number;
  readonly lastObservedMs: number | null;
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
  /**
   * Closes every bucket that is due, steps all due streams in one batched run, and returns their newest forecasts in
   * stream order. `nowMs` is the wall clock; null closes buckets on the samples' own times only (replay of history).
   * `emitEvery`: false returns only the newest forecast a stream (live); true returns one for each closed bucket.
   */
  tick(nowMs: number | null, emitEvery?: boolean): Promise<Forecast[]>;
  /** Earliest wall-clock time at which a tick has something to do, ms; null when nothing waits on the clock. */
  nextDueMs(nowMs: number): number | null;
  snapshot(stream: string): StreamSnapshot | null;
}
