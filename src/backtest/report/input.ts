/** What a report is made from, and what its parts share. */
import type { Grid, Played } from '../play.ts';
import type { SeriesScore } from '../score.ts';
import type { Calibration } from './calibration.ts';
import type { ReportedRun } from './tuning.ts';

export interface ReportSeries {
  readonly grid: Grid;
  readonly score: SeriesScore;
  readonly played: readonly Played[];
  /** Number of the first bucket that is scored. */
  readonly first: number;
}

export interface ReportInput {
  readonly files: readonly string[];
  readonly series: readonly ReportSeries[];
  readonly horizon: number;
  /** What was set, as name and value. */
  readonly settings: readonly (readonly [string, string])[];
  /** What was published, counted. */
  readonly kinds: Readonly<Record<string, number>>;
  readonly refused: Readonly<Record<string, number>>;
  readonly runs: readonly ReportedRun[];
  /** Whether fine-tuning was on. */
  readonly tuned: boolean;
}

/** A series with what it is compared to. */
export interface Judged extends ReportSeries {
  readonly naive: SeriesScore;
  readonly seasonal: SeriesScore;
  readonly counts: Calibration;
}
