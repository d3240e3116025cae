/**
 * A destination of forecasts, such as the JSON topics or Home Assistant. An output decides which messages it makes from the data that
 * the agent passes to it; it sends them through `Context.send`, or through its own connection. All outputs follow the same
 * contract (`test/outputs/output-contract.test.ts`). A new output is one folder here and one line in `outputs.ts`.
 *
 * An output is a part of the agent (`agent/part.ts`): it may have `start`, `stop`, `prepare`, `filters`, `receive`, `connected`,
 * `disconnected` and `forget`. No method may throw, wait, or keep the objects passed to it: the engine reuses their arrays.
 */
import type { Part } from '../agent/part.ts';
import type { Anomaly } from '../forecast/anomalies.ts';
import type { Forecast } from '../forecast/forecast.ts';
import type { LeadScore } from '../forecast/track.ts';
import type { Outgoing } from '../mqtt/outbox.ts';
import type { StreamSpec } from '../series/spec.ts';

export interface Output extends Part {
  /** First messages of every connection: the agent is online. */
  birth?(): readonly Outgoing[];
  /** Last will, which the broker publishes when the connection breaks. MQTT allows one per connection: the first output that returns one sets it. */
  will?(): Outgoing | null;
  /** Last messages before the agent disconnects. */
  farewell?(): readonly Outgoing[];
  /** Streams that are new or have changed settings, before their first forecast. */
  streams?(specs: readonly StreamSpec[]): void;
  /** @param nowMs wall clock at which the forecast was made */
  forecast?(forecast: Forecast, nowMs: number): void;
  /** Called before the forecast of the same bucket. */
  anomaly?(stream: string, anomaly: Anomaly): void;
  /** @param window number of forecasts included in the figures */
  score?(stream: string, scores: readonly LeadScore[], window: number): void;
  /** The learnt state of the stream was reset: its earlier scores are invalid. */
  reset?(stream: string): void;
  health?(health: HealthInput): void;
  /** Null clears the alert. */
  alert?(id: string, alert: Alert | null): void;
  /** A group of streams that share a model. */
  group?(group: string, status: GroupInput): void;
  /** Forecasts that could not be published, by reason. */
  dropped?(): Readonly<Record<string, number>>;
  /** What the output cannot publish because of a limit of the broker, for an alert; null: nothing. */
  limit?(): string | null;
}

export interface ModelName {
  readonly id: string;
  readonly version: string;
  /** null: there is no model. */
  readonly hash?: string | null;
  /** Time range of the readings that it was fine-tuned on, ISO 8601. */
  readonly trainedOn?: { readonly from: string; readonly to: string } | null;
}

export type StatusState = 'online' | 'offline';

export interface StatusInput {
  readonly state: StatusState;
  readonly version: string;
  /** Start of this run, ms since 1970 UTC. */
  readonly sinceMs: number;
  /** Unique for each run: distinguishes a restart from a reconnect. */
  readonly session: string;
}

export interface HealthInput {
  readonly state: 'ok' | 'degraded';
  readonly degraded: readonly string[];
  readonly rssMb: number;
  readonly cpuPct: number;
  readonly dbBytes: number;
  readonly writtenBytesDay: number;
  readonly streams: number;
  readonly model: ModelName;
  /** The last fine-tuning. */
  readonly finetune: { readonly status: string; readonly reason: string };
  readonly configVersion: number | null;
  /** Counts of rejected input by reason. */
  readonly dropped: Readonly<Record<string, number>>;
}

/** A group of streams that share a model: its model and its fine-tuning. */
export interface GroupInput {
  /** Name of the model that forecasts; `naive` without one. */
  readonly champion: string;
  readonly version: string;
  /** ISO 8601; null: not known. */
  readonly trainedAt: string | null;
  /** The model that a rollback would restore. */
  readonly previous: string | null;
  /** Since when the champion is on probation; null: it is not. */
  readonly probationSinceMs: number | null;
  /** Mean losses on the last holdout; null before the first. */
  readonly holdout: Readonly<Record<'candidate' | 'champion' | 'naive' | 'seasonal', number>> | null;
  readonly lastRun: {
    readonly status: string;
    readonly reason: string;
    /** What triggered the run. */
    readonly trigger: string | null;
    readonly startedMs: number | null;
    readonly endedMs: number | null;
    readonly found: {
      readonly streams: number;
      readonly leftOut: number;
      readonly problems: readonly { readonly stream: string; readonly problem: string }[];
    } | null;
  };
  /** Why no run starts now, or that one is running. */
  readonly waitsFor: string;
}

export interface Alert {
  readonly severity: 'warning' | 'error';
  readonly text: string;
  readonly sinceMs: number;
}
