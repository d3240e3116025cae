/** One reading of one stream, after decoding and before bucketing. Pure data. */
export interface Sample {
  /** Name of the stream; already safe as MQTT topic levels. */
  readonly stream: string;
  /** Time of the measurement, ms since 1970 UTC. */
  readonly timeMs: number;
  /** Finite. In the stream's own unit. */
  readonly value: number;
  /** Time of arrival at the agent, ms since 1970 UTC; equals `timeMs` in a backtest. */
  readonly arrivalMs: number;
  /** Whether `timeMs` is an estimate, neither sent with the reading nor the time of arrival: see `agent/arrival-times.ts`. */
  readonly assigned?: boolean;
}

/** A reading that was sent without a time stamp. `agent/arrival-times.ts` makes it a `Sample`. */
export interface UnstampedReading extends Omit<Sample, 'timeMs' | 'assigned'> {
  readonly timeMs: null;
}

/** A reading as decoded from a message. */
export type Reading = Sample | UnstampedReading;
