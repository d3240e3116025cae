/** What fine-tuning beside an agent needs of it. */
import type { ModelRegistry } from '../model/registry.ts';
import type { ModelSlots } from '../model/slots.ts';
import type { StreamSpec } from '../series/spec.ts';
import type { RunningWork } from './client.ts';
import type { CycleOptions, CycleReport } from './cycle.ts';
import type { LiveRatios, LiveScore } from './probation.ts';
import type { TuningInput } from './protocol.ts';
import type { KnownTable } from './replay.ts';
import type { RunReport } from './run-report.ts';
import type { Facts, SchedulerSettings, SchedulerState } from './scheduler.ts';

export interface TunedStream {
  readonly spec: StreamSpec;
  /** null while it is being learnt. */
  readonly intervalMs: number | null;
  /** Leads of its forecasts. */
  readonly leads: number | null;
  /** Buckets that have closed so far. */
  readonly buckets: number;
}

/** Survives restarts. */
export interface TunerState {
  readonly scheduler: SchedulerState;
  readonly last: RunReport;
}

export interface FineTunerParts {
  /** Model group; streams that share a model. */
  readonly group: string;
  /** Model of the group until another is promoted. */
  readonly configured: string;
  readonly scheduler: SchedulerSettings;
  readonly cycle: CycleOptions;
  /** How far back history is read, ms. */
  readonly windowMs: number;
  readonly registry: ModelRegistry;
  readonly slots: ModelSlots;
  readonly cores: number;
  readonly streams: () => readonly TunedStream[];
  /** What is known ahead now, for the streams that name it as a covariate. */
  readonly tables: () => readonly KnownTable[];
  /** Most buckets of all streams together that a run reads: bounds its memory. */
  readonly mostBuckets: number;
  /** The store's file, with all samples so far settled in it. */
  readonly database: () => string;
  readonly facts: () => Omit<Facts, 'shortage'>;
  /** Why no run may begin whatever asks for it; null: it may. */
  readonly barred: () => string | null;
  /** A candidate that passed has been written to the registry when the result says `promote`. */
  readonly start: (input: TuningInput, options: CycleOptions) => RunningWork<CycleReport>;
  /** The agent takes the group's current model up: loads it, rebuilds states, then forecasts with it. */
  readonly switchTo: (model: string) => Promise<void>;
  /** Name of the model that forecasts. */
  readonly running: () => string;
  /** Live scores of the network since the switch. */
  readonly scores: () => readonly LiveScore[];
  readonly report: (report: RunReport) => void;
  /** What the champion's live scores were, before the switch; null: not known. */
  readonly before: () => LiveRatios | null;
  /** What the last run of the agent saved. */
  readonly load: () => TunerState | null;
  /** Durable before the store is settled next. */
  readonly save: (state: TunerState) => void;
}
