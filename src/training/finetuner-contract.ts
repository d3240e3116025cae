/** What fine-tuning needs from the agent. */
import type { ModelRegistry } from '../model/registry.ts';
import type { ModelSlots } from '../model/slots.ts';
import type { StreamSpec } from '../series/spec.ts';
import type { RunningWork } from './client.ts';
import type { CycleOptions, CycleReport } from './cycle.ts';
import type { JobProgress } from './job.ts';
import type { LiveRatios, LiveScore } from './probation.ts';
import type { TuningInput } from './protocol.ts';
import type { KnownTable } from './replay.ts';
import type { RunReport } from './run-report.ts';
import type { Facts, SchedulerSettings, SchedulerState } from './scheduler.ts';

interface TunedStream {
  readonly spec: StreamSpec;
  /** null until it is learnt. */
  readonly intervalMs: number | null;
  /** Leads of its forecasts. */
  readonly leads: number | null;
  /** Buckets closed so far. */
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
  /** Model of the group from the config. */
  readonly configured: string;
  readonly scheduler: SchedulerSettings;
  readonly cycle: CycleOptions;
  /** How far back history is read, ms. */
  readonly windowMs: number;
  readonly registry: ModelRegistry;
  readonly slots: ModelSlots;
  readonly cores: number;
  readonly streams: () => readonly TunedStream[];
  /** Values known ahead, for streams that use them as covariates. */
  readonly tables: () => readonly KnownTable[];
  /** Maximum number of buckets, over all streams, that a run reads: limits its memory. */
  readonly mostBuckets: number;
  /** Path of the database, after all samples so far are written to it. */
  readonly database: () => string;
  readonly facts: () => Omit<Facts, 'shortage'>;
  /** Why tuning is blocked for every trigger; null when it is allowed. */
  readonly barred: () => string | null;
  /** Starts a run. If its result is `promote`, the candidate is in the registry. */
  readonly start: (
    input: TuningInput,
    options: CycleOptions,
    onProgress: (progress: JobProgress) => void,
  ) => RunningWork<CycleReport>;
  /** Switches the agent to a model: loads it, rebuilds the states, then forecasts with it. */
  readonly switchTo: (model: string) => Promise<void>;
  /** Name of the model in use. */
  readonly running: () => string;
  /** Live scores of the network since the switch. */
  readonly scores: () => readonly LiveScore[];
  readonly report: (report: RunReport) => void;
  /** The champion's live scores before the switch; null: unknown. */
  readonly before: () => LiveRatios | null;
  /** State saved by the previous run of the agent. */
  readonly load: () => TunerState | null;
  /** Saves the state durably before the next write of the store. */
  readonly save: (state: TunerState) => void;
}
