/** Input of a report, and the types its sections share. */
import type { Grid, Played } from '../play.ts';
import type { SeriesScore } from '../score.ts';
import type { Calibration } from './calibration.ts';
import type { ReportedRun } from './tuning.ts';

export interface ReportSeries {
  readonly grid: Grid;
  readonly score: SeriesScore;
  readonly played: readonly Played[];
  /** Index of the first scored bucket. */
  readonly first: number;
}

export interface ReportInput {
  readonly files: readonly string[];
  readonly series: readonly ReportSeries[];
  readonly horizon: number;
  /** Settings of the run, as name and value. */
  readonly settings: readonly (readonly [string, string])[];
  /** Number of forecasts by kind. */
  readonly kinds: Readonly<Record<string, number>>;
  readonly refused: Readonly<Record<string, number>>;
  readonly runs: readonly ReportedRun[];
  /** Whether fine-tuning was on. */
  readonly tuned: boolean;
}

/** A series with its calibration and the scores of the naive forecasts. */
export interface ComparedSeries extends ReportSeries {
  readonly naive: SeriesScore;
  readonly seasonal: SeriesScore;
  readonly counts: Calibration;
}
