/** Data of the page besides the board; implemented by the agent (`agent/page.ts`). */
import type { Alert } from '../outputs/output.ts';
import type { MarkName } from '../series/quality.ts';
import type { MemberStatus, PartitionStatus } from '../site/status.ts';
import type { RunFindings, RunReport } from '../training/run-report.ts';
import type { ChartAnomaly } from './board.ts';
import type { PastForecast } from './past-forecasts.ts';

export interface HistorySpan {
  readonly fromMs: number;
  readonly toMs: number;
  /** Maximum number of bins. */
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
  /** Time of the oldest sample, ms. */
  readonly firstMs: number;
  /** Duration of a bin, ms; 0 while the interval is unknown. */
  readonly binMs: number;
  readonly bins: readonly HistoryBin[];
  /** Stored anomalies of the span, ascending; of too many, the newest. */
  readonly anomalies: readonly ChartAnomaly[];
}

export interface PastSpan {
  /** In steps. */
  readonly lead: number;
  readonly fromMs: number;
  readonly toMs: number;
}

/** Past forecasts that the model in use makes of stored readings. */
export interface ReplayedPast {
  readonly points: readonly PastForecast[];
  /** False: its time ran out, and the newest forecasts are missing. */
  readonly complete: boolean;
  /** The model was trained on readings up to this time, so earlier forecasts look better than they would have been, ms; null: on none of them. */
  readonly trainedToMs: number | null;
}

interface AlertView extends Alert {
  readonly id: string;
  /** When the alert was cleared; null: it is active. */
  readonly untilMs: number | null;
  /** What raises an alert of this id. */
  readonly meaning: string;
}

interface ModelEntryView {
  readonly name: string;
  readonly version: string | null;
  readonly cell: string | null;
  readonly hidden: number | null;
  readonly source: 'shipped' | 'data';
  /** Why the model cannot be used; null if it can. */
  readonly problem: string | null;
}

/** A fine-tuning run; the fields of its findings are null, or empty, without findings. */
export interface RunView extends Omit<RunReport, 'found'> {
  readonly seconds: number | null;
  readonly streams: number | null;
  readonly leftOut: RunFindings['problems'];
  readonly gate: RunFindings['gate'] | null;
  /** In units of the naive forecast's loss. */
  readonly losses: RunFindings['losses'];
}

/** The fine-tuning run in progress. */
export interface TrainingView {
  readonly trigger: string | null;
  readonly startedMs: number | null;
  /** Why it pauses; null: it does not. */
  readonly paused: string | null;
  readonly phase: 'reading' | 'features' | 'training' | 'comparing';
  /** Of the phase, 0 to 1. */
  readonly done: number;
  /** Of the training; null in other phases. */
  readonly step: number | null;
  readonly maxSteps: number | null;
  readonly loss: number | null;
  /** Newest and best loss on data that are not trained on; null before the first. */
  readonly validation: number | null;
  readonly best: number | null;
  /** Longest time until the training ends, ms; null: unknown. */
  readonly leftMs: number | null;
}

export interface ModelView {
  readonly champion: string;
  readonly version: string;
  readonly trainedAt: string | null;
  /** Model that a rollback restores. */
  readonly previous: string | null;
  /** Of the model in use; null: it is not on probation. `found`: its live score so far. */
  readonly probation: { readonly sinceMs: number; readonly untilMs: number; readonly found: string } | null;
  /** Null: no fine-tuning is running. */
  readonly training: TrainingView | null;
  /** Why fine-tuning does not start; empty if it may. */
  readonly waitsFor: string;
  readonly schedule: string;
  /** Newest first. */
  readonly runs: readonly RunView[];
  readonly models: readonly ModelEntryView[];
}

export interface ConfigView {
  readonly hash: string;
  /** Version of the newest active push; null: only the local file. */
  readonly version: number | null;
  readonly keys: readonly { readonly path: string; readonly value: unknown; readonly origin: string }[];
  /** Note about these keys; null: none. */
  readonly notice: string | null;
  /** The newest push, whatever became of it; null: there was none. */
  readonly push: PushView | null;
}

export interface PushView {
  readonly version: number | null;
  /** `node` or `fleet:<group>`. */
  readonly layer: string;
  readonly status: string;
  readonly atMs: number;
  /** Why it was refused or rolled back. */
  readonly problems: readonly string[];
}

/** The group that the agent is a member of (docs/site.md). */
export interface SiteView {
  readonly site: string;
  /** This agent. */
  readonly member: string;
  readonly members: readonly MemberStatus[];
  readonly partitions: readonly PartitionStatus[];
}

export interface PageViews {
  /** null: no such stream. */
  history(stream: string, span: HistorySpan): Promise<History | null>;
  /** Takes some seconds. */
  replay(stream: string, span: PastSpan): Promise<ReplayedPast>;
  /** Accuracy by lead as on the score topic. */
  scores(stream: string): Readonly<Record<string, unknown>>;
  alerts(): readonly AlertView[];
  model(): ModelView;
  config(): ConfigView;
  /** Null: it is no member of a site. @throws GatecastError SITE_UNREACHABLE while NATS does not answer */
  site(): Promise<SiteView | null>;
}
