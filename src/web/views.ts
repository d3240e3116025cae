/** What the page shows besides the board: the agent implements it (`agent/page.ts`), tests fake it. */
import type { MarkName } from '../series/quality.ts';

export interface HistorySpan {
  readonly fromMs: number;
  readonly toMs: number;
  /** Most bins. */
  readonly points: number;
}

export interface HistoryBin {
  readonly timeMs: number;
  /** Null: no reading. */
  readonly mean: number | null;
  readonly low: number | null;
  readonly high: number | null;
  readonly marks?: readonly MarkName[];
}

export interface History {
  /** No sample of the stream is older, ms. */
  readonly firstMs: number;
  /** Duration of a bin, ms; 0 while the interval is not known. */
  readonly binMs: number;
  readonly bins: readonly HistoryBin[];
}

export interface AlertView {
  readonly id: string;
  readonly severity: 'warning' | 'error';
  readonly text: string;
  readonly sinceMs: number;
  /** When its cause was gone; null: it holds. */
  readonly untilMs: number | null;
  /** What raises an alert of this id. */
  readonly meaning: string;
}

export interface ModelEntryView {
  readonly name: string;
  readonly version: string | null;
  readonly cell: string | null;
  readonly hidden: number | null;
  readonly source: 'shipped' | 'data';
  /** Why it cannot be used; null: it can. */
  readonly problem: string | null;
}

export interface RunView {
  readonly status: string;
  readonly reason: string;
  readonly trigger: string | null;
  readonly startedMs: number | null;
  readonly endedMs: number | null;
  readonly seconds: number | null;
  readonly streams: number | null;
  readonly leftOut: readonly { readonly stream: string; readonly problem: string }[];
  /** Mean losses on the holdout in units of the naive forecast's; null where no candidate came of it. */
  readonly losses: {
    readonly candidate: number;
    readonly champion: number;
    readonly naive: number;
    readonly seasonal: number;
  } | null;
}

export interface ModelView {
  readonly champion: string;
  readonly version: string;
  readonly trainedAt: string | null;
  /** What a rollback goes back to. */
  readonly previous: string | null;
  readonly probationSinceMs: number | null;
  /** Why no fine-tuning begins now; empty: it may begin. */
  readonly waitsFor: string;
  readonly schedule: string;
  /** Newest first. */
  readonly runs: readonly RunView[];
  readonly models: readonly ModelEntryView[];
}

export interface ConfigView {
  readonly hash: string;
  /** Version of the newest push that runs; null: the local file alone. */
  readonly version: number | null;
  readonly keys: readonly { readonly path: string; readonly value: unknown; readonly origin: string }[];
  /** What the reader should know of these keys; null: nothing. */
  readonly notice: string | null;
}

export interface PageViews {
  /** Null: there is no such stream. */
  history(stream: string, span: HistorySpan): Promise<History | null>;
  /** Accuracy by lead as on the score topic. */
  scores(stream: string): Readonly<Record<string, unknown>>;
  alerts(): readonly AlertView[];
  model(): ModelView;
  config(): ConfigView;
}
